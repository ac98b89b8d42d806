//! Two of three real HAProxies are on blue and the last one on green, and somebody says where traffic
//! belongs: that is a switch for the users of the last one, however many had been there already.

use std::fs;

use crate::world::haproxy_relay::Fate;

use super::fleets::{LAST, Three};

const HEAL: &str = "switch-traffic --environment production --to blue";

/// The last one goes to green, past the program.
fn leaves(three: &Three) {
    let last = &three.nodes[LAST];
    let map = last.ground.text_path("weight.map");
    fs::write(&map, "green_weight 100\n").unwrap();
    last.cli(&format!("set map {map} green_weight 100"));
    assert_eq!(three.served(&[0, 1, LAST]), ["v1", "v1", "v0"]);
}

#[test]
fn a_fleet_that_is_made_to_agree_has_been_switched() {
    let three = Three::open();
    let note = |word: &str| format!("[{{ kind: command, run: echo {word} >> notes }}]");
    let (before, after) = (note("before"), note("after"));
    let hooks = format!("    hooks: {{ before-switch: {before}, after-switch: {after} }}\n");
    three.configure("    smoke:\n", &format!("{hooks}    smoke:\n"));
    leaves(&three);

    let ran = three.cutover(HEAL);
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert_eq!(ran.output("reason-code"), "done", "{}", ran.log);
    assert_eq!(ran.output("decision"), "promoted", "{}", ran.log);
    assert_eq!(three.served(&[0, 1, LAST]), ["v1", "v1", "v1"]);
    let notes = fs::read_to_string(three.slots.site.path("notes")).unwrap_or_default();
    assert_eq!(notes, "before\nafter\n", "{}", ran.log);

    let ran = three.cutover(HEAL);
    assert_eq!(ran.output("reason-code"), "already-there", "{}", ran.log);
}

#[test]
fn a_fleet_that_is_made_to_agree_and_not_proved_was_touched() {
    let three = Three::open();
    leaves(&three);
    // Users come in by a proxy that always leads to green.
    let front = three.nodes[0].ground.front;
    let green = three.slots.site.slots().second.url;
    three.configure(
        &format!("url: http://127.0.0.1:{front}"),
        &format!("url: {green}"),
    );

    let ran = three.cutover(HEAL);
    let told = (ran.code, ran.output("reason-code"));
    assert_eq!(told, (20, "not-proved"), "{}", ran.log);
    assert_eq!(three.served(&[0, 1, LAST]), ["v1", "v1", "v1"]);
    assert!(!ran.log.contains("untouched"), "{}", ran.log);
}

#[test]
fn a_fleet_that_could_not_be_made_to_agree_is_as_it_was() {
    let mut three = Three::open();
    three.relayed();
    let _relay = three.again(|line| match line.starts_with("prepare map") {
        true => Fate::Say("No."),
        false => Fate::Pass,
    });
    leaves(&three);

    let ran = three.cutover(HEAL);
    let told = (ran.code, ran.output("reason-code"));
    assert_eq!(told, (10, "router-refused"), "{}", ran.log);
    assert_eq!(three.served(&[0, 1, LAST]), ["v1", "v1", "v0"]);
}
