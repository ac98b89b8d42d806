//! The inputs: `INPUT_*` variables and the flags of the same names, read into one struct.
//!
//! Every problem is reported, and no problem quotes a value, because a value may be a secret
//! that was put into the wrong place. Where the values come from is `command_line`'s matter; their
//! names are in `input_table`.

use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;

use crate::model::news::Alert;
use crate::model::severity::Severity;
use crate::model::split::Weight;
use crate::platform::secret::Secret;

use super::app::{App, whole_number};
use super::preflight::Migration;
use super::problem::Problem;
use super::report_file;

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
    alert: Option<String>,
    issue: Option<String>,
    reason: Option<String>,
    migration: Option<String>,
    #[serde(rename = "override")]
    override_reason: Option<String>,
    apply: Option<String>,
    dry_run: Option<String>,
    token: Option<String>,
    app_id: Option<String>,
    app_private_key: Option<String>,
    app_installation_id: Option<String>,
    check_run_id: Option<String>,
    failover: Option<String>,
    report_file: Option<String>,
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
    /// What becomes of an incident.
    pub alert: Option<Alert>,
    /// Where a comment is left.
    pub issue: Option<u64>,
    /// Why the environment is locked.
    pub reason: Option<String>,
    /// What the release does to data that the old one uses, too.
    pub migration: Option<Migration>,
    /// Whether the secondary target deploys at once.
    pub failover_now: bool,
    /// Why a closed window, a holiday, a freeze or an unhealthy active slot is passed over.
    pub override_reason: Option<String>,
    /// Change what differs at GitHub.
    pub apply: bool,
    /// Change nothing.
    pub dry_run: bool,
    /// The token of the GitHub API.
    pub token: Option<Secret>,
    /// The GitHub App that asks instead.
    pub app: Option<App>,
    /// The id of this job's check run. The runner fills it in; what is no number is none.
    pub check_run_id: Option<u64>,
    /// Where the page of the run goes: a path within the workspace, or an absolute one.
    pub report_file: Option<PathBuf>,
    /// What shall go wrong in a rehearsal.
    pub faults: Vec<String>,
    /// The words after the command, such as `hold` after `lock`.
    pub operands: Vec<String>,
}

impl Inputs {
    /// Parses names and values that are known and not empty. The mode is returned apart,
    /// because a command line may name it otherwise.
    pub(super) fn parse(
        given: Vec<(String, String)>,
        problems: &mut Vec<Problem>,
    ) -> (Option<String>, Self) {
        let mut raw = envy::from_iter(given).unwrap_or_else(|_| {
            problems.push(Problem::with_input("inputs", "could not be read"));
            Raw::default()
        });
        (raw.mode.take(), parse(raw, problems))
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
    // Of a word that is neither, what does less is meant.
    let mut flag = |name: &str, raw: &Option<String>, careful: bool| match raw.as_deref() {
        None | Some("false" | "False" | "FALSE") => false,
        Some("true" | "True" | "TRUE") => true,
        Some(_) => {
            complain(name, "must be true or false");
            careful
        }
    };
    let dry_run = flag("dry-run", &raw.dry_run, true);
    let apply = flag("apply", &raw.apply, false);
    let migration = raw.migration.as_deref().and_then(|text| {
        let found = Migration::NAMES.iter().find(|(name, _)| *name == text);
        if found.is_none() {
            complain("migration", "must be one of none, expand, contract");
        }
        found.map(|(_, migration)| *migration)
    });
    let failover_now = match raw.failover.as_deref() {
        None | Some("auto") => false,
        Some("now") => true,
        Some(_) => {
            complain("failover", "must be auto or now");
            false
        }
    };
    let alert = raw.alert.as_deref().and_then(|text| {
        let found = Alert::NAMES.iter().find(|(name, _)| *name == text);
        if found.is_none() {
            complain("alert", "must be one of trigger, acknowledge, resolve");
        }
        found.map(|(_, alert)| *alert)
    });
    let issue = raw.issue.as_deref().and_then(|text| {
        let number = text.trim().trim_start_matches('#').parse().ok();
        let number = number.filter(|number| *number > 0);
        if number.is_none() {
            complain("issue", "must be the number of a pull request or an issue");
        }
        number
    });
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
    let report_file = raw.report_file.and_then(|text| {
        let path = report_file::path(&text);
        path.map_err(|said| complain("report-file", said)).ok()
    });
    let app = [raw.app_id, raw.app_private_key, raw.app_installation_id];
    let app = App::read(app, &mut complain);
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
        alert,
        issue,
        reason: raw.reason,
        migration,
        failover_now,
        override_reason: raw
            .override_reason
            .map(|reason| reason.trim().to_owned())
            .filter(|reason| !reason.is_empty()),
        apply,
        dry_run,
        token: raw.token.map(Secret::new),
        app,
        check_run_id: raw.check_run_id.as_deref().and_then(whole_number),
        report_file,
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
        operands: Vec::new(),
    }
}
