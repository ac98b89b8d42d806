//! The house's own rules, as tests: floors, headers, lengths, names, and tables that must agree.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cutover::config::command_line::POST_STEP;
use cutover::config::input_table::INPUTS;
use cutover::config::yaml::{self, Node, What};
use cutover::modes::MODES;
use cutover::report::outputs::OUTPUTS;

/// The rooms of each floor, from the ground up. A room may use what is below it; on the floors
/// of `ALONE` it may not use its neighbours either.
const FLOORS: [&[&str]; 6] = [
    &["platform"],
    &["model", "config", "judge"],
    &[
        "routers",
        "targets",
        "hosts",
        "hooks",
        "probes",
        "metrics",
        "notifiers",
        "exporters",
        "github",
        "actions",
    ],
    &["rollout", "rehearsal"],
    &["report"],
    &["modes", "cast", "error", "app", "main", "lib"],
];

/// Floors whose rooms do not know each other.
const ALONE: [usize; 1] = [2];

/// Longer files are split.
const WALL: usize = 400;

/// Names that say nothing.
const EMPTY_NAMES: [&str; 6] = ["utils", "util", "common", "helper", "helpers", "manager"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(below: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(below)];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

fn floor_of(room: &str) -> usize {
    let floor = FLOORS.iter().position(|rooms| rooms.contains(&room));
    floor.unwrap_or_else(|| {
        panic!("src/{room} is on no floor; put it into FLOORS and ARCHITECTURE.md")
    })
}

/// The rooms that a line names after `crate::`.
fn named(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("crate::").flat_map(move |(at, found)| {
        let rest = &line[at + found.len()..];
        let list = rest
            .strip_prefix('{')
            .and_then(|list| list.split('}').next());
        let names: Vec<&str> = match list {
            Some(list) => list.split(',').collect(),
            None => vec![rest],
        };
        names.into_iter().map(|name| {
            let name = name.trim_start();
            let end = name
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(name.len());
            &name[..end]
        })
    })
}

#[test]
fn imports_go_down_only() {
    let mut wrong = Vec::new();
    for path in rust_files("src") {
        let shown = shown(&path);
        let room = shown
            .trim_start_matches("src/")
            .split(['/', '.'])
            .next()
            .unwrap()
            .to_owned();
        let floor = floor_of(&room);
        let text = fs::read_to_string(&path).unwrap();
        for (i, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            for name in named(line).filter(|name| *name != room) {
                let Some(other) = FLOORS.iter().position(|rooms| rooms.contains(&name)) else {
                    continue;
                };
                if other > floor || (other == floor && ALONE.contains(&floor)) {
                    wrong.push(format!("{shown}:{}: {room} uses {name}", i + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_floors_hold_what_they_promise() {
    let mut wrong = Vec::new();
    for path in rust_files("src") {
        let shown = shown(&path);
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let pure = ["src/judge/", "src/model/"]
            .iter()
            .any(|room| shown.starts_with(room));
        for (needle, allowed) in [
            ("tokio::", !pure),
            ("std::fs", !pure),
            ("async fn", !pure),
            ("serde_yaml", shown == "src/config/yaml.rs"),
            ("octocrab", shown.starts_with("src/github/")),
            ("env::vars_os", shown == "src/actions/context.rs"),
            ("::set-output", false),
        ] {
            let used = code
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            if !allowed && used.clone().any(|line| line.contains(needle)) {
                wrong.push(format!("{shown} uses {needle}"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn files_have_a_header_an_end_and_a_name() {
    let mut wrong = Vec::new();
    for path in rust_files("src").into_iter().chain(rust_files("tests")) {
        let shown = shown(&path);
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().count();
        if !text.starts_with("//! ") {
            wrong.push(format!("{shown} does not say what it is: begin with `//!`"));
        }
        if lines > WALL {
            wrong.push(format!("{shown} has {lines} lines; the wall is at {WALL}"));
        }
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        if EMPTY_NAMES.contains(&stem.as_str()) {
            wrong.push(format!("{shown}: \"{stem}\" says nothing"));
        }
    }
    let main = fs::read_to_string(root().join("src/main.rs")).unwrap();
    if main.lines().count() > 40 {
        wrong.push("src/main.rs has more than 40 lines".to_owned());
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_seam_lists_its_files() {
    for seam in [
        "routers",
        "targets",
        "hosts",
        "hooks",
        "probes",
        "metrics",
        "notifiers",
        "exporters",
    ] {
        let table = fs::read_to_string(root().join(format!("src/{seam}/mod.rs"))).unwrap();
        for path in rust_files(&format!("src/{seam}")) {
            let text = fs::read_to_string(&path).unwrap();
            if !text.contains("pub const KIND:") && !text.contains("pub(super) const KIND:") {
                continue;
            }
            let module = match path.file_stem().unwrap().to_str().unwrap() {
                "mod" => path
                    .parent()
                    .unwrap()
                    .file_name()
                    .unwrap()
                    .to_string_lossy()
                    .into_owned(),
                stem => stem.to_owned(),
            };
            assert!(
                table.contains(&format!("{module}::KIND")),
                "{} is in no table",
                shown(&path)
            );
        }
    }
}

/// The first column of the table that follows `heading`, without its backquotes.
fn first_column(markdown: &str, heading: &str) -> BTreeSet<String> {
    let (_, after) = markdown
        .split_once(heading)
        .unwrap_or_else(|| panic!("README.md has no {heading}"));
    let rows = after.lines().skip_while(|line| !line.starts_with('|'));
    rows.take_while(|line| line.starts_with('|'))
        .skip(2)
        .flat_map(|row| {
            let cell = row
                .trim_matches('|')
                .split('|')
                .next()
                .unwrap_or_default()
                .to_owned();
            cell.split(',')
                .map(|name| name.trim().trim_matches('`').to_owned())
                .collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn the_readme_lists_what_there_is() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let names = |all: &[&str]| {
        all.iter()
            .map(|name| (*name).to_owned())
            .collect::<BTreeSet<_>>()
    };
    let modes: Vec<&str> = MODES.iter().map(|(name, _)| *name).collect();
    assert_eq!(first_column(&readme, "## Modes"), names(&modes));
    let inputs: Vec<&str> = INPUTS.iter().map(|input| input.name).collect();
    assert_eq!(first_column(&readme, "## Inputs"), names(&inputs));
    let outputs: Vec<&str> = OUTPUTS.iter().map(|(name, _)| *name).collect();
    assert_eq!(first_column(&readme, "## Outputs"), names(&outputs));
    for (heading, kinds) in [
        ("### Hosts", kinds(cutover::hosts::KINDS)),
        ("### Targets", kinds(cutover::targets::KINDS)),
        ("### Hooks", kinds(cutover::hooks::KINDS)),
        ("### Routers", kinds(cutover::routers::KINDS)),
        ("### Checks", kinds(cutover::probes::KINDS)),
        ("### Metrics", kinds(cutover::metrics::KINDS)),
        ("### Notifiers", kinds(cutover::notifiers::KINDS)),
    ] {
        assert_eq!(first_column(&readme, heading), names(&kinds), "{heading}");
    }
}

#[test]
fn the_readme_lists_every_reason() {
    let source = fs::read_to_string(root().join("src/model/ending.rs")).unwrap();
    let (_, reasons) = source.split_once("pub enum Reason {").unwrap();
    let (reasons, _) = reasons.split_once("\n}").unwrap();
    let words = reasons.lines().map(str::trim);
    let words = words.filter(|line| !line.starts_with("///") && !line.is_empty());
    let kebab = |word: &str| {
        let mut out = String::new();
        for letter in word.trim_end_matches(',').chars() {
            if letter.is_uppercase() && !out.is_empty() {
                out.push('-');
            }
            out.extend(letter.to_lowercase());
        }
        out
    };
    let words: BTreeSet<String> = words.map(kebab).collect();
    assert!(words.contains("changed-by-others"), "{words:?}");
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    assert_eq!(first_column(&readme, "## Reason codes"), words);
}

/// The keys of a mapping in `action.yml`, each with what is below it.
fn keys<'a>(node: &'a Node, name: &str) -> Vec<(&'a str, &'a Node)> {
    let What::Map(entries) = &node.what else {
        panic!("action.yml: {name} is not a mapping");
    };
    entries
        .iter()
        .map(|(key, value)| (key.name.as_str(), value))
        .collect()
}

fn below<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    let found = keys(node, name).into_iter().find(|(key, _)| *key == name);
    found.map(|(_, value)| value)
}

fn text(node: &Node) -> &str {
    match &node.what {
        What::Scalar { text, .. } => text,
        _ => panic!("a single value is wanted"),
    }
}

#[test]
fn the_action_takes_and_gives_what_the_program_does() {
    let action = fs::read_to_string(root().join("action.yml")).unwrap();
    let action = yaml::read(&action).unwrap();
    let inputs = keys(below(&action, "inputs").unwrap(), "inputs");
    let names: Vec<&str> = inputs.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        INPUTS.iter().map(|input| input.name).collect::<Vec<_>>()
    );
    for (name, input) in inputs {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(
            name.chars().all(plain) && !["args", "entrypoint"].contains(&name),
            "{name}"
        );
        let about = text(below(input, "description").unwrap());
        assert!(about.contains("Example"), "{name}: an example is wanted");
        let default = below(input, "default").map_or("", text);
        let ours = INPUTS
            .iter()
            .find(|input| input.name == name)
            .unwrap()
            .default;
        // The runner fills in its token and its job; a config file that is not named need not be there.
        if !["token", "config", "check-run-id"].contains(&name) {
            assert!(
                default.is_empty() || default == ours,
                "{name}: {default} is not {ours}"
            );
        }
    }
    let outputs = keys(below(&action, "outputs").unwrap(), "outputs");
    let names: Vec<&str> = outputs.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        OUTPUTS.iter().map(|(name, _)| *name).collect::<Vec<_>>()
    );
    let runs = below(&action, "runs").unwrap();
    assert_eq!(
        text(below(runs, "post-entrypoint").unwrap()),
        format!("/{POST_STEP}")
    );
    assert!(below(runs, "args").is_none() && below(runs, "entrypoint").is_none());
}

fn kinds<Made: ?Sized, With>(
    table: &[cutover::config::kinds::Kind<Made, With>],
) -> Vec<&'static str> {
    table.iter().map(|kind| kind.name).collect()
}

#[test]
fn the_map_names_every_room() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let path = entry.unwrap().path();
        let room = path.file_stem().unwrap().to_string_lossy().into_owned();
        floor_of(&room);
        assert!(
            map.contains(&format!("`{room}`")) || map.contains(&format!("{room}.rs")),
            "ARCHITECTURE.md does not name {room}"
        );
    }
}
