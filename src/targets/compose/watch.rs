//! Whether a project gets well: Compose brings it up and waits for its health, and then all of its
//! containers run on without a restart.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{Compose, Project, TargetError, words};
use crate::platform::process::Sink;
use crate::platform::text;

/// How often the containers are looked at.
const EVERY: Duration = Duration::from_millis(250);

impl Compose {
    /// Brings the project up by a script, and waits until it is well; says how it was seen.
    ///
    /// # Errors
    /// When it does not come up, ends, starts over and over, takes too long, or the run is cancelled.
    pub(super) async fn up(
        &self,
        script: &str,
        project: &Project,
        wait: Duration,
        say: Sink<'_>,
        cancelled: &CancellationToken,
    ) -> Result<String, TargetError> {
        let steady = self.options.steady.get();
        let began = Instant::now();
        let said = self.run(script, project, wait, say, cancelled).await?;
        self.done(project, said, "up", wait)?;
        let after = text::duration(began.elapsed());
        let up = Instant::now();
        loop {
            let seen = up.elapsed();
            let mut lines = self.ask(words::STATES, project, cancelled).await?;
            // What Compose says beside them is about no container.
            lines.retain(|line| line.contains('|'));
            let ill = lines.iter().find_map(|line| ill(line, seen));
            if let Some(ill) =
                ill.or_else(|| lines.is_empty().then(|| "no container is there".to_owned()))
            {
                return Err(TargetError::Failed {
                    said: format!(
                        "{ill}, {} after all of {} were up",
                        text::duration(up.elapsed()),
                        project.name
                    ),
                    last_words: Vec::new(),
                });
            }
            if up.elapsed() >= steady {
                let containers = text::count(lines.len() as u64, "container");
                return Ok(format!(
                    "is up after {after}: {containers}, no restart in {}",
                    text::duration(steady)
                ));
            }
            tokio::select! {
                biased;
                () = cancelled.cancelled() => return Err(TargetError::Cancelled),
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }
}

/// What is wrong with a container that was up so long ago, by its line. One that has done its work is
/// not ill.
fn ill(line: &str, seen: Duration) -> Option<String> {
    let mut words = line.splitn(4, '|');
    let mut word = || words.next().unwrap_or_default();
    let (name, state, health, told) = (word(), word(), word(), word());
    match state {
        "restarting" => Some(format!("{name} keeps crashing: {told}")),
        "exited" if told.starts_with("Exited (0)") => None,
        "exited" | "dead" => Some(format!("{name} ended: {told}")),
        "running" if health == "unhealthy" => Some(format!("{name} is unhealthy: {told}")),
        // Between two looks it may have ended and begun again.
        "running" if since(told).is_some_and(|since| since < seen.as_secs()) => Some(format!(
            "{name} keeps crashing: it was started again, {told}"
        )),
        "running" => None,
        state => Some(format!("{name} does not run, it is {state}: {told}")),
    }
}

/// For how many whole seconds it runs, by the engine's words for less than a minute.
fn since(told: &str) -> Option<u64> {
    let time = told.strip_prefix("Up ")?;
    if time.starts_with("Less than a second") {
        return Some(0);
    }
    let (number, unit) = time.split_once(' ')?;
    unit.starts_with("second").then(|| number.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_done_its_work_is_not_ill() {
        for (line, said) in [
            ("web-1|running||Up 2 seconds", None),
            ("web-1|running|healthy|Up 2 seconds (healthy)", None),
            ("migrate-1|exited||Exited (0) 1 second ago", None),
            (
                "web-1|exited||Exited (3) now",
                Some("web-1 ended: Exited (3) now"),
            ),
            (
                "web-1|restarting||Restarting (4) now",
                Some("web-1 keeps crashing: Restarting (4) now"),
            ),
            (
                "web-1|running|unhealthy|Up 9 seconds",
                Some("web-1 is unhealthy: Up 9 seconds"),
            ),
            (
                "web-1|created||Created",
                Some("web-1 does not run, it is created: Created"),
            ),
        ] {
            assert_eq!(ill(line, Duration::from_secs(2)).as_deref(), said, "{line}");
        }
    }

    #[test]
    fn who_was_started_again_between_two_looks_is_seen() {
        let seen = Duration::from_millis(2900);
        for (told, well) in [
            ("Up Less than a second", false),
            ("Up 1 second", false),
            ("Up 1 second (health: starting)", false),
            ("Up 2 seconds", true),
            ("Up 59 seconds (healthy)", true),
            ("Up About a minute", true),
            ("Up 2 hours", true),
        ] {
            let ill = ill(&format!("web-1|running||{told}"), seen);
            assert_eq!(ill.is_none(), well, "{told}: {ill:?}");
        }
    }
}
