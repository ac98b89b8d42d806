//! What a preflight asks GitHub about this very commit and run.

use async_trait::async_trait;

use crate::config::inputs::Inputs;
use crate::github::GithubError;
use crate::github::gates::{Gates as Asked, Own};
use crate::model::gates::{Reviews, Seen, Shelves, Wanted};
use crate::model::release::Release;
use crate::rollout::preflight::Gates;

use super::session::Session;

impl Session {
    /// Who had a part in starting this run: a re-run has two.
    pub(super) fn actors(&self) -> Vec<String> {
        let context = &self.context;
        let actors = [&context.actor, &context.triggering_actor];
        actors.into_iter().flatten().cloned().collect()
    }

    /// The commit: the release, where that is one, or else the workflow's.
    pub(super) fn commit(&self, release: Option<&Release>) -> Option<String> {
        let is_commit =
            |text: &&str| text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let release = release.map(Release::as_str).filter(is_commit);
        release
            .map(ToOwned::to_owned)
            .or_else(|| self.context.sha.clone())
    }

    /// What GitHub keeps about them.
    pub(super) fn gates(&self, inputs: &Inputs) -> Result<Box<dyn Gates>, String> {
        let token = inputs.token.as_ref();
        let token = token.ok_or("there is no token, so GitHub is not asked")?;
        let repository = self.repository();
        let repository = repository.ok_or("GITHUB_REPOSITORY is not an owner and a name")?;
        let asked = Asked::new(&self.http, token, &repository).map_err(told)?;
        let run = self.run();
        let own = Own {
            run: run.id,
            attempt: run.attempt,
            check_run: inputs.check_run_id,
            runner: self.context.runner.clone(),
        };
        Ok(Box::new(AtGithub { asked, own }))
    }
}

/// GitHub, asked by this run.
struct AtGithub {
    asked: Asked,
    own: Own,
}

#[async_trait]
impl Gates for AtGithub {
    async fn checks(&self, sha: &str) -> Result<Vec<Seen>, String> {
        self.asked.checks(sha, &self.own).await.map_err(told)
    }

    async fn required(&self, branch: &str) -> Result<Vec<Wanted>, String> {
        self.asked.required(branch).await.map_err(told)
    }

    async fn reviews(&self, environment: &str) -> Result<Reviews, String> {
        if self.own.run.is_empty() {
            return Err("this is no run of a workflow (GITHUB_RUN_ID is not set)".to_owned());
        }
        self.asked
            .reviews(environment, &self.own)
            .await
            .map_err(told)
    }

    async fn secrets(&self, environment: &str) -> Shelves {
        self.asked.secrets(environment).await
    }
}

fn told(failed: GithubError) -> String {
    failed.told()
}
