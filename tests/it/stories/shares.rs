//! A canary that is judged by a document with shares and without a count, as somebody else's
//! service says them: a plain rule compares them, and who wants proof is told that there is none.

use std::fs;

use crate::world::shop::{Ran, Shop, Way};
use crate::world::stand_in::{Reply, StandIn};

/// A shop with a document of the stable release and of the canary, as error rate and p95 each.
async fn shop(method: &'static str, canary: [f64; 2]) -> (Shop, StandIn) {
    let document = serde_json::json!({
        "canary": { "error_rate": canary[0], "p95_latency": canary[1] },
        "stable": { "error_rate": 0.01, "p95_latency": 0.2 },
    });
    let server = StandIn::start(move |_| Reply::of(200, document.to_string())).await;
    let url = format!("http://{}/canary", server.address);
    let opened = tokio::task::spawn_blocking(move || {
        let shop = Shop::open(Way::Flags);
        let ladder = format!(
            "kind: canary, steps: [10%, 50%, 100%], every: 250ms, warm-up: 0s, wait: 5s, watch: 1s, at-most: 20s{method}"
        );
        shop.configure("kind: blue-green, wait: 5s, watch: 0s", &ladder);
        let metrics = format!(
            "metrics: [{{ kind: json, url: '{url}', by-slot: {{ error-rate: '.{{{{role}}}}.error_rate', p95: '.{{{{role}}}}.p95_latency' }} }}]"
        );
        shop.configure("    proof:", &format!("    {metrics}\n    proof:"));
        shop
    });
    (opened.await.unwrap(), server)
}

async fn run(shop: Shop, arguments: &'static str) -> (Shop, Ran) {
    let ran = tokio::task::spawn_blocking(move || {
        let mut command = shop.command(arguments);
        command.env("RUNNER_TEMP", shop.path(""));
        let ran = Ran::of(command.spawn().unwrap());
        (shop, ran)
    });
    ran.await.unwrap()
}

const BY_RATIO: &str = ", method: ratio, window: 1s";

#[tokio::test]
async fn a_good_release_climbs_by_its_shares() {
    let (shop, _server) = shop(BY_RATIO, [0.012, 0.21]).await;
    let (shop, ran) = run(shop, "check").await;
    assert_eq!(ran.code, 0, "{}", ran.log);
    let (shop, ran) = run(shop, "rollout --version=v2").await;
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert_eq!(shop.answers(), "green v2");
    let log = shop.told(&ran.log);
    assert!(
        log.contains("errors: canary 1.2 % vs stable 1 %   p95 [time] vs 200 ms   safe"),
        "{log}"
    );
}

#[tokio::test]
async fn a_bad_one_is_taken_back_by_either_ratio() {
    for (canary, said) in [
        (
            [0.03, 0.2],
            "canary 3 % vs stable 1 %, ratio 3.0 (limit 1.5), beyond it",
        ),
        (
            [0.01, 0.4],
            "p95: canary 400 ms vs stable 200 ms, ratio 2.0 (limit 1.3), beyond it",
        ),
    ] {
        let (shop, _server) = shop(BY_RATIO, canary).await;
        shop.configure("    proof:", "    audit: { file: audit.jsonl }\n    proof:");
        let (shop, ran) = run(shop, "rollout --version=v2").await;
        assert_eq!(ran.code, 20, "{}", ran.log);
        assert_eq!(ran.output("reason-code"), "worse");
        assert!(ran.log.contains(said), "{}", ran.log);
        assert!(ran.log.contains("that nobody counted"), "{}", ran.log);
        assert_eq!(shop.answers(), "blue v1");
        assert!(shop.path("flags/w0").exists());
        let audit = fs::read_to_string(shop.path("audit.jsonl")).unwrap();
        assert!(audit.contains("\"error-rate\":0.01"), "{audit}");
        let (_, again) = run(shop, "replay audit.jsonl").await;
        assert!(again.log.contains("rollback"), "{}", again.log);
    }
}

#[tokio::test]
async fn who_wants_proof_is_told_before_anything_is_changed() {
    let (mut shop, _server) = shop("", [0.01, 0.2]).await;
    let before = shop.state();
    for (arguments, code) in [("check", 64), ("rollout --version=v2", 64)] {
        let (same, ran) = run(shop, arguments).await;
        shop = same;
        assert_eq!(ran.code, code, "{}", ran.log);
        for word in ["proof needs counts", "method: ratio"] {
            assert!(ran.log.contains(word), "{word} is not in\n{}", ran.log);
        }
        assert_eq!(shop.state(), before);
    }
}
