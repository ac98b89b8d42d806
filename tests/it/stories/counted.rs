//! Releases that are judged by what is counted of real traffic: by a real Prometheus, and by HAProxy
//! itself. Two applications, users who never stop asking, and a regression to order.

use std::time::Duration;

use crate::world::market::{Form, Market};
use crate::world::shop::Ran;

/// What is judged is some hundred requests a second, so that seconds are enough.
const LADDER: &str = "{ kind: canary, steps: [40%, 100%], every: 400ms, watch: 1500ms, at-most: 40s, warm-up: 0s, wait: 5s, MORE }";

/// What the users of a market were answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Felt {
    /// Every request, and well.
    Nothing,
    /// Every request; the errors are those that were ordered.
    Errors,
}

async fn judged_by_prometheus(more: &str) -> Market {
    let ladder = LADDER.replace("MORE", &format!("source: prometheus, {more}"));
    Market::open(Form::Map, &ladder)
        .await
        .with_prometheus()
        .await
}

fn check(market: &Market, ran: &Ran, code: i32, reasons: &[&str], felt: Felt) {
    assert_eq!(ran.code, code, "{}", ran.log);
    let reason = ran.output("reason-code");
    assert!(reasons.contains(&reason), "{reason}: {}", ran.log);
    let [sent, errors, lost] = market.felt();
    assert!(sent > 100, "{sent} requests");
    assert_eq!(lost, 0, "requests were lost: {}", ran.log);
    assert_eq!(errors > 0, felt == Felt::Errors, "{errors}: {}", ran.log);
}

#[tokio::test]
async fn prometheus_proves_a_good_release_good() {
    let market = judged_by_prometheus("").await;
    let ran = market.run("rollout --version=v2").await;
    check(&market, &ran, 0, &["done"], Felt::Nothing);
    assert!(ran.log.contains("   safe"), "{}", ran.log);
    assert_eq!(market.who().await, "green");
}

#[tokio::test]
async fn prometheus_sees_a_release_that_fails_more_often() {
    let market = judged_by_prometheus("max-error-rate: 50%").await;
    market.blue.fails(0.02);
    market.green.fails(0.15);
    let ran = market.run("rollout --version=v2").await;
    check(&market, &ran, 20, &["worse"], Felt::Errors);
    assert!(ran.log.contains("errors: canary"), "{}", ran.log);
    assert_eq!(market.who().await, "blue");
}

#[tokio::test]
async fn prometheus_sees_a_release_that_is_slower() {
    let market = judged_by_prometheus("").await;
    market.green.slows(0.4);
    let ran = market.run("rollout --version=v2").await;
    check(&market, &ran, 20, &["worse"], Felt::Nothing);
    assert!(ran.log.contains("p95"), "{}", ran.log);
    assert_eq!(market.who().await, "blue");
}

/// The first step proves it good, and it is not: what comes late is seen when it comes.
#[tokio::test]
async fn prometheus_sees_what_comes_late() {
    let market = judged_by_prometheus("max-error-rate: 50%").await;
    market.configure("[40%, 100%]", "[30%, 60%, 100%]");
    let late = |line: &str| {
        if line.starts_with("  step       1/3") {
            market.green.fails(0.3);
        }
    };
    let ran = market.run_and("rollout --version=v2", late).await;
    check(&market, &ran, 20, &["worse"], Felt::Errors);
    assert!(ran.log.contains("green 60 % -> 0 %"), "{}", ran.log);
    assert_eq!(market.who().await, "blue");
}

/// A cold start is no regression.
#[tokio::test]
async fn a_slow_start_within_the_warm_up_is_forgiven() {
    let market = judged_by_prometheus("").await;
    market.configure("warm-up: 0s", "warm-up: 4s");
    market.green.is_cold_for(Duration::from_millis(1500));
    let ran = market.run("rollout --version=v2").await;
    check(&market, &ran, 0, &["done"], Felt::Nothing);
    assert_eq!(market.who().await, "green");
}

#[tokio::test]
async fn what_befalls_both_is_held() {
    let market = judged_by_prometheus("").await;
    market.blue.fails(0.3);
    market.green.fails(0.3);
    let ran = market.run("rollout --version=v2").await;
    check(&market, &ran, 30, &["shared-incident"], Felt::Errors);
    assert_eq!(market.who().await, "blue/green");
    // Both are well again, and it goes on from where it stands.
    market.blue.fails(0.0);
    market.green.fails(0.0);
    market.errors_are_known().await;
    let on = market.run("rollout --version=v2").await;
    assert_eq!(on.code, 0, "{}", on.log);
    assert!(
        on.log.contains("goes on with what was proved so far"),
        "{}",
        on.log
    );
    assert_eq!(market.who().await, "green");
}

#[tokio::test]
async fn haproxy_counts_and_divides_in_both_its_forms() {
    for form in [Form::Map, Form::Weights] {
        let ladder = LADDER.replace("MORE", "source: router");
        let market = Market::open(form, &ladder).await;
        market.configure("[40%, 100%]", "[40%, 70%, 100%]");
        let ran = market.run("rollout --version=v2").await;
        check(&market, &ran, 0, &["done"], Felt::Nothing);
        assert_eq!(market.who().await, "green", "{form:?}");
        // The next one goes the other way, and is bad.
        market.blue.serves("v3");
        market.blue.fails(0.3);
        let ran = market.run("rollout --version=v3").await;
        check(&market, &ran, 20, &["worse", "limit-passed"], Felt::Errors);
        assert!(ran.log.contains("blue 40 % -> 0 %"), "{}", ran.log);
        assert_eq!(market.who().await, "green", "{form:?}");
    }
}

/// The plain rule, for those who insist on it.
#[tokio::test]
async fn by_ratio_alone_good_goes_on_and_bad_goes_back() {
    let more = "source: router, method: ratio, window: 1s, max-error-rate: 50%";
    let market = Market::open(Form::Weights, &LADDER.replace("MORE", more)).await;
    market.blue.fails(0.05);
    market.green.fails(0.02);
    let ran = market.run("rollout --version=v2").await;
    check(&market, &ran, 0, &["done"], Felt::Errors);
    assert_eq!(market.who().await, "green");
    market.blue.serves("v3");
    market.blue.fails(0.3);
    let ran = market.run("rollout --version=v3").await;
    check(&market, &ran, 20, &["worse"], Felt::Errors);
    assert!(ran.log.contains("times"), "{}", ran.log);
    assert_eq!(market.who().await, "green");
}

const AT_ONCE: &str =
    "{ kind: blue-green, wait: 5s, watch: 2s, max-error-rate: 10%, source: SOURCE }";

#[tokio::test]
async fn after_a_blue_green_switch_what_is_counted_decides() {
    let market = Market::open(Form::Map, &AT_ONCE.replace("SOURCE", "router")).await;
    let ran = market.run("rollout --version=v2").await;
    check(&market, &ran, 0, &["done"], Felt::Nothing);
    assert!(ran.log.contains("green 0 % -> 100 %"), "{}", ran.log);
    assert_eq!(market.who().await, "green");
    market.blue.serves("v3");
    market.blue.fails(0.3);
    let ran = market.run("rollout --version=v3").await;
    // The last requests to the old one are beside the first of this one, so either may be seen first.
    check(&market, &ran, 20, &["worse", "limit-passed"], Felt::Errors);
    assert!(ran.log.contains("blue 100 % -> 0 %"), "{}", ran.log);
    assert_eq!(market.who().await, "green");
}

/// Nobody knows whether it is good, and it has all traffic: a person looks, and not after minutes.
#[tokio::test]
async fn after_a_blue_green_switch_no_data_is_held() {
    let market = Market::open(Form::Map, &AT_ONCE.replace("SOURCE", "prometheus")).await;
    market.count_by("http://127.0.0.1:1");
    let ran = market.run("rollout --version=v2").await;
    check(&market, &ran, 30, &["no-data"], Felt::Nothing);
    assert_eq!(market.who().await, "green");
}

/// There is nothing to go back to before there was anything.
#[tokio::test]
async fn the_first_release_of_all_needs_no_way_back() {
    let market = Market::open(Form::Map, &AT_ONCE.replace("SOURCE", "router")).await;
    market.blue.serves("");
    let ran = market.run("rollout --version=v2").await;
    check(&market, &ran, 0, &["done"], Felt::Nothing);
    assert!(ran.log.contains("nothing is live yet"), "{}", ran.log);
    assert_eq!(market.who().await, "green");
}
