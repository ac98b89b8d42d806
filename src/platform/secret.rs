//! Secrets: a type that cannot be printed, and the one place that takes them out of text.
//!
//! Every value that is a secret is registered in a [`Vault`] when it is first seen. Everything
//! that leaves the process as text (log, summary, outputs, messages) goes through
//! [`Vault::redact`] on its way out, so an error that quotes a secret is still safe.
//! This module does not talk to the runner; `actions::commands` emits the masks.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// What stands where a secret was.
pub const MASK: &str = "***";

/// The shortest value that is masked. Shorter ones (`a`, `on`, `443`) would blank out half of
/// a log and hide nothing that could not be guessed.
pub const SHORTEST: usize = 4;

/// A secret value. `Debug` and `Display` print [`MASK`]; only [`Secret::expose`] reveals it.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(SecretString::from(value.into()))
    }

    /// The value itself, for the one call that has to send it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl schemars::JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A secret; write it as `${NAME}` so that it stays out of the file."
        })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// All secrets known to this process. Cheap to clone; all clones share one list.
#[derive(Clone, Default)]
pub struct Vault {
    known: Arc<RwLock<Vec<String>>>,
}

impl Vault {
    /// Registers a value and the forms in which it may turn up: each of its lines, its
    /// percent-encoding, its JSON escape and its base64.
    /// Returns whether it was new and long enough to be masked (see [`SHORTEST`]).
    pub fn keep(&self, value: &str) -> bool {
        let value = value.trim();
        if value.len() < SHORTEST {
            return false;
        }
        let mut forms = vec![value.to_owned()];
        forms.extend(value.lines().map(|line| line.trim().to_owned()));
        forms.extend(in_urls(value));
        forms.push(STANDARD_NO_PAD.encode(value));
        forms.push(URL_SAFE_NO_PAD.encode(value));
        let json = serde_json::Value::from(value).to_string();
        forms.push(json.trim_matches('"').to_owned());
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let fresh = !known.iter().any(|one| one == value);
        for form in forms {
            if form.len() >= SHORTEST && !known.contains(&form) {
                known.push(form);
            }
        }
        // The longest first: a secret that contains another one must not be cut in half.
        known.sort_by_key(|one| std::cmp::Reverse(one.len()));
        fresh
    }

    /// Registers the user-info of a URL (`https://user:pass@host`): the password, and the
    /// user where there is no password, for that is then a token. A text that is not a URL has none.
    pub fn keep_user_info(&self, text: &str) {
        let Ok(url) = url::Url::parse(text) else {
            return;
        };
        // The parsed form is percent-encoded; people also write, and logs also show, the raw one.
        let kept = url.password().unwrap_or_else(|| url.username());
        self.keep(kept);
        self.keep(&decoded(kept));
        if let Some(password) = url.password() {
            // As it is sent: `Authorization: Basic …`.
            let pair = format!("{}:{}", decoded(url.username()), decoded(password));
            self.keep(&STANDARD_NO_PAD.encode(pair));
        }
        let raw = text
            .split_once("://")
            .and_then(|(_, rest)| rest.split(['/', '?', '#']).next())
            .and_then(|authority| authority.rsplit_once('@'))
            .map(|(info, _)| info.split_once(':').map_or(info, |(_, password)| password));
        if let Some(raw) = raw {
            self.keep(raw);
        }
    }

    /// Registers a URL that is itself a secret, such as a webhook's: whoever has it can post. Its
    /// path is one too, and so is a part of it that looks made up; words in it are none.
    pub fn keep_address(&self, text: &str) {
        let Ok(url) = url::Url::parse(text.trim()) else {
            return;
        };
        self.keep(text);
        self.keep(url.as_str());
        self.keep_user_info(text.trim());
        self.keep(url.path());
        let values = url.query_pairs().map(|(_, value)| value.into_owned());
        let parts = url.path().split('/').map(ToOwned::to_owned).chain(values);
        let made_up = |part: &String| {
            part.len() >= 8 && part.contains(|c: char| c.is_ascii_digit() || c.is_ascii_uppercase())
        };
        for part in parts.filter(made_up) {
            self.keep(&part);
        }
    }

    /// `text` with every known secret replaced by [`MASK`].
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut clean = Cow::Borrowed(text);
        for secret in known.iter() {
            if clean.contains(secret.as_str()) {
                clean = Cow::Owned(clean.replace(secret.as_str(), MASK));
            }
        }
        clean
    }

    /// The registered values, longest first, for the runner's own masks.
    pub fn values(&self) -> Vec<String> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.clone()
    }
}

/// The forms that a value has in a URL: by the letter, and as each part of a URL writes it.
fn in_urls(value: &str) -> Vec<String> {
    let mut strictly = String::new();
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            strictly.push(char::from(byte));
        } else {
            strictly.push_str(&format!("%{byte:02X}"));
        }
    }
    let mut forms = vec![
        url::form_urlencoded::byte_serialize(value.as_bytes()).collect(),
        strictly,
    ];
    if let Ok(mut url) = url::Url::parse("http://host/") {
        url.set_path(value);
        forms.push(url.path().trim_start_matches('/').to_owned());
        url.set_query(Some(value));
        forms.extend(url.query().map(ToOwned::to_owned));
        // This URL can have a password, so it never fails.
        let _ = url.set_password(Some(value));
        forms.extend(url.password().map(ToOwned::to_owned));
    }
    // No escape is shorter. What is was understood as something else, such as `..` in a path.
    forms.retain(|form| form.len() >= value.len());
    forms
}

/// A part of a URL with its escapes taken back.
fn decoded(text: &str) -> String {
    let pair = format!("x={}", text.replace('+', "%2B").replace('&', "%26"));
    let mut pairs = url::form_urlencoded::parse(pair.as_bytes());
    pairs
        .next()
        .map_or_else(String::new, |(_, value)| value.into_owned())
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        write!(f, "Vault({} secrets)", known.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_cannot_be_printed() {
        let secret = Secret::new("hunter22");
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
    }

    #[test]
    fn every_form_of_a_secret_is_taken_out() {
        let vault = Vault::default();
        assert!(vault.keep("p@ss w\"rd\nsecond line"));
        assert!(!vault.keep("p@ss w\"rd\nsecond line"), "it is known by now");
        for form in [
            "p@ss w\"rd",
            "second line",
            "p%40ss+w%22rd%0Asecond+line",
            "p%40ss%20w%22rd%0Asecond%20line",
            "p@ss w\\\"rd\\nsecond line",
        ] {
            assert_eq!(vault.redact(&format!("<{form}>")), "<***>", "{form}");
        }
    }

    #[test]
    fn short_values_are_left_alone() {
        let vault = Vault::default();
        assert!(!vault.keep("abc"));
        assert_eq!(vault.redact("abc"), "abc");
    }

    #[test]
    fn the_longer_of_two_nested_secrets_goes_first() {
        let vault = Vault::default();
        vault.keep("token");
        vault.keep("token-with-more");
        assert_eq!(vault.redact("x token-with-more"), "x ***");
    }

    #[test]
    fn an_address_to_post_to_is_a_secret_and_its_words_are_none() {
        let vault = Vault::default();
        vault.keep_address("https://hooks.slack.com/services/T00/B00/s3cr3tPart?wait=k3yk3yk3y");
        assert_eq!(
            vault.redact("/services/T00/B00/s3cr3tPart s3cr3tPart k3yk3yk3y services true"),
            "*** *** *** services true"
        );
    }

    #[test]
    fn the_password_of_a_url_is_a_secret() {
        let vault = Vault::default();
        vault.keep_user_info("https://me:s3c/r3t@host/x");
        vault.keep_user_info("https://me:pa%20ss@host/x");
        assert_eq!(
            vault.redact("pa%20ss, pa ss, bWU6cGEgc3M="),
            "***, ***, ***="
        );
        vault.keep_user_info("https://tokentoken@host/x");
        assert_eq!(vault.redact("by tokentoken"), "by ***");
    }
}
