//! Comments on pull requests and issues, which are the same thing to GitHub.
//!
//! A comment with a marker is there once, however often it is left and however often an answer
//! gets lost: it is looked for before it is made, and again before a second try. A stranger who
//! writes the marker gets nobody to edit what is theirs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::platform::http::Http;

use super::access::Access;
use super::client::Client;
use super::patience::patiently;
use super::{GithubError, Repository};

/// How many comments are looked through, in pages of 100.
const PAGES: u8 = 10;

/// The comments of one repository.
pub struct Comments {
    client: Client,
    /// Those that were found or made, by number and marker.
    known: Mutex<BTreeMap<(u64, String), u64>>,
}

#[derive(Deserialize)]
struct Comment {
    id: u64,
    body: Option<String>,
    user: Option<User>,
    #[serde(default)]
    author_association: String,
}

#[derive(Deserialize)]
struct User {
    r#type: Option<String>,
}

impl Comment {
    /// Whether it has the marker, and is by somebody who may write to the repository.
    fn is_marked(&self, marker: &str) -> bool {
        let body = self.body.as_deref().unwrap_or_default();
        let kind = self.user.as_ref().and_then(|user| user.r#type.as_deref());
        let by_us = kind == Some("Bot")
            || matches!(
                self.author_association.as_str(),
                "OWNER" | "MEMBER" | "COLLABORATOR"
            );
        by_us && body.starts_with(marker)
    }
}

impl Comments {
    /// The comments of a repository. Must be called inside of a runtime.
    ///
    /// # Errors
    /// When no client can be made of these.
    pub fn new(http: &Http, access: &Access, repository: &Repository) -> Result<Self, GithubError> {
        Ok(Self {
            client: Client::new(http, access, repository)?,
            known: Mutex::default(),
        })
    }

    /// The number of the pull request that a commit belongs to; of several the newest open one,
    /// or else the newest.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn pull_request_of(&self, sha: &str) -> Result<Option<u64>, GithubError> {
        #[derive(Deserialize)]
        struct Pull {
            number: u64,
            state: String,
        }
        let what = "find the commit's pull request";
        let route = format!("/commits/{sha}/pulls");
        let page = self.client.first_page(&route, &[("per_page", "30")]);
        let (pulls, _) = patiently(what, || self.client.page::<Vec<Pull>>(what, &page)).await?;
        let newest = pulls
            .iter()
            .max_by_key(|pull| (pull.state == "open", pull.number));
        Ok(newest.map(|pull| pull.number))
    }

    /// Leaves a comment; where it has a marker, which `body` then begins with, the one with that
    /// marker becomes this one.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn leave(
        &self,
        number: u64,
        marker: Option<&str>,
        body: &str,
    ) -> Result<(), GithubError> {
        let Some(marker) = marker else {
            return self.create(number, body).await.map(drop);
        };
        let key = (number, marker.to_owned());
        let known = self.lock().get(&key).copied();
        let id = match known {
            Some(id) => Some(id),
            None => patiently("list the comments", || self.find(number, marker)).await?,
        };
        if let Some(id) = id {
            match self.edit(id, body).await {
                Err(GithubError::Refused { status: 404, .. }) => {
                    // Somebody took it away.
                    self.lock().remove(&key);
                }
                edited => {
                    edited?;
                    self.lock().insert(key, id);
                    return Ok(());
                }
            }
        }
        let asked_before = AtomicBool::new(false);
        let id = patiently("leave a comment", || async {
            if asked_before.swap(true, Ordering::Relaxed)
                && let Some(id) = self.find(number, marker).await?
            {
                return Ok(id);
            }
            self.create(number, body).await
        })
        .await?;
        self.lock().insert(key, id);
        Ok(())
    }

    async fn find(&self, number: u64, marker: &str) -> Result<Option<u64>, GithubError> {
        let route = format!("/issues/{number}/comments");
        let mut page = self.client.first_page(&route, &[("per_page", "100")]);
        for _ in 0..PAGES {
            let asked = self.client.page::<Vec<Comment>>("list the comments", &page);
            let (found, next) = asked.await?;
            if let Some(ours) = found.iter().find(|comment| comment.is_marked(marker)) {
                return Ok(Some(ours.id));
            }
            match next {
                Some(next) => page = next,
                None => break,
            }
        }
        Ok(None)
    }

    async fn create(&self, number: u64, body: &str) -> Result<u64, GithubError> {
        #[derive(Deserialize)]
        struct Created {
            id: u64,
        }
        let route = format!("/issues/{number}/comments");
        let body = json!({ "body": body });
        let created: Created = self.client.post("leave a comment", &route, &body).await?;
        Ok(created.id)
    }

    async fn edit(&self, id: u64, body: &str) -> Result<(), GithubError> {
        let what = format!("edit comment {id}");
        let route = format!("/issues/comments/{id}");
        let body = json!({ "body": body });
        let _: Value = patiently(&what, || self.client.patch(&what, &route, &body)).await?;
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(u64, String), u64>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
