//! A webhook: a URL that is itself the secret, and a POST of JSON to it.
//!
//! What all channels have in common lives here: the URL is never quoted, not even where the
//! other side quotes it back; a channel that asks to wait is asked once more, if the wait is
//! short. What the JSON says, and which answer is a yes, is each channel's own matter.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::Value;
use url::Url;

use crate::model::severity::Severity;
use crate::platform::http::{Answer, Http, Look, Manner};
use crate::platform::secret::{Secret, Vault};
use crate::platform::text;

use super::NotifyError;

/// For one request, to the end of its answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The longest wait that a channel may ask for. With the second request after it, telling
/// people takes about ten seconds at most.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Parts of a URL's path that are shorter than this are words, not secrets.
const SHORTEST_PART: usize = 8;

/// A webhook's address and what must not be said about it.
pub(super) struct Hook {
    url: Url,
    http: Http,
    headers: HeaderMap,
    vault: Vault,
}

impl Hook {
    /// A hook at a URL, or what is wrong with it; the URL itself is not quoted.
    pub(super) fn at(key: &str, url: &Secret, http: &Http) -> Result<Self, String> {
        let vault = Vault::default();
        let written = url.expose().trim();
        let url = Url::parse(written)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| format!("{key}: the secret is not a URL; https://... is wanted"))?;
        vault.keep(written);
        vault.keep(url.as_str());
        vault.keep_user_info(written);
        let path = url.path();
        if path.len() > 1 {
            vault.keep(path);
        }
        let pairs = url.query_pairs().map(|(_, value)| value.into_owned());
        path.split('/')
            .map(ToOwned::to_owned)
            .chain(pairs)
            .filter(|part| part.len() >= SHORTEST_PART)
            .for_each(|part| {
                vault.keep(&part);
            });
        Ok(Self {
            url,
            http: http.clone(),
            headers: HeaderMap::from_iter([(
                CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            )]),
            vault,
        })
    }

    /// The same hook with headers of its own, whose values are secrets too.
    pub(super) fn with(mut self, headers: HeaderMap) -> Self {
        for value in headers.values() {
            if let Ok(text) = value.to_str() {
                self.vault.keep(text);
            }
        }
        self.headers.extend(headers);
        self
    }

    /// Posts `body`. Where the answer is 429 and names a short wait, posts it once more.
    pub(super) async fn post(&self, body: &Value) -> Result<Answer, NotifyError> {
        let answer = self.once(body).await?;
        if answer.status != 429 {
            return Ok(answer);
        }
        let wait = wait_of(&answer).unwrap_or(Duration::from_secs(1));
        if wait > LONGEST_WAIT {
            return Err(NotifyError::Refused(format!(
                "429, and it asks to wait {}; {} is the longest wait here",
                text::duration(wait),
                text::duration(LONGEST_WAIT)
            )));
        }
        tokio::time::sleep(wait).await;
        self.once(body).await
    }

    async fn once(&self, body: &Value) -> Result<Answer, NotifyError> {
        let look = Look {
            method: Method::POST,
            url: self.url.clone(),
            headers: self.headers.clone(),
            body: Some(body.to_string().into_bytes()),
            timeout: TIMEOUT,
            manner: Manner::API,
        };
        self.http
            .look(&look)
            .await
            .map_err(|failed| NotifyError::OutOfReach(self.clean(&failed.to_string())))
    }

    /// A refusal in the words of the other side: `404 no_service`.
    pub(super) fn refused(&self, status: u16, said: &str) -> NotifyError {
        let said = self.clean(said);
        NotifyError::Refused(format!("{status} {said}").trim_end().to_owned())
    }

    /// What a stranger said, on one line and without a word of the URL.
    fn clean(&self, said: &str) -> String {
        text::excerpt(&self.vault.redact(said), 200)
    }
}

/// How long to wait, by the header (Slack and most others) or by the body (Discord, with
/// fractions of a second).
fn wait_of(answer: &Answer) -> Option<Duration> {
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let seconds = body
        .as_ref()
        .and_then(|body| body.get("retry_after")?.as_f64())
        .or_else(|| answer.header("retry-after")?.trim().parse().ok())?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// The colour of a message's bar, as `0xRRGGBB`.
pub(super) const fn colour(severity: Severity) -> u32 {
    match severity {
        Severity::Info => 0x002D_A44E,
        Severity::Warning => 0x00D2_9922,
        Severity::Critical => 0x00CF_222E,
    }
}

/// `text` with some characters replaced, cut so that it has at most `max` UTF-16 units (which
/// is how the strictest of the channels count) and no replacement is cut in half.
pub(super) fn within(
    text: &str,
    max: usize,
    replace: impl Fn(char) -> Option<&'static str>,
) -> String {
    let mut out = String::new();
    let mut length = 0;
    // Where to cut if it turns out to be too long: one unit is kept for the `…`.
    let mut room = 0;
    for c in text.trim().chars() {
        let mut own = [0; 4];
        let piece = replace(c).unwrap_or_else(|| c.encode_utf8(&mut own));
        length += units(piece);
        if length > max {
            out.truncate(room);
            out.push('…');
            break;
        }
        out.push_str(piece);
        if length < max {
            room = out.len();
        }
    }
    out
}

/// The length of a text as the channels count it.
pub(super) fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_never_halves_a_replacement() {
        let amp = |c| (c == '&').then_some("&amp;");
        assert_eq!(within("a&b", 7, amp), "a&amp;b");
        assert_eq!(within("a&b", 6, amp), "a…");
        assert_eq!(within("a&bc", 7, amp), "a&amp;…");
        assert_eq!(within("abc", 3, |_| None), "abc");
        assert_eq!(
            within("a🚀b", 3, |_| None),
            "a…",
            "a rocket counts as two units"
        );
    }

    #[test]
    fn no_part_of_the_url_is_quoted() {
        let secret =
            Secret::new("https://hooks.example.com/services/T000/B000/s3cr3tpart?key=s3cr3tkey1");
        let hook = Hook::at("webhook", &secret, &Http::default()).unwrap();
        let said = hook.refused(
            404,
            "cannot POST /services/T000/B000/s3cr3tpart (s3cr3tkey1) at https://hooks.example.com/services/T000/B000/s3cr3tpart?key=s3cr3tkey1",
        );
        assert_eq!(
            said.to_string(),
            "refused: 404 cannot POST *** (***) at ***"
        );
    }

    #[test]
    fn what_is_not_a_url_is_refused_without_being_quoted() {
        for wrong in ["", "hooks.slack.com/services/x", "file:///etc/passwd"] {
            let said = Hook::at("webhook", &Secret::new(wrong), &Http::default())
                .err()
                .unwrap();
            assert!(wrong.is_empty() || !said.contains(wrong), "{said}");
        }
    }
}
