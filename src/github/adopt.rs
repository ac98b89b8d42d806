//! Finding the deployment that GitHub made for this job, because the job has `environment:`.
//!
//! It is the one of this environment whose statuses lead to this run. Where that is none or
//! several, the job's check run names it exactly; and where the token may not read that, it is
//! looked for among those of the commit.

use serde::Deserialize;

use super::GithubError;
use super::deployments::Deployments;
use super::record::{Found, FoundStatus};
use super::survey::{Own, Survey};

/// How many deployments of the commit are looked at.
const LOOKS: usize = 5;

/// The job for which GitHub may have made a deployment.
#[derive(Clone, Debug, Default)]
pub struct Job {
    /// The id of its check run.
    pub check_run: Option<u64>,
    /// The id of its run.
    pub run_id: String,
    /// The commit of its run.
    pub sha: String,
}

impl Deployments {
    /// The id of the deployment that GitHub made for a job in this environment. Where a survey
    /// has seen that a moment ago, nobody is asked again.
    ///
    /// # Errors
    /// See [`GithubError`]; then nobody knows whether there is one.
    pub async fn made_by_github(
        &self,
        environment: &str,
        job: &Job,
        survey: Option<&Survey>,
    ) -> Result<Option<u64>, GithubError> {
        match survey.map(|survey| survey.own) {
            Some(Own::This(id)) => return Ok(Some(id)),
            Some(Own::None) => return Ok(None),
            Some(Own::Unknown) | None => {}
        }
        if let Some(id) = job.check_run
            && let Ok(found) = self.of_check_run(id).await
        {
            let ours =
                |found: &Named| found.environment.to_lowercase() == environment.to_lowercase();
            return Ok(found.filter(ours).map(|found| found.id));
        }
        // Outside of a workflow nobody made one.
        if job.run_id.is_empty() || job.sha.is_empty() {
            return Ok(None);
        }
        self.of_run(environment, job).await
    }

    async fn of_check_run(&self, id: u64) -> Result<Option<Named>, GithubError> {
        #[derive(Deserialize)]
        struct CheckRun {
            #[serde(default)]
            deployment: Option<Named>,
        }
        let route = format!("/check-runs/{id}");
        let found: CheckRun = self.get("read the job's check run", &route).await?;
        Ok(found.deployment)
    }

    async fn of_run(&self, environment: &str, job: &Job) -> Result<Option<u64>, GithubError> {
        let query = [
            ("environment", environment),
            ("sha", &job.sha),
            ("per_page", "30"),
        ];
        let page = self.client().first_page("/deployments", &query);
        let (mut list, _) = self.page::<Found>("list the deployments", &page).await?;
        list.sort_by_key(|found| std::cmp::Reverse(found.id));
        let mut finished = None;
        for found in list.into_iter().filter(Found::is_by_github).take(LOOKS) {
            let statuses = self.statuses(found.id).await?;
            if !statuses.iter().any(|status| status.leads_to(&job.run_id)) {
                continue;
            }
            // Another job of this run may have had the same environment.
            if statuses.first().is_some_and(FoundStatus::is_open) {
                return Ok(Some(found.id));
            }
            finished = finished.or(Some(found.id));
        }
        Ok(finished)
    }
}

impl FoundStatus {
    /// Whether one of its links leads to a run.
    pub(super) fn leads_to(&self, run_id: &str) -> bool {
        self.run_ids().any(|id| id == run_id)
    }

    /// The run that its link leads to.
    pub(super) fn run_id(&self) -> Option<String> {
        self.run_ids().next().map(str::to_owned)
    }

    fn run_ids(&self) -> impl Iterator<Item = &str> {
        let urls = [&self.log_url, &self.target_url].into_iter().flatten();
        urls.filter_map(|url| run_in(url))
    }
}

/// The id of the run that a link leads to.
pub(super) fn run_in(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("/actions/runs/")?;
    let id = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    (!id.is_empty()).then_some(id)
}

/// A deployment as a check run names it.
#[derive(Deserialize)]
struct Named {
    id: u64,
    #[serde(default)]
    environment: String,
}
