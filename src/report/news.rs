//! What people are told at the end, and the one door through which it leaves.
//!
//! The listener makes [`News`] of a run's ending; [`send`] hands them to every channel that
//! wants news of that severity. Whatever goes wrong there is a warning for the log and changes
//! nothing else.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::model::ending::{Account, Decision, Ending, Reason};
use crate::model::event::{Event, Fact, Headline};
use crate::model::figures::Summary;
use crate::model::news::News;
use crate::model::receipt::Receipt;
use crate::model::severity::Severity;
use crate::notifiers::{Notifier, Routing};
use crate::platform::secret::Vault;
use crate::platform::text;

use super::Listener;

/// For one channel, with whatever wait it asks for.
const AT_MOST: Duration = Duration::from_secs(10);

/// The news of a run, once it has ended.
#[derive(Clone, Default)]
pub struct Draft(Arc<Mutex<Option<News>>>);

impl Draft {
    /// Takes the news; `None` before the end, and after they were taken.
    pub fn take(&self) -> Option<News> {
        let mut news = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        news.take()
    }
}

/// A listener that writes the news of a run, and where they will lie.
pub fn reporter(run_url: Option<String>, actor: Option<String>) -> (impl Listener, Draft) {
    let draft = Draft::default();
    let reporter = Reporter {
        draft: draft.clone(),
        began: Instant::now(),
        run_url,
        actor,
        headline: Headline::default(),
        environment: None,
        version: None,
        slot: None,
        figures: None,
        override_reason: None,
        receipt: None,
    };
    (reporter, draft)
}

struct Reporter {
    draft: Draft,
    began: Instant,
    run_url: Option<String>,
    actor: Option<String>,
    headline: Headline,
    environment: Option<String>,
    version: Option<String>,
    slot: Option<String>,
    figures: Option<Summary>,
    override_reason: Option<String>,
    receipt: Option<Receipt>,
}

impl Listener for Reporter {
    fn hear(&mut self, event: &Event) {
        match event {
            Event::Began(headline) => {
                self.began = Instant::now();
                self.environment.clone_from(&headline.environment);
                self.version.clone_from(&headline.release);
                self.headline = headline.clone();
            }
            Event::Learned(fact) => self.learn(fact),
            Event::Measured(receipt) => self.receipt = Some(receipt.clone()),
            Event::Ended(ending) => {
                let news = self.news_of(ending);
                let mut draft = self.draft.0.lock().unwrap_or_else(PoisonError::into_inner);
                *draft = Some(news);
            }
            _ => {}
        }
    }
}

impl Reporter {
    fn learn(&mut self, fact: &Fact) {
        match fact {
            Fact::Environment(name) => self.environment = Some(name.clone()),
            Fact::Version(version) => self.version = Some(version.clone()),
            Fact::Slot(slot) => self.slot = Some(slot.clone()),
            Fact::Figures(figures) => self.figures = Some(figures.clone()),
            Fact::Override(reason) => self.override_reason = Some(reason.clone()),
            _ => {}
        }
    }

    fn news_of(&self, ending: &Ending) -> News {
        let mut facts = Vec::new();
        let mut fact = |name: &str, value: Option<String>| {
            facts.extend(value.map(|value| (name.to_owned(), value)));
        };
        fact("app", self.headline.app.clone());
        fact("environment", self.environment.clone());
        let version = self.version.as_deref().map(text::short_sha);
        fact("version", version.map(ToOwned::to_owned));
        fact("slot", self.slot.clone());
        fact("actor", self.actor.clone());
        fact("override", self.override_reason.clone());
        fact("took", Some(text::duration(self.began.elapsed())));
        let receipt = self.receipt.as_ref();
        fact("switch", receipt.map(|receipt| ms(receipt.switch_ms)));
        let felt = receipt.and_then(|receipt| receipt.felt.as_ref());
        if let Some(figures) = felt.or(self.figures.as_ref()) {
            fact("requests", Some(requests(figures)));
            fact("p95", figures.p95_ms.map(ms));
            fact("slowest", figures.slowest_ms.map(ms));
        }
        News {
            severity: severity_of(ending, self.headline.mode),
            title: self.title(ending),
            message: format!("{}\n{}", ending.said, lines_of(&ending.account))
                .trim_end()
                .to_owned(),
            decision: Some(ending.decision.to_string()),
            facts,
            run_url: self.run_url.clone(),
        }
    }
}

impl Reporter {
    /// What came out, of what, and where: `rolled-back: rollout of storefront 4f2a9c1, production`.
    fn title(&self, ending: &Ending) -> String {
        let mut title = format!("{}: {}", ending.decision, self.headline.mode);
        let version = self.version.as_deref().map(text::short_sha);
        let subject: Vec<&str> = [self.headline.app.as_deref(), version]
            .into_iter()
            .flatten()
            .collect();
        if !subject.is_empty() {
            title.push_str(" of ");
            title.push_str(&subject.join(" "));
        }
        if let Some(environment) = &self.environment {
            title.push_str(", ");
            title.push_str(environment);
        }
        title
    }
}

/// How much an ending matters. Where the release had traffic and was bad, users were affected,
/// also when it was taken back: somebody should know at once that the next one will be too.
/// Where traffic was not touched, today is soon enough; where a person cancelled, they know.
fn severity_of(ending: &Ending, mode: &str) -> Severity {
    match (ending.decision, ending.reason) {
        _ if ending.is_good() => Severity::Info,
        (Decision::Held | Decision::Stuck, _) => Severity::Critical,
        (Decision::RolledBack, Reason::Cancelled) => Severity::Warning,
        (Decision::RolledBack, _) => Severity::Critical,
        (_, Reason::Cancelled) => Severity::Info,
        // Here it is the live service that was looked at.
        (_, Reason::Unhealthy | Reason::LimitPassed) if mode == "health-check" => {
            Severity::Critical
        }
        _ => Severity::Warning,
    }
}

fn lines_of(account: &Account) -> String {
    let lines = [
        ("measured", &account.measured),
        ("wanted", &account.wanted),
        ("traffic", &account.traffic),
        ("next", &account.next),
    ];
    let said: Vec<String> = lines
        .into_iter()
        .filter_map(|(name, line)| Some(format!("{name}: {}", line.as_ref()?)))
        .collect();
    said.join("\n")
}

/// `0 of 3,012 failed`; nothing measured is not zero.
pub(super) fn requests(figures: &Summary) -> String {
    match figures.requests_sent {
        0 => "none measured".to_owned(),
        sent => format!(
            "{} of {} failed",
            text::thousands(figures.requests_failed),
            text::thousands(sent)
        ),
    }
}

pub(super) fn ms(ms: f64) -> String {
    text::duration(Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default())
}

/// Tells every channel that wants news of this severity, all at once, and returns a warning for
/// each that did not hear of it. No secret leaves with the news.
pub async fn send(news: &News, to: &[(Routing, Box<dyn Notifier>)], vault: &Vault) -> Vec<String> {
    let news = &redacted(news, vault);
    let told = to
        .iter()
        .filter(|(routing, _)| news.severity >= routing.from)
        .map(|(_, notifier)| async move {
            let failed = match tokio::time::timeout(AT_MOST, notifier.tell(news)).await {
                Ok(Ok(())) => return None,
                Ok(Err(failed)) => failed.to_string(),
                Err(_) => format!("no answer after {}", text::duration(AT_MOST)),
            };
            let said = format!("{} was not told: {failed}", notifier.told());
            Some(vault.redact(&said).into_owned())
        });
    join_all(told).await.into_iter().flatten().collect()
}

fn redacted(news: &News, vault: &Vault) -> News {
    let clean = |text: &String| vault.redact(text).into_owned();
    News {
        severity: news.severity,
        title: clean(&news.title),
        message: clean(&news.message),
        decision: news.decision.as_ref().map(clean),
        facts: news
            .facts
            .iter()
            .map(|(name, value)| (clean(name), clean(value)))
            .collect(),
        run_url: news.run_url.as_ref().map(clean),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard_from(ending: &Ending, mode: &'static str, more: &[Event]) -> News {
        let (mut reporter, draft) = reporter(Some("https://run".into()), Some("mona".into()));
        reporter.hear(&Event::Began(Headline {
            mode,
            environment: Some("production".into()),
            release: Some("v2".into()),
            ..Headline::default()
        }));
        more.iter().for_each(|event| reporter.hear(event));
        assert_eq!(draft.take(), None);
        reporter.hear(&Event::Ended(ending.clone()));
        draft.take().unwrap()
    }

    #[test]
    fn the_news_say_what_was_measured_and_what_to_do() {
        let ending = Ending {
            decision: Decision::RolledBack,
            reason: Reason::NotProved,
            said: "rolled back: the old release kept answering".into(),
            account: Account {
                measured: Some("91be33d".into()),
                next: Some("look at the cache".into()),
                ..Account::default()
            },
        };
        let figures = Summary {
            requests_sent: 3012,
            requests_failed: 7,
            p95_ms: Some(184.0),
            ..Summary::default()
        };
        let learned = [
            Event::Learned(Fact::Slot("green".into())),
            Event::Learned(Fact::Figures(figures)),
        ];
        let mut news = heard_from(&ending, "rollout", &learned);
        assert_eq!(news.severity, Severity::Critical);
        assert_eq!(
            news.message,
            "rolled back: the old release kept answering\nmeasured: 91be33d\nnext: look at the cache"
        );
        let took = news.facts.iter().position(|(name, _)| name == "took");
        news.facts.remove(took.unwrap());
        let facts: Vec<(&str, &str)> = news
            .facts
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            facts,
            [
                ("environment", "production"),
                ("version", "v2"),
                ("slot", "green"),
                ("actor", "mona"),
                ("requests", "7 of 3,012 failed"),
                ("p95", "184 ms"),
            ]
        );
    }

    #[test]
    fn severity_is_what_users_felt() {
        let severity = |decision, reason, mode| {
            heard_from(&Ending::good(decision, reason, ""), mode, &[]).severity
        };
        for (decision, reason, mode, wanted) in [
            (Decision::Promoted, Reason::Done, "rollout", Severity::Info),
            (
                Decision::Failed,
                Reason::SmokeFailed,
                "rollout",
                Severity::Warning,
            ),
            (
                Decision::Failed,
                Reason::Cancelled,
                "rollout",
                Severity::Info,
            ),
            (
                Decision::Failed,
                Reason::Unhealthy,
                "rollout",
                Severity::Warning,
            ),
            (
                Decision::Failed,
                Reason::Unhealthy,
                "health-check",
                Severity::Critical,
            ),
            (
                Decision::RolledBack,
                Reason::Cancelled,
                "rollout",
                Severity::Warning,
            ),
            (
                Decision::Held,
                Reason::Cancelled,
                "rollout",
                Severity::Critical,
            ),
            (
                Decision::Stuck,
                Reason::Cancelled,
                "rollout",
                Severity::Critical,
            ),
        ] {
            assert_eq!(
                severity(decision, reason, mode),
                wanted,
                "{decision} {reason}"
            );
        }
    }
}
