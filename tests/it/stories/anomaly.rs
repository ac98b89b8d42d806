//! A rollout whose release fails more often than the service ever does, and less often than any
//! limit says: a real Prometheus, which scrapes the service while it is watched, knows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::world::prometheus::{History, Prometheus};
use crate::world::scene::{CHECK_RUN, Ran, Scene};
use crate::world::stand_in::{Reply, StandIn};

/// The service's own metrics: 1 % of requests fail, and 3 % with the new release.
struct Service {
    scene: Scene,
    is_new: Arc<AtomicBool>,
    _metrics: StandIn,
    _prometheus: Prometheus,
}

impl Service {
    async fn start(on: &str, watch: &str) -> Self {
        let scene = Scene::set("none").await;
        let is_new = Arc::new(AtomicBool::new(false));
        let known = Arc::clone(&is_new);
        let metrics = StandIn::start(move |_| {
            let share = if known.load(Ordering::Relaxed) {
                0.03
            } else {
                0.01
            };
            let text = format!("# TYPE failed_share gauge\nfailed_share {share}\n");
            Reply::of(200, text).with("Content-Type", "text/plain; version=0.0.4")
        })
        .await;
        let mut history = History::new();
        history.series("failed_share", &[""], 3 * 240, |_, _| Some(0.01));
        let prometheus = history.start_scraping(metrics.address);
        scene.configure(
            "strategy: { kind: blue-green, watch: 0s }",
            &format!(
                "strategy: {{ kind: blue-green, watch: {watch} }}
    metrics: [{{ kind: prometheus, url: '{}', queries: {{ error-rate: max(failed_share) }} }}]
    anomaly: {{ step: 1s, window: 3s, warm-up: 1s, baseline: 2h, on: {on} }}",
                prometheus.url
            ),
        );
        Self {
            scene,
            is_new,
            _metrics: metrics,
            _prometheus: prometheus,
        }
    }

    /// Runs a rollout; what the service says of itself follows from what users get.
    async fn rollout(&self) -> Ran {
        let follow = async {
            loop {
                let is_new = self.scene.served().await == "v2";
                self.is_new.store(is_new, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            ran = self.scene.run(CHECK_RUN, "rollout --environment=production --version=v2") => ran,
            () = follow => unreachable!(),
        }
    }
}

#[tokio::test]
async fn a_release_that_is_unlike_the_days_before_is_taken_back() {
    let service = Service::start("rollback", "50s").await;
    let ran = service.rollout().await;
    assert_eq!(ran.code, 20, "{}", ran.log);
    for said in [
        "the release is not as the service always is at this time",
        "error-rate 3 %, 1 % is expected by the 2 h before, for too little is known of the time of day",
        "3.0 times what is expected",
        "::warning::error-rate 3 %25",
    ] {
        assert!(ran.log.contains(said), "{said}: {}", ran.log);
    }
    assert_eq!(service.scene.served().await, "v1");
}

#[tokio::test]
async fn where_the_config_says_warn_it_is_told_and_stays() {
    let service = Service::start("warn", "20s").await;
    let ran = service.rollout().await;
    assert_eq!(ran.code, 0, "{}", ran.log);
    for said in [
        "::warning::error-rate 3 %25, 1 %25 is expected",
        "anomaly    0 of 1 metric as expected, 1 not: severity",
        "promoted",
    ] {
        assert!(ran.log.contains(said), "{said}: {}", ran.log);
    }
    assert_eq!(service.scene.served().await, "v2");
}
