//! Whether a container gets well: by its own health check, else by running on.
//!
//! One that ends or starts over and over is not waited for. What it said last is kept for people.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::config::units::Size;
use crate::platform::docker::{Engine, No, SOON};
use crate::platform::process::{LAST_LINES, LINE_CAP};
use crate::platform::secret::Vault;
use crate::platform::text;
use crate::targets::TargetError;

use super::options::Options;
use super::seen::Container;
use super::unread;

/// How often a container is looked at.
const EVERY: Duration = Duration::from_millis(250);

/// So many starts by the engine itself are a loop.
const LOOP: u64 = 2;

/// With this ends what was killed: 128 and the number of the signal.
const KILLED: i64 = 137;

/// How many of its own looks are shown.
const LOOKS: usize = 3;

/// How much of each, in characters, so that a message has room for the log, too.
const OF_A_LOOK: usize = 120;

/// A container that is watched.
pub(super) struct Patient<'a> {
    pub engine: &'a Engine,
    pub id: &'a str,
    pub name: &'a str,
    pub options: &'a Options,
    pub vault: &'a Vault,
}

impl Patient<'_> {
    /// Waits until it is well; says how it was seen.
    ///
    /// # Errors
    /// When it ends, starts over and over, is unhealthy, takes too long, or the run is cancelled.
    pub(super) async fn gets_well(
        &self,
        say: &(dyn Fn(String) + Send + Sync),
        enough: &CancellationToken,
    ) -> Result<String, TargetError> {
        let began = Instant::now();
        let (wait, steady) = (self.options.wait.get(), self.options.steady.get());
        let mut since: Option<(String, Instant)> = None;
        let mut failing = 0;
        loop {
            if enough.is_cancelled() {
                return Err(TargetError::Cancelled);
            }
            let seen = match self.look().await {
                Ok(seen) => seen,
                // An engine that starts over or has much to do; the container need not notice.
                Err(No::Silence(..)) if began.elapsed() < wait => {
                    pause(enough).await;
                    continue;
                }
                Err(no) => return Err(unread(&format!("{} was not looked at", self.name), &no)),
            };
            let state = &seen.state;
            if seen.restart_count >= LOOP || state.restarting {
                if seen.restart_count >= LOOP {
                    let times = seen.restart_count + 1;
                    let said = format!(
                        "{} keeps crashing: it was started {times} times in {}, and ended with {}{}",
                        self.name,
                        text::duration(began.elapsed()),
                        state.exit_code,
                        self.memory(&seen),
                    );
                    return Err(self.ill(said, &seen).await);
                }
            } else if !state.running {
                let said = format!(
                    "{} ended with {} after {}, wanted it to run{}",
                    self.name,
                    state.exit_code,
                    text::duration(began.elapsed()),
                    self.memory(&seen),
                );
                return Err(self.ill(said, &seen).await);
            }
            // Between two starts the engine calls it unhealthy without having looked.
            let health = state.health.as_ref().filter(|it| it.status != "none");
            let health = health.filter(|it| it.status != "unhealthy" || it.failing_streak > 0);
            match health.map(|health| (health.status.as_str(), health.failing_streak)) {
                Some(("healthy", _)) => {
                    let after = text::duration(began.elapsed());
                    return Ok(format!("healthy after {after}"));
                }
                Some(("unhealthy", times)) => {
                    let said = format!(
                        "{} is unhealthy: {} in a row failed, {} after its start",
                        self.name,
                        text::count(times, "look"),
                        text::duration(began.elapsed())
                    );
                    return Err(self.ill(said, &seen).await);
                }
                Some((_, times)) => {
                    if times > failing {
                        let looks = text::count(times, "look");
                        say(format!("{}: not healthy yet, {looks} failed", self.name));
                    }
                    failing = times;
                }
                // The engine calls it running between two starts, too.
                None if state.restarting => since = None,
                None if state.running => {
                    let (start, at) =
                        since.get_or_insert((state.started_at.clone(), Instant::now()));
                    if *start != state.started_at {
                        since = None;
                    } else if at.elapsed() >= steady {
                        let ran = text::duration(steady);
                        return Ok(format!(
                            "no health check: it ran for {ran} without a restart"
                        ));
                    }
                }
                None => {}
            }
            if began.elapsed() >= wait {
                let last_words = self.last_words(&seen).await;
                let how = health.map_or("without rest", |health| health.status.as_str());
                return Err(TargetError::TimedOut {
                    said: format!(
                        "{} is {how} after {}, its wait is over",
                        self.name,
                        text::duration(wait)
                    ),
                    after: wait,
                    last_words,
                });
            }
            pause(enough).await;
        }
    }

    async fn look(&self) -> Result<Container, No> {
        let path = format!("/containers/{}/json", self.id);
        self.engine.get(&path).await
    }

    fn memory(&self, seen: &Container) -> String {
        let state = &seen.state;
        killed(
            state.oom_killed,
            state.exit_code,
            self.options.limits.memory,
        )
    }

    async fn ill(&self, said: String, seen: &Container) -> TargetError {
        TargetError::Failed {
            said,
            last_words: self.last_words(seen).await,
        }
    }

    /// The last lines of its log, and what its own looks found.
    async fn last_words(&self, seen: &Container) -> Vec<String> {
        let mut words = self.log().await;
        let looks = seen
            .state
            .health
            .as_ref()
            .and_then(|health| health.log.as_deref());
        let looks = looks.unwrap_or_default();
        for look in &looks[looks.len().saturating_sub(LOOKS)..] {
            let output = self.vault.redact(&look.output);
            let lines: Vec<&str> = output.lines().collect();
            let output = text::ending(&lines, OF_A_LOOK);
            words.push(format!("health: ended with {}: {output}", look.exit_code));
        }
        words
    }

    async fn log(&self) -> Vec<String> {
        let path = format!(
            "/containers/{}/logs?stdout=1&stderr=1&tail={LAST_LINES}",
            self.id
        );
        let answer = self
            .engine
            .ask(reqwest::Method::GET, &path, None, SOON)
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(no) => return vec![format!("its log cannot be read: {no}")],
        };
        let log = spoken(&answer.body);
        let log = String::from_utf8_lossy(&log);
        let clean = |line: &str| {
            let line = self.vault.redact(line).into_owned();
            let mut end = LINE_CAP.min(line.len());
            while !line.is_char_boundary(end) {
                end -= 1;
            }
            line[..end].to_owned()
        };
        let lines: Vec<&str> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
        last.iter().map(|line| clean(line)).collect()
    }
}

async fn pause(enough: &CancellationToken) {
    tokio::select! {
        biased;
        () = enough.cancelled() => {}
        () = tokio::time::sleep(EVERY) => {}
    }
}

/// The bytes of a log without the engine's marks: 8 bytes in front of each piece, the last four of
/// which are its length.
fn spoken(log: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(log.len());
    let mut rest = log;
    while let Some((mark, after)) = rest.split_first_chunk::<8>() {
        let [kind, 0, 0, 0, length @ ..] = *mark else {
            break;
        };
        if kind > 2 {
            break;
        }
        let length = (u32::from_be_bytes(length) as usize).min(after.len());
        out.extend_from_slice(&after[..length]);
        rest = &after[length..];
    }
    // With a terminal there are no marks.
    if out.is_empty() { log.to_vec() } else { out }
}

/// Whether memory was what it was killed for. An engine does not always notice.
fn killed(for_memory: bool, ended_with: i64, limit: Option<Size>) -> String {
    match (for_memory, limit) {
        (true, Some(limit)) => format!("; it was killed for its memory, the limit is {limit}"),
        (true, None) => "; it was killed for its memory".to_owned(),
        (false, Some(limit)) if ended_with == KILLED => {
            format!("; it was killed, perhaps for its memory, the limit is {limit}")
        }
        (false, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_was_killed_for_is_said_as_far_as_it_is_known() {
        let limit: Option<Size> = Some("8MB".parse().unwrap());
        let sure = "; it was killed for its memory";
        assert_eq!(killed(true, KILLED, None), sure);
        assert_eq!(killed(true, 1, limit), format!("{sure}, the limit is 8 MB"));
        let perhaps = "; it was killed, perhaps for its memory, the limit is 8 MB";
        assert_eq!(killed(false, KILLED, limit), perhaps);
        assert_eq!(killed(false, KILLED, None), "");
        assert_eq!(killed(false, 1, limit), "");
    }

    #[test]
    fn a_log_is_read_without_its_marks() {
        let log = b"\x01\0\0\0\0\0\0\x03ab\n\x02\0\0\0\0\0\0\x02c\n\x01\0\0\0\0\0\0\x09cut";
        assert_eq!(spoken(log), b"ab\nc\ncut");
        assert_eq!(spoken(b"as it is\n"), b"as it is\n");
        assert_eq!(spoken(b""), b"");
    }
}
