//! What must hold before anything is changed, as the config says it: thresholds of the machine,
//! and guardrails. How it is looked at is `rollout::preflight`'s matter, what it means `judge`'s.

use schemars::JsonSchema;
use serde::Deserialize;

use super::calendar::{ClockTime, Day, Days, Zone};
use super::gates::{self, ApprovalRule, Host, RequiredChecks, SecretRule};
use super::protection::{self, Protected, Protection};
use super::units::{Percent, Size, Span};

/// What the machine and the network must be like.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Preflight {
    /// The largest share of the processors that may be in use. Default 80%.
    pub cpu: Percent,
    /// The largest share of memory that may be in use. Default 80%.
    pub memory: Percent,
    /// The least space that must be free where the workspace is. Default 10GB.
    pub disk: Size,
    /// Whether a Docker engine must answer and Compose be there. Default false.
    pub docker: bool,
    /// How long a name and a connection may take. Default 5s.
    pub network: Span,
    /// Other machines that must have room as well. Default: none.
    pub hosts: Vec<Host>,
}

impl Default for Preflight {
    fn default() -> Self {
        Self {
            cpu: Percent::of(80.0),
            memory: Percent::of(80.0),
            disk: Size::gigabytes(10),
            docker: false,
            network: Span::secs(5),
            hosts: Vec::new(),
        }
    }
}

/// Who may deploy what, when, and after what.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Guardrails {
    /// The branches that may be deployed. `*` is anything but `/`, `**` anything. Default: all.
    pub branches: Vec<String>,
    /// When may be deployed: inside of any of these. Default: always.
    pub windows: Vec<Window>,
    /// The time zone of dates, and of windows that name none. Default: that of the first window
    /// that names one, or UTC.
    pub zone: Option<Zone>,
    /// Days on which nothing is deployed.
    pub holidays: Vec<Day>,
    /// Times in which nothing is deployed.
    pub freeze: Vec<Freeze>,
    /// Environments of this config that must have got the version before, with success.
    pub after: Vec<String>,
    /// Variables that must be there and not empty. They are not read further.
    pub secrets: Vec<SecretRule>,
    /// Checks of the commit that must have gone well: their names, or `branch-protection` for
    /// those that GitHub requires of the branch. Default: none.
    #[serde(rename = "required-checks")]
    pub required_checks: RequiredChecks,
    /// Who must have approved the run at GitHub. Default: nobody.
    pub approval: Option<ApprovalRule>,
    /// How the environment must be protected at GitHub: `true` is as in `protection`, or the least
    /// of it. Default: it is not looked at.
    pub protected: Option<Protected>,
}

impl Guardrails {
    /// The time zone of dates, and of windows that name none.
    pub fn zone(&self) -> Zone {
        let named = self.windows.iter().find_map(|window| window.zone.clone());
        self.zone.clone().or(named).unwrap_or_default()
    }

    /// Whether GitHub is asked about the commit, the run or its secrets.
    pub fn ask_github(&self) -> bool {
        self.approval.is_some()
            || self.required_checks != RequiredChecks::None
            || self.secrets.iter().any(|rule| rule.max_age.is_some())
    }
}

/// What a release does to data that the old one uses, too. The later one is the harder one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Migration {
    /// Nothing.
    #[default]
    None,
    /// It adds to them; the old release does not mind.
    Expand,
    /// It takes away what the old release needs: there is no way back by itself.
    Contract,
}

impl Migration {
    /// The word for each, as in the config.
    pub const NAMES: [(&'static str, Self); 3] = [
        ("none", Self::None),
        ("expand", Self::Expand),
        ("contract", Self::Contract),
    ];
}

/// Hours of days of the week. Where `to` is not after `from`, it is on the next day.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The days on which it begins. Default: daily.
    #[serde(default)]
    pub days: Days,
    /// When it begins.
    pub from: ClockTime,
    /// When it is over; that minute is outside.
    pub to: ClockTime,
    /// Its time zone; the clock goes by it, daylight saving included.
    pub zone: Option<Zone>,
}

impl Window {
    /// What a schema cannot say of it: the key, and what is wrong.
    pub fn meaning(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        if self.from == self.to {
            let said = "the window has no length; a whole day is from 00:00 to 24:00".to_owned();
            wrong.push(("to", said));
        }
        if self.from.minutes() == 24 * 60 {
            let said = "a window does not begin at 24:00; write 00:00 and the next day".to_owned();
            wrong.push(("from", said));
        }
        wrong
    }
}

/// Dates between which nothing is deployed, both included.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// The first day.
    pub from: Day,
    /// The last day.
    pub to: Day,
    /// Why, for whoever is stopped by it.
    pub reason: Option<String>,
}

/// What a schema cannot say of guardrails: the path below them, and what is wrong. `known` are
/// the config's environments, `block` is what this one says of its protection.
pub(super) fn meaning(
    guardrails: &Guardrails,
    own: &str,
    known: &[&String],
    block: Option<&Protection>,
) -> Vec<(String, String)> {
    let mut wrong = Vec::new();
    for (i, window) in guardrails.windows.iter().enumerate() {
        let problems = window.meaning().into_iter();
        wrong.extend(problems.map(|(key, said)| (format!("windows[{i}].{key}"), said)));
    }
    for (i, freeze) in guardrails.freeze.iter().enumerate() {
        if freeze.to < freeze.from {
            let said = format!("{} is before {}", freeze.to, freeze.from);
            wrong.push((format!("freeze[{i}].to"), said));
        }
    }
    for (i, name) in guardrails.after.iter().enumerate() {
        if name == own {
            let said = "an environment cannot come after itself".to_owned();
            wrong.push((format!("after[{i}]"), said));
        } else if !known.contains(&name) {
            let words = known.iter().map(|name| name.as_str());
            wrong.push((
                format!("after[{i}]"),
                super::check::unknown("environment", name, words),
            ));
        }
    }
    if let Some(protected) = &guardrails.protected {
        let more = protection::meaning_of_guardrail(protected, block);
        wrong.extend(more.into_iter().map(|(key, said)| match key {
            "" => ("protected".to_owned(), said),
            key => (format!("protected.{key}"), said),
        }));
    }
    if let Some(rule) = &guardrails.approval {
        wrong.extend(gates::approval_meaning(rule));
    }
    wrong
}
