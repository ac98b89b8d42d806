//! What the headers of GitHub's answers say: how long to wait, which permission is missing, where the
//! next page is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::HeaderMap;

use crate::platform::text;

/// How long GitHub wants to be left alone: both of its limits answer 403 or 429.
pub(super) fn wait_of(status: u16, headers: &HeaderMap, message: &str) -> Option<Duration> {
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
pub(super) fn permissions_of(
    status: u16,
    headers: &HeaderMap,
    message: &str,
    needed: String,
) -> Vec<String> {
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

/// The address of the next page in a `Link` header: `<https://…?page=2>; rel="next", <…>; rel="last"`.
pub(super) fn next_of(links: &str) -> Option<String> {
    links.split(',').find_map(|link| {
        let (url, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
        let mut attributes = rest.split(';').map(str::trim);
        let is_next = attributes.any(|one| matches!(one, "rel=\"next\"" | "rel=next"));
        is_next.then(|| url.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::github::permission::permission_for;

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
