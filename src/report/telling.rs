//! The one door through which news leave: who gets which of them, when, and in how many messages.
//!
//! A channel hears what is grave enough, outside of its quiet hours. News that come close after
//! each other become one message with all in it; nothing critical waits for that, and nothing at
//! all once the run has ended. Whatever goes wrong is a warning for the log and changes nothing.

use std::time::Duration;

use futures_util::future::{join, join_all};
use jiff::Timestamp;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::calendar::Zone;
use crate::judge::windows;
use crate::model::event::{Event, Say};
use crate::model::news::{Alert, Incident, News, Outcome};
use crate::model::severity::Severity;
use crate::notifiers::{Form, Notifier, NotifyError, Routing};
use crate::platform::secret::Vault;
use crate::platform::text;

use super::digest::digests;

/// For one message, with whatever wait the channel asks for.
const AT_MOST: Duration = Duration::from_secs(10);

/// And when the run was cancelled: the runner waits for nobody.
const AFTER_A_SIGNAL: Duration = Duration::from_secs(2);

/// And for a word on a run that goes on: the next one must not wait for it.
const UNDERWAY_AT_MOST: Duration = Duration::from_secs(4);

/// A run that is over sooner is told of once, at its end.
const UNDERWAY_AFTER: Duration = Duration::from_secs(3);

/// Between two edits of one message.
const BETWEEN_EDITS: Duration = Duration::from_secs(3);

/// A channel, and what it is to hear.
pub type Channel = (Routing, Box<dyn Notifier>);

/// Where news are put while a run goes on. Cheap to clone; when the last one is dropped,
/// everything that waits goes out.
pub type Outbox = UnboundedSender<News>;

/// What [`Teller::deliver`] takes out of the [`Outbox`].
pub type Inbox = UnboundedReceiver<News>;

/// An outbox and its other end.
pub fn boxes() -> (Outbox, Inbox) {
    unbounded_channel()
}

/// Tells an audience.
pub struct Teller<'a> {
    /// Whom.
    pub audience: &'a [Channel],
    /// What must not leave.
    pub vault: &'a Vault,
    /// Where warnings are said.
    pub say: &'a Say,
    /// Cancelled when the run is: then telling is short.
    pub cancelled: &'a CancellationToken,
    /// What time it is, for quiet hours.
    pub clock: fn() -> Timestamp,
}

/// Whether a channel gets some news.
#[derive(Debug, PartialEq, Eq)]
enum Gets {
    Yes,
    No,
    /// Not now: the hours in which it is not to be disturbed.
    Quiet(String),
}

impl Teller<'_> {
    /// How many channels would hear of it.
    pub fn wanted(&self, news: &News) -> usize {
        let gets = |(routing, notifier): &&Channel| {
            self.gets(routing, notifier.form(), news, false) == Gets::Yes
        };
        self.audience.iter().filter(gets).count()
    }

    /// Tells every channel that is to hear of it, all at once; how many did.
    pub async fn tell(&self, news: &News) -> usize {
        let told = self.audience.iter().map(|channel| async move {
            if self.admits(channel, news, false) {
                usize::from(self.hand(channel, news, AT_MOST).await)
            } else {
                0
            }
        });
        join_all(told).await.into_iter().sum()
    }

    /// Tells what comes out of the inbox until its other end is dropped.
    pub async fn deliver(&self, mut inbox: Inbox) {
        let (senders, channels): (Vec<_>, Vec<_>) = self
            .audience
            .iter()
            .map(|channel| {
                let (sender, receiver) = unbounded_channel();
                (sender, self.serve(channel, receiver))
            })
            .unzip();
        let spread = async move {
            while let Some(news) = inbox.recv().await {
                for sender in &senders {
                    // The other end is served until this one is dropped.
                    let _ = sender.send(news.clone());
                }
            }
        };
        join(spread, join_all(channels)).await;
    }

    /// Serves one channel to the end.
    async fn serve(&self, channel: &Channel, mut inbox: Inbox) {
        let began = Instant::now();
        let mut last: Option<Instant> = None;
        let mut open = false;
        let mut waiting: Vec<News> = Vec::new();
        loop {
            let due = due(&waiting, began, last, channel.0.digest.get());
            let over = tokio::select! {
                biased;
                more = inbox.recv() => match more {
                    Some(news) => {
                        if self.admits(channel, &news, open) {
                            queue(&mut waiting, news);
                        }
                        continue;
                    }
                    None => true,
                },
                () = at(due) => false,
            };
            let now = std::mem::take(&mut waiting);
            if over {
                // A run that has ended is not under way any more.
                let words = now
                    .into_iter()
                    .filter(|news| news.outcome != Outcome::Underway);
                self.hand_all(channel, words.collect()).await;
                return;
            }
            open |= now.iter().any(|news| news.outcome == Outcome::Underway);
            self.hand_all(channel, now).await;
            last = Some(Instant::now());
        }
    }

    async fn hand_all(&self, channel: &Channel, waiting: Vec<News>) {
        let form = channel.1.form();
        for news in digests(waiting, form) {
            let within = match news.outcome {
                Outcome::Underway => UNDERWAY_AT_MOST,
                _ => AT_MOST,
            };
            self.hand(channel, &news, within).await;
        }
    }

    /// Whether a channel gets some news; what is held back is said.
    fn admits(&self, (routing, notifier): &Channel, news: &News, open: bool) -> bool {
        match self.gets(routing, notifier.form(), news, open) {
            Gets::Yes => true,
            Gets::No => false,
            Gets::Quiet(hours) => {
                // Progress that nobody sees is no loss.
                if news.outcome != Outcome::Underway {
                    let said = format!(
                        "{} was not told, its quiet hours are {hours}: {}",
                        notifier.told(),
                        text::excerpt(&news.title, 200)
                    );
                    (self.say)(Event::Noticed(self.vault.redact(&said).into_owned()));
                }
                false
            }
        }
    }

    /// `open`: the channel has a message that says that the run goes on.
    fn gets(&self, routing: &Routing, form: Form, news: &News, open: bool) -> Gets {
        match (form, news.outcome, &news.incident) {
            (Form::Messages | Form::Incidents, Outcome::Underway, _) => return Gets::No,
            (Form::Incidents, _, None) => return Gets::No,
            // Whoever was called is told that it is over, however little that matters now.
            (Form::Incidents, _, Some(Incident { alert, .. })) if *alert != Alert::Trigger => {
                return Gets::Yes;
            }
            _ => {}
        }
        if news.severity.max(news.for_those_of.unwrap_or_default()) < routing.from {
            return Gets::No;
        }
        let Some(window) = routing.quiet.as_ref() else {
            return Gets::Yes;
        };
        let zone = window.zone.clone().unwrap_or_else(Zone::default);
        let quiet = windows::inside(
            &window.days,
            window.from,
            window.to,
            zone.get(),
            (self.clock)(),
        );
        if quiet && news.severity < Severity::Critical && !open {
            let hours = format!("{} {}-{} {zone}", window.days, window.from, window.to);
            return Gets::Quiet(hours);
        }
        Gets::Yes
    }

    /// Hands one message to a channel; whether all behind it heard. No secret leaves with it.
    async fn hand(&self, (_, notifier): &Channel, news: &News, within: Duration) -> bool {
        let news = &redacted(news, self.vault);
        let within = if self.cancelled.is_cancelled() {
            AFTER_A_SIGNAL
        } else {
            within
        };
        let name = notifier.told();
        let told = timeout(within, notifier.tell(news));
        let told = match news.outcome {
            // How far a run is matters no more once it was cancelled: the last word comes next.
            Outcome::Underway => tokio::select! {
                biased;
                told = told => told,
                () = self.cancelled.cancelled() => return false,
            },
            _ => told.await,
        };
        let said = match told {
            Ok(Ok(())) => return true,
            Ok(Err(NotifyError::Partly(who))) => format!("{name}: {who}"),
            Ok(Err(failed)) => format!("{name} was not told: {failed}"),
            Err(_) => format!(
                "{name} was not told: no answer after {}",
                text::duration(within)
            ),
        };
        (self.say)(Event::Warned(self.vault.redact(&said).into_owned()));
        false
    }
}

/// When what waits goes out; `None` while nothing does.
fn due(
    waiting: &[News],
    began: Instant,
    last: Option<Instant>,
    digest: Duration,
) -> Option<Instant> {
    let underway = |news: &News| news.outcome == Outcome::Underway;
    match waiting {
        [] => None,
        all if all.iter().any(|news| news.severity == Severity::Critical) => Some(began),
        all if all.iter().all(underway) => Some(match last {
            Some(last) => last + BETWEEN_EDITS,
            None => began + UNDERWAY_AFTER,
        }),
        _ => Some(last.map_or(began, |last| last + digest)),
    }
}

/// Waits until a moment; for ever, where there is none.
async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Puts news behind those that wait; of a thread only the newest counts, for it is one message.
fn queue(waiting: &mut Vec<News>, news: News) {
    if news.thread.is_some() {
        waiting.retain(|older| older.thread != news.thread || older.outcome != Outcome::Underway);
    }
    waiting.push(news);
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
        outcome: news.outcome,
        app: news.app.as_ref().map(clean),
        environment: news.environment.as_ref().map(clean),
        incident: news.incident.as_ref().map(|incident| Incident {
            key: clean(&incident.key),
            alert: incident.alert,
        }),
        for_those_of: news.for_those_of,
        thread: news.thread.as_ref().map(clean),
    }
}
