//! How long and how often GitHub is asked for one thing.

use std::time::Duration;

use crate::platform::retry::Backoff;
use crate::platform::text;

use super::GithubError;

/// For one thing to do, all tries together.
const PATIENCE: Backoff = Backoff {
    first: Duration::from_millis(300),
    longest: Duration::from_secs(2),
    tries: 3,
    deadline: Duration::from_secs(9),
};

/// For one thing to do, the last try included.
const AT_MOST: Duration = Duration::from_secs(10);

/// Tries it again where that may help, and ends in time.
pub(super) async fn patiently<T, F>(what: &str, work: impl FnMut() -> F) -> Result<T, GithubError>
where
    F: Future<Output = Result<T, GithubError>>,
{
    let tries = PATIENCE.run(work, GithubError::again);
    match tokio::time::timeout(AT_MOST, tries).await {
        Ok(outcome) => outcome,
        Err(_) => Err(GithubError::OutOfReach {
            what: what.to_owned(),
            said: format!("no answer after {}", text::duration(AT_MOST)),
        }),
    }
}
