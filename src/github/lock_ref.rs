//! A ref that is changed only from what was seen: the place where an environment's lock is kept.
//!
//! The ref points to a commit whose message is the claim. Every change of it is a commit on top
//! of the one that was seen, and GitHub moves a ref without `force` only forwards: whoever was
//! slower is refused. So nobody overwrites or releases what somebody else has put there. The
//! commits have a tree of their own and are on no branch: nothing of them is ever checked out.
//!
//! A second ref beside it follows: it points to the last claim that was given up. Where both are
//! at the same commit the lock is free, which one question tells. A claim is given up by its
//! id, so that a renewal that comes late does not bring it back.
//!
//! Their times are GitHub's: leases are measured by one clock, whatever those of the runners say.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

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

/// The id that Git gives to a tree with that file.
const TREE: &str = "124c6c15f3bcc2b8c9b1df2cf2b7ab5f40b736ad";

/// What the name of the second ref ends with.
const GIVEN_UP: &str = ".free";

/// Where the two refs point to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tips {
    /// The commit of the last claim.
    pub sha: String,
    /// Whether it is a commit at all.
    is_commit: bool,
    /// The commit of the last claim that was given up.
    pub given_up: Option<String>,
}

impl Tips {
    /// Whether nothing came after the claim that was given up.
    pub fn is_free(&self) -> bool {
        self.given_up.as_ref() == Some(&self.sha)
    }
}

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
    seen: Mutex<Memory>,
}

/// What need not be asked for again.
#[derive(Default)]
struct Memory {
    commits: BTreeMap<String, Found>,
    /// Where the second ref pointed to when it was last looked at,
    given_up: Option<String>,
    /// and before anything was written from here.
    before: Option<Option<String>>,
}

#[derive(Deserialize)]
struct Ref {
    #[serde(rename = "ref")]
    name: String,
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
            seen: Mutex::default(),
        })
    }

    /// Its whole name.
    pub fn name(&self) -> String {
        format!("refs/{}", self.name)
    }

    /// Where it and the one beside it point to; `None` where there is no such ref.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn tips(&self) -> Result<Option<Tips>, GithubError> {
        let what = "read the lock";
        let route = format!("/git/matching-refs/{}", self.name);
        let found: Vec<Ref> = patiently(what, || self.client.get(what, &route)).await?;
        let (mut claim, mut given_up) = (None, None);
        for one in found {
            match one.name.strip_prefix(&self.name()) {
                Some("") => claim = Some(one.object),
                Some(GIVEN_UP) => given_up = Some(one.object.sha),
                // Those of other environments whose names begin in the same way.
                _ => {}
            }
        }
        self.seen().given_up.clone_from(&given_up);
        Ok(claim.map(|object| Tips {
            is_commit: object.kind == "commit",
            sha: object.sha,
            given_up,
        }))
    }

    /// What it points to.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn read(&self, tips: &Tips) -> Result<Found, GithubError> {
        if !tips.is_commit {
            return Ok(Found {
                sha: tips.sha.clone(),
                message: None,
                at: 0,
            });
        }
        self.commit(&tips.sha).await
    }

    /// A commit of its history. Nobody is asked twice for the same one.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn commit(&self, sha: &str) -> Result<Found, GithubError> {
        if let Some(known) = self.seen().commits.get(sha) {
            return Ok(known.clone());
        }
        let what = "read the lock";
        let route = format!("/git/commits/{sha}");
        let commit: Commit = patiently(what, || self.client.get(what, &route)).await?;
        Ok(self.keep(commit))
    }

    /// Makes a commit on top of `over`. It changes nothing as long as the ref is not moved to it.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn draft(&self, over: Option<&str>, message: &str) -> Result<Loose, GithubError> {
        {
            let mut seen = self.seen();
            if seen.before.is_none() {
                seen.before = Some(seen.given_up.clone());
            }
        }
        let parents: Vec<&str> = over.into_iter().collect();
        // Where there is a claim, there is the tree of claims.
        let known = match over {
            Some(_) => self.make(message, TREE, &parents).await.map(Some),
            None => Ok(None),
        };
        let made = match known {
            Ok(Some(made)) => made,
            Ok(None) | Err(GithubError::Refused { status: 422, .. }) => {
                let tree = self.tree().await?;
                self.make(message, &tree, &parents).await?
            }
            Err(failed) => return Err(failed),
        };
        let found = self.keep(made);
        Ok(Loose {
            sha: found.sha,
            at: found.at,
        })
    }

    /// Whether a claim was given up before anything was written from here, so that it is not the
    /// one that was written then.
    pub fn is_of_others(&self, given_up: &str) -> bool {
        let seen = self.seen();
        let before = seen.before.as_ref().and_then(Option::as_deref);
        before == Some(given_up)
    }

    async fn make(
        &self,
        message: &str,
        tree: &str,
        parents: &[&str],
    ) -> Result<Commit, GithubError> {
        let what = "write the lock";
        let body = json!({ "message": message, "tree": tree, "parents": parents });
        patiently(what, || self.client.post(what, "/git/commits", &body)).await
    }

    /// Makes the second ref point to a claim of ours: it is given up. `false` where it points to
    /// a later one or to another history.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn give_up(&self, sha: &str) -> Result<bool, GithubError> {
        let what = "release the lock";
        let name = format!("{}{GIVEN_UP}", self.name);
        let route = format!("/git/refs/{name}");
        let body = json!({ "sha": sha, "force": false });
        if self.seen().given_up.is_none() {
            let new = json!({ "ref": format!("refs/{name}"), "sha": sha });
            let made: Result<Value, _> = self.client.post(what, "/git/refs", &new).await;
            if unless_late(made)? {
                return Ok(true);
            }
        }
        let moved: Result<Value, _> = self.client.patch(what, &route, &body).await;
        unless_late(moved)
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
        unless_late(placed)
    }

    /// The tree of our commits. A tree with the same content is the same tree, however often it
    /// is made.
    async fn tree(&self) -> Result<String, GithubError> {
        let what = "write the lock";
        let file = json!({ "path": "README", "mode": "100644", "type": "blob", "content": README });
        let body = json!({ "tree": [file] });
        let made: Sha = patiently(what, || self.client.post(what, "/git/trees", &body)).await?;
        Ok(made.sha)
    }

    fn keep(&self, commit: Commit) -> Found {
        let found = Found {
            sha: commit.sha,
            message: Some(commit.message),
            at: commit.committer.date.0,
        };
        self.seen().commits.insert(found.sha.clone(), found.clone());
        found
    }

    fn seen(&self) -> MutexGuard<'_, Memory> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `false` where somebody else was faster.
fn unless_late(moved: Result<Value, GithubError>) -> Result<bool, GithubError> {
    match moved {
        Ok(_) => Ok(true),
        Err(GithubError::Refused { status: 409, .. }) => Ok(false),
        Err(GithubError::Refused {
            status: 422, said, ..
        }) if is_a_race(&said) => Ok(false),
        Err(failed) => Err(failed),
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
