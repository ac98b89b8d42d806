//! Who does the asking for the record of a run: finds or makes the GitHub Deployment, says how
//! it stands, retires the older ones, and closes what earlier runs have left open.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::config::records::Records;
use crate::github::GithubError;
use crate::github::deployments::Deployments;
use crate::github::record::{Content, New, State, Status};
use crate::github::survey::Survey;
use crate::model::event::{Event, Fact, Say};
use crate::platform::secret::Vault;
use crate::platform::text;

use super::deployment::{Close, Note, Replaces, RunInfo};

/// The length that a status' description may have.
const DESCRIPTION: usize = 139;

/// How long the records that earlier runs have left open may take.
const SWEEP: Duration = Duration::from_secs(10);

/// Does what the notes ask for, one after the other.
pub(super) struct Clerk {
    pub(super) deployments: Option<Arc<Deployments>>,
    pub(super) info: RunInfo,
    pub(super) vault: Vault,
    pub(super) say: Say,
    /// The run is over.
    pub(super) over: CancellationToken,
}

/// The Deployment of this run.
struct Kept {
    id: u64,
    new: Box<New>,
    /// Whether GitHub made it, so that it has no payload of ours.
    adopted: bool,
}

/// What came of looking for a Deployment, or making one.
enum Made {
    Kept(u64, bool),
    /// There is none, and perhaps there is one nevertheless.
    Lost,
    Nothing,
}

impl Clerk {
    pub(super) async fn work(
        self,
        inbox: mpsc::UnboundedReceiver<Note>,
        survey: oneshot::Receiver<Arc<Survey>>,
    ) {
        match self.deployments.clone() {
            None => self.do_without(inbox).await,
            Some(deployments) => {
                let survey = survey.await.ok();
                let survey = survey.as_deref();
                tokio::join!(
                    self.keep(&deployments, inbox, survey),
                    self.sweep(&deployments, survey)
                );
            }
        }
    }

    async fn do_without(&self, mut inbox: mpsc::UnboundedReceiver<Note>) {
        while let Some(note) = inbox.recv().await {
            match note {
                Note::Began => (self.say)(Event::Noticed(
                    "no token: this run leaves no GitHub Deployment record; set `token` and give the job `permissions: { deployments: write }`"
                        .to_owned(),
                )),
                Note::Open(..) => {}
                Note::Close(_) => return,
            }
        }
    }

    async fn keep(
        &self,
        deployments: &Deployments,
        mut inbox: mpsc::UnboundedReceiver<Note>,
        survey: Option<&Survey>,
    ) {
        let mut kept = None;
        let mut lost = None;
        while let Some(note) = inbox.recv().await {
            match note {
                Note::Began => {}
                Note::Open(new, said) => match self.open(deployments, &new, survey).await {
                    Made::Kept(id, adopted) => {
                        (self.say)(Event::Learned(Fact::DeploymentId(id)));
                        let made = Kept { id, new, adopted };
                        // Where a canary stands its record says so already, and calls are few.
                        if adopted || survey.is_none_or(|survey| survey.canary.is_none()) {
                            self.under_way(deployments, &made, &said).await;
                        }
                        kept = Some(made);
                    }
                    Made::Lost => lost = Some(new),
                    Made::Nothing => {}
                },
                Note::Close(close) => {
                    // It may have come about although nobody said so.
                    if let (None, Some(new)) = (&kept, lost)
                        && let Ok(Some(id)) = deployments.find(&new).await
                    {
                        kept = Some(Kept {
                            id,
                            new,
                            adopted: false,
                        });
                    }
                    if let Some(kept) = kept {
                        self.close(deployments, &kept, &close, survey).await;
                    }
                    return;
                }
            }
        }
        // Nobody said how it ended, and a record must not be under way for ever.
        if let Some(kept) = kept {
            let said = "the run stopped without saying how it ended";
            let said = self.described(&kept, said, "");
            let status = self.status(State::Error, &said, None);
            self.tell_unless_heard(&kept, deployments.status(kept.id, &status).await);
        }
    }

    /// Finds the Deployment that GitHub made for the job, or makes one: never two for one run.
    async fn open(&self, deployments: &Deployments, new: &New, survey: Option<&Survey>) -> Made {
        let records = self.info.records;
        if records != Records::Create {
            let job = self.info.job();
            let found = deployments.made_by_github(new.environment(), &job, survey);
            match found.await {
                Ok(Some(id)) => return Made::Kept(id, true),
                Ok(None) if records == Records::Adopt => {
                    self.warn(&format!(
                        "there is no GitHub Deployment: `records: adopt` takes the one that GitHub makes, and the job has no `environment: {}`",
                        new.environment()
                    ));
                    return Made::Nothing;
                }
                Ok(None) => {}
                Err(failed) => {
                    self.warn(&format!(
                        "there is no GitHub Deployment, for GitHub may have made one already: {}",
                        failed.told()
                    ));
                    return Made::Nothing;
                }
            }
        }
        match deployments.open(new).await {
            Ok(id) => Made::Kept(id, false),
            Err(failed) => {
                self.warn(&format!("there is no GitHub Deployment: {}", failed.told()));
                if failed.is_unclear() {
                    Made::Lost
                } else {
                    Made::Nothing
                }
            }
        }
    }

    /// Says that the run is under way; once it is over, that is not repeated. Of its own
    /// Deployment GitHub has said it already, but not what is done: other runs look for that.
    async fn under_way(&self, deployments: &Deployments, kept: &Kept, said: &str) {
        let said = self.described(kept, said, "");
        let status = self.status(State::InProgress, &said, None);
        let told = deployments.status_until(kept.id, &status, &self.over).await;
        self.tell_unless_heard(kept, told);
    }

    async fn close(
        &self,
        deployments: &Deployments,
        kept: &Kept,
        close: &Close,
        survey: Option<&Survey>,
    ) {
        let said = self.described(kept, &close.said, &close.figures);
        let status = self.status(close.state, &said, close.environment_url.as_deref());
        self.tell_unless_heard(kept, deployments.status(kept.id, &status).await);
        let which = |content: &Content| match &close.replaces {
            Replaces::Nothing => false,
            Replaces::In(slot) => content.mode == "deploy-slot" && content.slot == *slot,
            Replaces::Canaries => content.canary.is_some(),
            Replaces::All => true,
        };
        if matches!(close.replaces, Replaces::Nothing) {
            return;
        }
        if let Some((new, said)) = &close.stands {
            let others = survey.map(Survey::but_canaries);
            let new = New::clone(new).beside(others);
            self.stands(deployments, &new, said).await;
        }
        let log_url = self.info.run_url.as_deref();
        let environment = kept.new.environment();
        let retired = deployments.retire(environment, kept.id, survey, which, log_url);
        if let Err(failed) = retired.await {
            self.warn(&format!(
                "older GitHub Deployments may still say that they are live: {}",
                failed.told()
            ));
        }
    }

    /// Makes the record that the next run finds a canary by.
    async fn stands(&self, deployments: &Deployments, new: &New, said: &str) {
        let made = match deployments.open(new).await {
            Ok(id) => {
                let said = text::excerpt(&self.vault.redact(said), DESCRIPTION);
                let status = self.status(State::InProgress, &said, None);
                deployments.status(id, &status).await
            }
            Err(failed) => Err(failed),
        };
        if let Err(failed) = made {
            self.warn(&format!(
                "no GitHub Deployment says where the canary stands, so the next run judges it anew from there: {}",
                failed.told()
            ));
        }
    }

    /// Closes what earlier runs have left open, if they are over.
    async fn sweep(&self, deployments: &Deployments, survey: Option<&Survey>) {
        let open = survey.map_or(&[][..], |survey| &survey.open);
        if open.is_empty() {
            return;
        }
        let log_url = self.info.run_url.as_deref();
        let sweep = deployments.sweep(open, &self.info.run, log_url);
        let Ok((closed, outcome)) = tokio::time::timeout(SWEEP, sweep).await else {
            return self.notice("the GitHub Deployments that earlier runs have left open were not all closed in time");
        };
        for id in closed {
            self.notice(&format!(
                "GitHub Deployment {id} was left open by a run that is over, and is closed"
            ));
        }
        if let Err(failed) = outcome {
            self.notice(&format!(
                "a GitHub Deployment of an earlier run may be left open: {}",
                failed.told()
            ));
        }
    }

    /// What there is to say, as far as it fits: first what a payload would say where there is
    /// none, then the words, and at last the figures, which are left out rather than cut.
    fn described(&self, kept: &Kept, said: &str, figures: &str) -> String {
        let mark = kept.adopted.then(|| kept.new.content().mark()).flatten();
        let mark = mark.map_or_else(String::new, |mark| format!("{mark}; "));
        let clean = self.vault.redact(said);
        let room = DESCRIPTION.saturating_sub(mark.chars().count());
        let length = figures.chars().count();
        let (room, figures) = match room.checked_sub(length) {
            Some(left) if left > length => (left, figures),
            _ => (room, ""),
        };
        let whole = format!("{mark}{}{figures}", text::excerpt(&clean, room));
        self.vault.redact(&whole).into_owned()
    }

    fn status<'a>(&'a self, state: State, said: &'a str, url: Option<&'a str>) -> Status<'a> {
        Status {
            state,
            description: said,
            // A URL with a secret taken out of it leads nowhere.
            environment_url: url.filter(|url| self.vault.redact(url) == *url),
            log_url: self.info.run_url.as_deref(),
        }
    }

    fn tell_unless_heard(&self, kept: &Kept, told: Result<(), GithubError>) {
        if let Err(failed) = told {
            self.warn(&format!(
                "GitHub Deployment {} does not say how it stands: {}",
                kept.id,
                failed.told()
            ));
        }
    }

    fn notice(&self, said: &str) {
        (self.say)(Event::Noticed(self.vault.redact(said).into_owned()));
    }

    fn warn(&self, said: &str) {
        (self.say)(Event::Warned(self.vault.redact(said).into_owned()));
    }
}
