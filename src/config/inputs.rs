//! The inputs: `INPUT_*` variables and the flags of the same names, read into one struct.
//!
//! A flag beats a variable; an empty value is no value, because the runner exports every
//! declared input. Every problem is reported, and no problem quotes a value, because a value
//! may be a secret that was put into the wrong place.

use std::ffi::OsString;
use std::str::FromStr;

use serde::Deserialize;

use crate::model::severity::Severity;
use crate::model::split::Weight;
use crate::platform::secret::Secret;
use crate::platform::text::nearest;

use super::problem::Problem;

/// An input as people see it.
pub struct Input {
    /// Its name, the same in `action.yml`, on the command line and, upper-cased behind
    /// `INPUT_`, in the environment.
    pub name: &'static str,
    /// What holds when it is not given; empty where nothing does.
    pub default: &'static str,
    /// What it is.
    pub about: &'static str,
}

const fn input(name: &'static str, default: &'static str, about: &'static str) -> Input {
    Input {
        name,
        default,
        about,
    }
}

/// All inputs, in the order in which they are shown.
pub const INPUTS: &[Input] = &[
    input("mode", "", "what to do, one of the modes"),
    input(
        "config",
        ".github/cutover.yml",
        "the config file, relative to the workspace",
    ),
    input(
        "environment",
        "",
        "which environment of the config; the only one, if there is one",
    ),
    input(
        "version",
        "",
        "the release: what the slot must say that it serves; the commit SHA inside a workflow",
    ),
    input(
        "slot",
        "auto",
        "for deploy-slot, smoke-test, health-check: a slot's name, or auto for the idle one (for health-check: the public URL)",
    ),
    input(
        "to",
        "idle",
        "for switch-traffic: a slot's name, idle or previous",
    ),
    input(
        "weight",
        "100",
        "for switch-traffic: percent of traffic for `to`, 0 to 100",
    ),
    input(
        "expect-active",
        "",
        "for switch-traffic, rollout and rollback: refuse unless this slot is active now",
    ),
    input(
        "strategy",
        "",
        "for rollout: the strategy; the config's, if not given",
    ),
    input(
        "url",
        "",
        "for smoke-test and health-check without a config file: look at this",
    ),
    input(
        "checks",
        "",
        "for smoke-test and health-check: checks as inline YAML, as in the config",
    ),
    input("title", "", "for notify: the first line"),
    input("message", "", "for notify: the text"),
    input("severity", "info", "for notify: info, warning or critical"),
    input(
        "webhook",
        "",
        "for notify without a config file: a Slack, Discord or other webhook",
    ),
    input("dry-run", "false", "say what would change, change nothing"),
    input(
        "token",
        "",
        "the token for the GitHub API; without one, records are skipped with a notice",
    ),
    input(
        "fault",
        "",
        "for rehearse: what goes wrong, such as errors=5% or wrong-version; several with commas",
    ),
];

/// The raw inputs, as envy reads them. Every field is optional: what is not given is decided
/// in [`Inputs`].
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Raw {
    mode: Option<String>,
    config: Option<String>,
    environment: Option<String>,
    version: Option<String>,
    slot: Option<String>,
    to: Option<String>,
    weight: Option<String>,
    expect_active: Option<String>,
    strategy: Option<String>,
    url: Option<String>,
    checks: Option<String>,
    title: Option<String>,
    message: Option<String>,
    severity: Option<String>,
    webhook: Option<String>,
    dry_run: Option<String>,
    token: Option<String>,
    fault: Option<String>,
}

/// The inputs, parsed.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// The config file.
    pub config: String,
    /// Whether the config file was named, so that it must exist.
    pub config_was_named: bool,
    /// The environment's name.
    pub environment: Option<String>,
    /// The release.
    pub version: Option<String>,
    /// A slot's name; `None` is `auto`.
    pub slot: Option<String>,
    /// Where traffic shall go.
    pub to: String,
    /// How much of it.
    pub weight: Weight,
    /// The slot that must be active.
    pub expect_active: Option<String>,
    /// The strategy's name.
    pub strategy: Option<String>,
    /// A URL to look at.
    pub url: Option<url::Url>,
    /// Checks as YAML.
    pub checks: Option<String>,
    /// The title of a message.
    pub title: Option<String>,
    /// The text of a message.
    pub message: Option<String>,
    /// How much a message matters.
    pub severity: Severity,
    /// Where a message goes; a secret, for whoever has it can post.
    pub webhook: Option<Secret>,
    /// Change nothing.
    pub dry_run: bool,
    /// The token of the GitHub API.
    pub token: Option<Secret>,
    /// What shall go wrong in a rehearsal.
    pub faults: Vec<String>,
}

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

/// Reads the command line (without the program's name) and the environment.
///
/// # Errors
/// All problems with the inputs.
pub fn read(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Asked, Vec<Problem>> {
    let (mut given, mut problems) = from_environment(environment);
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
            Ok(Some(lexopt::Arg::Long("dry-run"))) => {
                let value = parser.optional_value().unwrap_or_else(|| "true".into());
                give(&mut given, "dry-run", value, &mut problems);
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
            Ok(Some(lexopt::Arg::Value(mode))) => modes.push(mode.to_string_lossy().into_owned()),
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
    if modes.len() > 1 {
        problems.push(Problem::with_input(
            "mode",
            format!("there are several: {}", modes.join(", ")),
        ));
    }
    let raw: Raw = match envy::from_iter(given) {
        Ok(raw) => raw,
        Err(_) => {
            problems.push(Problem::with_input("inputs", "could not be read"));
            Raw::default()
        }
    };
    let mode = modes.pop().or_else(|| raw.mode.clone());
    let inputs = parse(raw, &mut problems);
    match mode {
        _ if !problems.is_empty() => Err(problems),
        None => Ok(Asked::Help),
        Some(mode) => Ok(Asked::Run(mode, Box::new(inputs))),
    }
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

fn parse(raw: Raw, problems: &mut Vec<Problem>) -> Inputs {
    let mut complain = |name: &str, said: &str| problems.push(Problem::with_input(name, said));
    let weight = match raw.weight.as_deref().map(|text| {
        text.trim_end_matches('%')
            .trim_end()
            .parse::<u8>()
            .ok()
            .and_then(Weight::new)
    }) {
        None => Weight::ALL,
        Some(Some(weight)) => weight,
        Some(None) => {
            complain("weight", "must be a whole number of percent from 0 to 100");
            Weight::ALL
        }
    };
    let severity = match raw.severity.as_deref().map(Severity::from_str) {
        None => Severity::Info,
        Some(Ok(severity)) => severity,
        Some(Err(())) => {
            complain(
                "severity",
                &format!("must be one of {}", Severity::NAMES.join(", ")),
            );
            Severity::Info
        }
    };
    let dry_run = match raw.dry_run.as_deref() {
        None | Some("false" | "False" | "FALSE") => false,
        Some("true" | "True" | "TRUE") => true,
        Some(_) => {
            complain("dry-run", "must be true or false");
            true
        }
    };
    let url = raw
        .url
        .as_deref()
        .and_then(|text| match text.parse::<super::units::HttpUrl>() {
            Ok(url) => Some(url.get().clone()),
            Err(said) => {
                complain("url", &said);
                None
            }
        });
    if raw
        .webhook
        .as_deref()
        .is_some_and(|text| text.parse::<super::units::HttpUrl>().is_err())
    {
        complain(
            "webhook",
            "this is not a URL; write it as https://host/path",
        );
    }
    Inputs {
        config_was_named: raw.config.is_some(),
        config: raw
            .config
            .unwrap_or_else(|| ".github/cutover.yml".to_owned()),
        environment: raw.environment,
        version: raw.version,
        slot: raw.slot.filter(|slot| slot != "auto"),
        to: raw.to.unwrap_or_else(|| "idle".to_owned()),
        weight,
        expect_active: raw.expect_active,
        strategy: raw.strategy,
        url,
        checks: raw.checks,
        title: raw.title,
        message: raw.message,
        severity,
        webhook: raw.webhook.map(Secret::new),
        dry_run,
        token: raw.token.map(Secret::new),
        faults: raw
            .fault
            .map(|faults| {
                faults
                    .split([',', '\n'])
                    .map(|one| one.trim().to_owned())
                    .filter(|one| !one.is_empty())
                    .collect()
            })
            .unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Asked, Vec<Problem>> {
        read(
            arguments.iter().map(Into::into),
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
                Err(problems) => assert_eq!(problems[0].path, input.name, "{problems:?}"),
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
