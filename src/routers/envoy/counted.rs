//! What Envoy has counted for each slot's cluster, from its admin interface.
//!
//! It counts a request once its answer has begun, and one that it answered itself because no host
//! could be reached is among those of 500 and above. Its histograms are of fewer requests than
//! its counters at times, so latency is not counted here.

use async_trait::async_trait;

use super::Envoy;
use crate::model::arms::{Counters, Stand};
use crate::routers::{RouterError, Tally};

/// The counters of the two clusters.
pub(super) struct Counted<'a>(pub(super) &'a Envoy);

#[async_trait]
impl Tally for Counted<'_> {
    fn told(&self) -> String {
        "Envoy's admin interface, which counts requests and errors, and no latency for us"
            .to_owned()
    }

    async fn stand(&self) -> Result<Stand, RouterError> {
        let numbers = self.0.admin.of_clusters(&self.0.clusters).await;
        let numbers = numbers.map_err(RouterError::OutOfReach)?;
        let of = |cluster: &String| {
            let number = |what: &str| numbers.get(&format!("cluster.{cluster}.{what}"));
            // Every cluster has this one, used or not; the others come with the first request.
            if number("membership_total").is_none() {
                return Err(RouterError::Refused(format!(
                    "Envoy has no cluster {cluster} to count for; `clusters` names them"
                )));
            }
            let count = |what| number(what).copied().unwrap_or_default();
            Ok(Counters {
                requests: count("upstream_rq_completed"),
                errors: count("upstream_rq_5xx"),
                ..Counters::default()
            })
        };
        let [first, second] = &self.0.clusters;
        Ok(Stand {
            at: jiff::Timestamp::now().as_millisecond(),
            first: of(first)?,
            second: of(second)?,
        })
    }
}
