//! GitHub's API, as far as this program needs it: records of deployments, a ref that is a
//! lock, and what a commit and a run must have passed.
//!
//! A Deployment is a record and never the truth; the router is. Nothing here decides
//! anything, and whoever calls it must be able to go on without it. octocrab is known to
//! `client` only.

pub mod access;
mod adopt;
mod checks;
mod client;
pub mod comments;
pub mod deployments;
pub mod diary;
pub mod environments;
pub mod gates;
mod headers;
pub mod issues;
pub mod lock_ref;
mod mark;
mod patience;
mod permission;
pub mod record;
mod reviews;
pub mod standing;
mod stored_secrets;
pub mod survey;
pub mod week;

use std::time::Duration;

use crate::platform::retry::Again;

pub use adopt::Job;
pub use patience::LIMITS;

/// What to do where the version of the API is refused.
const TOO_NEW: &str =
    "this server does not speak version 2022-11-28 of GitHub's API; take a newer Cutover";

/// The repository whose records are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// The API's address, `GITHUB_API_URL`: `https://api.github.com`, or a server of one's own.
    pub api_url: String,
    /// The owner.
    pub owner: String,
    /// The name.
    pub name: String,
}

impl Repository {
    /// From `GITHUB_API_URL` and `GITHUB_REPOSITORY` (`owner/name`); `None` where that is not
    /// what the second one looks like.
    pub fn of(api_url: &str, repository: &str) -> Option<Self> {
        let (owner, name) = repository.split_once('/')?;
        let plain = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        (plain(owner) && plain(name)).then(|| Self {
            api_url: api_url.trim_end_matches('/').to_owned(),
            owner: owner.to_owned(),
            name: name.to_owned(),
        })
    }
}

/// Why GitHub did not do as it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GithubError {
    /// There was no answer. What was asked for may have been done.
    #[error("could not {what}: GitHub is out of reach: {said}")]
    OutOfReach {
        /// What was asked for: `create a deployment`.
        what: String,
        /// The cause.
        said: String,
    },
    /// The answer is no.
    #[error("could not {what}: GitHub answered {status} {said}")]
    Refused {
        /// What was asked for.
        what: String,
        /// The status code.
        status: u16,
        /// GitHub's own words, cut.
        said: String,
        /// The permissions that would do, as `deployments: write`; empty where that is not it.
        permissions: Vec<String>,
        /// How long GitHub wants to be left alone.
        wait: Option<Duration>,
    },
    /// A GitHub App is not let in.
    #[error("could not {what}: GitHub answered {status} {said}")]
    NoAccess {
        /// What was asked for.
        what: String,
        /// The status code.
        status: u16,
        /// GitHub's own words, cut.
        said: String,
    },
    /// The answer is yes and makes no sense.
    #[error("could not {what}: GitHub's answer makes no sense: {said}")]
    Unreadable {
        /// What was asked for.
        what: String,
        /// What is wrong with it.
        said: String,
    },
}

impl GithubError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        if let Self::NoAccess { status, .. } = self {
            let what = match status {
                401 => {
                    "see that `app-id` and `app-private-key` are of one App, and that this machine's clock is right"
                }
                _ => {
                    "install the App on this repository, with its permissions for deployments, contents, actions and checks"
                }
            };
            return Some(what.to_owned());
        }
        let Self::Refused {
            status,
            said,
            permissions,
            ..
        } = self
        else {
            return None;
        };
        let give =
            |wanted: &[String]| format!("give the job `permissions: {{ {} }}`", wanted.join(", "));
        match (status, permissions.as_slice()) {
            (401, _) => Some("the token is not valid, or no longer".to_owned()),
            (410, _) => Some(TOO_NEW.to_owned()),
            (400, _) if said.to_lowercase().contains("version") => Some(TOO_NEW.to_owned()),
            (_, []) => None,
            // GitHub does not tell strangers what it has.
            (404, wanted) => Some(format!(
                "it is not there, or the token may not see it; then {}",
                give(wanted)
            )),
            (_, wanted) => Some(format!(
                "{}; the workflow of a fork's pull request cannot have it",
                give(wanted)
            )),
        }
    }

    /// The error and its hint, on one line.
    pub fn told(&self) -> String {
        match self.hint() {
            Some(hint) => format!("{self}; {hint}"),
            None => self.to_string(),
        }
    }

    /// Whether what was asked for may have been done nevertheless.
    pub const fn is_unclear(&self) -> bool {
        match self {
            Self::OutOfReach { .. } | Self::Unreadable { .. } => true,
            Self::Refused { status, .. } => *status >= 500,
            Self::NoAccess { .. } => false,
        }
    }

    /// Whether the same request may go well a little later.
    const fn again(&self) -> Again {
        match self {
            Self::Refused {
                wait: Some(wait), ..
            } => Again::After(*wait),
            Self::Refused { status, .. } if *status < 500 => Again::No,
            Self::NoAccess { .. } => Again::No,
            Self::OutOfReach { .. } | Self::Refused { .. } | Self::Unreadable { .. } => Again::Yes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_depends_on_the_answer() {
        let hint = |status, said: &str, permissions: &[&str]| {
            let refused = GithubError::Refused {
                what: "list the deployments".into(),
                status,
                said: said.into(),
                permissions: permissions.iter().map(|&one| one.to_owned()).collect(),
                wait: None,
            };
            refused.hint().unwrap_or_default()
        };
        assert!(hint(410, "Gone", &[]).contains("2022-11-28"));
        assert!(hint(400, "Unknown API version", &[]).contains("2022-11-28"));
        assert_eq!(hint(400, "Problems parsing JSON", &[]), "");
        assert_eq!(
            hint(404, "Not Found", &["checks: read"]),
            "it is not there, or the token may not see it; then give the job `permissions: { checks: read }`"
        );
        assert!(hint(403, "no", &["a: read", "b: write"]).contains("{ a: read, b: write }"));
    }

    #[test]
    fn a_repository_has_an_owner_and_a_name() {
        let found = Repository::of("https://ghe.example/api/v3/", "shop/store-front.v2");
        assert_eq!(
            found,
            Some(Repository {
                api_url: "https://ghe.example/api/v3".into(),
                owner: "shop".into(),
                name: "store-front.v2".into(),
            })
        );
        for wrong in ["", "shop", "shop/", "/x", "a/b/c", "a/b?c", "a/ü"] {
            assert_eq!(
                Repository::of("https://api.github.com", wrong),
                None,
                "{wrong}"
            );
        }
    }
}
