//! Issues as the diary of a health check that remembers, and the channels as its voice.
//!
//! What GitHub's answers mean there is said here; the words are `report`'s.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::github::GithubError;
use crate::github::deployments::Deployments;
use crate::github::diary::Diary as Issues;
use crate::github::issues::{At, Draft};
use crate::model::vigil::{Act, Incident, Memory, State};
use crate::platform::secret::Vault;
use crate::platform::text;
use crate::report::telling::Teller;
use crate::report::vigil::news::{Ears, ears};
use crate::report::vigil::{Place, hidden};
use crate::rollout::vigil::{Diary, Recalled, Voice, Whose, Word};

/// After so many seconds a word of another run that was not followed by a memory counts no more.
const ABANDONED: i64 = 600;

/// Issues as a diary.
pub struct IssueDiary {
    issues: Issues,
    place: Place,
    vault: Vault,
    /// The number of the issue with the memory, once that is known.
    number: Mutex<Option<u64>>,
}

impl IssueDiary {
    /// The diary of one environment.
    pub const fn new(issues: Issues, place: Place, vault: Vault) -> Self {
        Self {
            issues,
            place,
            vault,
            number: Mutex::new(None),
        }
    }

    /// What tells this run's words from others.
    fn is_mine(&self, run: &str) -> bool {
        run == hidden::plain(&self.place.run)
    }

    fn whose(&self, run: &str, at: i64, now: i64) -> Whose {
        if self.is_mine(run) || at + ABANDONED < now {
            Whose::Ours
        } else {
            Whose::Others(format!("another run ({run})"))
        }
    }

    /// Says in an incident's issue what became of traffic.
    ///
    /// # Errors
    /// What GitHub says, with what to do.
    pub async fn add_on_traffic(&self, issue: u64, said: &str, at: i64) -> Result<(), String> {
        let mark = hidden::said("<!-- cutover traffic by", &self.place.run, at);
        let body = self.place.comment_on_traffic(said, &self.vault);
        let body = format!("{body}\n{mark}\n");
        let since = At(at - ABANDONED);
        let said = self.issues.say(issue, &mark, &body, since).await;
        said.map(drop).map_err(|failed| told(&failed))
    }
}

#[async_trait]
impl Diary for IssueDiary {
    async fn recall(&self) -> Result<Recalled, String> {
        let (label, mark) = (self.place.memory_label(), self.place.memory_mark());
        let found = self.issues.find(&label, &mark, false).await;
        let Some(issue) = found.map_err(|failed| told(&failed))? else {
            return Ok(Recalled::Nothing);
        };
        *self.number.lock().unwrap_or_else(PoisonError::into_inner) = Some(issue.number);
        Ok(
            match hidden::find(issue.body.as_deref().unwrap_or_default()) {
                Ok(memory) => Recalled::Memory(Box::new(memory)),
                Err(said) => Recalled::Spoiled(format!("{said} (#{})", issue.number)),
            },
        )
    }

    async fn open_incident(&self) -> Result<Option<(State, Incident)>, String> {
        let mark = self.place.incident_mark();
        let found = self.issues.find(&self.place.label, &mark, true).await;
        let issue = found.map_err(|failed| told(&failed))?;
        Ok(issue.and_then(|issue| {
            let opened = hidden::find_incident(issue.body.as_deref()?).ok()?;
            Some((opened.state, opened.incident(issue.number)))
        }))
    }

    async fn open(&self, word: Word<'_>) -> Result<(u64, Whose), String> {
        let draft = Draft {
            title: self.place.incident_title(word, &self.vault),
            body: self.place.incident_body(word, &self.vault),
            mark: self.place.incident_mark(),
            labels: vec![self.place.label.clone()],
            assignees: Vec::new(),
        };
        let made = self.issues.make(&draft, true).await;
        let (issue, is_ours) = made.map_err(|failed| told(&failed))?;
        let whose = match hidden::find_incident(issue.body.as_deref().unwrap_or_default()) {
            Ok(opened) if !is_ours => self.whose(&opened.run, opened.at, word.memory.at),
            _ => Whose::Ours,
        };
        Ok((issue.number, whose))
    }

    async fn add(&self, issue: u64, word: Word<'_>) -> Result<Whose, String> {
        let mark = self.place.change_mark(word);
        let body = self.place.comment(word, &self.vault);
        let at = word.memory.at;
        let since = At(at - ABANDONED);
        let first = self.issues.say(issue, &mark, &body, since).await;
        let first = first.map_err(|failed| told(&failed))?;
        let whose = match hidden::said_by(&mark, &first.body) {
            Some((run, then)) => self.whose(&run, then, at),
            None => Whose::Ours,
        };
        if whose == Whose::Ours {
            let title = self.place.incident_title(word, &self.vault);
            let shown = match word.act {
                Act::Changed { ended: Some(_), .. } => {
                    self.issues.close(issue, Some(&title), true).await
                }
                Act::Changed { .. } => self.issues.rename(issue, &title).await,
                _ => Ok(()),
            };
            shown.map_err(|failed| told(&failed))?;
        }
        Ok(whose)
    }

    async fn keep(&self, memory: &Memory) -> Result<(), String> {
        let body = self.place.memory_body(memory, &self.vault);
        let number = *self.number.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = match number {
            Some(number) => self.issues.write(number, &body).await,
            None => self.begin(body).await,
        };
        kept.map_err(|failed| told(&failed))
    }
}

impl IssueDiary {
    /// Makes the issue with the memory. It is closed at once: there is nothing to be done in it.
    async fn begin(&self, body: String) -> Result<(), GithubError> {
        let draft = Draft {
            title: self.place.memory_title(&self.vault),
            body,
            mark: self.place.memory_mark(),
            labels: vec![self.place.memory_label()],
            assignees: Vec::new(),
        };
        let (issue, is_ours) = self.issues.make(&draft, false).await?;
        *self.number.lock().unwrap_or_else(PoisonError::into_inner) = Some(issue.number);
        if is_ours {
            self.issues.close(issue.number, None, false).await?;
        }
        Ok(())
    }
}

/// The channels as a voice.
pub struct Speaker<'a> {
    /// Those who hear of everything at once.
    pub soon: Teller<'a>,
    /// Those who are called when an incident goes on.
    pub later: Teller<'a>,
    /// Where it is.
    pub place: &'a Place,
    /// The repository's page, without a slash at its end.
    pub repository_url: String,
    /// The records of deployments, for the week.
    pub deployments: Option<Arc<Deployments>>,
}

impl Speaker<'_> {
    /// The page of an issue.
    pub fn page(&self, issue: Option<u64>) -> Option<String> {
        Some(format!("{}/issues/{}", self.repository_url, issue?))
    }

    /// What was deployed since then, in a line; `None` where nobody knows.
    async fn deployed(&self, since: i64) -> Option<String> {
        let deployments = self.deployments.as_ref()?;
        let counted = deployments
            .since(&self.place.environment, since)
            .await
            .ok()?;
        Some(format!(
            "{} went well, {} did not",
            text::thousands(counted.well),
            text::thousands(counted.not)
        ))
    }
}

#[async_trait]
impl Voice for Speaker<'_> {
    async fn tell(&self, word: Word<'_>, issue: Option<u64>) {
        let deployed = match word.act {
            Act::Week(week) => self.deployed(week.from).await,
            _ => None,
        };
        let news = self.place.news(word, self.page(issue), deployed.as_deref());
        match ears(word) {
            Ears::Later if !self.later.audience.is_empty() => {
                self.later.tell(&news).await;
            }
            Ears::Soon | Ears::Later => {
                self.soon.tell(&news).await;
            }
            Ears::All => {
                tokio::join!(self.soon.tell(&news), self.later.tell(&news));
            }
        }
    }
}

/// What an answer of GitHub means for who wants to remember.
pub(super) fn told(failed: &GithubError) -> String {
    let next = match failed {
        GithubError::Refused { wait: Some(_), .. } => None,
        GithubError::Refused { status: 410, .. } => {
            Some("switch issues on in the settings of the repository")
        }
        GithubError::Refused {
            status: 403 | 404, ..
        } => Some("give the job `permissions: { issues: write }`"),
        _ => None,
    };
    match next {
        Some(next) => format!("{failed}; {next}"),
        None => failed.told(),
    }
}
