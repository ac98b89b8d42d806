//! Who counts what each slot does: known requests go to real parts, and what is counted is what
//! was sent. A restart is counting anew, and no data is not zero.

mod afar;
mod chosen;
mod documents;
mod in_flight;
mod of_caddy;
mod of_envoy;
mod of_haproxy;
mod of_nginx;
mod of_traefik;
mod own_requests;
mod prometheus;
mod testers;

use std::time::{Duration, Instant};

use cutover::metrics::{BySlot, Counter, NoData, Source};
use cutover::model::arms::{Counters, Stand};
use cutover::model::slot::Side;
use cutover::platform::http::{Http, Look};
use cutover::routers::{Counting, Router, RouterError, Tally};

use crate::world::patience::PATIENCE;

/// The counter that a source is.
fn counter(source: &dyn Source) -> Box<dyn Counter + '_> {
    match source.by_slot(Side::Second) {
        BySlot::Counted(counter) => counter,
        _ => panic!("{} does not count", source.told()),
    }
}

/// What a router counts.
fn tally(router: &dyn Router) -> Box<dyn Tally + '_> {
    match router.counting() {
        Counting::By(tally) => tally,
        Counting::Not(why) => panic!("{} does not count: {why}", router.told()),
    }
}

/// A router's counts as those of a source.
struct OfRouter<'a>(Box<dyn Tally + 'a>);

#[async_trait::async_trait]
impl Counter for OfRouter<'_> {
    async fn now(&self) -> Result<Stand, NoData> {
        let failed = |failed: RouterError| NoData::because(failed.to_string());
        self.0.stand().await.map_err(failed)
    }

    async fn before(&self, _: Duration, _: Duration) -> Result<Vec<Stand>, NoData> {
        unreachable!("a router has no memory")
    }
}

/// Looks until both slots stand at so many requests and errors; what is wanted may take a moment
/// to be seen, and is never to be passed.
async fn until_at(counter: &dyn Counter, first: [f64; 2], second: [f64; 2]) -> Stand {
    let began = Instant::now();
    loop {
        let now = counter.now().await;
        if let Ok(stand) = &now {
            let told = |it: &Counters| [it.requests, it.errors];
            let at = [told(&stand.first), told(&stand.second)];
            if at == [first, second] {
                return now.unwrap();
            }
        }
        assert!(
            began.elapsed() < PATIENCE,
            "{first:?} and {second:?} are wanted: {now:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Asks a server so often for a path.
async fn ask(url: &str, path: &str, times: usize) {
    let look = Look::at(
        format!("{url}{path}").parse().unwrap(),
        Duration::from_secs(10),
    );
    let http = Http::default();
    for _ in 0..times {
        // `/drop` has no answer.
        let _ = http.look(&look).await;
    }
}
