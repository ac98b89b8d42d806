//! The promise that all others serve: users do not feel a switch.
//!
//! Each of nginx and Caddy (flag files) and HAProxy (a map), under each kind of load, loses
//! nothing over ten switches and as many rollouts. nginx's reload and Caddy's admin API are
//! measured beside them: what they lose is theirs, and is reported, not denied.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::world::load::{Load, Manner};
use crate::world::patience::A_RUN;
use crate::world::shop::{Shop, Way};

/// One load at a time: two of them would only measure each other.
static ALONE: Mutex<()> = Mutex::const_new(());

const USERS: usize = 8;
const REQUESTS: u64 = 100_000;
const TIMES: u64 = 10;

/// What users felt.
pub(crate) struct FeltByUsers {
    pub(crate) sent: u64,
    pub(crate) failed: u64,
    why: String,
}

/// Does something ten times, spread over at least 100,000 requests of users.
pub(crate) async fn under_load(
    port: u16,
    manner: Manner,
    mut turn: impl FnMut(u64),
) -> FeltByUsers {
    let _alone = ALONE.lock().await;
    let load = Load::of(manner, port, USERS);
    let began = Instant::now();
    for nth in 1..=TIMES {
        turn(nth);
        while load.sent() < nth * REQUESTS / TIMES {
            assert!(began.elapsed() < A_RUN, "{}", load.why());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let (took, why) = (began.elapsed().as_secs_f64(), load.why());
    let (sent, failed) = load.stop();
    println!("{manner:?}: {failed} of {sent} requests failed {why} in {took:.1} s");
    FeltByUsers { sent, failed, why }
}

fn switch(shop: &Shop) {
    let ran = shop.cutover("switch-traffic");
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert_eq!(ran.output("requests-failed"), "0", "{}", ran.log);
}

pub(super) async fn nothing_is_lost(way: Way, manner: Manner) {
    let shop = Shop::open(way);
    let felt = under_load(shop.front(), manner, |_| switch(&shop)).await;
    assert_eq!(
        felt.failed, 0,
        "of {} in ten switches: {}",
        felt.sent, felt.why
    );
    let felt = under_load(shop.front(), manner, |nth| {
        let ran = shop.cutover(&format!("rollout --version=v1.{nth}"));
        assert_eq!(ran.output("decision"), "promoted", "{}", ran.log);
        assert_eq!(ran.output("requests-failed"), "0", "{}", ran.log);
    })
    .await;
    assert_eq!(
        felt.failed, 0,
        "of {} in ten rollouts: {}",
        felt.sent, felt.why
    );
}

#[tokio::test]
async fn nginx_loses_nothing_for_who_keeps_the_connection() {
    nothing_is_lost(Way::Flags, Manner::KeepAlive).await;
}

#[tokio::test]
async fn nginx_loses_nothing_for_who_connects_anew() {
    nothing_is_lost(Way::Flags, Manner::NewConnection).await;
}

#[tokio::test]
async fn nginx_loses_nothing_that_is_posted() {
    nothing_is_lost(Way::Flags, Manner::Post).await;
}

#[tokio::test]
async fn haproxy_loses_nothing_for_who_keeps_the_connection() {
    nothing_is_lost(Way::Map, Manner::KeepAlive).await;
}

#[tokio::test]
async fn haproxy_loses_nothing_for_who_connects_anew() {
    nothing_is_lost(Way::Map, Manner::NewConnection).await;
}

#[tokio::test]
async fn haproxy_loses_nothing_that_is_posted() {
    nothing_is_lost(Way::Map, Manner::Post).await;
}

/// A reload is nginx's own doing; the summary says so before anybody finds out.
#[tokio::test]
async fn what_a_reload_costs_is_counted_and_said() {
    let shop = Shop::open(Way::Include);
    let felt = under_load(shop.front(), Manner::KeepAlive, |_| {
        let ran = shop.cutover("switch-traffic");
        assert_eq!(ran.code, 0, "{}", ran.log);
    })
    .await;
    let known = felt.why.contains("reset") || felt.why.contains("end of file") || felt.why == "{}";
    assert!(known, "what a reload breaks is connections: {}", felt.why);
}

#[tokio::test]
async fn caddy_loses_nothing_for_who_keeps_the_connection() {
    nothing_is_lost(Way::CaddyFlags, Manner::KeepAlive).await;
}

#[tokio::test]
async fn caddy_loses_nothing_for_who_connects_anew() {
    nothing_is_lost(Way::CaddyFlags, Manner::NewConnection).await;
}

#[tokio::test]
async fn caddy_loses_nothing_that_is_posted() {
    nothing_is_lost(Way::CaddyFlags, Manner::Post).await;
}

/// A restart of Caddy's HTTP app is Caddy's own doing; the summary says so too.
#[tokio::test]
async fn what_caddys_admin_api_costs_is_counted_and_said() {
    let shop = Shop::open(Way::CaddyHandler);
    let felt = under_load(shop.front(), Manner::KeepAlive, |_| {
        let ran = shop.cutover("switch-traffic");
        assert_eq!(ran.code, 0, "{}", ran.log);
    })
    .await;
    let known = felt.why.contains("reset") || felt.why.contains("end of file") || felt.why == "{}";
    assert!(known, "what a restart breaks is connections: {}", felt.why);
}
