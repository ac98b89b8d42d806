//! A real nginx's access log as a counter, with the lines that it is told to have.

use std::fs;
use std::process::Command;

use cutover::routers::{Router, RouterError};
use serde_json::{Value, json};

use super::afar::Afar;
use super::{OfRouter, ask, tally, until_at};
use crate::seams::routers::routed;
use crate::seams::routers_nginx::{parts, run, tools};
use crate::world::backend::Backend;
use crate::world::nginx::{Lines, Nginx, Site};

/// An nginx in front of two servers that count, with the lines of a block.
pub(super) async fn on(block: impl Fn(&Site) -> Value) -> (Nginx, Box<dyn Router>, [Backend; 2]) {
    let slots = [Backend::start().await, Backend::start().await];
    let with = |site: &Site| {
        let mut tools = tools(site);
        tools.slots.first.url = slots[0].url().parse().unwrap();
        tools.slots.second.url = slots[1].url().parse().unwrap();
        routed(block(site), &tools).unwrap()
    };
    let nginx = Nginx::start(|site| {
        let [http, server, host] = parts(&with(site).one_time_lines());
        match host.split_once(":\n") {
            Some((_, content)) => fs::write(site.path("live.conf"), content).unwrap(),
            None => run(host.lines().last().unwrap().trim_start_matches('#')),
        }
        Lines { http, server }
    });
    let router = with(&nginx.site);
    (nginx, router, slots)
}

fn flags(_: &Site) -> Value {
    json!({ "kind": "nginx", "flags": "flags", "access-log": "slots.log" })
}

#[tokio::test]
async fn each_line_is_a_request_also_across_a_rotation() {
    let (nginx, router, slots) = on(flags).await;
    counts_across_a_rotation(&nginx, router.as_ref(), &slots).await;
    assert!(tally(router.as_ref()).told().ends_with("slots.log"));
}

#[tokio::test]
async fn so_it_is_on_a_host_over_one_shell() {
    let (nginx, _, slots) = on(flags).await;
    let afar = Afar::with(nginx.site.directory());
    let router = afar.router(flags(&nginx.site), tools(&nginx.site));
    counts_across_a_rotation(&nginx, router.as_ref(), &slots).await;
    assert!(tally(router.as_ref()).told().ends_with("slots.log on web1"));
    assert_eq!(afar.sessions(), 1, "{}", afar.sshd.log());
    // What was written while nobody could look is counted afterwards.
    let counter = OfRouter(tally(router.as_ref()));
    until_at(&counter, [0.0, 0.0], [0.0, 0.0]).await;
    ask(nginx.site.url("").as_str().trim_end_matches('/'), "/", 5).await;
    afar.sshd.cut();
    until_at(&counter, [0.0, 0.0], [5.0, 0.0]).await;
}

#[tokio::test]
async fn what_is_wrong_with_a_log_on_a_host_is_told_with_the_host() {
    let (nginx, _, _slots) = on(flags).await;
    let mut afar = Afar::with(nginx.site.directory());
    let block = json!({ "kind": "nginx", "flags": "flags", "access-log": "nowhere.log" });
    let gone = afar.router(block, tools(&nginx.site));
    let said = tally(gone.as_ref()).stand().await.unwrap_err().to_string();
    assert!(
        said.contains("out of reach") && said.ends_with("nowhere.log on web1: No such file"),
        "{said}"
    );
    let router = afar.router(flags(&nginx.site), tools(&nginx.site));
    let counter = tally(router.as_ref());
    counter.stand().await.unwrap();
    afar.sshd.vanish();
    let failed = counter.stand().await.unwrap_err();
    assert!(matches!(failed, RouterError::OutOfReach(_)), "{failed}");
    // Nothing is forgotten meanwhile.
    ask(nginx.site.url("").as_str().trim_end_matches('/'), "/", 4).await;
    afar.sshd.come_back(false);
    until_at(&OfRouter(counter), [4.0, 0.0], [0.0, 0.0]).await;
}

async fn counts_across_a_rotation(nginx: &Nginx, router: &dyn Router, slots: &[Backend; 2]) {
    let front = nginx.site.url("").to_string();
    let front = front.trim_end_matches('/');
    ask(front, "/", 3).await;
    let counter = OfRouter(tally(router));
    // What was before the first look is the past.
    let before = until_at(&counter, [0.0, 0.0], [0.0, 0.0]).await;
    ask(front, "/", 8).await;
    ask(front, "/fail", 2).await;
    ask(front, "/slow", 1).await;
    let now = until_at(&counter, [11.0, 2.0], [0.0, 0.0]).await;
    let both = now.since(&before).unwrap();
    let by = |edge: f64| {
        let found = both.first.buckets.iter().find(|(it, _)| *it >= edge);
        found.unwrap().1
    };
    assert_eq!((by(0.14), by(2.5)), (10.0, 11.0), "{both:?}");

    fs::rename(nginx.site.path("flags/w0"), nginx.site.path("flags/w100")).unwrap();
    // As logrotate does it: moved away, written to for a while, then reopened.
    fs::rename(nginx.site.path("slots.log"), nginx.site.path("slots.log.1")).unwrap();
    ask(front, "/drop", 3).await;
    until_at(&counter, [11.0, 2.0], [3.0, 3.0]).await;
    let reopen = nginx.site.command("-s reopen");
    assert!(
        Command::new("sh")
            .args(["-c", &reopen])
            .status()
            .unwrap()
            .success()
    );
    ask(front, "/", 4).await;
    until_at(&counter, [11.0, 2.0], [7.0, 3.0]).await;
    // Every request reached the slot that the log says.
    assert_eq!((slots[0].counted(), slots[1].counted()), ((14, 2), (4, 0)));
}

#[tokio::test]
async fn the_form_with_a_reload_counts_as_well() {
    let (nginx, router, _slots) = on(|site| {
        json!({
            "kind": "nginx", "include": "live.conf", "access-log": "slots.log",
            "test": site.command("-t -q"), "reload": site.command("-s reload"),
            "generation-url": site.url("/__slot"),
        })
    })
    .await;
    let front = nginx.site.url("").to_string();
    let counter = OfRouter(tally(router.as_ref()));
    until_at(&counter, [0.0, 0.0], [0.0, 0.0]).await;
    ask(front.trim_end_matches('/'), "/", 5).await;
    // The question for the generation is no user's.
    router.read().await.unwrap();
    until_at(&counter, [5.0, 0.0], [0.0, 0.0]).await;
}

#[tokio::test]
async fn without_a_log_of_that_format_it_says_so() {
    let (nginx, router, _slots) = on(flags).await;
    let front = nginx.site.url("").to_string();
    let counter = tally(router.as_ref());
    counter.stand().await.unwrap();
    let mut log = fs::OpenOptions::new()
        .append(true)
        .open(nginx.site.path("slots.log"))
        .unwrap();
    std::io::Write::write_all(&mut log, b"127.0.0.1 - - \"GET / HTTP/1.1\" 200\n").unwrap();
    let said = counter.stand().await.unwrap_err().to_string();
    assert!(
        said.contains("1 line was added to") && said.contains("such as 127.0.0.1 - -"),
        "{said}"
    );
    ask(front.trim_end_matches('/'), "/", 1).await;
    let gone = json!({ "kind": "nginx", "flags": "flags", "access-log": "nowhere.log" });
    let gone = routed(gone, &tools(&nginx.site)).unwrap();
    let said = tally(gone.as_ref()).stand().await.unwrap_err().to_string();
    assert!(
        said.contains("out of reach") && said.contains("nowhere.log: No such file"),
        "{said}"
    );
}
