//! A webhook: a URL, often itself the secret, and JSON that is sent to it.
//!
//! What all channels have in common lives here: no secret is quoted, not even where the other
//! side quotes it back; a channel that asks to wait is asked once more, if the wait is short;
//! what may have arrived is repeated only where that cannot make a second thing. What the JSON
//! says, and which answer is a yes, is each channel's own matter.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use url::Url;

use crate::model::news::{News, Outcome};
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

/// The longest link that is shown as one.
const LINK: usize = 2048;

/// Before a request that failed at the other side is made again.
const BETWEEN: Duration = Duration::from_millis(500);

/// Parts of a URL's path that are shorter than this are words, not secrets.
const SHORTEST_PART: usize = 8;

/// Whether a request may be made again that failed at the other side, or got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// No: it may have arrived, and a second one would be a second message.
    Never,
    /// Once: the other side tells by a key or an id that it is the same.
    Once,
}

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
        Ok(Self::with_vault(url, http, vault))
    }

    /// A hook at an address that is no secret.
    pub(super) fn to(url: Url, http: &Http) -> Self {
        let vault = Vault::default();
        vault.keep_user_info(url.as_str());
        Self::with_vault(url, http, vault)
    }

    fn with_vault(url: Url, http: &Http, vault: Vault) -> Self {
        Self {
            url,
            http: http.clone(),
            headers: HeaderMap::from_iter([(
                CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            )]),
            vault,
        }
    }

    /// The same hook, which does not say `secret` either.
    pub(super) fn keeping(self, secret: &Secret) -> Self {
        self.vault.keep(secret.expose());
        self
    }

    /// Its address.
    pub(super) const fn url(&self) -> &Url {
        &self.url
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
        self.send(Method::POST, &self.url, body, Repeat::Never)
            .await
    }

    /// Sends `body` to an address of the same channel, and once more where the answer is 429 with
    /// a short wait, or where `repeat` allows it.
    pub(super) async fn send(
        &self,
        method: Method,
        url: &Url,
        body: &Value,
        repeat: Repeat,
    ) -> Result<Answer, NotifyError> {
        let look = Look {
            method,
            url: url.clone(),
            headers: self.headers.clone(),
            body: Some(body.to_string().into_bytes()),
            timeout: TIMEOUT,
            manner: Manner::API,
        };
        let wait = match self.once(&look).await {
            Ok(answer) if answer.status == 429 => {
                let wait = wait_of(&answer).unwrap_or(Duration::from_secs(1));
                if wait > LONGEST_WAIT {
                    return Err(NotifyError::Refused(format!(
                        "429, and it asks to wait {}; {} is the longest wait here",
                        text::duration(wait),
                        text::duration(LONGEST_WAIT)
                    )));
                }
                wait
            }
            Ok(answer) if answer.status >= 500 && repeat == Repeat::Once => BETWEEN,
            Err(_) if repeat == Repeat::Once => BETWEEN,
            answered => return answered,
        };
        tokio::time::sleep(wait).await;
        self.once(&look).await
    }

    async fn once(&self, look: &Look) -> Result<Answer, NotifyError> {
        self.http
            .look(look)
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

/// How long to wait, by the body (Discord, with fractions of a second), by the usual header, or
/// by Datadog's.
fn wait_of(answer: &Answer) -> Option<Duration> {
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let seconds = body
        .as_ref()
        .and_then(|body| body.get("retry_after")?.as_f64())
        .or_else(|| answer.header("retry-after")?.trim().parse().ok())
        .or_else(|| answer.header("x-ratelimit-reset")?.trim().parse().ok())?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// A header whose value is a secret.
pub(super) fn secret_header(key: &str, name: HeaderName, value: &str) -> Result<HeaderMap, String> {
    let mut value = HeaderValue::from_str(value)
        .ok()
        .filter(|value| !value.is_empty())
        .ok_or_else(|| {
            format!("{key}: the value is empty or has characters that a header cannot")
        })?;
    value.set_sensitive(true);
    Ok(HeaderMap::from_iter([(name, value)]))
}

/// The colour of a message's bar, as `0xRRGGBB`.
pub(super) const fn colour(news: &News) -> u32 {
    match (news.outcome, news.severity) {
        (_, Severity::Critical) => 0x00CF_222E,
        (_, Severity::Warning) => 0x00D2_9922,
        (Outcome::Underway, _) => 0x0009_69DA,
        (Outcome::Cancelled, _) => 0x006E_7781,
        _ => 0x002D_A44E,
    }
}

/// The title on one line, which no channel wants to be empty.
pub(super) fn title(news: &News, max: usize) -> String {
    match within(&text::excerpt(&news.title, max), max, |_| None) {
        empty if empty.is_empty() => "cutover".to_owned(),
        title => title,
    }
}

/// The page of the run, if that is a link.
pub(super) fn run_link(news: &News) -> Option<&str> {
    news.run_url.as_deref().filter(|text| {
        Url::parse(text)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && text.len() <= LINK)
    })
}

/// The ids of the messages that were sent, by their threads.
pub(super) type Known = Mutex<BTreeMap<String, String>>;

/// The id that a thread's message has, if it was sent before.
pub(super) fn known(ids: &Known, news: &News) -> Option<String> {
    let ids = ids.lock().unwrap_or_else(PoisonError::into_inner);
    ids.get(news.thread.as_ref()?).cloned()
}

/// Keeps the id of a thread's message, for the next one of the thread.
pub(super) fn keep_id(ids: &Known, news: &News, id: Option<&str>) {
    if let (Some(thread), Some(id)) = (&news.thread, id) {
        let mut ids = ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.insert(thread.clone(), id.to_owned());
    }
}

/// Whether the last word of an edited message should also be a new one: nobody is called by an
/// edit.
pub(super) fn calls_somebody(news: &News) -> bool {
    news.outcome != Outcome::Underway && news.severity > Severity::Info
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
