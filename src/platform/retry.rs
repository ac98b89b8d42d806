//! Waiting between tries: how long, how often, and until when.
//!
//! The pauses double from a first one up to a longest one. Whether an error is worth another
//! try is decided by whoever knows the error; this module only counts and waits.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

/// Pauses between tries: `first`, doubled each time, never above `longest`, for at most `tries`
/// tries in all and never past `deadline` from the first try.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The pause after the first try.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// How many tries there are in all; at least one is made.
    pub tries: u32,
    /// From the first try on; a pause that would end after it is not begun.
    pub deadline: Duration,
}

/// What to do with a failed try.
pub enum Again {
    /// The same would fail again.
    No,
    /// Wait the usual pause.
    Yes,
    /// The other side said how long to wait.
    After(Duration),
}

impl Backoff {
    /// Runs `work` until it succeeds, `again` says no, or patience ends.
    ///
    /// # Errors
    /// The error of the last try.
    pub async fn run<T, E, F>(
        &self,
        mut work: impl FnMut() -> F,
        again: impl Fn(&E) -> Again,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let began = Instant::now();
        let mut pause = self.first;
        let mut tried = 0;
        loop {
            tried += 1;
            let failed = match work().await {
                Ok(value) => return Ok(value),
                Err(failed) => failed,
            };
            let wait = match again(&failed) {
                Again::No => return Err(failed),
                Again::Yes => pause,
                Again::After(asked) => asked,
            };
            if tried >= self.tries || began.elapsed() + wait > self.deadline {
                return Err(failed);
            }
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(self.longest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    const PATIENCE: Backoff = Backoff {
        first: Duration::from_secs(1),
        longest: Duration::from_secs(3),
        tries: 5,
        deadline: Duration::from_secs(60),
    };

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_the_longest() {
        let began = Instant::now();
        let tried = Cell::new(0);
        let outcome: Result<(), u32> = PATIENCE
            .run(
                || async {
                    tried.set(tried.get() + 1);
                    Err(tried.get())
                },
                |_| Again::Yes,
            )
            .await;
        assert_eq!(outcome, Err(5));
        assert_eq!(began.elapsed().as_secs(), 1 + 2 + 3 + 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_past_the_deadline_is_not_begun() {
        let began = Instant::now();
        let outcome: Result<(), ()> = PATIENCE
            .run(
                || async { Err(()) },
                |()| Again::After(Duration::from_secs(61)),
            )
            .await;
        assert_eq!(outcome, Err(()));
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
