//! Rollouts over members that are broken off: cancelled after each step, killed after each step and
//! finished by the post step. Nobody notices, and every member that serves something good gets
//! traffic again.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::world::children::{exit_code, lines};
use crate::world::crew::{Crew, Front, NAMES};
use crate::world::load::{Load, Manner};
use crate::world::patience::until_blocking;
use crate::world::shop::Ran;

/// The steps of the first batch, as they are printed when they are over; the next one is under way
/// when the signal comes.
const STEPS: [&str; 9] = [
    "members", "way back", "out", "drained", "deploy", "serves", "smoke", "in", "proved",
];

/// Runs a rollout and sends a signal after the first line of a step; what it came to, and how long
/// it took from the signal on.
fn cut(crew: &Crew, arguments: &str, step: &str, signal: Signal) -> (Ran, Duration) {
    let mut run = crew.command(arguments).spawn().unwrap();
    let mut printed = lines(run.stdout.take());
    let mut log: Vec<String> = Vec::new();
    let row = format!("  {step} ");
    while !log.last().is_some_and(|line| line.starts_with(&row)) {
        match printed.next() {
            Some(line) => log.push(line),
            None => panic!("no {step} in {}", log.join("\n")),
        }
    }
    kill_process(Pid::from_child(&run), signal).unwrap();
    let began = Instant::now();
    log.extend(printed);
    let code = exit_code(&mut run);
    (Ran::read(code, &log.join("\n")), began.elapsed())
}

/// Whether each member that has traffic has a release that is good.
fn assert_good(crew: &Crew, said: &str) {
    let within = crew.in_rotation();
    for (name, release) in NAMES.into_iter().zip(crew.releases()) {
        if within.contains(&name) {
            assert!(!crew.is_down(name), "{name} is in and down\n{said}");
            assert!(
                ["v1", "v2"].contains(&release.as_str()),
                "{name}: {release}\n{said}"
            );
        }
    }
    assert!(within.len() >= 2, "{within:?}\n{said}");
}

#[test]
fn a_run_that_is_cancelled_after_any_step_leaves_users_well_served() {
    for step in STEPS {
        let crew = Crew::open(Front::HaProxy);
        let load = Load::of(Manner::KeepAlive, crew.front(), 4);
        let (ran, took) = cut(&crew, "rollout --version=v2", step, Signal::TERM);
        let (sent, failed) = load.stop();
        let log = format!("cancelled after {step}, {took:?}:\n{}", ran.log);
        assert!(took < Duration::from_secs(7), "{log}");
        assert!(matches!(ran.code, 130 | 30), "{log}");
        assert_eq!(failed, 0, "of {sent}\n{log}");
        assert_good(&crew, &log);
        // Only a deployment that was ended in the middle leaves a member that serves nothing.
        let within = crew.in_rotation();
        if within != NAMES {
            assert_eq!((step, within.as_slice()), ("drained", &NAMES[1..]), "{log}");
            assert!(ran.log.contains("web1 stays out of rotation"), "{log}");
        }
        match step {
            "members" | "way back" | "out" => assert_eq!(ran.code, 130, "{log}"),
            // It may not have begun to deploy.
            "drained" => {}
            _ => assert_eq!(ran.code, 30, "{log}"),
        }
        // It goes on from there.
        crew.revive("web1");
        let again = crew.cutover("rollout --version=v2");
        assert_eq!(again.code, 0, "{log}\n{}", again.log);
        assert_eq!(crew.releases(), ["v2"; 3]);
        assert_eq!(crew.in_rotation(), NAMES);
    }
}

/// There is no time for a deployment then, so what has the release keeps it.
#[test]
fn a_run_that_is_cancelled_on_its_way_back_stops_there() {
    let crew = Crew::open(Front::HaProxy);
    let script = crew.path("deploy.sh");
    let text = std::fs::read_to_string(&script).unwrap();
    // The way back hangs.
    let text = text.replace("stuck)", "v1)");
    std::fs::write(&script, text).unwrap();
    let (ran, took) = cut(&crew, "rollout --version=worse", "watch", Signal::INT);
    assert!(took < Duration::from_secs(7), "{took:?}: {}", ran.log);
    assert_eq!(
        (ran.code, ran.output("decision")),
        (30, "held"),
        "{}",
        ran.log
    );
    assert!(!crew.in_rotation().contains(&"web1"), "{}", ran.log);
    assert!(
        ran.log.contains("web1 stays out of rotation"),
        "{}",
        ran.log
    );
}

#[test]
fn a_run_that_is_killed_after_any_step_is_finished() {
    for step in STEPS {
        let crew = Crew::open(Front::HaProxy);
        let load = Load::of(Manner::NewConnection, crew.front(), 4);
        let (ran, _) = cut(&crew, "rollout --version=v2", step, Signal::KILL);
        // A deployment that has begun goes on for a moment without the program.
        let began = Instant::now();
        while step == "drained" && !crew.is_down("web1") && began.elapsed() < Duration::from_secs(1)
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        until_blocking("its deployment is over", || !crew.is_down("web1"));
        let post = crew.cutover("finish");
        let (sent, failed) = load.stop();
        let log = format!("killed after {step}:\n{}\n{}", ran.log, post.log);
        assert_eq!(post.code, 0, "{log}");
        assert_eq!(crew.in_rotation(), NAMES, "{log}");
        assert_good(&crew, &log);
        assert_eq!(failed, 0, "of {sent}\n{log}");
        let nothing = crew.cutover("finish");
        assert!(
            nothing.log.contains("nothing was left open"),
            "{log}\n{}",
            nothing.log
        );
    }
}

/// Runs a rollout whose deployment hangs, and sends a signal in the middle of it.
fn cut_while_deploying(crew: &Crew, signal: Signal) -> (Ran, Duration) {
    let run = crew.command("rollout --version=stuck").spawn().unwrap();
    until_blocking("it is deployed to", || crew.is_down("web1"));
    kill_process(Pid::from_child(&run), signal).unwrap();
    let began = Instant::now();
    (Ran::of(run), began.elapsed())
}

#[test]
fn a_deployment_that_is_cancelled_leaves_its_member_out() {
    let crew = Crew::open(Front::HaProxy);
    let load = Load::of(Manner::KeepAlive, crew.front(), 4);
    let (ran, took) = cut_while_deploying(&crew, Signal::INT);
    let (sent, failed) = load.stop();
    assert!(took < Duration::from_secs(7), "{took:?}: {}", ran.log);
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
    assert!(
        ran.log
            .contains("go on by `cutover rollout --environment production --version stuck`"),
        "{}",
        ran.log
    );
    assert_eq!(crew.in_rotation(), ["web2", "web3"]);
    assert_eq!(failed, 0, "of {sent}: {}", ran.log);
}

/// nginx has one page in its file and another one in force: the one in the file is loaded, and then
/// it goes on as ever.
#[test]
fn a_run_that_is_killed_between_the_file_and_the_reload_is_finished() {
    // Before a member is out, and before it is in again.
    for begun in ["grep -q ' down;' $LIVE", "! grep -qE 'gen=[01](-|$)' $LIVE"] {
        let crew = Crew::open(Front::Nginx);
        crew.configure("drain: 5s", "drain: 300ms");
        let hold = "touch hangs; while [ ! -e go ] && [ -e cutover.yml ]; do sleep 0.02; done";
        crew.test_by(&format!("if {begun}; then {hold}; fi"));
        let mut run = crew.command("rollout --version=v2").spawn().unwrap();
        until_blocking(begun, || crew.path("hangs").exists());
        kill_process(Pid::from_child(&run), Signal::KILL).unwrap();
        run.wait().unwrap();
        std::fs::write(crew.path("go"), "").unwrap();
        let load = Load::of(Manner::NewConnection, crew.front(), 4);
        let post = crew.cutover("finish");
        let (sent, failed) = load.stop();
        assert_eq!(post.code, 0, "{begun}: {}", post.log);
        assert_eq!(crew.in_rotation(), NAMES, "{begun}: {}", post.log);
        assert_eq!(failed, 0, "of {sent}: {}", post.log);
        let again = crew.cutover("rollout --version=v3");
        assert_eq!(again.code, 0, "{begun}: {}", again.log);
    }
}

/// Where nginx does not take the file, a person hears what stands in the way first.
#[test]
fn what_repairs_a_router_is_told_before_what_goes_on() {
    let crew = Crew::open(Front::Nginx);
    let hold = "touch hangs; while [ ! -e go ] && [ -e cutover.yml ]; do sleep 0.02; done; exit 3";
    crew.test_by(&format!("if grep -q ' down;' $LIVE; then {hold}; fi"));
    crew.configure("-s reload", "-s reload -g odd");
    let mut run = crew.command("rollout --version=v2").spawn().unwrap();
    until_blocking("the test of the file hangs", || crew.path("hangs").exists());
    kill_process(Pid::from_child(&run), Signal::KILL).unwrap();
    run.wait().unwrap();
    std::fs::write(crew.path("go"), "").unwrap();
    let post = crew.cutover("finish");
    assert_eq!(post.code, 40, "{}", post.log);
    let next = post.log.lines().find(|line| line.starts_with("  next "));
    let next = next.unwrap_or_default();
    assert!(next.contains("./test.sh && "), "{}", post.log);
    let then = "; cutover rollout --environment production --version v2";
    assert!(next.ends_with(then), "{}", post.log);
}

/// What HAProxy reads at its next reload is as it is, too.
#[test]
fn a_run_that_is_killed_before_its_state_file_is_written_is_finished() {
    let crew = Crew::open(Front::HaProxy);
    let file = crew.haproxy().ground.path("server-state");
    cut_while_deploying(&crew, Signal::KILL);
    // As a turn does first.
    crew.haproxy().cli("set server shop/web1 state ready");
    crew.revive("web1");
    let saved = std::fs::read_to_string(&file).unwrap();
    let post = crew.cutover("finish");
    assert_eq!(post.code, 0, "{}", post.log);
    assert_ne!(saved, std::fs::read_to_string(&file).unwrap());
    crew.haproxy().reload();
    assert_eq!(crew.in_rotation(), NAMES);
}

/// What serves nothing good is not put in by anybody: it is named, with what goes on.
#[test]
fn the_post_step_names_who_has_to_stay_out() {
    let crew = Crew::open(Front::HaProxy);
    cut_while_deploying(&crew, Signal::KILL);
    let post = crew.cutover("finish");
    assert_eq!(
        (post.code, post.output("decision")),
        (30, "held"),
        "{}",
        post.log
    );
    assert!(
        post.log.contains("web1 stays out of rotation"),
        "{}",
        post.log
    );
    assert!(
        post.log
            .contains("cutover rollout --environment production --version stuck"),
        "{}",
        post.log
    );
    assert_eq!(crew.in_rotation(), ["web2", "web3"]);
    // Once it is well, the same step brings it in.
    crew.revive("web1");
    let post = crew.cutover("finish");
    assert_eq!(post.code, 0, "{}", post.log);
    assert_eq!(crew.in_rotation(), NAMES);
}
