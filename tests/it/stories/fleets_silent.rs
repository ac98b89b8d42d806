//! The last of three real HAProxies falls silent in the middle of a rollout: it takes connections and
//! answers none. The others go back at once, and are not kept by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::world::children::{exit_code, lines};
use crate::world::haproxy_relay::{Fate, Relay};
use crate::world::patience::until_blocking;
use crate::world::shop::{Ran, command};

use super::fleets::{LAST, Three};

/// Far less than a node may take that is alone, and more than the others wait for it.
const SOON: Duration = Duration::from_secs(8);

/// What a person is to run, afterwards.
const MEND: &str = "cutover switch-traffic --environment production --to blue";

/// What is known of traffic then.
const KNOWN: &str = "lb1: 100 % on blue; lb2: 100 % on blue; lb3: the router is out of reach: ";

/// Three of them, the last one behind a relay that hangs from a line on that begins so, or as soon
/// as it is told to.
fn open(from: &'static str) -> (Three, Relay, Arc<AtomicBool>) {
    let mut three = Three::open();
    three.relayed();
    let silent = Arc::new(AtomicBool::new(false));
    let (is_silent, mut once) = (Arc::clone(&silent), !from.is_empty());
    let relay = three.again(move |line| {
        if once && line.starts_with(from) {
            once = false;
            is_silent.store(true, Ordering::SeqCst);
        }
        match is_silent.load(Ordering::SeqCst) {
            true => Fate::Hang,
            false => Fate::Pass,
        }
    });
    (three, relay, silent)
}

/// How it ends.
fn is_stuck(three: &Three, ran: &Ran) {
    assert_eq!(ran.code, 40, "{}", ran.log);
    assert_eq!(three.served(&[0, 1]), ["v1", "v1"], "{}", ran.log);
    assert!(ran.log.contains(MEND), "{}", ran.log);
    let mut log = ran.log.lines();
    let traffic = log.find(|it| it.starts_with("  traffic    unknown: "));
    let traffic = traffic.is_some_and(|it| it.contains(KNOWN));
    assert!(traffic, "{}", ran.log);
}

/// What it says is to be run makes them agree.
fn can_be_mended(three: &Three) {
    let ran = three.cutover(MEND.trim_start_matches("cutover "));
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert_eq!(three.served(&[0, 1, LAST]), ["v1", "v1", "v1"]);
}

#[test]
fn the_others_go_back_at_once_where_one_is_silent_in_the_switch() {
    let (three, _relay, silent) = open("commit map");
    let run = command(&three.slots.site, "rollout --version=v2")
        .spawn()
        .unwrap();
    until_blocking("the others have the new release", || {
        three.served(&[0, 1]) == ["v2", "v2"]
    });
    let began = Instant::now();
    until_blocking("they have the old one again", || {
        three.served(&[0, 1]) == ["v1", "v1"]
    });
    let apart = began.elapsed();
    let ran = Ran::of(run);
    assert!(apart < SOON, "{apart:?}: {}", ran.log);
    is_stuck(&three, &ran);

    silent.store(false, Ordering::SeqCst);
    can_be_mended(&three);
}

#[test]
fn a_cancelled_run_puts_the_others_back_where_one_is_silent() {
    let (three, _relay, silent) = open("");
    three.configure("watch: 0s", "watch: 60s");
    let mut run = command(&three.slots.site, "rollout --version=v2")
        .spawn()
        .unwrap();
    let mut printed = String::new();
    let mut cancelled = None;
    for line in lines(run.stdout.take()) {
        if line.contains("  proved ") {
            silent.store(true, Ordering::SeqCst);
            kill_process(Pid::from_child(&run), Signal::INT).unwrap();
            cancelled = Some(Instant::now());
        }
        printed.push_str(&line);
        printed.push('\n');
    }
    let ran = Ran::read(exit_code(&mut run), &printed);
    let took = cancelled.unwrap().elapsed();
    assert!(took < SOON, "{took:?}: {}", ran.log);
    is_stuck(&three, &ran);

    // Its file went back and its memory did not, which has to be made good first.
    silent.store(false, Ordering::SeqCst);
    let ran = three.cutover(MEND.trim_start_matches("cutover "));
    let map = three.nodes[LAST].ground.text_path("weight.map");
    let follow = format!("set map {map} green_weight 0");
    assert!(ran.log.contains(&follow), "{}", ran.log);
    three.nodes[LAST].cli(&follow);
    can_be_mended(&three);
}
