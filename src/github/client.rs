//! The one place that knows octocrab: GET, POST and PATCH of JSON, with our own client under it.
//!
//! octocrab's own retries are off, because they repeat a POST; its models are not used for
//! reading, because they refuse an answer with one word that they do not know. A request ends
//! in time, whatever the other side does.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use octocrab::service::middleware::retry::RetryConfig;
use octocrab::{FromResponse as _, Octocrab, OctocrabBuilder};
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue, LINK};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::platform::http::{Http, Manner};
use crate::platform::secret::{Secret, Vault};
use crate::platform::text;

use super::{GithubError, Repository};

/// For one request, to the end of its answer.
const TIMEOUT: Duration = Duration::from_secs(4);

/// How much of what GitHub says is quoted: an outage answers with a whole page of HTML.
const QUOTED: usize = 200;

/// A client for one repository.
pub(super) struct Client {
    octocrab: Octocrab,
    /// The API's address, without a slash at its end.
    base: String,
    root: String,
    vault: Vault,
}

/// The way to a page of a list.
#[derive(Clone, Debug)]
pub(super) struct Page(String);

impl Client {
    /// A client with a token. Must be called inside of a runtime, which octocrab's queue needs.
    pub(super) fn new(
        http: &Http,
        token: &Secret,
        repository: &Repository,
    ) -> Result<Self, GithubError> {
        let failed = |said: String| GithubError::OutOfReach {
            what: "make a client for GitHub".to_owned(),
            said,
        };
        // octocrab panics on what cannot be a header or an address.
        let token = token.expose().trim();
        if token.is_empty() || HeaderValue::from_str(token).is_err() {
            return Err(failed(
                "the token is empty or has characters that a header cannot".to_owned(),
            ));
        }
        let api_url = &repository.api_url;
        let base = url::Url::parse(api_url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| failed("GITHUB_API_URL is not a URL".to_owned()))?;
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(failed("there is no runtime yet".to_owned()));
        }
        let vault = Vault::default();
        vault.keep(token);
        vault.keep_user_info(api_url);
        let reqwest = http
            .client(Manner::API)
            .map_err(|no| failed(no.to_string()))?;
        let octocrab = OctocrabBuilder::new()
            .personal_token(token.to_owned())
            .add_retry_config(RetryConfig::None)
            .add_header(ACCEPT, "application/vnd.github+json".to_owned())
            .base_uri(base.as_str())
            .and_then(|builder| builder.build_with_reqwest(reqwest))
            .map_err(|error| failed(vault.redact(&innermost(&error)).into_owned()))?;
        Ok(Self {
            octocrab,
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
        self.in_time(what, &path, false, self.octocrab.get(&path, None::<&()>))
            .await
    }

    /// Gets what is at `path` below the API's address, outside of the repository.
    pub(super) async fn get_at<T: DeserializeOwned>(
        &self,
        what: &str,
        path: &str,
    ) -> Result<T, GithubError> {
        self.in_time(what, path, false, self.octocrab.get(path, None::<&()>))
            .await
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
        let asked = async {
            let response = self.octocrab._get(page.0.as_str()).await?;
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
        self.in_time(what, &path, true, self.octocrab.put(&path, Some(body)))
            .await
    }

    /// Deletes what is at `route` below the repository. Once.
    pub(super) async fn delete(&self, what: &str, route: &str) -> Result<(), GithubError> {
        let path = format!("{}{route}", self.root);
        let asked = async {
            let response = self.octocrab._delete(path.as_str(), None::<&()>).await?;
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
        self.in_time(what, &path, true, self.octocrab.post(&path, Some(body)))
            .await
    }

    /// Patches `route` below the repository with `body`. Once.
    pub(super) async fn patch<T: DeserializeOwned>(
        &self,
        what: &str,
        route: &str,
        body: &impl Serialize,
    ) -> Result<T, GithubError> {
        let path = format!("{}{route}", self.root);
        self.in_time(what, &path, true, self.octocrab.patch(&path, Some(body)))
            .await
    }

    async fn in_time<T>(
        &self,
        what: &str,
        path: &str,
        writes: bool,
        asked: impl Future<Output = octocrab::Result<T>>,
    ) -> Result<T, GithubError> {
        match tokio::time::timeout(TIMEOUT, asked).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.told(what, permission_for(path, writes), &error)),
            Err(_) => Err(GithubError::OutOfReach {
                what: what.to_owned(),
                said: format!("no answer after {}", text::duration(TIMEOUT)),
            }),
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

/// How long GitHub wants to be left alone: both of its limits answer 403 or 429.
fn wait_of(status: u16, headers: &HeaderMap, message: &str) -> Option<Duration> {
    if !matches!(status, 403 | 429) {
        return None;
    }
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    if let Some(seconds) = number("retry-after") {
        return Some(Duration::from_secs(seconds));
    }
    if number("x-ratelimit-remaining") == Some(0) {
        let reset = UNIX_EPOCH + Duration::from_secs(number("x-ratelimit-reset")?);
        // A moment that has passed by our clock is one second ahead by theirs.
        let wait = reset.duration_since(SystemTime::now()).unwrap_or_default();
        return Some(wait.max(Duration::from_secs(1)));
    }
    let secondary = message.to_lowercase().contains("secondary rate limit");
    (secondary || status == 429).then_some(Duration::from_secs(60))
}

/// The permissions that GitHub says would do: `deployments=write; contents=read,actions=read`,
/// of which the first alternative is taken.
fn permissions_of(status: u16, headers: &HeaderMap, message: &str, needed: String) -> Vec<String> {
    if !matches!(status, 403 | 404) {
        return Vec::new();
    }
    let accepted = headers
        .get("x-accepted-github-permissions")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let first = accepted.split(';').next().unwrap_or_default();
    let wanted: Vec<String> = first
        .split(',')
        .filter_map(|one| one.split_once('='))
        .map(|(name, level)| {
            let plain = |word: &str| text::excerpt(word, 40);
            format!("{}: {}", plain(name), plain(level))
        })
        .collect();
    if wanted.is_empty() && (status == 404 || message.contains("not accessible")) {
        return vec![needed];
    }
    wanted
}

/// The permission that a path needs, where GitHub does not name it.
fn permission_for(path: &str, writes: bool) -> String {
    let rooms: Vec<&str> = path.split(['/', '?']).skip(4).collect();
    let name = match rooms.as_slice() {
        ["deployments", ..] => "deployments",
        ["actions", ..] => "actions",
        ["check-runs", ..] | ["commits", _, "check-runs", ..] => "checks",
        ["commits", _, "status", ..] => "statuses",
        ["environments", ..] if writes => "administration",
        ["environments", ..] => "actions",
        ["issues", ..] => "issues",
        _ => "contents",
    };
    format!("{name}: {}", if writes { "write" } else { "read" })
}

/// The address of the next page in a `Link` header: `<https://…?page=2>; rel="next", <…>; rel="last"`.
fn next_of(links: &str) -> Option<String> {
    links.split(',').find_map(|link| {
        let (url, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
        let mut attributes = rest.split(';').map(str::trim);
        let is_next = attributes.any(|one| matches!(one, "rel=\"next\"" | "rel=next"));
        is_next.then(|| url.to_owned())
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn each_form_of_a_limit_names_its_wait() {
        let secs = |s| Some(Duration::from_secs(s));
        let after = headers(&[("retry-after", "7")]);
        assert_eq!(wait_of(403, &after, ""), secs(7));
        assert_eq!(wait_of(500, &after, ""), None);
        let past = headers(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1")]);
        assert_eq!(wait_of(429, &past, ""), secs(1));
        let none = HeaderMap::new();
        let said = "You have exceeded a secondary rate limit";
        assert_eq!(wait_of(403, &none, said), secs(60));
        assert_eq!(wait_of(403, &none, "Resource not accessible"), None);
    }

    fn needed() -> String {
        permission_for("/repos/shop/storefront/check-runs/7", false)
    }

    #[test]
    fn each_path_has_its_permission() {
        for (below, writes, wanted) in [
            ("deployments?per_page=30", false, "deployments: read"),
            ("deployments/7/statuses", true, "deployments: write"),
            ("actions/runs/7/approvals", false, "actions: read"),
            ("check-runs/7", false, "checks: read"),
            ("commits/c0ffee/check-runs?page=2", false, "checks: read"),
            ("commits/c0ffee/status?page=2", false, "statuses: read"),
            ("issues?state=open", false, "issues: read"),
            ("branches/main", false, "contents: read"),
            ("git/refs", true, "contents: write"),
        ] {
            let path = format!("/repos/shop/storefront/{below}");
            assert_eq!(permission_for(&path, writes), wanted);
        }
    }

    #[test]
    fn the_next_page_is_the_one_that_is_called_so() {
        let links = r#"<https://x/a?page=1>; rel="prev", <https://x/a?page=3>; rel="next""#;
        assert_eq!(next_of(links).as_deref(), Some("https://x/a?page=3"));
        assert_eq!(next_of(r#"<https://x/a?page=1>; rel="last""#), None);
        assert_eq!(next_of("nonsense, <"), None);
    }

    #[test]
    fn the_first_set_of_permissions_is_taken() {
        let both = headers(&[(
            "x-accepted-github-permissions",
            "deployments=write,contents=read; administration=write",
        )]);
        assert_eq!(
            permissions_of(403, &both, "", needed()),
            ["deployments: write", "contents: read"]
        );
        assert!(permissions_of(422, &both, "", needed()).is_empty());
        let said = "Resource not accessible by integration";
        assert_eq!(
            permissions_of(403, &HeaderMap::new(), said, needed()),
            ["checks: read"]
        );
        assert_eq!(
            permissions_of(404, &HeaderMap::new(), "Not Found", needed()),
            ["checks: read"]
        );
    }
}
