//! The outputs: what a later step of the workflow can ask for, by name.
//!
//! All outputs are always set, empty where they mean nothing, so that an expression never has to
//! tell unset from empty. `result` is all of it as one JSON document, with numbers as numbers.
//! Names and forms are API.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::actions::commands;
use crate::actions::files::{self, FileError};
use crate::model::anomaly::Deviation;
use crate::model::assessment::Assessment;
use crate::model::ending::{Decision, Ending};
use crate::model::event::{Event, Fact, Headline};
use crate::model::figures::Summary;
use crate::model::metric::{ERROR_RATE, P50, P95, P99, SUCCESS_RATE};
use crate::model::receipt::Receipt;
use crate::platform::secret::Vault;

use super::{Listener, words};

/// All outputs but none of their values: the name, and what it says.
pub const OUTPUTS: &[(&str, &str)] = &[
    (
        "decision",
        "passed, failed, promoted, rolled-back, held, stuck, skipped or planned",
    ),
    ("reason-code", "why, as a short stable word"),
    ("environment", "the environment"),
    ("slot", "the slot that this run was about"),
    ("active-slot", "the slot that receives traffic"),
    ("previous-slot", "the slot that received traffic before"),
    ("weight", "the slot's share of traffic in percent, 0 to 100"),
    ("version", "the release that was asked for"),
    ("served-version", "the release that answered"),
    ("deployment-id", "the id of the GitHub Deployment"),
    ("environment-url", "the environment's public URL"),
    (
        "healthy",
        "true or false: whether all checks passed and no figure is past its limit",
    ),
    ("error-rate", "failed among sent requests, 0 to 1"),
    ("p50-ms", "half of the requests were faster, milliseconds"),
    ("p95-ms", "95 of 100 requests were faster, milliseconds"),
    ("p99-ms", "99 of 100 requests were faster, milliseconds"),
    (
        "switch-ms",
        "how long the router's own write took, milliseconds",
    ),
    ("requests-sent", "how many requests were measured"),
    (
        "requests-failed",
        "how many of them got no answer, or one of 500 and above",
    ),
    ("rolled-back", "true or false: whether traffic was put back"),
    (
        "override",
        "why a closed window, a holiday, a freeze or an unhealthy slot was passed over",
    ),
    (
        "failover",
        "why the secondary target deployed: primary_exit_code, primary_timeout, primary_unreachable or manual",
    ),
    (
        "report-file",
        "the file that has the run as an HTML page, where one was asked for",
    ),
    ("result", "all of it as one JSON document"),
];

/// The version of the `result` document's form.
const SCHEMA_VERSION: u32 = 1;

/// Collects what goes into the outputs.
pub struct Outputs {
    vault: Vault,
    headline: Headline,
    /// What was learned, by the output's name; the last word counts.
    learned: Map<String, Value>,
    receipt: Option<Receipt>,
    ending: Option<Ending>,
    steps: Vec<Value>,
    checks: Vec<Value>,
    figures: Vec<Value>,
    anomalies: Vec<Value>,
    environments: Vec<Value>,
    warnings: Vec<Value>,
    notices: Vec<Value>,
    problems: Vec<Value>,
}

impl Outputs {
    /// Nothing heard yet.
    pub fn new(vault: Vault) -> Self {
        Self {
            vault,
            headline: Headline::default(),
            learned: Map::new(),
            receipt: None,
            ending: None,
            steps: Vec::new(),
            checks: Vec::new(),
            figures: Vec::new(),
            anomalies: Vec::new(),
            environments: Vec::new(),
            warnings: Vec::new(),
            notices: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// All outputs with their values, in the order of [`OUTPUTS`].
    pub fn values(&self) -> Vec<(&'static str, String)> {
        let mut facts = self.facts();
        redact(&mut facts, &self.vault);
        let text = |value: &Value| match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        OUTPUTS
            .iter()
            .map(|(name, _)| match *name {
                "result" => (*name, self.result().to_string()),
                name => (name, text(&facts[name])),
            })
            .collect()
    }

    /// The `result` document: every output as a string, number, boolean or null, and beside them
    /// what has no output of its own.
    pub fn result(&self) -> Value {
        let mut document = Map::new();
        document.insert("schema_version".to_owned(), SCHEMA_VERSION.into());
        document.insert("mode".to_owned(), self.headline.mode.into());
        document.insert("app".to_owned(), json!(self.headline.app));
        document.insert("strategy".to_owned(), json!(self.headline.strategy));
        if let Value::Object(facts) = self.facts() {
            document.extend(facts);
        }
        let ending = self.ending.as_ref();
        document.insert("said".to_owned(), json!(ending.map(|it| &it.said)));
        document.insert("account".to_owned(), json!(ending.map(|it| &it.account)));
        document.insert("receipt".to_owned(), json!(self.receipt));
        document.insert("steps".to_owned(), json!(self.steps));
        document.insert("checks".to_owned(), json!(self.checks));
        document.insert("figures".to_owned(), json!(self.figures));
        document.insert("anomalies".to_owned(), json!(self.anomalies));
        document.insert("environments".to_owned(), json!(self.environments));
        document.insert("warnings".to_owned(), json!(self.warnings));
        document.insert("notices".to_owned(), json!(self.notices));
        document.insert("problems".to_owned(), json!(self.problems));
        let mut document = Value::Object(document);
        redact(&mut document, &self.vault);
        document
    }

    /// Appends all outputs to the runner's file.
    ///
    /// # Errors
    /// When the file cannot be written; the caller warns and shows [`Self::table`] instead.
    pub fn write(&self, output_file: &Path) -> Result<(), FileError> {
        files::write_outputs(output_file, &self.values())
    }

    /// The outputs that say something, for people at a terminal.
    pub fn table(&self) -> String {
        self.values()
            .iter()
            .filter(|(name, value)| *name != "result" && !value.is_empty())
            .map(|(name, value)| {
                let value = commands::one_line(&words::clean(value, &self.vault));
                format!("  {name:<17}{value}\n")
            })
            .collect()
    }

    /// Every output but `result`, as JSON; null where it means nothing.
    fn facts(&self) -> Value {
        let mut facts: Map<String, Value> = OUTPUTS
            .iter()
            .filter(|(name, _)| *name != "result")
            .map(|(name, _)| ((*name).to_owned(), Value::Null))
            .collect();
        let mut set = |name: &str, value: Value| {
            if !value.is_null() {
                facts.insert(name.to_owned(), value);
            }
        };
        set("environment", json!(self.headline.environment));
        set("version", json!(self.headline.release));
        if let Some(receipt) = &self.receipt {
            set("slot", json!(receipt.slot));
            set("weight", json!(receipt.weight_after));
            set("switch-ms", rounded(receipt.switch_ms, 2));
            // Only a proof has seen who answers.
            if receipt.proved_ms.is_some() {
                set("served-version", json!(receipt.release_after));
            }
        }
        for (name, value) in &self.learned {
            set(name, value.clone());
        }
        if let Some(ending) = &self.ending {
            set("decision", json!(ending.decision));
            set("reason-code", json!(ending.reason));
        }
        let decision = self.ending.as_ref().map(|ending| ending.decision);
        set("rolled-back", json!(decision == Some(Decision::RolledBack)));
        Value::Object(facts)
    }

    fn learn(&mut self, fact: &Fact) {
        match fact {
            Fact::IntendedWeight(_) => {}
            Fact::Figures(figures) => self.learn_figures(figures),
            fact => {
                let (name, value) = named(fact);
                self.learned.insert(name.to_owned(), value);
            }
        }
    }

    fn learn_figures(&mut self, figures: &Summary) {
        let number = |it: Option<f64>, digits| it.map_or(Value::Null, |it| rounded(it, digits));
        for (name, value) in [
            ("requests-sent", json!(figures.requests_sent)),
            ("requests-failed", json!(figures.requests_failed)),
            ("error-rate", number(figures.error_rate, 6)),
            ("p50-ms", number(figures.p50_ms, 2)),
            ("p95-ms", number(figures.p95_ms, 2)),
            ("p99-ms", number(figures.p99_ms, 2)),
        ] {
            self.learned.insert(name.to_owned(), value);
        }
    }

    /// A figure: into the document, and into the output of its name where it is the first.
    fn assessed(&mut self, figure: &Assessment) {
        self.figures.push(figure_data(figure));
        let Some(value) = figure.value else { return };
        let (name, number) = match figure.metric.as_str() {
            ERROR_RATE => ("error-rate", rounded(value, 6)),
            SUCCESS_RATE => ("error-rate", rounded(1.0 - value, 6)),
            P50 => ("p50-ms", rounded(value * 1000.0, 2)),
            P95 => ("p95-ms", rounded(value * 1000.0, 2)),
            P99 => ("p99-ms", rounded(value * 1000.0, 2)),
            _ => return,
        };
        if self.learned.contains_key(name) {
            return;
        }
        self.learned.insert(name.to_owned(), number);
        if let (Some(failed), Some(requests)) = (figure.failed, figure.requests) {
            self.learned
                .insert("requests-sent".to_owned(), json!(requests));
            self.learned
                .insert("requests-failed".to_owned(), json!(failed));
        }
    }

    fn step(&mut self, good: bool, step: &str, said: &str, took: std::time::Duration) {
        let took = rounded(took.as_secs_f64() * 1000.0, 2);
        self.steps
            .push(json!({"step": step, "good": good, "said": said, "took-ms": took}));
    }
}

impl Listener for Outputs {
    fn hear(&mut self, event: &Event) {
        match event {
            Event::Began(headline) => self.headline = headline.clone(),
            Event::Done { step, said, took } => self.step(true, step, said, *took),
            Event::Failed { step, said, took } => self.step(false, step, said, *took),
            Event::Found(finding) => self.checks.push(json!(finding)),
            Event::Assessed(assessment) => self.assessed(assessment),
            Event::Deviated(deviation) => self.anomalies.push(deviation_data(deviation)),
            Event::Compared(comparison) => self.environments.push(json!(comparison)),
            Event::Noticed(said) => self.notices.push(json!(said)),
            Event::Wrong { line, said, .. } => {
                self.problems.push(json!({"line": line, "said": said}));
            }
            Event::Warned(said) => self.warnings.push(json!(said)),
            Event::Learned(fact) => self.learn(fact),
            Event::Measured(receipt) => {
                if let Some(felt) = &receipt.felt {
                    self.learn_figures(felt);
                }
                self.receipt = Some(receipt.clone());
            }
            Event::Ended(ending) => self.ending = Some(ending.clone()),
            Event::Checked { .. }
            | Event::Changed { .. }
            | Event::Judged { .. }
            | Event::Glanced(_)
            | Event::Stands(_) => {}
            Event::Working { .. } | Event::Line(_) => {}
        }
    }
}

/// A figure as JSON: the value in its own unit (a share of 1, seconds, a number).
pub(super) fn figure_data(figure: &Assessment) -> Value {
    let bound = figure.bound.as_ref();
    json!({
        "metric": figure.metric,
        "source": figure.source,
        "state": figure.health,
        "value": figure.value.map_or(Value::Null, |it| rounded(it, 6)),
        "unit": figure.unit.name(),
        "limit": bound.map(|bound| bound.whole()),
        "severity": bound.map(|bound| bound.severity),
        "said": figure.said,
    })
}

/// An anomaly as JSON: values in their own unit, as those of a figure.
pub(super) fn deviation_data(deviation: &Deviation) -> Value {
    json!({
        "metric": deviation.metric,
        "unit": deviation.unit.name(),
        "measured": rounded(deviation.measured, 6),
        "expected": rounded(deviation.expected, 6),
        "threshold": rounded(deviation.limit, 6),
        "p-value": rounded(deviation.p_value, 9),
        "severity": rounded(deviation.severity, 1),
        "grade": deviation.grade().name(),
        "before-deployment": deviation.before,
        "said": deviation.said,
    })
}

/// A fact by the name of its output, as JSON.
pub(super) fn named(fact: &Fact) -> (&'static str, Value) {
    match fact {
        Fact::Environment(it) => ("environment", json!(it)),
        Fact::EnvironmentUrl(it) => ("environment-url", json!(it)),
        Fact::Slot(it) => ("slot", json!(it)),
        Fact::ActiveSlot(it) => ("active-slot", json!(it)),
        Fact::PreviousSlot(it) => ("previous-slot", json!(it)),
        Fact::IntendedWeight(it) => ("intended-weight", json!(it)),
        Fact::Weight(it) => ("weight", json!(it)),
        Fact::Version(it) => ("version", json!(it)),
        Fact::ServedVersion(it) => ("served-version", json!(it)),
        Fact::DeploymentId(it) => ("deployment-id", json!(it)),
        Fact::Healthy(it) => ("healthy", json!(it)),
        Fact::Override(it) => ("override", json!(it)),
        Fact::Approval(it) => ("approval-issue", json!(it)),
        Fact::Failover(it) => ("failover", json!(it)),
        Fact::Queue(it) => ("queue", json!(it)),
        Fact::ReportFile(it) => ("report-file", json!(it)),
        Fact::Clock(it) => ("clock", json!(it)),
        Fact::Figures(it) => ("figures", json!(it)),
    }
}

/// A number with so many decimals at most: `41`, `2.35`. What is no number is null.
pub(super) fn rounded(number: f64, digits: i32) -> Value {
    let scale = 10_f64.powi(digits);
    let number = (number * scale).round() / scale;
    if number.fract() == 0.0 && number.abs() < 9e15 {
        json!(number as i64)
    } else {
        json!(number)
    }
}

/// Takes the secrets out of every text and number below `value`, so that the document stays one.
fn redact(value: &mut Value, vault: &Vault) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| redact(item, vault)),
        Value::Object(entries) => entries.values_mut().for_each(|item| redact(item, vault)),
        Value::Null | Value::Bool(_) => {}
        Value::String(text) => *text = vault.redact(text).into_owned(),
        Value::Number(number) => {
            let text = number.to_string();
            let clean = vault.redact(&text);
            if clean != text {
                *value = Value::String(clean.into_owned());
            }
        }
    }
}
