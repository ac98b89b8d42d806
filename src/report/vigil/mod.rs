//! The words of a health check that remembers: its own issue, those of its incidents, and what
//! people are told.
//!
//! What was measured is strangers' text: it is shown as it is, and forms nothing.

pub mod hidden;
pub mod news;

use std::time::Duration;

use crate::model::vigil::{Act, Memory, Past, State, Tally};
use crate::platform::secret::Vault;
use crate::platform::text;
use crate::rollout::vigil::{Word, moment};

use super::approval::plain;
use super::markdown::row;
use super::words;

use hidden::Opened;

/// The longest title, in characters.
const TITLE: usize = 200;

/// What all words of one environment have.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// The application.
    pub app: String,
    /// The environment.
    pub environment: String,
    /// The page of the run.
    pub run_url: Option<String>,
    /// The run, so that it can be told from others.
    pub run: String,
    /// The schedule, as far as it is known.
    pub schedule: Option<String>,
    /// The label of the incidents.
    pub label: String,
    /// Who is called when an incident goes on.
    pub later: Vec<String>,
}

impl Place {
    /// What tells the issue with the memory from all others.
    pub fn memory_mark(&self) -> String {
        hidden::mark("memory", &self.app, &self.environment)
    }

    /// What tells the issue of an incident from all others.
    pub fn incident_mark(&self) -> String {
        hidden::mark("incident", &self.app, &self.environment)
    }

    /// The label of the issue with the memory.
    pub fn memory_label(&self) -> String {
        format!("{}-memory", self.label)
    }

    /// The title of the issue with the memory.
    pub fn memory_title(&self, vault: &Vault) -> String {
        self.title(
            format!("Health of {}, {}", self.app, self.environment),
            vault,
        )
    }

    /// Its text, with what is remembered.
    pub fn memory_body(&self, memory: &Memory, vault: &Vault) -> String {
        let plain = |text: &str| plain(&words::clean(text, vault));
        let state = match &memory.incident {
            Some(incident) => {
                let issue = incident.issue.map(|it| format!(", #{it}"));
                format!(
                    "{} since {}{}",
                    memory.state.name(),
                    moment(memory.since),
                    issue.unwrap_or_default()
                )
            }
            None => format!("up since {}", moment(memory.since)),
        };
        let week = &memory.week;
        let mut rows = vec![
            ("state", state),
            ("last look", moment(memory.at)),
            (
                "looks",
                format!("{} since {}", looks(week), moment(week.from)),
            ),
        ];
        // A schedule has no character that would end a span of code.
        rows.extend(
            self.schedule
                .as_ref()
                .map(|it| ("schedule", format!("`{it}`"))),
        );
        rows.extend(runs(week).map(|it| ("runs", it)));
        rows.extend(figures(week).map(|it| ("latency", it)));
        rows.extend(week.past.iter().rev().map(|past| ("incident", over(past))));
        let mut out = format!(
            "This is what the scheduled health check of **{}**, **{}**, remembers. It writes it anew at every run: nobody has to do anything here. \
             Incidents have issues of their own, with the label {}.\n\n| | |\n|---|---|\n",
            plain(&self.app),
            plain(&self.environment),
            plain(&self.label),
        );
        out.extend(rows.iter().map(|(name, value)| row(&[*name, value])));
        format!("{out}\n{}\n{}\n", self.memory_mark(), hidden::hide(memory))
    }

    /// The title of an incident's issue.
    pub fn incident_title(&self, word: Word<'_>, vault: &Vault) -> String {
        let (app, environment) = (&self.app, &self.environment);
        let title = match word.act {
            Act::Changed {
                ended: Some(past), ..
            } => format!(
                "{environment} was {} for {}: {app}",
                past.worst.name(),
                lasted(past)
            ),
            _ => match word.memory.state {
                State::Unknown => format!("nothing is known of {environment}: {app}"),
                state => format!("{environment} is {}: {app}", state.name()),
            },
        };
        self.title(title, vault)
    }

    /// The text of an incident's issue.
    pub fn incident_body(&self, word: Word<'_>, vault: &Vault) -> String {
        let plain = |text: &str| plain(&words::clean(text, vault));
        let state = word.memory.state;
        let began = word.memory.incident.as_ref().map(|it| it.began);
        let began = began.unwrap_or(word.memory.at);
        let mut rows = vec![
            ("environment", plain(&self.environment)),
            ("severity", state.severity().to_string()),
            ("first seen", moment(began)),
            ("told", moment(word.memory.at)),
            ("measured", plain(&word.sight.said)),
        ];
        if !word.sight.kinds.is_empty() {
            rows.push(("evidence", plain(&word.sight.kinds.join(", "))));
        }
        rows.extend(self.run_link(vault).map(|it| ("run", it)));
        let opened = Opened {
            state,
            began,
            at: word.memory.at,
            run: hidden::plain(&self.run),
        };
        let mut out = format!(
            "**{}** of **{}** is **{}**.\n\n| | |\n|---|---|\n",
            plain(&self.environment),
            plain(&self.app),
            state.name()
        );
        out.extend(rows.iter().map(|(name, value)| row(&[*name, value])));
        format!(
            "{out}\nWhat becomes of it follows as comments, and it is closed by itself when all is well again.\n\n{}\n{}\n",
            self.incident_mark(),
            hidden::hide_incident(&opened)
        )
    }

    /// The mark of a change, without who said it.
    pub fn change_mark(&self, word: Word<'_>) -> String {
        let what = match word.act {
            Act::Escalated { .. } => "escalated",
            _ => word.memory.state.name(),
        };
        hidden::change(word.memory.changes, what)
    }

    /// A comment on an incident.
    pub fn comment(&self, word: Word<'_>, vault: &Vault) -> String {
        let plain = |text: &str| plain(&words::clean(text, vault));
        let measured = plain(&word.sight.said);
        let mut said = match word.act {
            Act::Changed {
                ended: Some(past), ..
            } => format!("**Up again.** {}. {measured}", capital(&over(past))),
            Act::Escalated { after } => {
                let called = match self.later.is_empty() {
                    true => String::new(),
                    false => format!(" Called now: {}.", plain(&self.later.join(", "))),
                };
                format!("**Still down after {}.**{called} {measured}", long(*after))
            }
            _ => format!(
                "**{}** at {}. {measured}",
                capital(word.memory.state.name()),
                moment(word.memory.at)
            ),
        };
        if let Some(link) = self.run_link(vault) {
            said.push_str(&format!("\n\n{link}"));
        }
        let mark = hidden::said(&self.change_mark(word), &self.run, word.memory.at);
        format!("{said}\n\n{mark}\n")
    }

    /// A comment on traffic that was put back, or was not.
    pub fn comment_on_traffic(&self, said: &str, vault: &Vault) -> String {
        let link = self.run_link(vault).unwrap_or_default();
        let said = plain(&words::clean(said, vault));
        format!("**Traffic.** {}.\n\n{link}\n", capital(&said))
    }

    fn run_link(&self, vault: &Vault) -> Option<String> {
        let url = self.run_url.as_deref()?;
        Some(format!("<{}>", vault.redact(url)))
    }

    fn title(&self, title: String, vault: &Vault) -> String {
        // A title is no Markdown; an unseen space keeps it from calling anybody all the same.
        let title = words::clean(&title, vault).replace('@', "@\u{200b}");
        text::excerpt(&title.replace(['\n', '\r'], " "), TITLE)
    }
}

/// `99.4 % of 672 looks passed, 2 more saw nothing`; what could not be seen is counted by itself.
pub fn looks(week: &Tally) -> String {
    let mut said = match available(week) {
        Some(share) => format!(
            "{} of {} passed",
            text::percent(share),
            text::count(week.looks - week.blind, "look")
        ),
        None => "no look has seen anything".to_owned(),
    };
    if week.degraded > 0 {
        said.push_str(&format!(", {} degraded", week.degraded));
    }
    if week.blind > 0 {
        said.push_str(&format!(", {} more saw nothing", week.blind));
    }
    said
}

/// The share of the looks that saw something and did not see it fail.
pub fn available(week: &Tally) -> Option<f64> {
    let seen = week
        .looks
        .checked_sub(week.blind)
        .filter(|seen| *seen > 0)?;
    Some(1.0 - week.bad as f64 / seen as f64)
}

fn runs(week: &Tally) -> Option<String> {
    let late =
        (week.latest > 0).then(|| format!("the latest began {} after its time", long(week.latest)));
    let missed = (week.missed > 0).then(|| format!("{} did not come", week.missed));
    let said: Vec<String> = [missed, late].into_iter().flatten().collect();
    (!said.is_empty()).then(|| said.join(", "))
}

/// `p95: 184 ms in the middle look, 612 ms in the slowest`.
fn figures(week: &Tally) -> Option<String> {
    let ms = super::news::ms;
    let said = week.figures.iter().filter_map(|(name, spread)| {
        let known = ["p50", "p95", "p99"];
        let name = known.into_iter().find(|known| known == name)?;
        Some(format!(
            "{name} about {} in the middle look, {} in the slowest",
            ms(spread.middle()?),
            ms(spread.most)
        ))
    });
    let said: Vec<String> = said.collect();
    (!said.is_empty()).then(|| said.join("; "))
}

/// `#12, down for 20 m, from 2026-03-02 10:15Z to 2026-03-02 10:35Z`.
fn over(past: &Past) -> String {
    let issue = past.issue.map(|it| format!("#{it}, "));
    format!(
        "{}{} for {}, from {} to {}",
        issue.unwrap_or_default(),
        past.worst.name(),
        lasted(past),
        moment(past.began),
        moment(past.until)
    )
}

fn lasted(past: &Past) -> String {
    long(past.until - past.began)
}

fn long(seconds: i64) -> String {
    text::long(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + chars.as_str()
}
