//! Records of deployments: what was put where, and what came of it.
//!
//! Ours are told from GitHub's own and from other people's by their task and their payload. A
//! record is created once, however often the answer gets lost: before a second try the list
//! is asked, and a payload has a mark that no other creation has.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::model::event::Say;
use crate::platform::http::Http;
use crate::platform::text;

use super::access::Access;
use super::client::{Client, Page};
use super::patience::Patience;
use super::record::{Content, Found, FoundStatus, New, Record, Run, Status};
use super::{GithubError, Job, Repository};

/// The task of our records; GitHub's own have `deploy`.
pub const TASK: &str = "deploy:cutover";

/// The longest description that GitHub takes.
const DESCRIPTION: usize = 140;

/// The pause before something that was refused is asked for once more.
const ONCE_MORE: Duration = Duration::from_millis(500);

/// How many pages of statuses are read.
const PAGES: usize = 3;

/// The answer to a creation. Without an id (202: GitHub merged a branch instead) nothing was created.
#[derive(Debug, Deserialize)]
struct Created {
    id: Option<u64>,
    message: Option<String>,
}

/// The records of one repository.
pub struct Deployments {
    client: Client,
    patience: Patience,
    adopts: bool,
}

impl Deployments {
    /// The records of a repository, with an access that may have too few permissions.
    /// Must be called inside of a runtime.
    ///
    /// # Errors
    /// When no client can be made of these.
    pub fn new(http: &Http, access: &Access, repository: &Repository) -> Result<Self, GithubError> {
        Ok(Self {
            client: Client::new(http, access, repository)?,
            patience: Patience::default(),
            adopts: false,
        })
    }

    /// With somebody to tell when GitHub wants to be left alone for a while.
    #[must_use]
    pub fn telling(mut self, say: Say) -> Self {
        self.patience.tell(say);
        self
    }

    /// With the deployments that GitHub makes for jobs with `environment:` among the records.
    #[must_use]
    pub const fn adopting(mut self, adopts: bool) -> Self {
        self.adopts = adopts;
        self
    }

    /// Whether GitHub's limits have made a record wait.
    pub fn has_waited(&self) -> bool {
        self.patience.was_tried()
    }

    /// The newest record that still stands, see [`Self::survey`].
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn latest(&self, environment: &str) -> Result<Option<Record>, GithubError> {
        Ok(self.survey(environment, &Job::default()).await?.latest)
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
        self.patience
            .run(what, || async {
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
        let find = || self.find_once(new);
        self.patience.run("list the deployments", find).await
    }

    /// Says what came of a deployment. A status that is said twice harms nobody.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn status(&self, id: u64, status: &Status<'_>) -> Result<(), GithubError> {
        self.status_until(id, status, &CancellationToken::new())
            .await
    }

    /// The same, and once `moot` is set it is not tried again.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn status_until(
        &self,
        id: u64,
        status: &Status<'_>,
        moot: &CancellationToken,
    ) -> Result<(), GithubError> {
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
        let say = || async {
            let _: Value = self.client.post(&what, &route, &body).await?;
            Ok(())
        };
        let said = self.patience.run_until(&what, moot, &say).await;
        match said {
            // What was made a moment ago may not be known everywhere yet. As what is not said here
            // stays wrong for a long time, even a no is asked about once more.
            Err(GithubError::Refused {
                status: 401 | 404, ..
            }) => {
                tokio::time::sleep(ONCE_MORE).await;
                self.patience.run_until(&what, moot, say).await
            }
            said => said,
        }
    }

    /// The records of a run that nobody has closed: what a killed run leaves behind.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn left_open(&self, run: &Run) -> Result<Vec<u64>, GithubError> {
        let mut open = Vec::new();
        let query = [("task", TASK), ("per_page", "30")];
        let page = self.client.first_page("/deployments", &query);
        let (mut list, _) = self.page::<Found>("list the deployments", &page).await?;
        list.sort_by_key(|found| std::cmp::Reverse(found.id));
        for found in list {
            let is_ours = |content: &Content| content.run == *run && content.canary.is_none();
            if found.payload().is_some_and(|ours| is_ours(&ours.content))
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
        let query = [
            ("task", TASK),
            ("sha", &new.sha),
            ("environment", &new.environment),
            ("per_page", "30"),
        ];
        let page = self.client.first_page("/deployments", &query);
        let (list, _) = self
            .client
            .page::<Vec<Found>>("list the deployments", &page)
            .await?;
        let ours = |found: &Found| found.payload().as_ref() == Some(&new.payload.cutover);
        Ok(list.into_iter().find(ours).map(|found| found.id))
    }

    pub(super) const fn adopts(&self) -> bool {
        self.adopts
    }

    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        what: &str,
        route: &str,
    ) -> Result<T, GithubError> {
        let get = || self.client.get(what, route);
        self.patience.run(what, get).await
    }

    pub(super) async fn page<T: DeserializeOwned>(
        &self,
        what: &str,
        page: &Page,
    ) -> Result<(Vec<T>, Option<Page>), GithubError> {
        let get = || self.client.page(what, page);
        self.patience.run(what, get).await
    }

    /// What was said about a deployment, newest first.
    pub(super) async fn statuses(&self, id: u64) -> Result<Vec<FoundStatus>, GithubError> {
        let what = format!("list the statuses of deployment {id}");
        let route = format!("/deployments/{id}/statuses");
        let mut all: Vec<FoundStatus> = Vec::new();
        let mut page = Some(self.client.first_page(&route, &[("per_page", "100")]));
        for _ in 0..PAGES {
            let Some(this) = page else { break };
            let (statuses, next) = self.page(&what, &this).await?;
            all.extend(statuses);
            page = next;
        }
        all.sort_by_key(|status| std::cmp::Reverse(status.id));
        Ok(all)
    }
}

/// A description that GitHub takes; the cut is one character more than asked for.
fn described(said: &str) -> String {
    text::excerpt(said, DESCRIPTION - 1)
}
