//! When the secrets were set that a job may get. GitHub tells nobody their values.

use futures_util::future::join3;
use jiff::Timestamp;
use serde::Deserialize;

use crate::model::gates::{Shelves, Stored};

use super::GithubError;
use super::gates::{Gates, is_missing, segment};

/// What to do where secrets cannot be listed.
const ANOTHER_TOKEN: &str = "a workflow's own token never can; `token` takes one of a GitHub App or of a person, with `secrets: read` and `environments: read`";

#[derive(Deserialize)]
struct Secrets {
    secrets: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    name: String,
    updated_at: String,
}

impl Gates {
    /// The secrets that a job of an environment may get, with the day each was set, and nothing
    /// else: GitHub tells nobody their values.
    pub async fn secrets(&self, environment: &str) -> Shelves {
        let list = async |whose: &str, route: &str| {
            let what = format!("list the secrets of {whose}");
            self.all(&what, route, |page: Secrets| page.secrets).await
        };
        let of_environment = format!("/environments/{}/secrets", segment(environment));
        let (environment, repository, organization) = join3(
            list("the environment", &of_environment),
            list("the repository", "/actions/secrets"),
            list("the organization", "/actions/organization-secrets"),
        )
        .await;
        // Who may list the repository's is told the truth of what is not there.
        let may = repository.is_ok();
        let shelf = |listed: Result<Vec<Listed>, GithubError>| match listed {
            Ok(listed) => Ok(listed.into_iter().filter_map(stored).collect()),
            Err(failed) if may && is_missing(&failed) => Ok(Vec::new()),
            Err(GithubError::Refused {
                what,
                status: status @ (401 | 403 | 404),
                said,
                ..
            }) => Err(format!(
                "could not {what}: GitHub answered {status} {said}; {ANOTHER_TOKEN}"
            )),
            Err(failed) => Err(failed.to_string()),
        };
        Shelves {
            environment: shelf(environment),
            repository: shelf(repository),
            organization: shelf(organization),
        }
    }
}

/// A secret without a day that can be read is left out, and so is not known.
fn stored(listed: Listed) -> Option<Stored> {
    let set: Timestamp = listed.updated_at.parse().ok()?;
    Some(Stored {
        name: listed.name,
        set,
    })
}
