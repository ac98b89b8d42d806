//! How things stand before a deployment: is another one under way, and has this version been in
//! some environment before? Questions only; nothing is written.
//!
//! A deployment that GitHub made for a job has no payload of ours. What we said about it is in
//! its statuses, and counts as much.

use futures_util::future::join_all;

use crate::model::release::Release;

use super::deployments::Deployments;
use super::record::{FoundStatus, Run};
use super::survey::{Seen, Survey, moves_traffic};
use super::{GithubError, Job};

/// How many runs are asked about.
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
    /// says `success` and is open, so those that GitHub forgets (after 30) are long over. Where
    /// they were surveyed a moment ago, nobody is asked again.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn under_way(
        &self,
        environment: &str,
        own: &Run,
        survey: Option<&Survey>,
    ) -> Result<Vec<UnderWay>, GithubError> {
        let looked;
        let survey = match survey {
            Some(survey) => survey,
            None => {
                looked = self.survey(environment, &Job::default()).await?;
                &looked
            }
        };
        let others = survey.under_way.iter().filter(|(run, _)| run.id != own.id);
        let asked = others.take(NEWEST).map(|(run, open)| async {
            let over = self.is_over(run, own).await.ok();
            UnderWay {
                over,
                ..open.clone()
            }
        });
        Ok(join_all(asked).await)
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

impl Seen {
    /// The record, if nobody has closed it, and its run.
    pub(super) fn under_way(&self) -> Option<(Run, UnderWay)> {
        let newest = self.statuses.first();
        let (run, content) = (self.run()?, self.content()?);
        // A canary that stays where it is belongs to no run: whoever comes next goes on with it.
        content.canary.is_none().then_some(())?;
        newest.is_none_or(FoundStatus::is_open).then(|| {
            let open = UnderWay {
                id: self.found.id,
                run: run.id.clone(),
                version: content.version,
                over: None,
            };
            (run, open)
        })
    }
}
