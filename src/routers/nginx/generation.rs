//! Which generation nginx works by: asked of nginx itself, on new connections.
//!
//! After a reload the old workers still answer for about a tenth of a second, so one answer
//! proves nothing; several in a row, some time apart, do.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use url::Url;

use crate::platform::http::{Http, Look};
use crate::platform::text;

/// How many answers in a row count as proof.
pub(super) const IN_A_ROW: u32 = 5;

/// Between two questions. Five of them then outlast the time in which old workers still answer.
const PAUSE: Duration = Duration::from_millis(20);

/// For one answer.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);

/// Where nginx answers its generation.
pub(super) struct Asked {
    http: Http,
    url: Url,
}

/// The generation that was wanted is not the one in force.
#[derive(Debug)]
pub(super) enum Unsettled {
    /// nginx answered, and something else.
    Other(String),
    /// There was never an answer.
    Silent(String),
}

impl Asked {
    pub(super) fn new(http: Http, url: &Url) -> Self {
        Self {
            http,
            url: url.clone(),
        }
    }

    /// The path that nginx answers at.
    pub(super) fn path(&self) -> &str {
        self.url.path()
    }

    /// Asks until `in_a_row` answers in a row say `wanted`, for at most `patience`.
    ///
    /// # Errors
    /// What was answered instead.
    pub(super) async fn settle_on(
        &self,
        wanted: &str,
        in_a_row: u32,
        patience: Duration,
    ) -> Result<(), Unsettled> {
        let began = Instant::now();
        let (mut streak, mut answers, mut said) = (0, 0_u64, String::new());
        loop {
            match self.ask().await {
                Ok(generation) if generation == wanted => {
                    (streak, answers) = (streak + 1, answers + 1);
                }
                Ok(other) => {
                    (streak, answers) = (0, answers + 1);
                    said = format!("it last answered \"{other}\"");
                }
                Err(failed) => {
                    streak = 0;
                    said = format!("it last failed ({failed})");
                }
            }
            if streak >= in_a_row {
                return Ok(());
            }
            if began.elapsed() + PAUSE > patience {
                break;
            }
            sleep(PAUSE).await;
        }
        let at = self.told();
        let waited = text::duration(began.elapsed());
        Err(if answers == 0 {
            Unsettled::Silent(format!("{at} did not answer for {waited}; {said}"))
        } else {
            Unsettled::Other(format!(
                "{at} did not answer generation {wanted} {} in a row within {waited}; {said}",
                text::count(in_a_row.into(), "time"),
            ))
        })
    }

    async fn ask(&self) -> Result<String, String> {
        let answer = self
            .http
            .look(&Look::at(self.url.clone(), LOOK_TIMEOUT))
            .await
            .map_err(|failed| failed.to_string())?;
        if answer.status == 200 {
            Ok(text::excerpt(&answer.text(), 60))
        } else {
            Err(format!("status {}, wanted 200", answer.status))
        }
    }

    /// The address without what may be secret in it.
    fn told(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port().map_or(String::new(), |p| format!(":{p}"));
        format!("{}://{host}{port}{}", self.url.scheme(), self.url.path())
    }
}

impl std::fmt::Display for Unsettled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Other(said) | Self::Silent(said)) = self;
        f.write_str(said)
    }
}
