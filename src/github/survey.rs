//! What the records of an environment say: what should be live, which older ones something newer
//! took the place of, and which ones a run has left open that is no more.
//!
//! A record that took all traffic retires everything before it, the oldest first. So nothing
//! older than a retired one can stand, and no look goes further back than to the first of them.

use futures_util::future::join_all;
use serde::Deserialize;

use super::GithubError;
use super::adopt::Job;
use super::client::Page;
use super::deployments::{Deployments, TASK};
use super::record::{Content, FOLLOWED_BY, Found, FoundStatus, Record, Run, State, Status};
use super::standing::UnderWay;

/// How many records are looked at one by one. GitHub makes one for every job with `environment:`,
/// whatever the job does; those count too.
const LOOKS: usize = 30;

/// How many pages of a list are read.
const PAGES: usize = 3;

/// How many left-over records are closed at a time.
const ORPHANS: usize = 5;

/// What an environment's records say.
#[derive(Debug, Default)]
pub struct Survey {
    /// The newest record of a change of traffic that went well and still stands.
    pub latest: Option<Record>,
    /// The newest record of a canary that stays where it is, where nothing newer stands.
    pub canary: Option<Record>,
    /// Newer ones of ours that have no end.
    pub open: Vec<Open>,
    /// Those that any run has not closed, as far as was looked.
    pub(super) under_way: Vec<(Run, UnderWay)>,
    /// All that stand, the newest first, with what they say.
    pub(super) standing: Vec<(u64, Vec<Content>)>,
    /// Whether GitHub has made a deployment for the job that asks.
    pub(super) own: Own,
}

/// Whether GitHub has made a deployment for a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Own {
    /// That was not seen.
    #[default]
    Unknown,
    /// It has not.
    None,
    /// This one.
    This(u64),
}

/// A record of ours without an end, and the run that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Its id.
    pub id: u64,
    run: Run,
}

/// A record that was looked at.
pub(super) struct Seen {
    pub(super) found: Found,
    payload: Option<Content>,
    /// The newest first.
    pub(super) statuses: Vec<FoundStatus>,
}

impl Seen {
    /// What it says that nothing newer took the place of, the newest first. A deployment that
    /// GitHub made may have several contents, one for each step that was done with it, and
    /// GitHub's own last word on it is about its job and not about traffic.
    fn standing(&self) -> Vec<Content> {
        match &self.payload {
            Some(content) => {
                let newest = self.statuses.iter().find(|status| !status.is_by_others());
                let stands = |status: &FoundStatus| {
                    status.state == "success" || (content.canary.is_some() && status.is_open())
                };
                let stands = newest.is_some_and(stands);
                stands.then(|| content.clone()).into_iter().collect()
            }
            None => {
                let until = self.statuses.iter().take_while(|one| !one.says_followed());
                let well = until.filter(|status| status.state == "success");
                well.filter_map(FoundStatus::content).collect()
            }
        }
    }

    /// Whether something that took all traffic came after it.
    fn was_followed(&self) -> bool {
        let contents = self.statuses.iter().filter_map(FoundStatus::content);
        self.statuses.iter().any(FoundStatus::says_followed)
            && self
                .payload
                .iter()
                .cloned()
                .chain(contents)
                .any(|content| moves_traffic(&content) && content.canary.is_none())
    }

    /// What it said at any time that went well.
    pub(super) fn went_well(&self) -> Vec<Content> {
        let mut well = self.statuses.iter().filter(|one| one.state == "success");
        match &self.payload {
            Some(content) => well.next().map(|_| content.clone()).into_iter().collect(),
            None => well.filter_map(FoundStatus::content).collect(),
        }
    }

    /// What it says last.
    pub(super) fn content(&self) -> Option<Content> {
        let in_status = || self.statuses.iter().find_map(FoundStatus::content);
        self.payload.clone().or_else(in_status)
    }

    /// The run that it is of, where that can be seen.
    pub(super) fn run(&self) -> Option<Run> {
        let run = match &self.payload {
            Some(content) => content.run.clone(),
            None => Run {
                id: self.statuses.iter().find_map(FoundStatus::run_id)?,
                ..Run::default()
            },
        };
        (!run.id.is_empty()).then_some(run)
    }

    fn open(&self) -> Option<Open> {
        let content = self.payload.as_ref()?;
        // One that stays where it is has no end yet, and its run is over.
        (content.canary.is_none()).then_some(())?;
        let newest = self.statuses.first();
        newest.is_none_or(FoundStatus::is_open).then(|| Open {
            id: self.found.id,
            run: content.run.clone(),
        })
    }
}

/// Records of `deploy-slot` say nothing about traffic.
pub(super) fn moves_traffic(content: &Content) -> bool {
    content.mode != "deploy-slot"
}

impl Survey {
    /// The records that still say something true, but for those of canaries.
    pub fn but_canaries(&self) -> Vec<u64> {
        let of_none = |said: &[Content]| said.iter().all(|content| content.canary.is_none());
        let others = self.standing.iter().filter(|(_, said)| of_none(said));
        others.map(|(id, _)| *id).collect()
    }
}

impl Deployments {
    /// What the records of an environment say, to a job of a run.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn survey(&self, environment: &str, job: &Job) -> Result<Survey, GithubError> {
        let mut survey = Survey::default();
        let (mut ours, mut others) = (Vec::new(), false);
        let mut beside = Vec::new();
        let unseen = self
            .look_back(environment, u64::MAX, |seen| {
                let by_github = seen.payload.is_none();
                if by_github && seen.statuses.iter().any(|one| one.leads_to(&job.run_id)) {
                    ours.push(seen.found.id);
                } else if by_github && seen.statuses.first().is_some_and(FoundStatus::is_open) {
                    others = true;
                }
                survey.under_way.extend(seen.under_way());
                let standing = seen.standing();
                if survey.latest.is_none() {
                    survey.open.extend(seen.open());
                    let content = standing.iter().find(|content| moves_traffic(content));
                    let record = content.map(|content| Record {
                        id: seen.found.id,
                        content: content.clone(),
                        at: seen.found.created_at.clone(),
                    });
                    match record {
                        Some(canary) if canary.content.canary.is_some() => {
                            survey.canary.get_or_insert(canary);
                        }
                        record => survey.latest = record,
                    }
                }
                // What stood beside a canary when it was left is all that stands behind it.
                let known = standing.iter().find_map(|content| content.beside.clone());
                let is_all = known.is_some() && survey.canary.is_some();
                if !standing.is_empty() {
                    survey.standing.push((seen.found.id, standing));
                }
                if is_all {
                    beside = known.unwrap_or_default();
                }
                !is_all && !seen.was_followed()
            })
            .await?;
        let said = |id| {
            let found: Option<&Found> = unseen.iter().find(|found| found.id == id);
            found.and_then(Found::payload).map(|ours| ours.content)
        };
        for id in beside {
            // GitHub's own has no payload, and what it says is not asked for again.
            let content = said(id).unwrap_or_default();
            survey.standing.push((id, vec![content]));
        }
        // One that is of the same commit and was not looked at may be the one.
        others |= unseen
            .iter()
            .any(|found| found.is_by_github() && found.sha == job.sha);
        survey.own = match ours.as_slice() {
            [own] => Own::This(*own),
            [] if !others => Own::None,
            _ => Own::Unknown,
        };
        Ok(survey)
    }

    /// Makes those of our older records of an environment inactive that still stand and that
    /// `which` picks. Where they were surveyed a moment ago, nobody is asked again.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn retire(
        &self,
        environment: &str,
        before: u64,
        survey: Option<&Survey>,
        which: impl Fn(&Content) -> bool,
        log_url: Option<&str>,
    ) -> Result<(), GithubError> {
        let status = Status {
            state: State::Inactive,
            description: &format!("{FOLLOWED_BY} {before}"),
            environment_url: None,
            log_url,
        };
        let mut looked = Vec::new();
        let standing = match survey {
            Some(survey) => &survey.standing,
            None => {
                self.look_back(environment, before, |seen| {
                    looked.push((seen.found.id, seen.standing()));
                    !seen.was_followed()
                })
                .await?;
                &looked
            }
        };
        let picked = |(id, said): &&(u64, Vec<Content>)| {
            *id < before && !said.is_empty() && said.iter().all(&which)
        };
        for (id, _) in standing.iter().rev().filter(picked) {
            self.status(*id, &status).await?;
        }
        Ok(())
    }

    /// Closes those of the open records whose run is over, and returns their ids. One of which
    /// that cannot be said is left alone.
    ///
    /// # Errors
    /// The first of what went wrong; the others have been seen to nevertheless.
    pub async fn sweep(
        &self,
        open: &[Open],
        own: &Run,
        log_url: Option<&str>,
    ) -> (Vec<u64>, Result<(), GithubError>) {
        let status = Status {
            state: State::Inactive,
            description: "its run ended without saying how",
            environment_url: None,
            log_url,
        };
        let closed = open.iter().take(ORPHANS).map(async |orphan| {
            if self.is_over(&orphan.run, own).await? {
                self.status(orphan.id, &status).await?;
                return Ok(Some(orphan.id));
            }
            Ok(None)
        });
        let mut outcome = (Vec::new(), Ok(()));
        for closed in join_all(closed).await {
            match closed {
                Ok(id) => outcome.0.extend(id),
                Err(failed) if outcome.1.is_ok() => outcome.1 = Err(failed),
                Err(_) => {}
            }
        }
        outcome
    }

    /// Whether a run is over. A run is tried again under the same id.
    pub(super) async fn is_over(&self, run: &Run, own: &Run) -> Result<bool, GithubError> {
        #[derive(Deserialize)]
        struct Found {
            #[serde(default)]
            status: Option<String>,
        }
        if run.id == own.id {
            let attempt = |run: &Run| run.attempt.parse::<u32>().ok();
            return Ok(attempt(run)
                .zip(attempt(own))
                .is_some_and(|(old, new)| old < new));
        }
        if run.id.is_empty() || !run.id.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(false);
        }
        let what = format!("ask whether run {} is over", run.id);
        let found: Found = self
            .get(&what, &format!("/actions/runs/{}", run.id))
            .await?;
        Ok(found.status.as_deref() == Some("completed"))
    }

    /// Looks at the records of an environment that are older than `before`, from the newest to
    /// the oldest, as long as `on` says so. Returns what was listed and not looked at.
    pub(super) async fn look_back(
        &self,
        environment: &str,
        before: u64,
        mut on: impl FnMut(&Seen) -> bool,
    ) -> Result<Vec<Found>, GithubError> {
        let what = "list the deployments";
        let mut looks = 0;
        let mut page = Some(self.first_page(environment));
        for _ in 0..PAGES {
            let Some(this) = page else { break };
            let (mut list, next) = self.page::<Found>(what, &this).await?;
            // GitHub lists the newest first, and nowhere says so.
            list.sort_by_key(|found| std::cmp::Reverse(found.id));
            let mut list = list.into_iter().filter(|found| found.id < before);
            while let Some(found) = list.next() {
                let payload = found.payload().map(|ours| ours.content);
                if payload.is_none() && !(self.adopts() && found.is_by_github()) {
                    continue;
                }
                looks += 1;
                let statuses = self.statuses(found.id).await?;
                let seen = Seen {
                    found,
                    payload,
                    statuses,
                };
                if !on(&seen) || looks == LOOKS {
                    return Ok(list.collect());
                }
            }
            page = next;
        }
        Ok(Vec::new())
    }

    /// Where GitHub's own are never adopted, only those of our task are read.
    fn first_page(&self, environment: &str) -> Page {
        let mut query = vec![("environment", environment)];
        query.push(if self.adopts() {
            ("per_page", "100")
        } else {
            ("per_page", "30")
        });
        if !self.adopts() {
            query.push(("task", TASK));
        }
        self.client().first_page("/deployments", &query)
    }
}
