//! With `access`, the place that knows octocrab: GET, POST and PATCH of JSON, with our own client under it.
//!
//! octocrab's own retries are off, because they repeat a POST; its models are not used for
//! reading, because they refuse an answer with one word that they do not know. A request ends
//! in time, whatever the other side does. What was read before is asked for with its tag: an
//! answer that nothing has changed costs nothing of the hour's requests.

mod changed;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use octocrab::service::middleware::retry::RetryConfig;
use octocrab::{FromResponse as _, Octocrab, OctocrabBuilder};
use reqwest::header::{ACCEPT, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH, LINK};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::platform::http::{Http, Manner};
use crate::platform::secret::Vault;
use crate::platform::text;

use super::access::{Access, Way};
use super::headers::{next_of, permissions_of, wait_of};
use super::permission::permission_for;
use super::{GithubError, Repository};

/// For one request, to the end of its answer.
const TIMEOUT: Duration = Duration::from_secs(4);

/// How much of what GitHub says is quoted: an outage answers with a whole page of HTML.
const QUOTED: usize = 200;

/// A client for one repository.
pub(super) struct Client {
    octocrab: Octocrab,
    way: Way,
    /// What was read last from where, and its tag.
    read: Mutex<BTreeMap<String, (HeaderValue, String)>>,
    /// The API's address, without a slash at its end.
    base: String,
    root: String,
    vault: Vault,
}

/// The way to a page of a list.
#[derive(Clone, Debug)]
pub(super) struct Page(String);

impl Client {
    /// A client. Must be called inside of a runtime, which octocrab's queue needs.
    pub(super) fn new(
        http: &Http,
        access: &Access,
        repository: &Repository,
    ) -> Result<Self, GithubError> {
        let failed = |said: String| GithubError::OutOfReach {
            what: "make a client for GitHub".to_owned(),
            said,
        };
        let vault = Vault::default();
        // octocrab panics on what cannot be a header or an address.
        if let Way::Token(token) = &access.0 {
            let token = token.expose().trim();
            if token.is_empty() || HeaderValue::from_str(token).is_err() {
                return Err(failed(
                    "the token is empty or has characters that a header cannot".to_owned(),
                ));
            }
            vault.keep(token);
        }
        let api_url = &repository.api_url;
        let base = url::Url::parse(api_url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| failed("GITHUB_API_URL is not a URL".to_owned()))?;
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(failed("there is no runtime yet".to_owned()));
        }
        vault.keep_user_info(api_url);
        let reqwest = http
            .client(Manner::API)
            .map_err(|no| failed(no.to_string()))?;
        let builder = OctocrabBuilder::new();
        let builder = match &access.0 {
            Way::Token(token) => Ok(builder.personal_token(token.expose().trim().to_owned())),
            Way::App(app) => builder.app_from_rsa_pem(app.id.into(), app.key.expose()),
        };
        let octocrab = builder
            .map_err(|_| failed("the App's key cannot be read".to_owned()))?
            .add_retry_config(RetryConfig::None)
            .add_header(ACCEPT, "application/vnd.github+json".to_owned())
            .base_uri(base.as_str())
            .and_then(|builder| builder.build_with_reqwest(reqwest))
            .map_err(|error| failed(vault.redact(&innermost(&error)).into_owned()))?;
        Ok(Self {
            octocrab,
            way: access.0.clone(),
            read: Mutex::default(),
            base: base.as_str().trim_end_matches('/').to_owned(),
            root: format!("/repos/{}/{}", repository.owner, repository.name),
            vault,
        })
    }

    /// Gets `route` below the repository.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        what: &str,
        route: &str,
    ) -> Result<T, GithubError> {
        let path = format!("{}{route}", self.root);
        let known = self.read().get(&path).cloned();
        let tag = known.as_ref().map(|(tag, _)| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, tag.clone());
            headers
        });
        let asked = async |octocrab: Octocrab| {
            let response = octocrab._get_with_headers(path.as_str(), tag).await?;
            if let (304, Some((_, body))) = (response.status().as_u16(), known) {
                return Ok(body);
            }
            let response = octocrab::map_github_error(response).await?;
            let tag = response.headers().get(ETAG).cloned();
            let body = octocrab.body_to_string(response).await?;
            if let Some(tag) = tag {
                self.read().insert(path.clone(), (tag, body.clone()));
            }
            Ok(body)
        };
        let body = self.in_time(what, &path, false, asked).await?;
        serde_json::from_str(&body).map_err(|wrong| GithubError::Unreadable {
            what: what.to_owned(),
            said: text::excerpt(&self.vault.redact(&wrong.to_string()), QUOTED),
        })
    }

    fn read(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (HeaderValue, String)>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gets what is at `path` below the API's address, outside of the repository.
    pub(super) async fn get_at<T: DeserializeOwned>(
        &self,
        what: &str,
        path: &str,
    ) -> Result<T, GithubError> {
        let asked = async |octocrab: Octocrab| octocrab.get(path, None::<&()>).await;
        self.in_time(what, path, false, asked).await
    }

    /// The way to the first page of a list below the repository.
    pub(super) fn first_page(&self, route: &str, query: &[(&str, &str)]) -> Page {
        let mut encoded = url::form_urlencoded::Serializer::new(String::new());
        encoded.extend_pairs(query);
        Page(format!("{}{route}?{}", self.root, encoded.finish()))
    }

    /// Gets one page of a list, and the way to the next one.
    pub(super) async fn page<T: DeserializeOwned>(
        &self,
        what: &str,
        page: &Page,
    ) -> Result<(T, Option<Page>), GithubError> {
        let asked = async |octocrab: Octocrab| {
            let response = octocrab._get(page.0.as_str()).await?;
            let response = octocrab::map_github_error(response).await?;
            let next = response
                .headers()
                .get_all(LINK)
                .iter()
                .filter_map(|value| value.to_str().ok())
                .find_map(next_of)
                .and_then(|url| self.below(&url));
            Ok((T::from_response(response).await?, next))
        };
        self.in_time(what, &page.0, false, asked).await
    }

    /// The part of an address that follows the API's own. A list that goes on somewhere else is
    /// not followed there, because the token would go along.
    fn below(&self, url: &str) -> Option<Page> {
        let rest = url.strip_prefix(self.base.as_str())?;
        rest.starts_with('/').then(|| Page(rest.to_owned()))
    }

    /// Puts `body` to `route` below the repository. Once.
    pub(super) async fn put<T: DeserializeOwned>(
        &self,
        what: &str,
        route: &str,
        body: &impl Serialize,
    ) -> Result<T, GithubError> {
        let path = format!("{}{route}", self.root);
        let asked = async |octocrab: Octocrab| octocrab.put(&path, Some(body)).await;
        self.in_time(what, &path, true, asked).await
    }

    /// Deletes what is at `route` below the repository. Once.
    pub(super) async fn delete(&self, what: &str, route: &str) -> Result<(), GithubError> {
        let path = format!("{}{route}", self.root);
        let asked = async |octocrab: Octocrab| {
            let response = octocrab._delete(path.as_str(), None::<&()>).await?;
            octocrab::map_github_error(response).await.map(|_| ())
        };
        self.in_time(what, &path, true, asked).await
    }

    /// Posts `body` to `route` below the repository. Once.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        what: &str,
        route: &str,
        body: &impl Serialize,
    ) -> Result<T, GithubError> {
        let path = format!("{}{route}", self.root);
        let asked = async |octocrab: Octocrab| octocrab.post(&path, Some(body)).await;
        self.in_time(what, &path, true, asked).await
    }

    /// Patches `route` below the repository with `body`. Once.
    pub(super) async fn patch<T: DeserializeOwned>(
        &self,
        what: &str,
        route: &str,
        body: &impl Serialize,
    ) -> Result<T, GithubError> {
        let path = format!("{}{route}", self.root);
        let asked = async |octocrab: Octocrab| octocrab.patch(&path, Some(body)).await;
        self.in_time(what, &path, true, asked).await
    }

    /// The path of a route below the repository.
    pub(super) fn path(&self, route: &str) -> String {
        format!("{}{route}", self.root)
    }

    async fn in_time<T>(
        &self,
        what: &str,
        path: &str,
        writes: bool,
        asked: impl AsyncFnOnce(Octocrab) -> octocrab::Result<T>,
    ) -> Result<T, GithubError> {
        let answer = async {
            let octocrab = self.enter().await?;
            let answer = asked(octocrab).await;
            answer.map_err(|error| self.told(what, permission_for(path, writes), &error))
        };
        match tokio::time::timeout(TIMEOUT, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(GithubError::OutOfReach {
                what: what.to_owned(),
                said: format!("no answer after {}", text::duration(TIMEOUT)),
            }),
        }
    }

    /// The client that asks, with a token that is good for a while.
    async fn enter(&self) -> Result<Octocrab, GithubError> {
        match &self.way {
            Way::Token(_) => Ok(self.octocrab.clone()),
            Way::App(app) => {
                let told =
                    |what: &str, error: &octocrab::Error| self.told(what, String::new(), error);
                app.enter(&self.octocrab, &self.root, told).await
            }
        }
    }

    fn told(&self, what: &str, needed: String, error: &octocrab::Error) -> GithubError {
        let quote = |said: &str| text::excerpt(&self.vault.redact(said), QUOTED);
        let what = what.to_owned();
        match error {
            octocrab::Error::GitHub { source, .. } => {
                let none = HeaderMap::new();
                let headers = source.headers.as_ref().unwrap_or(&none);
                let status = source.status_code.as_u16();
                let wait = wait_of(status, headers, &source.message);
                let mut said = source.message.clone();
                for one in source.errors.iter().flatten() {
                    said.push_str(&format!(" {one}"));
                }
                GithubError::Refused {
                    permissions: match wait {
                        None => permissions_of(status, headers, &source.message, needed),
                        Some(_) => Vec::new(),
                    },
                    what,
                    status,
                    said: quote(&said),
                    wait,
                }
            }
            octocrab::Error::Json { .. } | octocrab::Error::Serde { .. } => {
                GithubError::Unreadable {
                    what,
                    said: quote(&innermost(error)),
                }
            }
            _ => GithubError::OutOfReach {
                what,
                said: quote(&innermost(error)),
            },
        }
    }
}

/// The innermost cause, which says something and has no URL around it.
fn innermost(error: &octocrab::Error) -> String {
    if let octocrab::Error::Json { source, .. } = error {
        return format!("{}: {}", source.path(), source.inner());
    }
    let mut said = String::new();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        said = cause.to_string();
        source = cause.source();
    }
    if said.is_empty() {
        "failed".to_owned()
    } else {
        said
    }
}
