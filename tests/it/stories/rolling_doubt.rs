//! Members in doubt: one that a person has taken meanwhile, one that was deployed to by half, one that
//! was out before; and writes that a router refuses. Each rollout ends as what it was.

use std::fs::File;
use std::process::Child;

use crate::world::crew::{Crew, Front, NAMES};
use crate::world::patience::until_blocking;
use crate::world::shop::Ran;

/// A deployment that waits until the test has done its part.
const WAITS: &str = "v2) while [ ! -e go ] && [ -e deploy.sh ]; do sleep 0.02; done";

/// Runs a rollout up to the deployment of a member, which waits.
fn up_to(crew: &Crew, member: &str) -> Child {
    crew.deploy_by("stuck) sleep 15", WAITS);
    let only = format!("v2) [ $MEMBER != {member} ] || while");
    crew.deploy_by("v2) while", &only);
    let run = crew.command("rollout --version=v2").spawn().unwrap();
    until_blocking("it is deployed to", || crew.is_down(member));
    run
}

fn go_on(crew: &Crew, run: Child) -> Ran {
    std::fs::write(crew.path("go"), "").unwrap();
    Ran::of(run)
}

/// What HAProxy says of a member.
fn status(crew: &Crew, name: &str) -> String {
    let table = crew.haproxy().cli("show stat shop 4 -1");
    let head = format!("shop,{name},");
    let row = table.lines().find(|row| row.starts_with(&head));
    row.unwrap().split(',').nth(17).unwrap().to_owned()
}

/// It stays as that person has set it, and the others get back what they had.
#[test]
fn a_member_that_a_person_takes_meanwhile_stays_theirs() {
    let crew = Crew::open(Front::HaProxy);
    let run = up_to(&crew, "web2");
    crew.haproxy().cli("set server shop/web2 state maint");
    let ran = go_on(&crew, run);
    assert_eq!(
        (ran.code, ran.output("reason-code")),
        (30, "changed-by-others"),
        "{}",
        ran.log
    );
    assert_eq!(status(&crew, "web2"), "MAINT", "{}", ran.log);
    assert_eq!(crew.releases(), ["v1", "v2", "v1"], "{}", ran.log);
    assert_eq!(crew.in_rotation(), ["web1", "web3"], "{}", ran.log);
    for wanted in [
        "web2 stays out of rotation: someone else keeps it out (in maintenance)",
        "give web2 back to the router",
    ] {
        assert!(ran.log.contains(wanted), "{}", ran.log);
    }
}

#[test]
fn the_post_step_leaves_a_maintenance_alone() {
    let crew = Crew::open(Front::HaProxy);
    let mut run = up_to(&crew, "web1");
    run.kill().unwrap();
    run.wait().unwrap();
    crew.haproxy().cli("set server shop/web1 state maint");
    std::fs::write(crew.path("go"), "").unwrap();
    until_blocking("its deployment ends", || !crew.is_down("web1"));
    let post = crew.cutover("finish");
    assert_eq!(post.code, 30, "{}", post.log);
    assert!(
        post.log.contains("someone else keeps it out"),
        "{}",
        post.log
    );
    assert_eq!(status(&crew, "web1"), "MAINT", "{}", post.log);
    // Given back, it is finished.
    crew.haproxy().cli("set server shop/web1 state ready");
    let post = crew.cutover("finish");
    assert_eq!(post.code, 0, "{}", post.log);
    assert_eq!(crew.in_rotation(), NAMES);
}

/// It says the old name, and its deployment has broken it all the same.
#[test]
fn a_member_that_was_deployed_to_by_half_is_tested() {
    let halved = "halved) touch \"$MEMBER/sick\"; rm \"$MEMBER/down\"; exit 5";
    let crew = Crew::open(Front::HaProxy);
    crew.configure("pause: 1s", "on-failure: stop, pause: 1s");
    crew.deploy_by("stuck) sleep 15", halved);
    let ran = crew.cutover("rollout --version=halved");
    assert_eq!(ran.code, 30, "{}", ran.log);
    assert!(
        ran.log
            .contains("web1 stays out of rotation: it serves v1, and"),
        "{}",
        ran.log
    );
    assert_eq!(crew.in_rotation(), ["web2", "web3"], "{}", ran.log);

    let crew = Crew::open(Front::HaProxy);
    let mut run = up_to(&crew, "web1");
    run.kill().unwrap();
    run.wait().unwrap();
    std::fs::write(crew.path("web1/sick"), "").unwrap();
    crew.revive("web1");
    let post = crew.cutover("finish");
    assert_eq!(post.code, 30, "{}", post.log);
    assert!(
        post.log
            .contains("web1 stays out of rotation: it serves v1, and"),
        "{}",
        post.log
    );
    assert_eq!(crew.in_rotation(), ["web2", "web3"], "{}", post.log);
}

/// Nothing of it is worse than before, so there is nothing to hold.
#[test]
fn a_member_that_was_out_before_may_be_out_after_a_killed_run() {
    for release in ["v1", "mute"] {
        let crew = Crew::open(Front::HaProxy);
        crew.put("web1", release);
        crew.haproxy().cli("set server shop/web1 state drain");
        let mut run = up_to(&crew, "web1");
        run.kill().unwrap();
        run.wait().unwrap();
        crew.revive("web1");
        let post = crew.cutover("finish");
        assert_eq!(
            (post.code, post.output("decision")),
            (0, "passed"),
            "{}",
            post.log
        );
        assert_eq!(crew.in_rotation(), ["web2", "web3"], "{}", post.log);
        let nothing = crew.cutover("finish");
        assert!(
            nothing.log.contains("nothing was left open"),
            "{}",
            nothing.log
        );
    }
}

/// It was to be in, so the way back leaves it so: drained it would stay out for good.
#[test]
fn a_member_that_was_only_down_is_not_left_drained() {
    let crew = Crew::open(Front::HaProxy);
    crew.deploy_by("stuck) sleep 15", WAITS);
    crew.deploy_by("done ;;", "done; rm \"$MEMBER/down\"; exit 4 ;;");
    crew.haproxy().cli("disable health shop/web2");
    crew.haproxy().cli("set server shop/web2 health down");
    let run = crew.command("rollout --version=v2").spawn().unwrap();
    until_blocking("it is deployed to", || crew.is_down("web2"));
    crew.haproxy().cli("enable health shop/web2");
    let ran = go_on(&crew, run);
    assert_eq!(ran.code, 20, "{}", ran.log);
    assert!(
        ran.log.contains("all members are as they were"),
        "{}",
        ran.log
    );
    assert_eq!(crew.in_rotation(), NAMES, "{}", ran.log);
}

/// The first write is refused: nothing was changed, and nothing is taken back.
#[test]
fn a_first_write_that_is_refused_changes_nothing() {
    let crew = Crew::open(Front::Nginx);
    crew.test_by("if grep -q ' down;' $LIVE; then echo no; exit 3; fi");
    let ran = crew.cutover("rollout --version=v2");
    assert_eq!(
        (ran.code, ran.output("reason-code")),
        (10, "router-refused"),
        "{}",
        ran.log
    );
    assert_eq!(crew.in_rotation(), NAMES);
    assert_eq!(crew.releases(), ["v1"; 3]);
}

/// Waits until the run stands before the lock of its router's file, with what it has read.
fn stands_before(lock: &std::path::Path, run: &Child) {
    until_blocking("it waits for the lock", || {
        let open = std::fs::read_dir(format!("/proc/{}/fd", run.id())).unwrap();
        let mut open = open
            .flatten()
            .filter_map(|one| std::fs::read_link(one.path()).ok());
        open.any(|path| path == lock)
    });
}

/// Somebody was faster: with the first write that is all; later members have to be put in again.
#[test]
fn a_write_that_was_overtaken_ends_as_what_it_was() {
    let crew = Crew::open(Front::HaProxy);
    crew.configure("pause: 1s", "on-failure: stop, pause: 1s");
    let path = crew.haproxy().ground.path("server-state.lock");
    let lock = File::create(&path).unwrap();
    lock.lock().unwrap();
    let run = crew.command("rollout --version=v2").spawn().unwrap();
    stands_before(&path, &run);
    crew.haproxy().cli("set server shop/web3 state drain");
    drop(lock);
    let ran = Ran::of(run);
    assert_eq!(
        (ran.code, ran.output("reason-code")),
        (10, "changed-by-others"),
        "{}",
        ran.log
    );
    assert_eq!(crew.in_rotation(), ["web1", "web2"], "{}", ran.log);

    crew.haproxy().cli("set server shop/web3 state ready");
    let run = up_to(&crew, "web1");
    let lock = File::create(&path).unwrap();
    lock.lock().unwrap();
    std::fs::write(crew.path("go"), "").unwrap();
    stands_before(&path, &run);
    crew.haproxy().cli("set server shop/web3 state drain");
    drop(lock);
    let ran = Ran::of(run);
    assert_eq!(
        (ran.code, ran.output("reason-code")),
        (30, "changed-by-others"),
        "{}",
        ran.log
    );
    assert_eq!(crew.releases(), ["v2", "v1", "v1"], "{}", ran.log);
    assert_eq!(crew.in_rotation(), ["web1", "web2"], "{}", ran.log);
}

/// It is tried twice, and the receipt is one.
#[test]
fn a_way_back_that_fails_has_one_receipt() {
    let crew = Crew::open(Front::HaProxy);
    crew.configure("    proof:", "    audit: { file: audit.jsonl }\n    proof:");
    crew.deploy_by("stuck) sleep 15", "v1) exit 6");
    let ran = crew.cutover("rollout --version=lost");
    assert_eq!(ran.code, 40, "{}", ran.log);
    let tries = ran.log.matches("the way back goes over web1").count();
    assert_eq!(tries, 2, "{}", ran.log);
    let audit = std::fs::read_to_string(crew.path("audit.jsonl")).unwrap();
    let receipts = audit
        .lines()
        .filter(|line| line.contains("\"event\":\"measured\""));
    assert_eq!(receipts.count(), 1, "{audit}");
}
