//! A release, and how an answer says which one it is.
//!
//! The mark is looked for in an answer that somebody else fetched; this file reads, it does
//! not ask.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::platform::text;

/// A version as the application itself names it: a commit SHA, a tag, a build number.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Release(String);

impl Release {
    /// A release by its name; surrounding white space is not part of it.
    pub fn new(version: impl AsRef<str>) -> Self {
        Self(version.as_ref().trim().to_owned())
    }

    /// The name in full.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `other` names the same release. A commit SHA may be shortened to seven
    /// characters or more on either side; anything else must be equal.
    pub fn is(&self, other: &Self) -> bool {
        let (short, long) = if self.0.len() <= other.0.len() {
            (&self.0, &other.0)
        } else {
            (&other.0, &self.0)
        };
        let sha = |s: &str| s.bytes().all(|b| b.is_ascii_hexdigit());
        short == long
            || (long.len() == 40
                && short.len() >= 7
                && sha(long)
                && sha(short)
                && long.starts_with(short.as_str()))
    }
}

impl fmt::Display for Release {
    /// Short enough for a line: a full commit SHA is cut to seven characters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(text::short_sha(&self.0))
    }
}

/// How an answer says which release it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Mark {
    /// A response header.
    Header {
        /// The header's name, such as `X-Release`.
        name: String,
        /// The path to ask; choose one that nothing caches.
        #[serde(default = "root")]
        path: String,
    },
    /// A field of a JSON body.
    Json {
        /// The path to ask.
        path: String,
        /// The field, dotted: `build.version`; numbers index lists.
        field: String,
    },
    /// A text body.
    Text {
        /// The path to ask.
        path: String,
        /// A regular expression; its first group is the release, or the whole match where it
        /// has none. Without it the whole body is.
        pattern: Option<String>,
    },
}

fn root() -> String {
    "/".to_owned()
}

impl Mark {
    /// The path to ask on the public URL and on a slot's own.
    pub fn path(&self) -> &str {
        match self {
            Self::Header { path, .. } | Self::Json { path, .. } | Self::Text { path, .. } => path,
        }
    }

    /// What to look at, for a message: `header X-Release of /`.
    pub fn told(&self) -> String {
        match self {
            Self::Header { name, path } => format!("header {name} of {path}"),
            Self::Json { path, field } => format!("field {field} of {path}"),
            Self::Text { path, .. } => format!("the text of {path}"),
        }
    }

    /// Reads the release out of an answer; `None` where the answer does not say. A whole body
    /// counts only where the status is good and the body is one line: a page is no name.
    pub fn read<'a>(
        &self,
        status: u16,
        header: impl Fn(&str) -> Option<&'a str>,
        body: &[u8],
    ) -> Option<Release> {
        let found = match self {
            Self::Header { name, .. } => header(name)?.to_owned(),
            Self::Json { field, .. } => {
                let json: serde_json::Value = serde_json::from_slice(body).ok()?;
                match field_of(&json, field)? {
                    serde_json::Value::String(text) => text.clone(),
                    serde_json::Value::Number(number) => number.to_string(),
                    _ => return None,
                }
            }
            Self::Text { pattern, .. } => {
                let body = String::from_utf8_lossy(body);
                match pattern {
                    None if !(200..300).contains(&status) => return None,
                    None if body.trim().contains('\n') => return None,
                    None => text::excerpt(&body, 200),
                    Some(pattern) => {
                        let found = regex_lite::Regex::new(pattern).ok()?.captures(&body)?;
                        found.get(1).or_else(|| found.get(0))?.as_str().to_owned()
                    }
                }
            }
        };
        let release = Release::new(found);
        (!release.0.is_empty()).then_some(release)
    }
}

/// The part of `json` that a dotted path names: `.checks.database`, `items.0.id`; `.` is the whole.
pub fn field_of<'a>(json: &'a serde_json::Value, path: &str) -> Option<&'a serde_json::Value> {
    path.split('.')
        .filter(|part| !part.is_empty())
        .try_fold(json, |at, part| match at {
            serde_json::Value::Array(items) => items.get(part.parse::<usize>().ok()?),
            other => other.get(part),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortened_sha_is_the_same_release() {
        let full = Release::new("4f2a9c1d5e6f708192a3b4c5d6e7f8091a2b3c4d");
        assert!(full.is(&Release::new("4f2a9c1")));
        assert!(Release::new("4f2a9c1d").is(&full));
        assert!(
            !full.is(&Release::new("4f2a9c")),
            "six characters are too few"
        );
        assert!(!Release::new("1.2.30").is(&Release::new("1.2.3")));
        assert_eq!(full.to_string(), "4f2a9c1");
    }

    #[test]
    fn each_mark_reads_its_own_place() {
        let none = |_: &str| None;
        let header = Mark::Header {
            name: "X-Release".into(),
            path: "/".into(),
        };
        assert_eq!(
            header.read(200, |_| Some(" v1 "), b""),
            Some(Release::new("v1"))
        );
        assert_eq!(header.read(200, none, b"v1"), None);
        let json = Mark::Json {
            path: "/".into(),
            field: "build.0.version".into(),
        };
        assert_eq!(
            json.read(200, none, br#"{"build":[{"version":7}]}"#),
            Some(Release::new("7"))
        );
        assert_eq!(json.read(200, none, b"<html>"), None);
        let text = Mark::Text {
            path: "/".into(),
            pattern: Some(r"release: (\S+)".into()),
        };
        assert_eq!(
            text.read(200, none, b"app\nrelease: v9\n"),
            Some(Release::new("v9"))
        );
        assert_eq!(text.read(200, none, b"nothing"), None);
        let whole = Mark::Text {
            path: "/".into(),
            pattern: None,
        };
        assert_eq!(whole.read(200, none, b"v9\n"), Some(Release::new("v9")));
        assert_eq!(whole.read(404, none, b"not found\n"), None);
        assert_eq!(whole.read(200, none, b"<html>\n</html>"), None);
    }
}
