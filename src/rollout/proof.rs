//! Is it really live? Answers through the public URL, each on a new connection, decide.
//!
//! A router that says yes is no proof. For a whole switch K answers in a row must carry the
//! intended release; for a partial one, the share of answers must fit the weight.

use std::time::Duration;

use tokio::time::Instant;

use crate::judge::share;
use crate::judge::streak::{State, Streak};
use crate::model::ending::Reason;
use crate::model::event::{Event, Fact};
use crate::model::fault::Fault;
use crate::model::release::Release;
use crate::model::split::Weight;
use crate::platform::http::below;
use crate::platform::text;

use super::looks::Served;
use super::stage::Stage;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// Of all the time that there is, one answer gets this part at most where several are wanted: one that
/// never comes must not use up the proof.
const PARTS: u32 = 3;

/// The pause after an answer that was not the intended one; it doubles up to the longest, so
/// that a slow router is not flooded and a fast one is not kept waiting.
const PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// How many of the last answers a failure tells of.
const TOLD: usize = 5;

/// What to do where a share cannot be proved.
const SHARE_NEXT: &str = "does the public URL go through this router, does it draw for each request, and does something cache `release.path`?";

impl Stage {
    /// Asks the public URL until `answers` in a row carry `release`, or `within` has passed.
    /// Returns the sentence that says so.
    ///
    /// # Errors
    /// What answered instead.
    pub async fn prove(&self, release: &Release, within: Duration) -> Result<String, Fault> {
        let wanted = self.proof.answers;
        let mut streak = Streak::new(wanted, u32::MAX);
        let mut last: Vec<Served> = Vec::new();
        let mut pause = PAUSE;
        let each = ANSWER.min(within / wanted.clamp(1, PARTS));
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.not_proved(release, &last, within));
            }
            let served = self.served_to_users(left.min(each)).await;
            let good = served.release().is_some_and(|served| served.is(release));
            if last.len() == TOLD {
                last.remove(0);
            }
            last.push(served);
            if streak.add(good) == State::Up {
                self.learned(Fact::ServedVersion(release.as_str().to_owned()));
                return Ok(format!("{wanted} of {wanted} answers say {release}"));
            }
            if good {
                pause = PAUSE;
            } else {
                self.say(Event::Working {
                    step: "proved",
                    said: last.last().map(Served::told).unwrap_or_default(),
                });
                tokio::time::sleep(pause.min(deadline.saturating_duration_since(Instant::now())))
                    .await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    fn not_proved(&self, release: &Release, last: &[Served], within: Duration) -> Fault {
        let others: Vec<&Served> = last
            .iter()
            .filter(|served| !served.release().is_some_and(|one| one.is(release)))
            .collect();
        if let Some(other) = others.iter().rev().find_map(|served| served.release()) {
            self.learned(Fact::ServedVersion(other.as_str().to_owned()));
        }
        let what = others
            .last()
            .map_or_else(|| "no answer".to_owned(), |served| served.told());
        let all_silent = !others.is_empty()
            && others
                .iter()
                .all(|served| matches!(served, Served::Silent(_)));
        let said = if all_silent {
            "the public URL does not answer"
        } else {
            "the public URL did not answer with the intended release"
        };
        Fault::new(Reason::NotProved, said)
            .measured(format!(
                "{what} on {} of the last {} new connections to {}",
                others.len(),
                last.len(),
                self.url_to_show()
            ))
            .wanted(format!(
                "{release} in {}, {} in a row, within {}",
                self.mark.told(),
                self.proof.answers,
                text::duration(within)
            ))
            .next("does the public URL go through this router, and does something cache that path? set `release.path` to one that is not cached")
    }

    /// Asks the public URL often enough to see whether `weight` of the answers carry `release`.
    /// Returns the sentence that says so.
    ///
    /// # Errors
    /// The share that was seen instead.
    pub async fn prove_share(&self, release: &Release, weight: Weight) -> Result<String, Fault> {
        let within = self.proof.within.get();
        let each = ANSWER.min(within / PARTS);
        let (mut hits, mut waited) = (0, Duration::ZERO);
        for nth in 1..=share::ANSWERS {
            let at = Instant::now();
            let served = self.served_to_users(each).await;
            hits += u32::from(served.release().is_some_and(|served| served.is(release)));
            if let Served::Silent(none) = &served {
                // Nobody waits for hundreds of answers where none comes.
                waited += at.elapsed();
                if waited >= within {
                    let which = format!("{none}, at answer {nth} from {}", self.url_to_show());
                    let wanted = format!(
                        "{} answers, waiting {} in all for those that do not come",
                        share::ANSWERS,
                        text::duration(within)
                    );
                    let fault = Fault::new(Reason::NotProved, "the public URL does not answer");
                    return Err(fault.measured(which).wanted(wanted).next(SHARE_NEXT));
                }
            }
        }
        let told = format!("{hits} of {} answers say {release}", share::ANSWERS);
        if share::fits(weight, hits, share::ANSWERS) {
            Ok(format!("{told}, for a weight of {weight}"))
        } else {
            Err(Fault::new(
                Reason::NotProved,
                "the public URL does not answer by the new weight",
            )
            .measured(told)
            .wanted(format!("{weight} of them, within chance"))
            .next(SHARE_NEXT))
        }
    }

    /// The public URL without user-info, for messages.
    pub fn url_to_show(&self) -> String {
        let mut url = below(&self.url, self.mark.path());
        // Both fail only for URLs that cannot have user-info at all.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.to_string()
    }
}
