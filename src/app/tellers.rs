//! Who tells people, and with what: the tools of the notifiers, and the comments on GitHub, which
//! they know as a seam only.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::cast::Audience;
use crate::config::inputs::Inputs;
use crate::github::access::Access;
use crate::github::comments::Comments;
use crate::github::{GithubError, Repository};
use crate::notifiers::{self, NotifyError};
use crate::platform::http::Http;
use crate::report::telling::Teller;

use super::session::Session;

/// The largest event that is read.
const LARGEST_EVENT: u64 = 4 << 20;

impl Session {
    /// What notifiers are built with.
    pub(super) fn notifier_tools(&self, inputs: &Inputs) -> notifiers::Tools {
        // A key that is none was refused at the door.
        let access = self.access(inputs).ok().flatten();
        let comments = access.zip(self.repository());
        let comments = comments.map(|(access, repository)| {
            let on_github = OnGithub {
                http: self.http.clone(),
                access,
                repository,
                wanted: inputs.issue,
                of_event: self.context.pull_request.or_else(|| self.issue_of_event()),
                sha: self.context.sha.clone(),
                comments: OnceCell::new(),
            };
            Arc::new(on_github) as Arc<dyn notifiers::Comments>
        });
        notifiers::Tools {
            http: self.http.clone(),
            directory: self.context.workspace.clone(),
            comments,
        }
    }

    /// Who tells an audience.
    pub(super) fn teller<'a>(&'a self, audience: &'a Audience) -> Teller<'a> {
        Teller {
            audience,
            vault: &self.vault,
            say: &self.say,
            cancelled: &self.cancelled,
            clock: jiff::Timestamp::now,
        }
    }

    /// The event that caused the run.
    pub(super) fn event(&self) -> Option<Value> {
        let path = self.context.event_file.as_ref()?;
        if std::fs::metadata(path).ok()?.len() > LARGEST_EVENT {
            return None;
        }
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    /// The number of the pull request or issue that the event is about, if it is about one.
    fn issue_of_event(&self) -> Option<u64> {
        let event = self.event()?;
        ["/pull_request/number", "/issue/number"]
            .iter()
            .find_map(|place| event.pointer(place)?.as_u64())
    }
}

/// The comments of this repository.
struct OnGithub {
    http: Http,
    access: Access,
    repository: Repository,
    /// The input's number, which beats all others.
    wanted: Option<u64>,
    /// The event's.
    of_event: Option<u64>,
    /// Where neither is known, the commit's.
    sha: Option<String>,
    comments: OnceCell<Comments>,
}

#[async_trait]
impl notifiers::Comments for OnGithub {
    async fn leave(
        &self,
        number: Option<u64>,
        marker: Option<&str>,
        body: &str,
    ) -> Result<(), NotifyError> {
        // Made when it is needed: the client wants a runtime.
        let made = async || Comments::new(&self.http, &self.access, &self.repository);
        let comments = self.comments.get_or_try_init(made).await;
        let comments = comments.map_err(told)?;
        let number = match (self.wanted.or(number).or(self.of_event), &self.sha) {
            (Some(number), _) => Some(number),
            (None, Some(sha)) => comments.pull_request_of(sha).await.map_err(told)?,
            (None, None) => None,
        };
        let Some(number) = number else {
            return Err(NotifyError::Refused(
                "neither the event nor the commit belongs to a pull request; set `number`, or the input `issue`"
                    .to_owned(),
            ));
        };
        comments.leave(number, marker, body).await.map_err(told)
    }
}

/// A failure of GitHub's as one of a channel. Both permissions would do; which one a job has is
/// not known here.
fn told(failed: GithubError) -> NotifyError {
    match &failed {
        GithubError::Refused {
            status: 403,
            wait: None,
            ..
        } => NotifyError::Refused(format!(
            "{failed}; give the job `permissions: {{ pull-requests: write }}`, or `issues: write` for an issue; the workflow of a fork's pull request cannot have it"
        )),
        GithubError::Refused { .. } => NotifyError::Refused(failed.told()),
        _ => NotifyError::OutOfReach(failed.to_string()),
    }
}
