//! What GitHub keeps and a deployment may have to wait for. Questions only; what is asked stands
//! in the files beside this one.

use serde::de::DeserializeOwned;

use crate::platform::http::Http;
use crate::platform::secret::Secret;

use super::client::Client;
use super::patience::patiently;
use super::{GithubError, Repository};

/// How many pages of a list are read. What is behind them counts as missing.
const PAGES: usize = 10;

/// The most that a page holds.
const PER_PAGE: (&str, &str) = ("per_page", "100");

/// The job that asks.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// The id of its run.
    pub run: String,
    /// The attempt of its run.
    pub attempt: String,
    /// The id of its check run, which is that of the job.
    pub check_run: Option<u64>,
    /// The name of its runner.
    pub runner: Option<String>,
}

/// What is asked before a deployment.
pub struct Gates {
    client: Client,
}

impl Gates {
    /// Asks about a repository. Must be called inside of a runtime.
    ///
    /// # Errors
    /// When no client can be made of these.
    pub fn new(http: &Http, token: &Secret, repository: &Repository) -> Result<Self, GithubError> {
        Ok(Self {
            client: Client::new(http, token, repository)?,
        })
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        what: &str,
        route: String,
    ) -> Result<T, GithubError> {
        patiently(what, || self.client.get(what, &route)).await
    }

    /// All pages of a list, whatever it is wrapped in.
    pub(super) async fn all<Page: DeserializeOwned, One>(
        &self,
        what: &str,
        route: &str,
        items: impl Fn(Page) -> Vec<One>,
    ) -> Result<Vec<One>, GithubError> {
        let mut all = Vec::new();
        let mut page = Some(self.client.first_page(route, &[PER_PAGE]));
        for _ in 0..PAGES {
            let Some(this) = page else { break };
            let (some, next) = patiently(what, || self.client.page(what, &this)).await?;
            all.extend(items(some));
            page = next;
        }
        Ok(all)
    }
}

/// Whether the answer is that it is not there.
pub(super) const fn is_missing(failed: &GithubError) -> bool {
    matches!(failed, GithubError::Refused { status: 404, .. })
}

/// A text as one part of a path.
pub(super) fn segment(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_part_of_a_path() {
        assert_eq!(segment("release/1.4"), "release%2F1.4");
        assert_eq!(segment("eu ü?#"), "eu%20%C3%BC%3F%23");
    }
}
