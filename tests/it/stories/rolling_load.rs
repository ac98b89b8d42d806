//! What users feel of a rollout over members: nothing on HAProxy, whatever they do; on nginx what its
//! reload costs. Requests that are under way are waited for, or told.

use crate::world::crew::{Crew, Front};
use crate::world::load::{Load, Manner};
use crate::world::patience::{at_once_blocking, connect};
use crate::world::shop::Ran;

/// Runs the program while eight users ask; what they felt.
pub(super) fn under_load(crew: &Crew, manner: Manner, arguments: &str) -> (Ran, u64, u64, String) {
    let load = Load::of(manner, crew.front(), 8);
    at_once_blocking("users ask", || load.sent() >= 100);
    let ran = crew.cutover(arguments);
    let why = load.why();
    let (sent, failed) = load.stop();
    println!("{manner:?}, {arguments}: {failed} of {sent} requests failed {why}");
    (ran, sent, failed, why)
}

#[test]
fn nobody_notices_a_rollout_on_haproxy() {
    let crew = Crew::open(Front::HaProxy);
    for (nth, manner) in Manner::ALL.into_iter().enumerate() {
        let arguments = format!("rollout --version=v2.{nth}");
        let (ran, sent, failed, why) = under_load(&crew, manner, &arguments);
        assert_eq!(ran.code, 0, "{}", ran.log);
        assert_eq!(ran.output("requests-failed"), "0", "{}", ran.log);
        assert_eq!(failed, 0, "of {sent}, {manner:?}: {why}");
        assert!(crew.had().iter().all(|had| *had > 0), "{:?}", crew.had());
    }
}

#[test]
fn nobody_who_connects_anew_notices_a_rollout_on_nginx() {
    let crew = Crew::open(Front::Nginx);
    crew.configure("drain: 5s", "drain: 1s");
    let (ran, sent, failed, why) = under_load(&crew, Manner::NewConnection, "rollout --version=v2");
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert_eq!(failed, 0, "of {sent}: {why}");
}

#[test]
fn a_reload_of_nginx_costs_what_it_costs_and_that_is_said() {
    let crew = Crew::open(Front::Nginx);
    crew.configure("drain: 5s", "drain: 300ms");
    let (ran, sent, failed, why) = under_load(&crew, Manner::KeepAlive, "rollout --version=v2");
    assert_eq!(ran.code, 0, "{}", ran.log);
    let known = why.contains("reset") || why.contains("end of file") || why == "{}";
    assert!(
        known,
        "{failed} of {sent}: what a reload breaks is connections: {why}"
    );
}

/// Requests that do not end are waited for as long as the config says, and told.
#[test]
fn a_drain_that_does_not_end_is_told() {
    let crew = Crew::open(Front::HaProxy);
    crew.configure("drain: 5s", "drain: 400ms");
    let front = crew.front();
    let before: u64 = crew.had().iter().sum();
    let slow = std::thread::spawn(move || {
        // One for each member.
        let ask = |_| std::thread::spawn(move || is_answered(front, "/slow"));
        let asked: Vec<_> = (0..3).map(ask).collect();
        asked
            .into_iter()
            .map(|one| one.join().unwrap())
            .collect::<Vec<_>>()
    });
    at_once_blocking("all three are asked", || {
        crew.had().iter().sum::<u64>() >= before + 3
    });
    let ran = crew.cutover("rollout --version=v2");
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert!(
        ran.log.contains("1 request in flight on web1 after 400 ms"),
        "{}",
        ran.log
    );
    let ended = slow.join().unwrap();
    assert!(ended.contains(&false), "the deployment ended what was left");
}

/// The same with time enough: it is waited for, and nothing is lost.
#[test]
fn what_is_in_flight_ends_before_the_deployment() {
    let crew = Crew::open(Front::HaProxy);
    let front = crew.front();
    let asked: Vec<_> = (0..3)
        .map(|_| std::thread::spawn(move || is_answered(front, "/slow")))
        .collect();
    let ran = crew.cutover("rollout --version=v2");
    assert_eq!(ran.code, 0, "{}", ran.log);
    for one in asked {
        assert!(one.join().unwrap(), "{}", ran.log);
    }
}

/// Whether a request got an answer with 200.
fn is_answered(front: u16, path: &str) -> bool {
    use std::io::{Read as _, Write as _};
    let mut stream = connect(("127.0.0.1", front)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 200")
}
