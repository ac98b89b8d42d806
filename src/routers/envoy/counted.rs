//! What Envoy has counted for each slot's cluster, from its admin interface.
//!
//! It counts a request once its answer has begun, and one that it answered itself because no host
//! could be reached is among those of 500 and above. Its histograms are of fewer requests than
//! its counters at times, so latency is not counted here.

use async_trait::async_trait;

use super::Envoy;
use crate::model::arms::{Counters, Stand};
use crate::model::slot::Side;
use crate::routers::{InFlight, RouterError, Tally};

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

/// The requests that a slot's cluster has in flight, with those that wait for a connection.
pub(super) async fn in_flight(envoy: &Envoy, slot: Side) -> InFlight {
    let cluster = match slot {
        Side::First => &envoy.clusters[0],
        Side::Second => &envoy.clusters[1],
    };
    let numbers = match envoy.admin.of_clusters(&envoy.clusters).await {
        Ok(numbers) => numbers,
        Err(said) => return InFlight::Unknown(said),
    };
    let number = |what: &str| numbers.get(&format!("cluster.{cluster}.{what}")).copied();
    if number("membership_total").is_none() {
        return InFlight::Unknown(format!("Envoy has no cluster {cluster}"));
    }
    let gauges = ["upstream_rq_active", "upstream_rq_pending_active"];
    let sum: f64 = gauges.iter().filter_map(|what| number(what)).sum();
    InFlight::of(sum)
}
