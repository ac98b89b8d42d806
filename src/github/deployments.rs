//! Records of deployments: what was put where, and what came of it.
//!
//! Ours are told from GitHub's own and from other people's by their task and their payload. A
//! record is created once, however often the answer gets lost: before a second try the list
//! is asked, and a payload has a mark that no other creation has.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::platform::http::Http;
use crate::platform::secret::Secret;
use crate::platform::text;

use super::client::Client;
use super::patience::patiently;
use super::record::{Content, Found, New, Record, Run, State, Status};
use super::{GithubError, Repository};

/// The task of our records; GitHub's own have `deploy`.
pub const TASK: &str = "deploy:cutover";

/// The longest description that GitHub takes.
const DESCRIPTION: usize = 140;

/// How many of the newest records are looked at.
const NEWEST: u8 = 30;

/// How the description of a record begins that a newer one took the place of.
const FOLLOWED_BY: &str = "followed by deployment";

#[derive(Debug, Deserialize)]
pub(super) struct FoundStatus {
    #[serde(default)]
    id: u64,
    pub(super) state: String,
    #[serde(default)]
    description: Option<String>,
}

impl FoundStatus {
    /// Whether the deployment is not over yet.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state.as_str(), "pending" | "queued" | "in_progress")
    }

    /// Whether somebody else said that the deployment is inactive. GitHub does so to older ones
    /// when a job with `environment:` ends, which says nothing about traffic.
    fn is_by_others(&self) -> bool {
        let ours = |said: &String| said.starts_with(FOLLOWED_BY);
        self.state == "inactive" && !self.description.as_ref().is_some_and(ours)
    }
}

/// The answer to a creation. Without an id (202: GitHub merged a branch instead) nothing was created.
#[derive(Debug, Deserialize)]
struct Created {
    id: Option<u64>,
    message: Option<String>,
}

/// The records of one repository.
pub struct Deployments {
    pub(super) client: Client,
}

impl Deployments {
    /// The records of a repository, with a token that may have too few permissions.
    /// Must be called inside of a runtime.
    ///
    /// # Errors
    /// When no client can be made of these.
    pub fn new(http: &Http, token: &Secret, repository: &Repository) -> Result<Self, GithubError> {
        Ok(Self {
            client: Client::new(http, token, repository)?,
        })
    }

    /// The newest record of a change of traffic in an environment that went well and was not
    /// followed by another one: what should be live. Records of `deploy-slot` are passed over,
    /// for they say nothing about traffic.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn latest(&self, environment: &str) -> Result<Option<Record>, GithubError> {
        for found in self.list(None, Some(environment)).await? {
            let Some(marked) = found.payload() else {
                continue;
            };
            if marked.content.mode != "deploy-slot" && self.stands(found.id).await? {
                return Ok(Some(Record {
                    id: found.id,
                    content: marked.content,
                    at: found.created_at,
                }));
            }
        }
        Ok(None)
    }

    /// Makes a record, once, and returns its id.
    ///
    /// # Errors
    /// See [`GithubError`]; where it [is unclear](GithubError::is_unclear), [`Self::find`] can
    /// tell later whether there is a record.
    pub async fn open(&self, new: &New) -> Result<u64, GithubError> {
        let what = "create a deployment";
        let asked_before = AtomicBool::new(false);
        let content = &new.payload.cutover.content;
        let said = format!("{} for {}", text::short_sha(&content.version), content.slot);
        let body = serde_json::json!({
            "ref": new.sha,
            "task": TASK,
            "auto_merge": false,
            "required_contexts": [],
            "environment": new.environment,
            "description": described(&said),
            "payload": new.payload,
        });
        patiently(what, || async {
            if asked_before.swap(true, Ordering::Relaxed)
                && let Some(id) = self.find_once(new).await?
            {
                return Ok(id);
            }
            let created: Created = self.client.post(what, "/deployments", &body).await?;
            created.id.ok_or_else(|| GithubError::Refused {
                what: what.to_owned(),
                status: 202,
                said: text::excerpt(created.message.as_deref().unwrap_or_default(), 200),
                permissions: Vec::new(),
                wait: None,
            })
        })
        .await
    }

    /// The id of a record whose creation was asked for, if it came about.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn find(&self, new: &New) -> Result<Option<u64>, GithubError> {
        patiently("list the deployments", || self.find_once(new)).await
    }

    /// Says what came of a deployment. A status that is said twice harms nobody.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn status(&self, id: u64, status: &Status<'_>) -> Result<(), GithubError> {
        let mut body = serde_json::json!({
            "state": status.state,
            "description": described(status.description),
            // GitHub's own rule spares production environments; `retire` does not.
            "auto_inactive": false,
        });
        if let Some(url) = status.environment_url {
            body["environment_url"] = url.into();
        }
        if let Some(url) = status.log_url {
            body["log_url"] = url.into();
        }
        let what = format!("say what came of deployment {id}");
        let route = format!("/deployments/{id}/statuses");
        patiently(&what, || async {
            let _: Value = self.client.post(&what, &route, &body).await?;
            Ok(())
        })
        .await
    }

    /// Makes those of our older records of an environment inactive that still stand and that
    /// `which` picks.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn retire(
        &self,
        environment: &str,
        before: u64,
        which: impl Fn(&Content) -> bool,
        log_url: Option<&str>,
    ) -> Result<(), GithubError> {
        let status = Status {
            state: State::Inactive,
            description: &format!("{FOLLOWED_BY} {before}"),
            environment_url: None,
            log_url,
        };
        for found in self.list(None, Some(environment)).await? {
            if found.id < before
                && found.payload().is_some_and(|ours| which(&ours.content))
                && self.stands(found.id).await?
            {
                self.status(found.id, &status).await?;
            }
        }
        Ok(())
    }

    /// The records of a run that nobody has closed: what a killed run leaves behind.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn left_open(&self, run: &Run) -> Result<Vec<u64>, GithubError> {
        let mut open = Vec::new();
        for found in self.list(None, None).await? {
            if found.payload().is_some_and(|ours| ours.content.run == *run)
                && self
                    .statuses(found.id)
                    .await?
                    .first()
                    .is_none_or(FoundStatus::is_open)
            {
                open.push(found.id);
            }
        }
        Ok(open)
    }

    async fn find_once(&self, new: &New) -> Result<Option<u64>, GithubError> {
        let found = self
            .list_once(Some(&new.sha), Some(&new.environment))
            .await?;
        Ok(found
            .into_iter()
            .find(|found| found.payload().as_ref() == Some(&new.payload.cutover))
            .map(|found| found.id))
    }

    /// The newest of our task, newest first.
    pub(super) async fn list(
        &self,
        sha: Option<&str>,
        environment: Option<&str>,
    ) -> Result<Vec<Found>, GithubError> {
        patiently("list the deployments", || self.list_once(sha, environment)).await
    }

    async fn list_once(
        &self,
        sha: Option<&str>,
        environment: Option<&str>,
    ) -> Result<Vec<Found>, GithubError> {
        #[derive(Serialize)]
        struct Query<'a> {
            task: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            sha: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            environment: Option<&'a str>,
            per_page: u8,
        }
        let query = Query {
            task: TASK,
            sha,
            environment,
            per_page: NEWEST,
        };
        let mut found: Vec<Found> = self
            .client
            .get("list the deployments", "/deployments", &query)
            .await?;
        // GitHub lists the newest first, and nowhere says so.
        found.sort_by_key(|found| std::cmp::Reverse(found.id));
        Ok(found)
    }

    /// Whether a record went well and none of ours took its place.
    async fn stands(&self, id: u64) -> Result<bool, GithubError> {
        let statuses = self.statuses(id).await?;
        let newest = statuses.iter().find(|status| !status.is_by_others());
        Ok(newest.is_some_and(|status| status.state == "success"))
    }

    /// What was said about a deployment, newest first.
    pub(super) async fn statuses(&self, id: u64) -> Result<Vec<FoundStatus>, GithubError> {
        let what = format!("list the statuses of deployment {id}");
        let route = format!("/deployments/{id}/statuses");
        let mut statuses: Vec<FoundStatus> = patiently(&what, || {
            self.client.get(&what, &route, &[("per_page", "100")])
        })
        .await?;
        statuses.sort_by_key(|status| std::cmp::Reverse(status.id));
        Ok(statuses)
    }
}

/// A description that GitHub takes; the cut is one character more than asked for.
fn described(said: &str) -> String {
    text::excerpt(said, DESCRIPTION - 1)
}
