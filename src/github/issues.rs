//! Issues: one is opened, its comments are read, and it is closed.
//!
//! An issue is opened once, however often the answer gets lost: before each try the open ones are
//! looked through for its mark. What has not changed is asked for with its tag, which costs
//! nothing of the quota.

use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::platform::http::Http;

use super::access::Access;
use super::client::Client;
use super::patience::patiently;
use super::{GithubError, Repository};

/// How many are on a page; no page has more.
const PAGE: usize = 100;

/// How many pages of a team's members are read.
const MEMBERS: usize = 5;

/// How often in a row a new issue may be missing: not all of GitHub knows it at once.
const MISSES: u32 = 3;

/// The issues of one repository.
pub struct Issues {
    client: Client,
}

/// An issue to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Its title.
    pub title: String,
    /// Its text, which has the mark.
    pub body: String,
    /// What the text has that no other issue's has.
    pub mark: String,
    /// Its labels.
    pub labels: Vec<String>,
    /// Whom it is assigned to.
    pub assignees: Vec<String>,
}

/// An issue as it was found.
#[derive(Clone, Debug, Deserialize)]
pub struct Issue {
    /// Its number.
    pub number: u64,
    /// Its page.
    pub html_url: String,
    /// `open` or `closed`.
    pub state: String,
    /// Its text.
    #[serde(default)]
    pub body: Option<String>,
    /// Who opened it.
    #[serde(default)]
    pub user: Option<User>,
    /// Who closed it.
    #[serde(default)]
    pub closed_by: Option<User>,
    /// When it was opened.
    pub created_at: At,
    /// When it was changed last.
    pub updated_at: At,
    /// What whoever opened it is to the repository.
    #[serde(default)]
    author_association: String,
    /// Only a pull request has this.
    #[serde(default)]
    pull_request: Option<Value>,
}

impl Issue {
    /// Whether it is an issue that somebody opened who may write to the repository.
    pub(super) fn is_by_one_of_us(&self) -> bool {
        let is_bot = self.user.as_ref().is_some_and(|user| user.kind == "Bot");
        let known = ["OWNER", "MEMBER", "COLLABORATOR"];
        let is_known = known.contains(&self.author_association.as_str());
        self.pull_request.is_none() && (is_bot || is_known)
    }
}

/// Somebody at GitHub.
#[derive(Clone, Debug, Deserialize)]
pub struct User {
    /// The login.
    pub login: String,
    /// `User`, `Bot` or something else.
    #[serde(rename = "type", default)]
    pub kind: String,
}

/// A comment.
#[derive(Clone, Debug, Deserialize)]
pub struct Comment {
    /// Its id.
    pub id: u64,
    /// Who wrote it.
    #[serde(default)]
    pub user: Option<User>,
    /// What it says.
    #[serde(default)]
    pub body: Option<String>,
    /// When it was written.
    pub created_at: At,
    /// When it was written anew.
    pub updated_at: At,
}

/// A moment of GitHub's clock, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct At(pub i64);

impl TryFrom<String> for At {
    type Error = jiff::Error;

    fn try_from(text: String) -> Result<Self, jiff::Error> {
        text.parse().map(|at: Timestamp| Self(at.as_second()))
    }
}

impl fmt::Display for At {
    /// As GitHub writes it: `2026-11-21T08:00:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_second(self.0) {
            Ok(at) => at.fmt(f),
            Err(_) => f.write_str("1970-01-01T00:00:00Z"),
        }
    }
}

/// What is known of an issue that is watched.
#[derive(Debug, Default)]
pub struct Watch {
    issue: Option<String>,
    page: Option<String>,
    /// The comments of full pages, which are not read again.
    earlier: Vec<Comment>,
    /// From when on the comments are read, and which page of them.
    since: Option<At>,
    pages: usize,
    misses: u32,
}

/// What is new at an issue.
#[derive(Clone, Debug, Default)]
pub struct News {
    /// All comments, oldest first, where any of them is new or changed.
    pub comments: Option<Vec<Comment>>,
    /// The issue, where it has changed.
    pub issue: Option<Issue>,
}

impl Issues {
    /// The issues of a repository. Must be called inside of a runtime.
    ///
    /// # Errors
    /// When no client can be made of these.
    pub fn new(http: &Http, access: &Access, repository: &Repository) -> Result<Self, GithubError> {
        Ok(Self {
            client: Client::new(http, access, repository)?,
        })
    }

    /// Opens an issue, or takes up the open one with its mark, and returns it. `at` of the second
    /// one is when it was taken up: what was written there before is not about this one.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn open(&self, draft: &Draft) -> Result<(Issue, At), GithubError> {
        let what = "open an issue";
        let body = json!({
            "title": draft.title,
            "body": draft.body,
            "labels": draft.labels,
            "assignees": draft.assignees,
        });
        patiently(what, || async {
            if let Some(found) = self.find_once(&draft.mark).await? {
                let same = |body: &String| body.replace('\r', "").trim() == draft.body.trim();
                if found.body.as_ref().is_some_and(same) {
                    let at = found.created_at;
                    return Ok((found, at));
                }
                let anew = json!({ "title": draft.title, "body": draft.body });
                let route = format!("/issues/{}", found.number);
                let found: Issue = self.client.patch(what, &route, &anew).await?;
                let at = found.updated_at;
                return Ok((found, at));
            }
            let issue: Issue = self.client.post(what, "/issues", &body).await?;
            let at = issue.created_at;
            Ok((issue, at))
        })
        .await
    }

    /// The newest open issue with that mark.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn find(&self, mark: &str) -> Result<Option<Issue>, GithubError> {
        patiently("list the issues", || self.find_once(mark)).await
    }

    /// An issue.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn read(&self, number: u64) -> Result<Issue, GithubError> {
        let what = format!("read issue {number}");
        let path = self.client.path(&format!("/issues/{number}"));
        let found = patiently(&what, || self.client.get_changed(&what, &path, None)).await?;
        found.map(|(issue, _)| issue).ok_or_else(|| nothing(&what))
    }

    /// What is new at an issue since the last look. Asked once: the next look is soon.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn look(&self, number: u64, watch: &mut Watch) -> Result<News, GithubError> {
        let what = format!("look at issue {number}");
        let path = self.client.path(&format!("/issues/{number}"));
        let tag = watch.issue.clone();
        let looked = tokio::join!(
            self.client
                .get_changed::<Issue>(&what, &path, tag.as_deref()),
            self.comments(&what, number, watch),
        );
        let (issue, comments) = match looked {
            (Ok(issue), Ok(comments)) => (issue, comments),
            (Err(failed), _) | (_, Err(failed)) => return Err(watch.missed(failed)),
        };
        watch.misses = 0;
        let issue = issue.map(|(issue, tag)| {
            watch.issue = tag;
            issue
        });
        Ok(News { comments, issue })
    }

    /// Closes an issue, with another text. Said twice it is the same.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn close(&self, number: u64, is_done: bool, body: &str) -> Result<(), GithubError> {
        let what = format!("close issue {number}");
        let reason = if is_done { "completed" } else { "not_planned" };
        let body = json!({ "state": "closed", "state_reason": reason, "body": body });
        let route = format!("/issues/{number}");
        patiently(&what, || async {
            let _: Value = self.client.patch(&what, &route, &body).await?;
            Ok(())
        })
        .await
    }

    /// The logins of a team's members.
    ///
    /// # Errors
    /// See [`GithubError`]; a workflow's own token may not ask.
    pub async fn members(&self, org: &str, team: &str) -> Result<Vec<String>, GithubError> {
        let what = format!("list the members of {org}/{team}");
        let mut logins = Vec::new();
        for page in 1..=MEMBERS {
            let path = format!("/orgs/{org}/teams/{team}/members?per_page={PAGE}&page={page}");
            let found = patiently(&what, || {
                self.client.get_changed::<Vec<User>>(&what, &path, None)
            });
            let users = found.await?.map(|(users, _)| users).unwrap_or_default();
            let is_last = users.len() < PAGE;
            logins.extend(users.into_iter().map(|user| user.login));
            if is_last {
                break;
            }
        }
        Ok(logins)
    }

    async fn find_once(&self, mark: &str) -> Result<Option<Issue>, GithubError> {
        let what = "list the issues";
        let route = format!("/issues?state=open&sort=created&direction=desc&per_page={PAGE}");
        let path = self.client.path(&route);
        let found = self.client.get_changed::<Vec<Issue>>(what, &path, None);
        let found = found.await?.map(|(found, _)| found).unwrap_or_default();
        Ok(found.into_iter().find(|issue| {
            let body = issue.body.as_deref().unwrap_or_default();
            issue.pull_request.is_none() && body.contains(mark)
        }))
    }

    async fn comments(
        &self,
        what: &str,
        number: u64,
        watch: &mut Watch,
    ) -> Result<Option<Vec<Comment>>, GithubError> {
        let mut is_new = false;
        loop {
            let since = watch.since.map(|since| format!("&since={since}"));
            let route = format!(
                "/issues/{number}/comments?per_page={PAGE}&page={}{}",
                watch.pages + 1,
                since.unwrap_or_default()
            );
            let path = self.client.path(&route);
            let found = self
                .client
                .get_changed::<Vec<Comment>>(what, &path, watch.page.as_deref());
            let Some((comments, tag)) = found.await? else {
                return Ok(is_new.then(|| watch.earlier.clone()));
            };
            is_new = true;
            let last = comments.last().map(|comment| comment.created_at);
            if comments.len() < PAGE {
                watch.page = tag;
                let mut all = watch.earlier.clone();
                merge(&mut all, comments);
                return Ok(Some(all));
            }
            // A full page is read no more. What follows was written later.
            watch.page = None;
            // A page that is full of one second goes on with the next one of the same.
            if last == watch.since {
                watch.pages += 1;
            } else {
                (watch.since, watch.pages) = (last, 0);
            }
            merge(&mut watch.earlier, comments);
        }
    }
}

impl Watch {
    /// A new issue may be missing for a moment; then the question was only too early.
    fn missed(&mut self, failed: GithubError) -> GithubError {
        // Half of what was looked at may have been read, and nobody has heard of it.
        (self.issue, self.page) = (None, None);
        let is_missing = matches!(failed, GithubError::Refused { status: 404, .. });
        if !is_missing || self.misses >= MISSES {
            return failed;
        }
        self.misses += 1;
        GithubError::OutOfReach {
            what: "look at the issue".to_owned(),
            said: failed.to_string(),
        }
    }
}

/// Puts comments to those that are known. The newer reading of one counts.
fn merge(known: &mut Vec<Comment>, found: Vec<Comment>) {
    known.retain(|old| found.iter().all(|new| new.id != old.id));
    known.extend(found);
    known.sort_by_key(|comment| comment.id);
}

fn nothing(what: &str) -> GithubError {
    GithubError::Unreadable {
        what: what.to_owned(),
        said: "nothing came".to_owned(),
    }
}
