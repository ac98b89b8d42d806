//! Issues that a program writes for itself and for people: found by a label and a mark, made once,
//! written anew, and commented on, each comment once for each word.
//!
//! A label can only be set by somebody who may work on the repository, so a stranger's issue with
//! the mark is not taken for ours. Of two runs that write the same word at once the one whose
//! comment or issue came first has said it, and the other one knows.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::platform::http::Http;

use super::access::Access;
use super::client::Client;
use super::issues::{At, Draft, Issue};
use super::patience::patiently;
use super::{GithubError, Repository};

/// The longest text of an issue or a comment that is written, in bytes; GitHub takes 65,536
/// characters.
const LONGEST: usize = 60_000;

/// The issues of one repository that this program writes.
pub struct Diary {
    client: Client,
}

/// A comment that was found: who wrote its word first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The comment's id.
    pub id: u64,
    /// Its text.
    pub body: String,
}

#[derive(Deserialize)]
struct Found {
    id: u64,
    #[serde(default)]
    body: Option<String>,
}

impl Diary {
    /// The issues of a repository. Must be called inside of a runtime.
    ///
    /// # Errors
    /// When no client can be made of these.
    pub fn new(http: &Http, access: &Access, repository: &Repository) -> Result<Self, GithubError> {
        Ok(Self {
            client: Client::new(http, access, repository)?,
        })
    }

    /// The oldest issue with that label and mark; of open ones alone, or of all.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn find(
        &self,
        label: &str,
        mark: &str,
        open: bool,
    ) -> Result<Option<Issue>, GithubError> {
        patiently("list the issues", || self.find_once(label, mark, open)).await
    }

    /// Makes an issue, or finds the one with its mark: `true` where it was made by this call.
    /// `open` is whether only an open one will do.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn make(&self, draft: &Draft, open: bool) -> Result<(Issue, bool), GithubError> {
        let what = "open an issue";
        let label = draft.labels.first().map_or("", String::as_str);
        let body = json!({
            "title": draft.title,
            "body": cut(&draft.body),
            "labels": draft.labels,
        });
        let (made, found) = patiently(what, || async {
            if let Some(found) = self.find_once(label, &draft.mark, open).await? {
                return Ok((None, found));
            }
            let made: Issue = self.client.post(what, "/issues", &body).await?;
            Ok((Some(made.number), made))
        })
        .await?;
        let Some(made) = made else {
            // One whose answer was lost is ours all the same.
            let ours = found.body.as_deref().map(plain) == Some(plain(&draft.body));
            return Ok((found, ours));
        };
        // Another run may have made one in the same moment: the older one stays.
        let first = self.find(label, &draft.mark, open).await;
        match first {
            Ok(Some(first)) if first.number < made => {
                let change = json!({ "state": "closed", "state_reason": "not_planned" });
                self.change(made, &change).await?;
                Ok((first, false))
            }
            _ => Ok((found, true)),
        }
    }

    /// Writes an issue's text anew.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn write(&self, number: u64, body: &str) -> Result<(), GithubError> {
        self.change(number, &json!({ "body": cut(body) })).await
    }

    /// Gives an issue another title.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn rename(&self, number: u64, title: &str) -> Result<(), GithubError> {
        self.change(number, &json!({ "title": title })).await
    }

    /// Closes an issue, as done or as nothing to be done about, under its last title.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn close(
        &self,
        number: u64,
        title: Option<&str>,
        done: bool,
    ) -> Result<(), GithubError> {
        let reason = if done { "completed" } else { "not_planned" };
        let mut change = json!({ "state": "closed", "state_reason": reason });
        if let Some(title) = title {
            change["title"] = title.into();
        }
        self.change(number, &change).await
    }

    /// Writes a comment that has `mark`, and returns the first one that has it: somebody else's, if
    /// that was there before. Comments before `since` are not looked at.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn say(
        &self,
        number: u64,
        mark: &str,
        body: &str,
        since: At,
    ) -> Result<Word, GithubError> {
        let what = format!("comment on issue {number}");
        let route = format!("/issues/{number}/comments");
        let body = json!({ "body": cut(body) });
        patiently(&what, || async {
            if self.first(number, mark, since).await?.is_some() {
                return Ok(());
            }
            let _: Value = self.client.post(&what, &route, &body).await?;
            Ok(())
        })
        .await?;
        let first = || self.first(number, mark, since);
        let first = patiently(&what, first).await?;
        first.ok_or_else(|| GithubError::Unreadable {
            what,
            said: "the comment is not there".to_owned(),
        })
    }

    async fn first(&self, number: u64, mark: &str, since: At) -> Result<Option<Word>, GithubError> {
        let what = format!("list the comments of issue {number}");
        let route = format!("/issues/{number}/comments?per_page=100&since={since}");
        let path = self.client.path(&route);
        let found = self
            .client
            .get_changed::<Vec<Found>>(&what, &path, None)
            .await?;
        let found = found.map(|(found, _)| found).unwrap_or_default();
        let marked = found.into_iter().filter_map(|comment| {
            let body = comment.body.filter(|body| body.contains(mark))?;
            Some(Word {
                id: comment.id,
                body,
            })
        });
        Ok(marked.min_by_key(|word| word.id))
    }

    async fn change(&self, number: u64, change: &Value) -> Result<(), GithubError> {
        let what = format!("write issue {number}");
        let route = format!("/issues/{number}");
        patiently(&what, || async {
            let _: Value = self.client.patch(&what, &route, change).await?;
            Ok(())
        })
        .await
    }

    async fn find_once(
        &self,
        label: &str,
        mark: &str,
        open: bool,
    ) -> Result<Option<Issue>, GithubError> {
        let what = "list the issues";
        let state = if open { "open" } else { "all" };
        let query = [
            ("labels", label),
            ("state", state),
            ("sort", "created"),
            ("direction", "asc"),
            ("per_page", "100"),
        ];
        let page = self.client.first_page("/issues", &query);
        let (found, _) = self.client.page::<Vec<Issue>>(what, &page).await?;
        let ours = |issue: &Issue| {
            let body = issue.body.as_deref().unwrap_or_default();
            issue.is_by_one_of_us() && body.contains(mark)
        };
        Ok(found.into_iter().find(ours))
    }
}

fn plain(body: &str) -> String {
    body.replace('\r', "").trim().to_owned()
}

fn cut(body: &str) -> &str {
    let mut end = body.len().min(LONGEST);
    while !body.is_char_boundary(end) {
        end -= 1;
    }
    body.get(..end).unwrap_or_default()
}
