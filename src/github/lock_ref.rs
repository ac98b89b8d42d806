//! A ref that is changed only from what was seen: the place where an environment's lock is kept.
//!
//! The ref points to a commit whose message is the claim. Every change of it is a commit on top
//! of the one that was seen, and GitHub moves a ref without `force` only forwards: whoever was
//! slower is refused. So nobody overwrites or releases what somebody else has put there. The
//! commits have a tree of their own and are on no branch: nothing of them is ever checked out.
//!
//! Their times are GitHub's: leases are measured by one clock, whatever those of the runners say.

use std::sync::OnceLock;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::platform::http::Http;
use crate::platform::secret::Secret;

use super::client::Client;
use super::patience::patiently;
use super::{GithubError, Repository};

/// The only file of the tree: what who stumbles over it wants to know.
const README: &str = "\
The history of this ref is the lock of a deployment environment, written by Cutover.
Each commit's message says who has it and for how long. `cutover lock` shows it.
";

/// What a ref points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The commit's id.
    pub sha: String,
    /// Its message; `None` where it is no commit at all.
    pub message: Option<String>,
    /// When it was made, in seconds, by GitHub's clock.
    pub at: i64,
}

/// A commit that no ref points to yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loose {
    /// Its id.
    pub sha: String,
    /// When it was made, in seconds, by GitHub's clock.
    pub at: i64,
}

/// The ref of one environment.
pub struct LockRef {
    client: Client,
    /// Below `refs/`.
    name: String,
    tree: OnceLock<String>,
}

#[derive(Deserialize)]
struct Ref {
    object: Object,
}

#[derive(Deserialize)]
struct Object {
    #[serde(rename = "type")]
    kind: String,
    sha: String,
}

#[derive(Deserialize)]
struct Sha {
    sha: String,
}

#[derive(Deserialize)]
struct Commit {
    sha: String,
    #[serde(default)]
    message: String,
    tree: Sha,
    committer: Committer,
}

#[derive(Deserialize)]
struct Committer {
    date: Moment,
}

/// In seconds.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Moment(i64);

impl TryFrom<String> for Moment {
    type Error = jiff::Error;

    fn try_from(text: String) -> Result<Self, jiff::Error> {
        text.parse().map(|at: Timestamp| Self(at.as_second()))
    }
}

impl LockRef {
    /// The ref of an environment's lock. Must be called inside of a runtime.
    ///
    /// # Errors
    /// When no client can be made of these.
    pub fn new(
        http: &Http,
        token: &Secret,
        repository: &Repository,
        environment: &str,
    ) -> Result<Self, GithubError> {
        Ok(Self {
            client: Client::new(http, token, repository)?,
            name: format!("cutover/locks/{}", encoded(environment)),
            tree: OnceLock::new(),
        })
    }

    /// Its whole name.
    pub fn name(&self) -> String {
        format!("refs/{}", self.name)
    }

    /// The id of what it points to; `None` where there is no such ref.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn head(&self) -> Result<Option<String>, GithubError> {
        Ok(self.object().await?.map(|object| object.sha))
    }

    /// What it points to; `None` where there is no such ref.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn read(&self) -> Result<Option<Found>, GithubError> {
        let Some(object) = self.object().await? else {
            return Ok(None);
        };
        if object.kind != "commit" {
            return Ok(Some(Found {
                sha: object.sha,
                message: None,
                at: 0,
            }));
        }
        let what = "read the lock";
        let route = format!("/git/commits/{}", object.sha);
        let commit: Commit = patiently(what, || self.client.get(what, &route)).await?;
        let _ = self.tree.set(commit.tree.sha);
        Ok(Some(Found {
            sha: commit.sha,
            message: Some(commit.message),
            at: commit.committer.date.0,
        }))
    }

    /// Makes a commit on top of `over`. It changes nothing as long as the ref is not moved to it.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn draft(&self, over: Option<&str>, message: &str) -> Result<Loose, GithubError> {
        let what = "write the lock";
        let tree = self.tree().await?;
        let parents: Vec<&str> = over.into_iter().collect();
        let body = json!({ "message": message, "tree": tree, "parents": parents });
        let commit: Commit =
            patiently(what, || self.client.post(what, "/git/commits", &body)).await?;
        Ok(Loose {
            sha: commit.sha,
            at: commit.committer.date.0,
        })
    }

    /// Makes the ref point to `draft`: a new ref, or one that still points to the draft's parent.
    /// `false` where somebody else was faster. Asked once: after an unclear answer, read.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn place(&self, is_new: bool, draft: &str) -> Result<bool, GithubError> {
        let what = "take the lock";
        let placed: Result<Value, _> = if is_new {
            let body = json!({ "ref": self.name(), "sha": draft });
            self.client.post(what, "/git/refs", &body).await
        } else {
            let route = format!("/git/refs/{}", self.name);
            let body = json!({ "sha": draft, "force": false });
            self.client.patch(what, &route, &body).await
        };
        match placed {
            Ok(_) => Ok(true),
            Err(GithubError::Refused { status: 409, .. }) => Ok(false),
            Err(GithubError::Refused {
                status: 422, said, ..
            }) if is_a_race(&said) => Ok(false),
            Err(failed) => Err(failed),
        }
    }

    async fn object(&self) -> Result<Option<Object>, GithubError> {
        let what = "read the lock";
        let route = format!("/git/ref/{}", self.name);
        let found: Result<Ref, _> = patiently(what, || self.client.get(what, &route)).await;
        match found {
            Ok(found) => Ok(Some(found.object)),
            Err(GithubError::Refused { status: 404, .. }) => Ok(None),
            Err(failed) => Err(failed),
        }
    }

    /// The tree of our commits. A tree with the same content is the same tree, however often it
    /// is made.
    async fn tree(&self) -> Result<String, GithubError> {
        if let Some(known) = self.tree.get() {
            return Ok(known.clone());
        }
        let what = "write the lock";
        let file = json!({ "path": "README", "mode": "100644", "type": "blob", "content": README });
        let body = json!({ "tree": [file] });
        let made: Sha = patiently(what, || self.client.post(what, "/git/trees", &body)).await?;
        Ok(self.tree.get_or_init(|| made.sha).clone())
    }
}

/// What GitHub says to the slower one of two.
fn is_a_race(said: &str) -> bool {
    ["already exists", "not a fast forward", "does not exist"]
        .iter()
        .any(|words| said.contains(words))
}

/// An environment's name as a part of a ref: letters, digits and hyphens stay, any other byte is
/// its number, so that no two names come to be one.
fn encoded(environment: &str) -> String {
    let byte = |byte: u8| {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            char::from(byte).to_string()
        } else {
            format!("_{byte:02x}")
        }
    };
    environment.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_ref_of_its_own() {
        assert_eq!(encoded("eu-production"), "eu-production");
        assert_eq!(encoded("a/b.lock"), "a_2fb_2elock");
        assert_ne!(encoded("a_2f"), encoded("a/"));
        assert_eq!(encoded("ü"), "_c3_bc");
    }
}
