//! What has changed since it was last asked for: the rest costs nothing of the quota.

use octocrab::{FromResponse as _, Octocrab};
use reqwest::StatusCode;
use reqwest::header::{ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use serde::de::DeserializeOwned;

use super::{Client, GithubError};

impl Client {
    /// Gets a path, unless it is still what `tag` names: then it costs nothing of the quota.
    /// `None` where it is, else what it is now, and its tag.
    pub(in crate::github) async fn get_changed<T: DeserializeOwned>(
        &self,
        what: &str,
        path: &str,
        tag: Option<&str>,
    ) -> Result<Option<(T, Option<String>)>, GithubError> {
        let asked = async |octocrab: Octocrab| {
            let mut headers = HeaderMap::new();
            if let Some(tag) = tag.and_then(|tag| HeaderValue::from_str(tag).ok()) {
                headers.insert(IF_NONE_MATCH, tag);
            }
            let response = octocrab._get_with_headers(path, Some(headers)).await?;
            if response.status() == StatusCode::NOT_MODIFIED {
                return Ok(None);
            }
            let response = octocrab::map_github_error(response).await?;
            let tag = response.headers().get(ETAG);
            let tag = tag.and_then(|tag| tag.to_str().ok()).map(ToOwned::to_owned);
            Ok(Some((T::from_response(response).await?, tag)))
        };
        self.in_time(what, path, false, asked).await
    }
}
