//! How long GitHub may keep a record waiting: a few tries for what fails, and, once for all, a
//! minute for the limits that it names itself. Every such wait is told.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::model::event::{Event, Say};
use crate::platform::retry::{Again, Backoff};
use crate::platform::text;

use super::GithubError;

/// What GitHub's limits may cost a run, all waits together.
pub const LIMITS: Duration = Duration::from_secs(60);

/// For one thing to do: how often it is tried.
const TRIES: u32 = 3;

/// The pause after the first try; it doubles.
const FIRST: Duration = Duration::from_millis(300);

/// For one thing to do, all tries together, without what the limits cost.
const AT_MOST: Duration = Duration::from_secs(10);

/// For what traffic waits for: no limit is worth a minute there.
const IN_THE_WAY: Backoff = Backoff {
    first: FIRST,
    longest: Duration::from_secs(2),
    tries: TRIES,
    deadline: Duration::from_secs(9),
};

/// Tries it again where that may help, and ends in time, whatever a limit asks for.
pub(super) async fn patiently<T, F>(what: &str, work: impl FnMut() -> F) -> Answer<T>
where
    F: Future<Output = Answer<T>>,
{
    let tries = IN_THE_WAY.run(work, GithubError::again);
    match tokio::time::timeout(AT_MOST, tries).await {
        Ok(outcome) => outcome,
        Err(_) => Err(too_late(what)),
    }
}

/// What is left of the patience, for everything that is asked in a run.
#[derive(Default)]
pub(super) struct Patience {
    spent: Mutex<Duration>,
    say: Option<Say>,
}

impl Patience {
    /// From now on the waits are told.
    pub(super) fn tell(&mut self, say: Say) {
        self.say = Some(say);
    }

    /// Whether a limit has cost anything yet.
    pub(super) fn was_tried(&self) -> bool {
        !self.spent().is_zero()
    }

    /// Tries it again where that may help, and ends in time.
    pub(super) async fn run<T, F>(&self, what: &str, work: impl FnMut() -> F) -> Answer<T>
    where
        F: Future<Output = Answer<T>>,
    {
        self.run_until(what, &CancellationToken::new(), work).await
    }

    /// The same, and once `moot` is set nothing is waited for any more. A request that was sent
    /// is never dropped for it: it could still be carried out, later than what comes next.
    pub(super) async fn run_until<T, F>(
        &self,
        what: &str,
        moot: &CancellationToken,
        mut work: impl FnMut() -> F,
    ) -> Answer<T>
    where
        F: Future<Output = Answer<T>>,
    {
        let mut end = Instant::now() + AT_MOST;
        let mut pause = FIRST;
        for tried in 1.. {
            let failed = match tokio::time::timeout_at(end, work()).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failed)) => failed,
                Err(_) => return Err(too_late(what)),
            };
            let wait = match failed.again() {
                Again::No => return Err(failed),
                _ if tried == TRIES => return Err(failed),
                Again::Yes if Instant::now() + pause > end => return Err(failed),
                Again::Yes => pause,
                Again::After(asked) if self.grant(what, asked) => {
                    end += asked;
                    asked
                }
                Again::After(_) => return Err(failed),
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = moot.cancelled() => return Err(failed),
            }
            pause *= 2;
        }
        Err(too_late(what))
    }

    /// Whether a limit may cost that much more, which is told.
    fn grant(&self, what: &str, asked: Duration) -> bool {
        let granted = {
            let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
            let granted = *spent + asked <= LIMITS;
            if granted {
                *spent += asked;
            }
            granted
        };
        if let Some(say) = &self.say {
            let asked = text::duration(asked);
            say(Event::Noticed(if granted {
                format!(
                    "could not {what} yet: GitHub's limit of requests is reached; the record waits {asked}, and nothing else does"
                )
            } else {
                format!(
                    "GitHub's limit of requests is reached: it wants a wait of {asked}, and records wait {} in all at most",
                    text::duration(LIMITS)
                )
            }));
        }
        granted
    }

    fn spent(&self) -> Duration {
        *self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Answer<T> = Result<T, GithubError>;

fn too_late(what: &str) -> GithubError {
    GithubError::OutOfReach {
        what: what.to_owned(),
        said: format!("no answer after {}", text::duration(AT_MOST)),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;

    use super::*;

    fn limit(seconds: u64) -> GithubError {
        GithubError::Refused {
            what: "say it".into(),
            status: 403,
            said: "You have exceeded a secondary rate limit".into(),
            permissions: Vec::new(),
            wait: Some(Duration::from_secs(seconds)),
        }
    }

    async fn tried(patience: &Patience, moot: &CancellationToken, seconds: u64) -> (u32, u64) {
        let began = Instant::now();
        let tried = Cell::new(0);
        let outcome: Answer<()> = patience
            .run_until("say it", moot, || async {
                tried.set(tried.get() + 1);
                Err(limit(seconds))
            })
            .await;
        assert_eq!(outcome, Err(limit(seconds)));
        (tried.get(), began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn limits_cost_a_minute_in_all_and_every_wait_is_told() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let mut patience = Patience::default();
        let ear = Arc::clone(&told);
        patience.tell(Arc::new(move |event| {
            ear.lock().unwrap().push(format!("{event:?}"));
        }));
        let never = CancellationToken::new();
        assert!(!patience.was_tried());
        assert_eq!(tried(&patience, &never, 20).await, (3, 40));
        assert!(patience.was_tried());
        assert_eq!(tried(&patience, &never, 15).await, (2, 15));
        assert_eq!(tried(&patience, &never, 3600).await, (1, 0));
        let told = told.lock().unwrap();
        assert_eq!(told.len(), 5, "{told:?}");
        assert!(told[0].contains("the record waits 20 s"), "{told:?}");
        assert!(told[4].contains("60 s in all"), "{told:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_moot_is_not_waited_for() {
        let moot = CancellationToken::new();
        moot.cancel();
        assert_eq!(tried(&Patience::default(), &moot, 30).await, (1, 0));
    }
}
