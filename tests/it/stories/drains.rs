//! The built program when it has switched and the old slot still has requests in flight, before
//! real proxies that count them: what is waited for, for how long, and what happens then.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use crate::locks::signal;
use crate::world::patience::{connect, until_blocking};
use crate::world::shop::{Shop, Way};

use super::hooks::{hook, shop};
use super::hooks_end::ended_after;

/// Those that count what is in flight.
const COUNTING: [Way; 4] = [Way::Map, Way::Envoy, Way::CaddyHandler, Way::CaddyFlags];

/// A request to the slot that is live, which is not answered until somebody says so.
struct Held {
    asking: JoinHandle<String>,
    answering: UnixStream,
}

fn hold(shop: &Shop) -> Held {
    let path = shop.path("hold.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
    let front = shop.front();
    let asking = std::thread::spawn(move || {
        let mut stream = connect(("127.0.0.1", front)).unwrap();
        let request = "GET /hold HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    listener.set_nonblocking(true).unwrap();
    let mut came = None;
    until_blocking("the slot is asked", || {
        came = listener.accept().ok();
        came.is_some()
    });
    let (answering, _) = came.unwrap();
    answering.set_nonblocking(false).unwrap();
    Held { asking, answering }
}

impl Held {
    /// Answers, and sees that it got through.
    fn let_go(mut self) {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndone";
        self.answering.write_all(answer.as_bytes()).unwrap();
        drop(self.answering);
        let answer = self.asking.join().unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"),
            "{answer}"
        );
    }
}

/// Stops the slot, and says whether its request had been answered by then.
fn stopping(deadline: &str) -> String {
    let stop = hook(
        r#"echo "$SLOT $VERSION $(test -e answered && echo empty || echo busy)" > stopped"#,
        "",
    );
    format!("drain: {{ deadline: {deadline}, after: stop, retire: {stop} }}")
}

fn stopped(shop: &Shop) -> Option<String> {
    let text = std::fs::read_to_string(shop.path("stopped")).ok()?;
    Some(text.trim().to_owned())
}

#[test]
fn a_request_in_flight_is_waited_for_and_the_slot_is_stopped_after_it() {
    for way in COUNTING {
        let shop = shop(way, &stopping("60s"));
        let held = hold(&shop);
        let child = shop.command("rollout --version=v2").spawn().unwrap();
        let ran = ended_after(
            child,
            "drain: blue has 1 request in flight, and has",
            |_| {
                assert_eq!(
                    (shop.answers().as_str(), stopped(&shop)),
                    ("green v2", None)
                );
                std::fs::write(shop.path("answered"), "").unwrap();
                held.let_go();
            },
        );
        assert_eq!(
            (ran.code, ran.output("decision")),
            (0, "promoted"),
            "{}",
            ran.log
        );
        assert_eq!(
            stopped(&shop).as_deref(),
            Some("blue v1 empty"),
            "{way:?}: {}",
            ran.log
        );
        for said in [
            "blue has no request in flight, twice in a row; it had 1 request",
            "retire     blue stopped",
            "blue is stopped, so a way back needs it up again first",
        ] {
            assert!(ran.log.contains(said), "{way:?}: {said} in {}", ran.log);
        }
    }
}

#[test]
fn a_deadline_lets_the_slot_go_with_what_is_left() {
    for way in COUNTING {
        let shop = shop(way, &stopping("1s"));
        let held = hold(&shop);
        let ran = shop.cutover("rollout --version=v2");
        assert_eq!(
            (ran.code, ran.output("decision")),
            (0, "promoted"),
            "{}",
            ran.log
        );
        let said = "drain: blue was let go after 1 s with 1 request in flight";
        assert!(ran.log.contains(said), "{way:?}: {}", ran.log);
        assert_eq!(stopped(&shop).as_deref(), Some("blue v1 busy"));
        held.let_go();
    }
}

#[test]
fn a_drain_that_is_cancelled_ends_at_once_and_the_release_stays() {
    for way in COUNTING {
        let shop = shop(way, &stopping("10m"));
        let held = hold(&shop);
        let child = shop.command("rollout --version=v2").spawn().unwrap();
        let ran = ended_after(
            child,
            "drain: blue has 1 request in flight, and has",
            |child| {
                signal("-INT", &child.id().to_string());
            },
        );
        assert_eq!(
            (ran.code, ran.output("decision")),
            (0, "promoted"),
            "{}",
            ran.log
        );
        let said =
            "cut short, because the run was cancelled; blue was left with 1 request in flight";
        assert!(ran.log.contains(said), "{way:?}: {}", ran.log);
        assert_eq!(
            (shop.answers().as_str(), stopped(&shop)),
            ("green v2", None)
        );
        held.let_go();
    }
}

/// An app that says how many requests it has in flight: these, one after the other, and then the
/// last one for ever. Counts who asked.
fn numbers(all: &'static [&'static str]) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, asked) = (
        listener.local_addr().unwrap().port(),
        Arc::new(AtomicUsize::new(0)),
    );
    let counted = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 2048]);
            let nth = counted.fetch_add(1, Ordering::SeqCst);
            let body = all[nth.min(all.len() - 1)];
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (port, asked)
}

#[test]
fn none_once_is_not_none() {
    let (port, asked) = numbers(&[
        r#"{"busy": {"blue": 0}}"#,
        r#"{"busy": {"blue": 3}}"#,
        "not a number",
        r#"{"busy": {"blue": 0}}"#,
        r#"{"busy": {"blue": 0}}"#,
        r#"{"busy": {"blue": 7}}"#,
    ]);
    let shop = shop(
        Way::Flags,
        &format!(
            "drain: {{ deadline: 60s, url: 'http://127.0.0.1:{port}/of/{{{{slot}}}}', field: .busy.blue }}"
        ),
    );
    let ran = shop.cutover("rollout --version=v2");
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert_eq!(asked.load(Ordering::SeqCst), 5, "{}", ran.log);
    let said = "blue has no request in flight, twice in a row; it had 3 requests";
    assert!(ran.log.contains(said), "{}", ran.log);
}

#[test]
fn where_nobody_counts_the_slot_gets_the_whole_deadline() {
    let shop = shop(Way::Flags, "drain: { deadline: 300ms }");
    let ran = shop.cutover("rollout --version=v2");
    assert_eq!(
        (ran.code, ran.output("decision")),
        (0, "promoted"),
        "{}",
        ran.log
    );
    for said in [
        "so blue gets the whole deadline of 300 ms",
        "blue let go after 300 ms, requests that nobody counts",
    ] {
        assert!(ran.log.contains(said), "{said} in {}", ran.log);
    }
}

#[test]
fn a_slot_that_has_traffic_again_is_not_stopped() {
    let back = hook("rm flags/w* && touch flags/w0", ", migration: contract");
    let shop = shop(
        Way::Flags,
        &format!(
            "hooks: {{ after-switch: [{back}] }}\n    {}",
            stopping("100ms")
        ),
    );
    let ran = shop.cutover("rollout --version=v2");
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert_eq!((shop.answers().as_str(), stopped(&shop)), ("blue v1", None));
    let said = "blue receives 100 % of traffic again, so it is not stopped";
    assert!(ran.log.contains(said), "{}", ran.log);
}

#[test]
fn a_way_back_and_a_part_of_the_traffic_drain_nothing() {
    let shop = shop(Way::Map, &stopping("10m"));
    let held = hold(&shop);
    let part = shop.cutover("switch-traffic --to=green --weight=30");
    assert_eq!((part.code, stopped(&shop)), (0, None), "{}", part.log);
    shop.cutover("switch-traffic --to=blue --weight=100");
    held.let_go();
    std::fs::remove_file(shop.path("hold.sock")).unwrap();

    shop.configure("deadline: 10m", "deadline: 1s");
    assert_eq!(shop.cutover("switch-traffic --to=green").code, 0);
    assert_eq!(stopped(&shop).as_deref(), Some("blue v1 busy"));
    std::fs::remove_file(shop.path("stopped")).unwrap();
    shop.configure("deadline: 1s", "deadline: 10m");
    let held = hold(&shop);
    let back = shop.cutover("rollback");
    assert_eq!((back.code, stopped(&shop)), (0, None), "{}", back.log);
    assert!(!back.log.contains("drain"), "{}", back.log);
    held.let_go();
}

/// Where traffic is divided, a switch to the slot that has most of it may go out or come back.
#[test]
fn the_rest_of_the_traffic_lets_go_where_a_version_says_so() {
    let shop = shop(Way::Map, &stopping("100ms"));
    assert_eq!(shop.cutover("deploy-slot --version=v2").code, 0);
    let most = "switch-traffic --to=green --weight=60";
    assert_eq!(shop.cutover(most).code, 0);
    let rest = shop.cutover("switch-traffic --to=green");
    assert_eq!((rest.code, stopped(&shop)), (0, None), "{}", rest.log);
    let said = "blue is not let go: this may be a way back; give `version`";
    assert!(rest.log.contains(said), "{}", rest.log);

    assert_eq!(shop.cutover(most).code, 0);
    let rest = shop.cutover("switch-traffic --to=green --version=v2");
    assert_eq!(rest.code, 0, "{}", rest.log);
    assert!(stopped(&shop).unwrap().starts_with("blue v1"));
}

#[test]
fn a_failing_stop_changes_no_verdict() {
    let stop = hook("echo no such unit; exit 5", "");
    let shop = shop(
        Way::Flags,
        &format!("drain: {{ deadline: 100ms, after: scale-down, delay: 200ms, retire: {stop} }}"),
    );
    let ran = shop.cutover("rollout --version=v2");
    assert_eq!(
        (ran.code, ran.output("decision")),
        (0, "promoted"),
        "{}",
        ran.log
    );
    let said = "retire after the release was final: blue was not scaled down, as far as is known: ";
    assert!(
        ran.log.contains(said) && ran.log.contains("no such unit"),
        "{}",
        ran.log
    );
}
