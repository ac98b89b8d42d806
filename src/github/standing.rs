//! How things stand before a deployment: is another one under way, and has this version been in
//! some environment before? Questions only; nothing is written.

use futures_util::future::try_join_all;
use serde::Deserialize;

use crate::model::release::Release;

use super::GithubError;
use super::deployments::{Deployments, FoundStatus};
use super::patience::patiently;

/// How many of the newest records of other runs are looked at.
const NEWEST: usize = 5;

/// A deployment that nobody has closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnderWay {
    /// The record's id.
    pub id: u64,
    /// The run that made it.
    pub run: String,
    /// The version that it is about.
    pub version: String,
    /// Whether the run is over, so that it only left the record behind. `None` where the token
    /// may not ask.
    pub over: Option<bool>,
}

/// A workflow run, as far as it matters here.
#[derive(Debug, Deserialize)]
struct FoundRun {
    status: String,
}

impl Deployments {
    /// The deployments of an environment that other runs than `run` have not closed. No record
    /// says `success` and is open, so those that GitHub forgets (after 30) are long over.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn under_way(
        &self,
        environment: &str,
        run: &str,
    ) -> Result<Vec<UnderWay>, GithubError> {
        let of_others = |run_id: &str| !run_id.is_empty() && run_id != run;
        let found = self.list(None, Some(environment)).await?;
        let others = found
            .into_iter()
            .filter_map(|found| Some((found.id, found.payload()?.content)))
            .filter(|(_, content)| of_others(&content.run.id))
            .take(NEWEST);
        let asked = others.map(|(id, content)| async move {
            let statuses = self.statuses(id).await?;
            if !statuses.first().is_none_or(FoundStatus::is_open) {
                return Ok(None);
            }
            Ok(Some(UnderWay {
                id,
                over: self.is_over(&content.run.id).await,
                run: content.run.id,
                version: content.version,
            }))
        });
        Ok(try_join_all(asked).await?.into_iter().flatten().collect())
    }

    /// The id of the newest record that says that traffic of an environment went to a release,
    /// with success at the time.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn went_well(
        &self,
        environment: &str,
        release: &Release,
    ) -> Result<Option<u64>, GithubError> {
        for found in self.list(None, Some(environment)).await? {
            let ours = found.payload().is_some_and(|ours| {
                ours.content.mode != "deploy-slot"
                    && Release::new(&ours.content.version).is(release)
            });
            let went_well = |status: &FoundStatus| status.state == "success";
            if ours && self.statuses(found.id).await?.iter().any(went_well) {
                return Ok(Some(found.id));
            }
        }
        Ok(None)
    }

    /// Whether a run is over; `None` where that cannot be told.
    async fn is_over(&self, run: &str) -> Option<bool> {
        if !run.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let what = format!("look at run {run}");
        let route = format!("/actions/runs/{run}");
        let found: Result<FoundRun, _> = patiently(&what, || {
            self.client
                .get(&what, &route, &[("exclude_pull_requests", "true")])
        })
        .await;
        found.ok().map(|run| run.status == "completed")
    }
}
