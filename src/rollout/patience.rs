//! Checks: a probe with patience. Retries, streaks and deadlines are here, above all probes,
//! so that no two kinds differ in them.
//!
//! Only so many looks are under way at once (see `super::places`), and the wait for a place is
//! nobody's time: what is looked at must not seem down because there is much to look at.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::config::patience::Patience;
use crate::judge::streak::{State, Streak};
use crate::model::ending::Reason;
use crate::model::event::{Event, Say};
use crate::model::fault::Fault;
use crate::platform::text;
use crate::probes::{Ailment, Probe, Pulse, Subject};

use super::places;

/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How many of the failed checks are told one by one, beside the first.
const WARNED: usize = 20;

/// A probe and how long it is given.
pub struct Check {
    /// The word after `kind:`: which kind of evidence it is.
    pub kind: String,
    /// What looks.
    pub probe: Box<dyn Probe>,
    /// How often and how long.
    pub patience: Patience,
}

impl Check {
    /// Looks until the check has passed, or its retries or its time are used up. Returns the
    /// last look in words.
    ///
    /// # Errors
    /// What the last look saw, with how often it was tried.
    pub async fn pass(&self, at: &Subject) -> Result<String, Ailment> {
        let mut place = places::one().await;
        let began = Instant::now();
        let mut deadline = began + self.patience.deadline.get();
        let mut streak = Streak::new(self.patience.rise, self.patience.retries.saturating_add(1));
        let mut failed: u32 = 0;
        let mut pause = self.patience.interval.get();
        loop {
            let look = match tokio::time::timeout_at(deadline, self.probe.look(at)).await {
                Ok(look) => look,
                Err(_) => Err(self.too_late(began)),
            };
            match look {
                Ok(pulse) => {
                    if streak.add(true) == State::Up {
                        return Ok(pulse.said);
                    }
                    pause = self.patience.interval.get();
                }
                Err(ailment) => {
                    failed += 1;
                    // What could not be looked at was neither well nor ill.
                    if !ailment.unseen {
                        streak.add(false);
                    }
                    let out_of_time = Instant::now() + pause >= deadline;
                    if failed > self.patience.retries || out_of_time {
                        return Err(tried(ailment, failed, began));
                    }
                }
            }
            drop(place);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            let waits = Instant::now();
            place = places::one().await;
            deadline += waits.elapsed();
        }
    }

    /// Looks once, when there is a place.
    ///
    /// # Errors
    /// What was seen instead of health.
    pub async fn look(&self, at: &Subject) -> Result<Pulse, Ailment> {
        let _place = places::one().await;
        self.probe.look(at).await
    }

    /// What a look or the last of several came to, for those who keep records.
    pub fn result(&self, outcome: &Result<String, Ailment>) -> Event {
        let (said, wanted) = match outcome {
            Ok(said) => (said.clone(), None),
            Err(ailment) => (ailment.measured.clone(), Some(ailment.wanted.clone())),
        };
        Event::Checked {
            check: self.probe.told(),
            passed: outcome.is_ok(),
            said,
            wanted,
        }
    }

    fn too_late(&self, began: Instant) -> Ailment {
        Ailment {
            measured: "no answer".to_owned(),
            wanted: format!("within {}", self.patience.deadline),
            took: began.elapsed(),
            silent: true,
            unseen: false,
        }
    }
}

/// Passes all checks at once. Returns how many there were.
///
/// # Errors
/// What the first failed check saw; the others are warnings. Where none failed and some could
/// not be looked at, what was missing for the first of those.
pub async fn pass_all(checks: &[Check], at: &Subject, say: &Say) -> Result<usize, Failed> {
    let outcomes = join_all(checks.iter().map(async |check: &Check| {
        let outcome = check.pass(at).await;
        say(check.result(&outcome));
        outcome
    }))
    .await;
    let all = outcomes.len();
    let mut kinds = Vec::new();
    let mut failed = Vec::new();
    for (check, outcome) in checks.iter().zip(outcomes) {
        let Err(ailment) = outcome else { continue };
        if !ailment.unseen && !kinds.contains(&check.kind) {
            kinds.push(check.kind.clone());
        }
        failed.push((check.probe.told(), ailment));
    }
    // Those that were seen to fail first, in their order.
    failed.sort_by_key(|(_, ailment)| ailment.unseen);
    let seen = failed.iter().filter(|(_, ailment)| !ailment.unseen).count();
    for (check, ailment) in failed.iter().skip(1).take(WARNED) {
        say(Event::Warned(format!("{check}: {ailment}")));
    }
    if let Some(more @ 1..) = failed.len().checked_sub(1 + WARNED) {
        say(Event::Warned(format!("{more} more checks did not pass")));
    }
    let unseen = failed.len() - seen;
    match failed.into_iter().next() {
        None => Ok(all),
        Some((first, ailment)) => Err(Failed {
            seen,
            kinds,
            unseen,
            first,
            ailment,
        }),
    }
}

/// Checks that did not pass.
#[derive(Debug)]
pub struct Failed {
    /// How many failed.
    pub seen: usize,
    /// The kinds of those that failed, each once.
    pub kinds: Vec<String>,
    /// How many could not be looked at, for want of something here.
    pub unseen: usize,
    /// The first one's name.
    pub first: String,
    /// What the first one's last look saw.
    pub ailment: Ailment,
}

impl Failed {
    /// As a fault with that reason; where nothing was seen to fail, for want of data.
    /// `all` is how many there were, in words: `3 smoke checks`.
    pub fn fault(self, reason: Reason, all: &str, place: &str) -> Fault {
        let fault = match self.seen {
            0 => Fault::new(
                Reason::NoData,
                format!("{} of {all} could not be made{place}", self.unseen),
            )
            .next("nothing is known about what was to be looked at; give this machine more and run it again"),
            seen => Fault::new(reason, format!("{seen} of {all} failed{place}")),
        };
        fault
            .measured(format!("{}: {}", self.first, self.ailment.measured))
            .wanted(self.ailment.wanted)
    }
}

fn tried(mut ailment: Ailment, tries: u32, began: Instant) -> Ailment {
    if tries > 1 {
        ailment.measured = format!(
            "{} (tried {} times in {})",
            ailment.measured,
            tries,
            text::duration(began.elapsed())
        );
    }
    ailment
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::units::Span;
    use async_trait::async_trait;
    use std::sync::Mutex;

    /// Answers as it was told to; the last answer again and again. `None` is a look for which
    /// there were no files.
    struct Told(Mutex<Vec<Option<bool>>>);

    #[async_trait]
    impl Probe for Told {
        fn told(&self) -> String {
            "told".into()
        }

        async fn look(&self, _: &Subject) -> Result<Pulse, Ailment> {
            let mut left = self.0.lock().unwrap();
            let good = if left.len() > 1 {
                left.remove(0)
            } else {
                left[0]
            };
            let took = Duration::ZERO;
            if good == Some(true) {
                Ok(Pulse {
                    said: "200".into(),
                    took,
                })
            } else {
                Err(Ailment {
                    measured: "503".into(),
                    wanted: "200".into(),
                    took,
                    silent: good.is_none(),
                    unseen: good.is_none(),
                })
            }
        }
    }

    fn check(answers: &[Option<bool>], patience: Patience) -> Check {
        Check {
            kind: "told".into(),
            probe: Box::new(Told(Mutex::new(answers.to_vec()))),
            patience,
        }
    }

    fn subject() -> Subject {
        Subject {
            url: "http://h".parse().unwrap(),
            variables: vec![],
        }
    }

    async fn outcome(answers: &[bool], patience: Patience) -> (Result<String, String>, Duration) {
        let answers: Vec<_> = answers.iter().map(|good| Some(*good)).collect();
        let check = check(&answers, patience);
        let subject = subject();
        let began = Instant::now();
        let passed = check
            .pass(&subject)
            .await
            .map_err(|ailment| ailment.measured);
        (passed, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_and_retries_end() {
        let (passed, took) = outcome(
            &[false],
            Patience {
                retries: 3,
                ..Patience::default()
            },
        )
        .await;
        assert_eq!(passed.unwrap_err(), "503 (tried 4 times in 7 s)");
        assert_eq!(took.as_secs(), 1 + 2 + 4);
    }

    #[tokio::test(start_paused = true)]
    async fn it_passes_when_enough_in_a_row_were_good() {
        let patience = Patience {
            rise: 2,
            ..Patience::default()
        };
        let (passed, took) = outcome(&[true, false, true, true], patience).await;
        assert_eq!(passed.unwrap(), "200");
        assert_eq!(took.as_secs(), 1 + 2 + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_ends_it() {
        let patience = Patience {
            retries: 100,
            deadline: Span::secs(10),
            ..Patience::default()
        };
        let (passed, took) = outcome(&[false], patience).await;
        assert!(passed.is_err());
        assert!(took <= Duration::from_secs(10), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_looked_at_is_not_called_down() {
        let of = |answers: &[Option<bool>]| check(answers, Patience::default());
        let say: Say = std::sync::Arc::new(|_| {});
        let passed = pass_all(&[of(&[None, Some(true)])], &subject(), &say).await;
        assert_eq!(passed.unwrap(), 1);

        let failed = pass_all(&[of(&[None]), of(&[Some(true)])], &subject(), &say).await;
        let fault = failed.unwrap_err().fault(Reason::Unhealthy, "2 checks", "");
        assert_eq!(fault.reason, Reason::NoData);
        assert_eq!(fault.said, "1 of 2 checks could not be made");

        let failed = pass_all(&[of(&[None]), of(&[Some(false)])], &subject(), &say).await;
        let fault = failed.unwrap_err().fault(Reason::Unhealthy, "2 checks", "");
        assert_eq!(fault.reason, Reason::Unhealthy);
        assert_eq!(fault.said, "1 of 2 checks failed");
    }
}
