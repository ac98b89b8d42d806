//! Rollouts over members: promoted, taken back, stopped, and gone on with, on a real HAProxy and a
//! real nginx, under load.

use insta::assert_snapshot;

use crate::world::crew::{Crew, Front, NAMES};
use crate::world::load::{Load, Manner};
use crate::world::shop::Ran;

/// Runs the program while eight users ask; what they felt.
fn under_load(crew: &Crew, manner: Manner, arguments: &str) -> (Ran, u64, u64, String) {
    let load = Load::of(manner, crew.front(), 8);
    while load.sent() < 100 {
        std::thread::yield_now();
    }
    let ran = crew.cutover(arguments);
    let why = load.why();
    let (sent, failed) = load.stop();
    println!("{manner:?}, {arguments}: {failed} of {sent} requests failed {why}");
    (ran, sent, failed, why)
}

#[test]
fn a_good_release_goes_over_all_members_of_haproxy() {
    let crew = Crew::open(Front::HaProxy);
    let ran = crew.cutover("rollout --version=v2");
    assert_snapshot!(crew.told(&ran.log), @"");
    assert_eq!(ran.code, 0);
    assert_eq!(crew.releases(), ["v2"; 3]);
    assert_eq!(crew.in_rotation(), NAMES);
    for (name, value) in [
        ("decision", "promoted"),
        ("slot", "members"),
        ("weight", "100"),
        ("version", "v2"),
        ("served-version", "v2"),
        ("requests-failed", "0"),
    ] {
        assert_eq!(ran.output(name), value, "{name}");
    }
    let again = crew.cutover("rollout --version=v2");
    assert_eq!(again.output("decision"), "skipped", "{}", again.log);
}

#[test]
fn a_good_release_goes_over_all_members_of_nginx() {
    let crew = Crew::open(Front::Nginx);
    crew.configure("drain: 5s", "drain: 300ms");
    let ran = crew.cutover("rollout --version=v2");
    assert_snapshot!(crew.told(&ran.log), @"");
    assert_eq!(ran.code, 0);
    assert_eq!(crew.releases(), ["v2"; 3]);
    assert_eq!(crew.in_rotation(), NAMES);
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

/// What is seen under traffic only: the first batch is taken back, nobody else gets the release.
#[test]
fn a_release_that_is_bad_under_traffic_is_taken_back() {
    let crew = Crew::open(Front::HaProxy);
    let ran = crew.cutover("rollout --version=worse");
    assert_snapshot!(crew.told(&ran.log), @"");
    assert_eq!(ran.code, 20);
    assert_eq!(ran.output("decision"), "rolled-back");
    assert_eq!(crew.releases(), ["v1"; 3]);
    assert_eq!(crew.in_rotation(), NAMES);
}

/// The second member gets something else than the first: both are taken back, unnoticed.
#[test]
fn a_bad_second_batch_takes_the_first_one_back_too() {
    let crew = Crew::open(Front::HaProxy);
    let script = crew.path("deploy.sh");
    let text = std::fs::read_to_string(&script).unwrap();
    let odd = text.replace(
        "printf '%s\\n' \"$VERSION\"",
        "printf '%s\\n' \"$([ $MEMBER$VERSION = web2v2 ] && echo broken || echo $VERSION)\"",
    );
    assert_ne!(text, odd);
    std::fs::write(&script, odd).unwrap();
    let (ran, sent, failed, why) = under_load(&crew, Manner::KeepAlive, "rollout --version=v2");
    assert_snapshot!(crew.told(&ran.log), @"");
    assert_eq!(ran.code, 20);
    assert_eq!(crew.releases(), ["v1"; 3]);
    assert_eq!(crew.in_rotation(), NAMES);
    assert_eq!(failed, 0, "of {sent}: {why}");
}

/// Nothing is taken back, what is bad stays out, and the next run goes on.
#[test]
fn who_stops_goes_on_where_it_stopped() {
    let crew = Crew::open(Front::HaProxy);
    crew.configure("pause: 1s", "on-failure: stop, pause: 1s");
    let script = crew.path("deploy.sh");
    let text = std::fs::read_to_string(&script).unwrap();
    std::fs::write(
        &script,
        text.replace("set -e", "set -e\n[ $MEMBER = web2 ] && VERSION=broken"),
    )
    .unwrap();
    let ran = crew.cutover("rollout --version=v2");
    assert_snapshot!(crew.told(&ran.log), @"");
    assert_eq!(ran.code, 30);
    assert_eq!(ran.output("decision"), "held");
    assert_eq!(crew.releases(), ["v2", "broken", "v1"]);
    assert_eq!(crew.in_rotation(), ["web1", "web3"]);

    std::fs::write(&script, text).unwrap();
    let ran = crew.cutover("rollout --version=v2");
    assert_snapshot!(crew.told(&ran.log), @"");
    assert_eq!(ran.code, 0);
    assert_eq!(crew.releases(), ["v2"; 3]);
    assert_eq!(crew.in_rotation(), NAMES);
}

/// A deployment that leaves a member dead: it gets what it had, and comes back.
#[test]
fn a_member_that_does_not_come_up_is_taken_back() {
    let crew = Crew::open(Front::HaProxy);
    for (release, reason) in [
        ("lost", "deploy-failed"),
        ("mute", "deploy-failed"),
        ("refused", "deploy-failed"),
    ] {
        let (ran, sent, failed, why) = under_load(
            &crew,
            Manner::KeepAlive,
            &format!("rollout --version={release}"),
        );
        assert_eq!(ran.code, 20, "{release}: {}", ran.log);
        assert_eq!(ran.output("reason-code"), reason, "{}", ran.log);
        assert_eq!(crew.releases(), ["v1"; 3], "{}", ran.log);
        assert_eq!(crew.in_rotation(), NAMES, "{}", ran.log);
        assert_eq!(failed, 0, "{release}: of {sent}: {why}");
    }
}

/// With `stop`, a deployment that changed nothing leaves a member that is as good as before.
#[test]
fn a_member_that_still_serves_the_old_release_is_put_in_again() {
    let crew = Crew::open(Front::HaProxy);
    crew.configure("pause: 1s", "on-failure: stop, pause: 1s");
    let ran = crew.cutover("rollout --version=refused");
    assert_eq!(
        (ran.code, ran.output("decision")),
        (20, "rolled-back"),
        "{}",
        ran.log
    );
    assert_eq!(crew.in_rotation(), NAMES);
    let ran = crew.cutover("rollout --version=lost");
    assert_eq!(
        (ran.code, ran.output("decision")),
        (30, "held"),
        "{}",
        ran.log
    );
    assert!(
        ran.log.contains("web1 stays out of rotation"),
        "{}",
        ran.log
    );
    assert_eq!(crew.in_rotation(), ["web2", "web3"]);
    assert!(crew.is_down("web1"));
}

/// Requests that do not end are waited for as long as the config says, and told.
#[test]
fn a_drain_that_does_not_end_is_told() {
    let crew = Crew::open(Front::HaProxy);
    crew.configure("drain: 5s", "drain: 400ms");
    let front = crew.front();
    let slow = std::thread::spawn(move || {
        // One for each member.
        let ask = |_| std::thread::spawn(move || is_answered(front, "/slow"));
        let asked: Vec<_> = (0..3).map(ask).collect();
        asked
            .into_iter()
            .map(|one| one.join().unwrap())
            .collect::<Vec<_>>()
    });
    let before: u64 = crew.had().iter().sum();
    while crew.had().iter().sum::<u64>() < before + 3 {
        std::thread::yield_now();
    }
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
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", front)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 200")
}
