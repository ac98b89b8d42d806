//! How the deployments of a while went, counted.

use super::GithubError;
use super::deployments::Deployments;
use super::issues::At;
use super::survey::moves_traffic;

/// Deployments, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Those that went well.
    pub well: u64,
    /// Those that did not, or have no end.
    pub not: u64,
}

impl Deployments {
    /// The deployments of an environment since a moment, in seconds since 1970, as far as they
    /// are looked through. Only those that move traffic count.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn since(&self, environment: &str, since: i64) -> Result<Counted, GithubError> {
        let mut counted = Counted::default();
        self.look_back(environment, u64::MAX, |seen| {
            let at = At::try_from(seen.found.created_at.clone());
            if at.is_ok_and(|at| at.0 < since) {
                return false;
            }
            if seen.went_well().iter().any(moves_traffic) {
                counted.well += 1;
            } else if seen.content().as_ref().is_some_and(moves_traffic) {
                counted.not += 1;
            }
            true
        })
        .await?;
        Ok(counted)
    }
}
