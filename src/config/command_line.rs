//! What is asked for: the command line and the `INPUT_*` variables, brought together.
//!
//! A flag beats a variable; an empty value is no value, because the runner exports every
//! declared input. What the values mean is decided in `inputs`.

use std::ffi::OsString;
use std::path::Path;

use crate::platform::text::nearest;

use super::input_table::INPUTS;
use super::inputs::Inputs;
use super::problem::Problem;

/// What the command line and the environment ask for.
#[derive(Debug)]
pub enum Asked {
    /// `--help`, of a mode or of all.
    Help,
    /// `--version`.
    Version,
    /// A mode or a command, by its name, with its inputs.
    Run(String, Box<Inputs>),
}

/// The name under which the program is the post step: a container's `post-entrypoint` takes no
/// arguments.
pub const POST_STEP: &str = "cutover-finish";

/// The commands that have words after them.
const WITH_OPERANDS: [&str; 3] = ["audit", "lock", "replay"];

/// Reads the command line (with the program's name first) and the environment.
///
/// # Errors
/// All problems with the inputs.
pub fn read(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Asked, Vec<Problem>> {
    let (mut given, mut problems) = from_environment(environment);
    let mut arguments = arguments.into_iter();
    let program = arguments.next().unwrap_or_default();
    let is_post_step = Path::new(&program)
        .file_name()
        .is_some_and(|name| name == POST_STEP);
    let mut modes = Vec::new();
    let mut parser = lexopt::Parser::from_args(arguments);
    loop {
        match parser.next() {
            Ok(None) => break,
            Ok(Some(lexopt::Arg::Short('h') | lexopt::Arg::Long("help"))) => {
                return Ok(Asked::Help);
            }
            Ok(Some(lexopt::Arg::Short('V'))) => return Ok(Asked::Version),
            // `--version` alone is the program's; with a value it is the input.
            Ok(Some(lexopt::Arg::Long("version"))) => {
                match parser.optional_value().or_else(|| parser.value().ok()) {
                    None => return Ok(Asked::Version),
                    Some(value) => give(&mut given, "version", value, &mut problems),
                }
            }
            Ok(Some(lexopt::Arg::Long(name @ ("apply" | "dry-run")))) => {
                let name = name.to_owned();
                let value = parser.optional_value().or_else(|| truth(&mut parser));
                let value = value.unwrap_or_else(|| "true".into());
                give(&mut given, &name, value, &mut problems);
            }
            Ok(Some(lexopt::Arg::Long(name))) => {
                let name = name.to_owned();
                if !INPUTS.iter().any(|input| input.name == name) {
                    let known = nearest(&name, INPUTS.iter().map(|input| input.name));
                    let said = known.map_or_else(
                        || "there is no such flag; `cutover --help` lists them".to_owned(),
                        |near| format!("there is no such flag, did you mean --{near}?"),
                    );
                    problems.push(Problem::with_input(&format!("--{name}"), said));
                    // Its value, if it has one, is not a mode.
                    if parser.optional_value().is_none() {
                        break;
                    }
                    continue;
                }
                match parser.value() {
                    Ok(value) => give(&mut given, &name, value, &mut problems),
                    Err(_) => problems.push(Problem::with_input(
                        &format!("--{name}"),
                        "the value is missing",
                    )),
                }
            }
            Ok(Some(lexopt::Arg::Value(word))) => modes.push(word.to_string_lossy().into_owned()),
            Ok(Some(lexopt::Arg::Short(letter))) => {
                problems.push(Problem::with_input(
                    &format!("-{letter}"),
                    "there is no such flag; `cutover --help` lists them",
                ));
            }
            Err(failed) => {
                problems.push(Problem::with_input("command line", failed.to_string()));
                break;
            }
        }
    }
    // Only a few commands have words after them.
    let operands = modes.split_off(modes.len().min(1));
    let takes_operands = modes
        .iter()
        .any(|mode| WITH_OPERANDS.contains(&mode.as_str()));
    if !operands.is_empty() && !takes_operands {
        let all = [modes.as_slice(), &operands].concat().join(", ");
        problems.push(Problem::with_input(
            "mode",
            format!("there are several: {all}"),
        ));
    }
    let (named, mut inputs) = Inputs::parse(given, &mut problems);
    inputs.operands = operands;
    let mode = if is_post_step {
        Some("finish".to_owned())
    } else {
        modes.pop().or(named)
    };
    match mode {
        _ if !problems.is_empty() => Err(problems),
        None => Ok(Asked::Help),
        Some(mode) => Ok(Asked::Run(mode, Box::new(inputs))),
    }
}

/// The next word, if it is `true` or `false`: what follows a switch may be a mode as well.
fn truth(parser: &mut lexopt::Parser) -> Option<OsString> {
    let mut words = parser.try_raw_args()?;
    words.next_if(|word| word == "true" || word == "false")
}

/// The `INPUT_*` variables that are not empty, without the two that the runner adds by itself.
fn from_environment(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> (Vec<(String, String)>, Vec<Problem>) {
    let mut given = Vec::new();
    let mut problems = Vec::new();
    for (key, value) in environment {
        let Some(key) = key.to_str().and_then(|key| key.strip_prefix("INPUT_")) else {
            continue;
        };
        let name = key.to_lowercase();
        if !INPUTS.iter().any(|input| input.name == name) {
            // `args` and `entrypoint` come with every container action; an input that we do
            // not know was warned about by the runner.
            continue;
        }
        give(&mut given, &name, value, &mut problems);
    }
    (given, problems)
}

fn give(
    given: &mut Vec<(String, String)>,
    name: &str,
    value: OsString,
    problems: &mut Vec<Problem>,
) {
    let Ok(value) = value.into_string() else {
        problems.push(Problem::with_input(name, "the value is not UTF-8"));
        return;
    };
    let value = value.trim();
    if name == "fault"
        && let Some((_, faults)) = given.iter_mut().find(|(known, _)| known == name)
        && !value.is_empty()
    {
        faults.push(',');
        faults.push_str(value);
        return;
    }
    given.retain(|(known, _)| known != name);
    if !value.is_empty() {
        given.push((name.to_owned(), value.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::split::Weight;

    fn asked(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Asked, Vec<Problem>> {
        read(
            ["cutover"].iter().chain(arguments).map(Into::into),
            environment
                .iter()
                .map(|(key, value)| (key.into(), value.into())),
        )
    }

    fn run(arguments: &[&str], environment: &[(&str, &str)]) -> (String, Inputs) {
        match asked(arguments, environment) {
            Ok(Asked::Run(mode, inputs)) => (mode, *inputs),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_flag_beats_the_variable() {
        let environment = [
            ("INPUT_MODE", "rollback"),
            ("INPUT_EXPECT-ACTIVE", "blue"),
            ("INPUT_WEIGHT", ""),
        ];
        let (mode, inputs) = run(&["--expect-active=green"], &environment);
        assert_eq!(
            (mode.as_str(), inputs.expect_active.as_deref()),
            ("rollback", Some("green"))
        );
        assert_eq!(inputs.weight, Weight::ALL);
        let (mode, inputs) = run(&["rollout", "--version", "1.2", "--dry-run"], &environment);
        assert_eq!(
            (mode.as_str(), inputs.version.as_deref(), inputs.dry_run),
            ("rollout", Some("1.2"), true)
        );
    }

    #[test]
    fn every_input_of_the_table_is_read_and_no_other() {
        for input in INPUTS {
            let name = format!("INPUT_{}", input.name.to_uppercase());
            let odd = [
                (name.as_str(), "https://x"),
                ("INPUT_MODE", "notify"),
                ("INPUT_ARGS", "x"),
            ];
            match asked(&[], &odd) {
                Ok(_) => {}
                // Some want another beside them, which then is what is missing.
                Err(problems) => assert!(
                    problems[0].path == input.name
                        || problems[0].said.contains(&format!("`{}`", input.name)),
                    "{problems:?}"
                ),
            }
        }
    }

    #[test]
    fn all_problems_at_once_and_no_value_is_quoted() {
        let bad = [
            ("INPUT_WEIGHT", "120"),
            ("INPUT_SEVERITY", "s3cr3t"),
            ("INPUT_DRY-RUN", "maybe"),
            ("INPUT_URL", "s3cr3t"),
        ];
        let problems = asked(&["rollout", "--sevrity", "x"], &bad).unwrap_err();
        let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 5, "{told:?}");
        assert!(told[0].contains("did you mean --severity?"));
        assert!(!told.concat().contains("s3cr3t") && !told.concat().contains("maybe"));
    }

    #[test]
    fn only_a_command_that_takes_words_gets_them() {
        let Ok(Asked::Run(word, inputs)) = asked(&["audit", "verify", "a.jsonl"], &[]) else {
            panic!();
        };
        assert_eq!(
            (word.as_str(), inputs.operands.join(" ")),
            ("audit", "verify a.jsonl".to_owned())
        );
        let problems = asked(&["rollout", "blue"], &[]).unwrap_err();
        assert_eq!(problems[0].said, "there are several: rollout, blue");
        let problems = asked(&["check", "rollout", "x"], &[("INPUT_MODE", "audit")]);
        assert_eq!(
            problems.unwrap_err().len(),
            1,
            "the command line beats the variable"
        );
    }

    #[test]
    fn the_version_of_the_program_is_not_the_input() {
        assert!(matches!(asked(&["--version"], &[]), Ok(Asked::Version)));
        assert!(matches!(
            asked(&["rollout", "--help"], &[]),
            Ok(Asked::Help)
        ));
        assert_eq!(
            run(&["rollout", "--fault", "a", "--fault", "b=5%"], &[])
                .1
                .faults,
            ["a", "b=5%"]
        );
    }
}
