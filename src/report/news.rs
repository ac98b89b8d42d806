//! What people are told of a run: that it goes on, and how it ended.
//!
//! The listener makes [`News`] and puts them into the [`Outbox`]; who gets them, and when, is
//! `telling`'s matter.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::judge::severity::{outcome_of, severity_of};
use crate::model::ending::{Account, Decision, Ending, Reason};
use crate::model::event::{Event, Fact, Headline};
use crate::model::figures::Summary;
use crate::model::news::{Alert, Incident, News, Outcome};
use crate::model::receipt::Receipt;
use crate::platform::text;

use super::Listener;
use super::telling::Outbox;

/// The modes that change something, and so are worth a word while they go on; and whose good
/// ending means that an earlier bad one is over, but for a deployment that nobody uses yet.
const CHANGING: [&str; 4] = ["rollout", "switch-traffic", "rollback", "deploy-slot"];

/// The lines of a run under way that are shown.
const STEPS: usize = 12;

/// The listener's outbox, for whoever has to make sure that it is closed.
#[derive(Clone)]
pub struct Closer(Arc<Mutex<Option<Outbox>>>);

impl Closer {
    /// Nothing more comes. The ending closes it, too.
    pub fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// A listener that puts the news of a run into an outbox, until its ending.
pub fn reporter(
    outbox: Outbox,
    run_url: Option<String>,
    actor: Option<String>,
) -> (impl Listener, Closer) {
    let closer = Closer(Arc::new(Mutex::new(Some(outbox))));
    let reporter = Reporter {
        outbox: closer.clone(),
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
        steps: Vec::new(),
    };
    (reporter, closer)
}

struct Reporter {
    outbox: Closer,
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
    steps: Vec<String>,
}

impl Listener for Reporter {
    fn hear(&mut self, event: &Event) {
        match event {
            Event::Began(headline) => {
                self.began = Instant::now();
                self.environment.clone_from(&headline.environment);
                self.version.clone_from(&headline.release);
                self.headline = headline.clone();
                self.put(self.underway());
            }
            Event::Learned(fact) => self.learn(fact),
            Event::Measured(receipt) => self.receipt = Some(receipt.clone()),
            Event::Done { step, said, took } => {
                let took = text::duration(*took);
                self.steps.push(format!("{step}: {said} ({took})"));
                self.put(self.underway());
            }
            Event::Ended(ending) => {
                self.put(Some(self.news_of(ending)));
                self.outbox.close();
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

    fn put(&self, news: Option<News>) {
        let outbox = self.outbox.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(outbox), Some(news)) = (outbox.as_ref(), news) {
            // Nobody takes it out only where nobody is to be told.
            let _ = outbox.send(news);
        }
    }

    /// That it goes on, and how far it is.
    fn underway(&self) -> Option<News> {
        if !CHANGING.contains(&self.headline.mode) {
            return None;
        }
        let from = self.steps.len().saturating_sub(STEPS);
        Some(News {
            title: self.title("underway"),
            message: self.steps[from..].join("\n"),
            facts: self.names(),
            outcome: Outcome::Underway,
            ..self.frame()
        })
    }

    /// What all news of a run have.
    fn frame(&self) -> News {
        let app = self.headline.app.clone();
        let thread = app.as_deref().zip(self.environment.as_deref());
        News {
            run_url: self.run_url.clone(),
            thread: thread.map(|(app, environment)| format!("{app}/{environment}")),
            app,
            environment: self.environment.clone(),
            ..News::default()
        }
    }

    fn names(&self) -> Vec<(String, String)> {
        let version = self.version.as_deref().map(text::short_sha);
        let all = [
            ("app", self.headline.app.as_deref()),
            ("environment", self.environment.as_deref()),
            ("version", version),
            ("slot", self.slot.as_deref()),
            ("actor", self.actor.as_deref()),
            ("override", self.override_reason.as_deref()),
        ];
        all.into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect()
    }

    fn news_of(&self, ending: &Ending) -> News {
        let mut facts = self.names();
        let mut fact = |name: &str, value: Option<String>| {
            facts.extend(value.map(|value| (name.to_owned(), value)));
        };
        fact("took", Some(text::duration(self.began.elapsed())));
        let receipt = self.receipt.as_ref();
        fact("switch", receipt.map(|receipt| ms(receipt.switch_ms)));
        let felt = receipt.and_then(|receipt| receipt.felt.as_ref());
        if let Some(figures) = felt.or(self.figures.as_ref()) {
            fact("requests", Some(requests(figures)));
            fact("p95", figures.p95_ms.map(ms));
            fact("slowest", figures.slowest_ms.map(ms));
        }
        let severity = severity_of(ending, self.headline.mode);
        let outcome = outcome_of(ending);
        // Who was cancelled hears that, and not that it failed.
        let word = match (outcome, ending.decision) {
            (Outcome::Cancelled, Decision::Failed) => "cancelled".to_owned(),
            (Outcome::Cancelled, decision) => format!("cancelled, {decision}"),
            (_, Decision::Passed) if ending.reason == Reason::Degraded => "degraded".to_owned(),
            (_, decision) => decision.to_string(),
        };
        News {
            severity,
            title: self.title(&word),
            message: format!("{}\n{}", ending.said, lines_of(&ending.account))
                .trim_end()
                .to_owned(),
            decision: Some(ending.decision.to_string()),
            facts,
            outcome,
            incident: self.incident(ending, outcome),
            ..self.frame()
        }
    }

    /// What an ending means to the incident of its environment: a run that changes traffic has
    /// one of its own, and the live service's health another.
    fn incident(&self, ending: &Ending, outcome: Outcome) -> Option<Incident> {
        let mode = self.headline.mode;
        let what = match mode {
            "health-check" => "health",
            mode if CHANGING.contains(&mode) => "rollout",
            _ => return None,
        };
        let alert = match (outcome, ending.decision) {
            (Outcome::Failed, _) => Alert::Trigger,
            _ if ending.reason == Reason::Degraded => Alert::Trigger,
            (Outcome::Good, Decision::Passed | Decision::Promoted) if mode != "deploy-slot" => {
                Alert::Resolve
            }
            _ => return None,
        };
        let (app, environment) = (self.headline.app.as_ref()?, self.environment.as_ref()?);
        Some(Incident::of(app, environment, what, alert))
    }

    /// What came out, of what, and where: `rolled-back: rollout of storefront 4f2a9c1, production`.
    fn title(&self, word: &str) -> String {
        let mut title = format!("{word}: {}", self.headline.mode);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::severity::Severity;
    use crate::report::telling::boxes;

    fn heard_from(ending: &Ending, mode: &'static str, more: &[Event]) -> News {
        let (outbox, mut inbox) = boxes();
        let (mut reporter, _) = reporter(outbox, Some("https://run".into()), Some("mona".into()));
        reporter.hear(&Event::Began(Headline {
            mode,
            environment: Some("production".into()),
            release: Some("v2".into()),
            ..Headline::default()
        }));
        more.iter().for_each(|event| reporter.hear(event));
        while let Ok(news) = inbox.try_recv() {
            assert_eq!(news.outcome, Outcome::Underway);
        }
        reporter.hear(&Event::Ended(ending.clone()));
        let last = inbox.try_recv().unwrap();
        assert!(inbox.try_recv().is_err() && inbox.is_closed());
        last
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
}
