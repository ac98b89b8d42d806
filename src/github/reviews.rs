//! Who approved a run, and when that was, as far as GitHub lets it be seen.

use serde::Deserialize;

use crate::model::gates::{Reviews, When};

use super::GithubError;
use super::gates::{Gates, Own};

#[derive(Deserialize)]
struct Review {
    state: String,
    user: Option<User>,
    #[serde(default)]
    environments: Vec<Environment>,
}

#[derive(Deserialize)]
struct User {
    login: String,
}

#[derive(Deserialize)]
struct Environment {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct OfJob {
    #[serde(default)]
    deployment: Option<Deployment>,
}

#[derive(Deserialize)]
struct Deployment {
    id: u64,
    environment: String,
}

#[derive(Deserialize)]
struct DeploymentStatus {
    id: u64,
    state: String,
    created_at: String,
}

#[derive(Deserialize)]
struct Jobs {
    jobs: Vec<Job>,
}

#[derive(Deserialize)]
struct Job {
    id: u64,
    status: String,
    started_at: Option<String>,
    #[serde(default)]
    runner_name: Option<String>,
}

#[derive(Deserialize)]
struct Run {
    created_at: String,
}

impl Gates {
    /// Who approved the own run for an environment, and when, as far as GitHub lets it be seen.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn reviews(&self, environment: &str, own: &Own) -> Result<Reviews, GithubError> {
        let route = format!("/actions/runs/{}/approvals", own.run);
        let found: Vec<Review> = self.get("list the run's approvals", route).await?;
        let mut by: Vec<String> = Vec::new();
        let is_it = |one: &Environment| one.name.to_lowercase() == environment.to_lowercase();
        for review in found {
            let approves = review.state == "approved" && review.environments.iter().any(is_it);
            if let Some(user) = review.user.filter(|_| approves)
                && !by.contains(&user.login)
            {
                by.push(user.login);
            }
        }
        let when = match by.is_empty() {
            true => When::Unknown,
            false => self.when(environment, own).await?,
        };
        Ok(Reviews { by, when })
    }

    /// When the own job was let go on. A review has no time at GitHub; the deployment that it
    /// holds up has: it waits no more.
    async fn when(&self, environment: &str, own: &Own) -> Result<When, GithubError> {
        let Some(id) = own.check_run else {
            return self.since_job(own).await;
        };
        let found: Result<OfJob, _> = self
            .get("read the job's check run", format!("/check-runs/{id}"))
            .await;
        let Ok(job) = found else {
            return self.since_job(own).await;
        };
        let ours = |one: &Deployment| one.environment.to_lowercase() == environment.to_lowercase();
        let Some(deployment) = job.deployment.filter(ours) else {
            return self.since_run(own).await;
        };
        let route = format!("/deployments/{}/statuses", deployment.id);
        let what = "list the deployment's statuses";
        let statuses = self.all(what, &route, |page: Vec<DeploymentStatus>| page);
        let Ok(mut statuses) = statuses.await else {
            return self.since_job(own).await;
        };
        statuses.sort_by_key(|status| status.id);
        let waited = statuses.iter().rposition(|one| one.state == "waiting");
        let next = waited.and_then(|at| statuses.get(at + 1));
        match next.and_then(|status| status.created_at.parse().ok()) {
            Some(at) => Ok(When::At(at)),
            None => self.since_job(own).await,
        }
    }

    /// Approved before the own job began; where that is not known, after the run did.
    async fn since_job(&self, own: &Own) -> Result<When, GithubError> {
        let route = format!("/actions/runs/{}/attempts/{}/jobs", own.run, own.attempt);
        let jobs = self.all("list the run's jobs", &route, |page: Jobs| page.jobs);
        let jobs = jobs.await?;
        let mut here = jobs.iter().filter(|job| job.is_at(own));
        let first = jobs.iter().find(|job| Some(job.id) == own.check_run);
        let job = match (first, here.next(), here.next()) {
            (Some(job), _, _) | (None, Some(job), None) => Some(job),
            _ => None,
        };
        let began = job.and_then(|job| job.started_at.as_deref()?.parse().ok());
        match began {
            Some(began) => Ok(When::NotAfter(began)),
            None => self.since_run(own).await,
        }
    }

    async fn since_run(&self, own: &Own) -> Result<When, GithubError> {
        let route = format!("/actions/runs/{}?exclude_pull_requests=true", own.run);
        let run: Run = self.get("look at this run", route).await?;
        let began = run.created_at.parse();
        Ok(began.map_or(When::Unknown, When::NotBefore))
    }
}

impl Job {
    /// Whether it is at work where the own job is.
    fn is_at(&self, own: &Own) -> bool {
        self.status == "in_progress" && own.runner.is_some() && self.runner_name == own.runner
    }
}
