//! An audience of carrier pigeons on a virtual clock: what it heard and when, and what was said in
//! the log meanwhile.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cutover::model::event::{Event, Say};
use cutover::model::news::{News, Outcome};
use cutover::model::severity::Severity;
use cutover::notifiers::{Form, Notifier, NotifyError, Routing};
use cutover::platform::secret::Vault;
use cutover::report::telling::{Channel, Outbox, Teller, boxes};
use jiff::Timestamp;
use tokio::sync::Barrier;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Keeps what it heard, and when.
struct Pigeon {
    form: Form,
    /// Waits until all have been told.
    all: Option<Arc<Barrier>>,
    began: Instant,
    heard: Arc<Mutex<Vec<(Duration, News)>>>,
    answer: Result<(), NotifyError>,
}

#[async_trait]
impl Notifier for Pigeon {
    fn told(&self) -> String {
        "pigeon".to_owned()
    }

    fn form(&self) -> Form {
        self.form
    }

    async fn tell(&self, news: &News) -> Result<(), NotifyError> {
        let heard = (self.began.elapsed(), news.clone());
        self.heard.lock().unwrap().push(heard);
        if let Some(all) = &self.all {
            all.wait().await;
        }
        self.answer.clone()
    }
}

/// An audience, what it heard, and what was said in the log.
#[derive(Default)]
pub(crate) struct Loft {
    audience: Vec<Channel>,
    pub(crate) heard: Arc<Mutex<Vec<(Duration, News)>>>,
    pub(crate) said: Arc<Mutex<Vec<String>>>,
    pub(crate) vault: Vault,
    pub(crate) cancelled: CancellationToken,
}

impl Loft {
    pub(crate) fn with(
        mut self,
        form: Form,
        routing: Routing,
        all: Option<&Arc<Barrier>>,
        answer: Result<(), NotifyError>,
    ) -> Self {
        let pigeon = Pigeon {
            form,
            all: all.cloned(),
            began: Instant::now(),
            heard: Arc::clone(&self.heard),
            answer,
        };
        self.audience.push((routing, Box::new(pigeon)));
        self
    }

    pub(crate) fn one(form: Form, routing: Routing) -> Self {
        Self::default().with(form, routing, None, Ok(()))
    }

    fn say(&self) -> Say {
        let said = Arc::clone(&self.said);
        Arc::new(move |event| {
            let line = match event {
                Event::Warned(line) => format!("warned: {line}"),
                Event::Noticed(line) => format!("noticed: {line}"),
                other => panic!("{other:?}"),
            };
            said.lock().unwrap().push(line);
        })
    }

    pub(crate) async fn tell(&self, news: &News) -> usize {
        let say = self.say();
        self.teller(&say).tell(news).await
    }

    fn teller<'a>(&'a self, say: &'a Say) -> Teller<'a> {
        Teller {
            audience: &self.audience,
            vault: &self.vault,
            say,
            cancelled: &self.cancelled,
            // A Saturday, 23:30 in Berlin.
            clock: || "2026-11-21T22:30:00Z".parse::<Timestamp>().unwrap(),
        }
    }

    /// Delivers what a run puts into its outbox; when it was done.
    pub(crate) async fn deliver(&self, run: impl AsyncFnOnce(Outbox)) -> Duration {
        let say = self.say();
        let teller = self.teller(&say);
        let (outbox, inbox) = boxes();
        let began = Instant::now();
        tokio::join!(run(outbox), teller.deliver(inbox));
        began.elapsed()
    }

    /// `30 s: warning: title`, line by line, with the lines of the message below.
    pub(crate) fn log(&self) -> String {
        let mut out = String::new();
        for (at, news) in self.heard.lock().unwrap().iter() {
            let (severity, title) = (news.severity, &news.title);
            out.push_str(&format!("{} s: {severity}: {title}\n", at.as_secs()));
            for line in news.message.lines() {
                out.push_str(&format!("  | {line}\n"));
            }
        }
        for line in self.said.lock().unwrap().iter() {
            out.push_str(&format!("{line}\n"));
        }
        out
    }
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn note(severity: Severity, title: &str) -> News {
    News {
        severity,
        title: title.into(),
        ..News::default()
    }
}

pub(crate) fn of_run(outcome: Outcome, severity: Severity, title: &str) -> News {
    News {
        outcome,
        thread: Some("shop/live".into()),
        ..note(severity, title)
    }
}
