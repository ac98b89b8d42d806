//! An issue as the desk at which people are asked, and what GitHub's answers mean there.

use async_trait::async_trait;
use tokio::sync::Mutex;

use crate::github::GithubError;
use crate::github::issues::{Comment, Draft, Issues, Watch};
use crate::model::approval::{Opened, Outcome, Remark};
use crate::platform::secret::Vault;
use crate::report::approval as words;
use crate::rollout::approval::{Desk, DeskError, Look};

/// An issue as a desk.
pub(super) struct IssueDesk {
    pub(super) issues: Issues,
    pub(super) draft: Draft,
    pub(super) run_url: Option<String>,
    pub(super) vault: Vault,
    pub(super) watch: Mutex<Watch>,
}

#[async_trait]
impl Desk for IssueDesk {
    fn mark(&self) -> String {
        self.draft.mark.clone()
    }

    async fn open(&self) -> Result<Opened, DeskError> {
        let (issue, at) = self.issues.open(&self.draft).await.map_err(failed)?;
        Ok(Opened {
            number: issue.number,
            url: issue.html_url,
            by: issue.user.map(|user| user.login).unwrap_or_default(),
            at: at.0,
        })
    }

    async fn look(&self, opened: &Opened) -> Result<Look, DeskError> {
        let mut watch = self.watch.lock().await;
        let looked = self.issues.look(opened.number, &mut watch).await;
        let news = looked.map_err(failed)?;
        let closed = news.issue.filter(|issue| issue.state == "closed");
        Ok(Look {
            remarks: news
                .comments
                .map(|all| all.into_iter().map(remark).collect()),
            closed: closed.map(|issue| issue.closed_by.map(|user| user.login)),
        })
    }

    async fn close(&self, opened: &Opened, outcome: &Outcome) -> Result<(), DeskError> {
        let run_url = self.run_url.as_deref();
        let body = words::closed(&self.draft.body, outcome, run_url, &self.vault);
        let is_done = matches!(outcome, Outcome::Approved(_));
        let closed = self.issues.close(opened.number, is_done, &body).await;
        closed.map_err(failed)
    }
}

fn remark(comment: Comment) -> Remark {
    let (author, kind) = comment
        .user
        .map(|user| (user.login, user.kind))
        .unwrap_or_default();
    Remark {
        id: comment.id,
        author,
        by_person: kind == "User",
        body: comment.body.unwrap_or_default(),
        at: comment.created_at.0,
        as_written: comment.created_at == comment.updated_at,
    }
}

/// What an answer of GitHub means for who wants to ask people.
fn failed(why: GithubError) -> DeskError {
    let said = why.to_string();
    match &why {
        GithubError::Refused {
            wait: Some(wait), ..
        } => DeskError::Later(*wait, said),
        GithubError::Refused { status: 410, .. } => DeskError::Refused {
            said,
            next: "switch issues on in the settings of the repository, or take `approval` out of the config".to_owned(),
        },
        GithubError::Refused {
            status: 403 | 404, ..
        } => DeskError::Refused {
            said,
            next: "give the job `permissions: { issues: write }`; the workflow of a fork's pull request cannot have it".to_owned(),
        },
        GithubError::Refused { status, .. } if *status < 500 => DeskError::Refused {
            next: why.hint().unwrap_or_else(|| {
                "do the labels and assignees of `approval` exist? Correct the config".to_owned()
            }),
            said,
        },
        _ => DeskError::OutOfReach(said),
    }
}
