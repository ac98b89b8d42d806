//! How things stand before a deployment: is another one under way, and has this version been in
//! some environment before? Questions only; nothing is written.
//!
//! A deployment that GitHub made for a job has no payload of ours. What we said about it is in
//! its statuses, and counts as much.

use futures_util::future::try_join_all;

use crate::model::release::Release;

use super::GithubError;
use super::deployments::Deployments;
use super::record::{FoundStatus, Run};
use super::survey::{Seen, moves_traffic};

/// How many of the newest records of other runs are looked at.
const NEWEST: usize = 5;

/// A deployment that nobody has closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnderWay {
    /// The record's id.
    pub id: u64,
    /// The run that made it.
    pub run: String,
    /// The version that it is about.
    pub version: String,
    /// Whether the run is over, so that it only left the record behind. `None` where the token
    /// may not ask.
    pub over: Option<bool>,
}

impl Deployments {
    /// The deployments of an environment that other runs than `own` have not closed. No record
    /// says `success` and is open, so those that GitHub forgets (after 30) are long over.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn under_way(
        &self,
        environment: &str,
        own: &Run,
    ) -> Result<Vec<UnderWay>, GithubError> {
        let (mut open, mut others) = (Vec::new(), 0);
        self.look_back(environment, u64::MAX, |seen| {
            let run = seen.run();
            if run.as_ref().is_some_and(|run| run.id != own.id) {
                others += 1;
                open.extend(under_way(seen, run));
            }
            others < NEWEST
        })
        .await?;
        let asked = open.into_iter().map(|(run, open)| async move {
            let over = self.is_over(&run, own).await.ok();
            Ok(UnderWay { over, ..open })
        });
        try_join_all(asked).await
    }

    /// The id of the newest record that says that traffic of an environment went to a release,
    /// with success at the time.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn went_well(
        &self,
        environment: &str,
        release: &Release,
    ) -> Result<Option<u64>, GithubError> {
        let mut found = None;
        self.look_back(environment, u64::MAX, |seen| {
            let of_release = seen.went_well().into_iter().any(|content| {
                moves_traffic(&content) && Release::new(&content.version).is(release)
            });
            if of_release {
                found = Some(seen.found.id);
            }
            found.is_none()
        })
        .await?;
        Ok(found)
    }
}

/// An open record of another run.
fn under_way(seen: &Seen, run: Option<Run>) -> Option<(Run, UnderWay)> {
    let newest = seen.statuses.first();
    let (run, content) = (run?, seen.content()?);
    newest.is_none_or(FoundStatus::is_open).then(|| {
        let open = UnderWay {
            id: seen.found.id,
            run: run.id.clone(),
            version: content.version,
            over: None,
        };
        (run, open)
    })
}
