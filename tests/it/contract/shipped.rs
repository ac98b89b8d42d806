//! What is shipped beside the program: `action.yml` agrees with the code, both ways, and every
//! config of the examples is right.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cutover::config::input_table::INPUTS;
use cutover::modes::MODES;
use cutover::report::outputs::OUTPUTS;
use serde::Deserialize;

#[derive(Deserialize)]
struct Action {
    inputs: BTreeMap<String, Input>,
    outputs: BTreeMap<String, Output>,
    runs: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Input {
    description: String,
    required: bool,
    default: Option<String>,
}

#[derive(Deserialize)]
struct Output {
    description: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn action() -> Action {
    serde_yaml::from_str(&fs::read_to_string(root().join("action.yml")).unwrap()).unwrap()
}

fn sorted<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names
}

#[test]
fn the_action_has_the_inputs_and_outputs_of_the_code() {
    let action = action();
    assert_eq!(
        sorted(action.inputs.keys().map(String::as_str)),
        sorted(INPUTS.iter().map(|input| input.name))
    );
    assert_eq!(
        sorted(action.outputs.keys().map(String::as_str)),
        sorted(OUTPUTS.iter().map(|(name, _)| *name))
    );
}

#[test]
fn the_action_has_the_defaults_of_the_code() {
    for (name, input) in action().inputs {
        let known = INPUTS.iter().find(|known| known.name == name).unwrap();
        let told = input.default.unwrap_or_default();
        match name.as_str() {
            "token" => assert_eq!(told, "${{ github.token }}"),
            "check-run-id" => assert_eq!(told, "${{ job.check_run_id }}"),
            // A default here would be a config that was named, and so one that must exist.
            "config" => {
                assert_eq!(told, "");
                assert!(input.description.contains(known.default));
            }
            _ => assert_eq!(told, known.default, "{name}"),
        }
        assert_eq!(input.required, name == "mode", "{name}");
    }
}

#[test]
fn every_description_says_what_to_write() {
    let action = action();
    for (name, input) in &action.inputs {
        let said = &input.description;
        assert!(said.contains("Example: "), "{name}");
        assert!(input.required || said.contains("Default: "), "{name}");
        // The runner takes this for an expression, and refuses the whole file.
        assert!(!said.contains("${{"), "{name}");
    }
    for (name, output) in &action.outputs {
        let said = &output.description;
        assert!(said.contains("xample: "), "{name}");
    }
    for (mode, _) in MODES {
        // The runner asks for the post step by itself.
        let offered = *mode != "finish";
        assert_eq!(
            action.inputs["mode"].description.contains(mode),
            offered,
            "{mode}"
        );
    }
}

#[test]
fn names_mean_the_same_to_every_runner() {
    let action = action();
    for name in action.inputs.keys().chain(action.outputs.keys()) {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        assert!(name.bytes().all(plain), "{name}");
        assert!(name != "args" && name != "entrypoint");
    }
    let runs: Vec<_> = action.runs.keys().map(String::as_str).collect();
    assert_eq!(runs, ["image", "post-entrypoint", "using"]);
    let file = fs::read_to_string(root().join("Dockerfile")).unwrap();
    let entrypoint = action.runs["post-entrypoint"].trim_start_matches('/');
    assert!(
        file.contains(&format!("/out/{entrypoint};")),
        "{entrypoint}"
    );
}

fn configs(below: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            configs(&path, found);
        } else if path.ends_with("cutover.yml") {
            found.push(path);
        }
    }
}

#[test]
fn the_configs_of_the_examples_are_right() {
    let mut found = vec![root().join("tests/act/cutover.yml")];
    configs(&root().join("examples"), &mut found);
    assert!(found.len() > 4, "{found:?}");
    for path in found {
        let said = Command::new(env!("CARGO_BIN_EXE_cutover"))
            .arg("check")
            .arg("--config")
            .arg(&path)
            .env_clear()
            .env("SLACK_WEBHOOK", "https://hooks.slack.com/services/x")
            .env("PAGERDUTY_KEY", "0123456789abcdef0123456789abcdef")
            .env("DEPLOY_TOKEN", "the-token-of-the-test")
            .env("SSH_KEY", "the/key/of/the/test")
            .env("IMAGE_DIGEST", format!("sha256:{}", "0".repeat(64)))
            .env("REGISTRY_PASSWORD", "the-password-of-the-test")
            .env("DATABASE_URL", "postgres://shop@db.internal/shop")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&said.stdout);
        assert!(said.status.success(), "{}: {told}", path.display());
    }
}
