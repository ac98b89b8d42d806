//! One look at a block of config: built, looked once, and told.

use std::path::PathBuf;

use cutover::config::kinds::{Block, build};
use cutover::platform::http::Http;
use cutover::platform::secret::Vault;
use cutover::probes::{Ailment, KINDS, Probe, Pulse, Subject, Tools};
use serde_json::Value;

use crate::world::app::App;

pub(super) fn tools(directory: impl Into<PathBuf>) -> Tools {
    Tools {
        hosts: cutover::platform::host::Hosts::default(),
        http: Http::default(),
        directory: directory.into(),
        vault: Vault::default(),
    }
}

pub(super) fn made(options: Value, tools: &Tools) -> Result<Box<dyn Probe>, String> {
    let block: Block = serde_json::from_value(options).unwrap();
    build(KINDS, &block, tools)
}

/// Builds a probe and looks once.
pub(super) async fn look(options: Value, at: &App) -> Result<Pulse, Ailment> {
    let probe = made(options, &tools("/")).unwrap();
    probe.look(&subject(at)).await
}

pub(super) fn subject(app: &App) -> Subject {
    Subject {
        url: app.url.clone(),
        variables: vec![
            ("SLOT".to_owned(), "blue".to_owned()),
            ("URL".to_owned(), app.url.to_string()),
        ],
    }
}

/// A look at a block that is made of a usual one and some more keys.
pub(super) async fn at(usual: &Value, more: Value) -> Result<Pulse, Ailment> {
    let mut block = usual.clone();
    for (key, value) in more.as_object().unwrap() {
        block[key] = value.clone();
    }
    look(block, &App::start().await).await
}

/// What it measured and wanted, where it must not go well.
pub(super) async fn told(usual: &Value, more: Value) -> String {
    let shown = more.to_string();
    match at(usual, more).await {
        Ok(pulse) => panic!("{shown}: {}", pulse.said),
        Err(ailment) => ailment.to_string(),
    }
}

/// What it said, where it must go well.
pub(super) async fn well(usual: &Value, more: Value) -> String {
    let shown = more.to_string();
    let seen = at(usual, more).await;
    seen.unwrap_or_else(|ailment| panic!("{shown}: {ailment}"))
        .said
}

pub(super) fn begins(text: &str, with: &str) {
    assert!(text.starts_with(with), "{text}\nshould begin with\n{with}");
}

pub(super) fn ends(text: &str, with: &str) {
    assert!(text.ends_with(with), "{text}\nshould end with\n{with}");
}
