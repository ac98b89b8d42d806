//! Three real HAProxies in front of the same two slots, changed as one router. One of them dies at
//! each step of a rollout; the others are never left apart, and afterwards all can be made to agree.

use std::fs;
use std::io::{BufRead as _, BufReader};

use serde_json::json;

use crate::world::haproxy::{Ground, HaProxy};
use crate::world::haproxy_relay::{Fate, Relay};
use crate::world::nginx::Nginx;
use crate::world::shop::{Ran, command, furnish, put, release_at, router_config, slots};

const LAST: usize = 2;

struct Three {
    slots: Nginx,
    nodes: Vec<HaProxy>,
}

impl Three {
    /// v1 on blue, which has all traffic at every node, and v0 on green.
    fn open() -> Self {
        let slots = slots();
        let grounds: Vec<Ground> = (0..3).map(|_| Ground::new()).collect();
        let block = |ground: &Ground| {
            fs::write(ground.path("weight.map"), "green_weight 0\n").unwrap();
            json!({
                "kind": "haproxy", "address": format!("unix:{}", ground.text_path("admin.sock")),
                "map": ground.text_path("weight.map"), "key": "green_weight",
            })
        };
        let router = json!({ "kind": "fleet", "nodes": {
            "lb1": block(&grounds[0]), "lb2": block(&grounds[1]), "lb3": block(&grounds[2]),
        }});
        furnish(&slots.site, &router, grounds[0].front);
        let lines = router_config(&slots.site);
        let (_, lines) = lines.split_once("# On lb1:\n").unwrap();
        let (first, rest) = lines.split_once("# On lb2:\n").unwrap();
        let (second, third) = rest.split_once("# On lb3:\n").unwrap();
        let started = grounds.into_iter().zip([first, second, third]);
        Self {
            nodes: started.map(|(ground, lines)| ground.start(lines)).collect(),
            slots,
        }
    }

    fn cutover(&self, arguments: &str) -> Ran {
        Ran::of(command(&self.slots.site, arguments).spawn().unwrap())
    }

    /// The release that users of each node get.
    fn served(&self, nodes: &[usize]) -> Vec<String> {
        let fronts = nodes.iter().map(|node| self.nodes[*node].ground.front);
        fronts.map(release_at).collect()
    }

    fn configure(&self, from: &str, to: &str) {
        let path = self.slots.site.path("cutover.yml");
        let old = fs::read_to_string(&path).unwrap();
        assert!(old.contains(from), "{from} is not in {old}");
        fs::write(&path, old.replace(from, to)).unwrap();
    }

    /// Everything is as it was at first, with the last node behind a relay that decides what
    /// becomes of each command.
    fn again(&mut self, fate: impl FnMut(&str) -> Fate + Send + 'static) -> Relay {
        let ground = &self.nodes[LAST].ground;
        let (real, relay) = (ground.path("admin.sock"), ground.path("relay.sock"));
        for (slot, release) in [("blue", "v1"), ("green", "v0")] {
            put(&self.slots.site, slot, release);
        }
        let _ = fs::remove_file(&relay);
        Relay::start(relay, real, fate)
    }
}

#[test]
fn all_nodes_change_at_once_and_go_back_at_once() {
    let three = Three::open();
    let ran = three.cutover("rollout --version=v2");
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert!(
        ran.log.contains("lb1, lb2 and lb3 say 100 % on green"),
        "{}",
        ran.log
    );
    assert_eq!(three.served(&[0, 1, 2]), ["v2", "v2", "v2"]);
    let ran = three.cutover("rollback");
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert_eq!(three.served(&[0, 1, 2]), ["v1", "v1", "v1"]);
}

#[test]
fn nodes_that_differ_are_refused_until_somebody_says_where_to() {
    let three = Three::open();
    let map = three.nodes[1].ground.text_path("weight.map");
    fs::write(&map, "green_weight 100\n").unwrap();
    three.nodes[1].cli(&format!("set map {map} green_weight 100"));

    for mode in ["rollout --version=v2", "rollback", "switch-traffic"] {
        let ran = three.cutover(mode);
        assert_eq!(ran.code, 10, "{mode}: {}", ran.log);
        assert_eq!(ran.output("reason-code"), "divergent");
        let said = "lb1: 100 % on blue; lb2: 100 % on green; lb3: 100 % on blue";
        assert!(ran.log.contains(said), "{}", ran.log);
        let next = "`cutover switch-traffic --environment production --to blue`";
        assert!(ran.log.contains(next), "{}", ran.log);
        assert_eq!(three.served(&[0, 1, 2]), ["v1", "v0", "v1"]);
    }
    let ran = three.cutover("switch-traffic --environment production --to blue");
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert!(
        ran.log
            .contains("the nodes of the router do not agree, and will"),
        "{}",
        ran.log
    );
    assert_eq!(three.served(&[0, 1, 2]), ["v1", "v1", "v1"]);
    assert_eq!(three.cutover("rollout --version=v2").code, 0);
}

/// When the last node dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    BeforeItIsRead,
    WhileDeploying,
    BeforeTheWrite,
    AfterTheWrite,
    BeforeItConfirms,
    WhileProvedOrWatched,
}

#[test]
fn one_node_dies_at_each_step() {
    let mut three = Three::open();
    three.configure("watch: 0s", "watch: 2s");
    let ground = &three.nodes[LAST].ground;
    let (real, relay) = (
        ground.text_path("admin.sock"),
        ground.text_path("relay.sock"),
    );
    three.configure(&real, &relay);
    let deploy = three.slots.site.path("deploy.sh");
    let usual = fs::read_to_string(&deploy).unwrap();

    for (when, code, others) in [
        (When::BeforeItIsRead, 10, "v1"),
        (When::WhileDeploying, 69, "v1"),
        (When::BeforeTheWrite, 40, "v1"),
        (When::AfterTheWrite, 40, "v1"),
        (When::BeforeItConfirms, 40, "v1"),
        (When::WhileProvedOrWatched, 0, "v2"),
    ] {
        println!("{when:?}");
        let kill = three.nodes[LAST].killer();
        let (mut written, mut dead) = (false, false);
        let relay = three.again(move |line| {
            let (writes, reads) = (line.starts_with("commit map"), line.contains("show map"));
            let now = match when {
                When::BeforeTheWrite | When::AfterTheWrite => writes,
                When::BeforeItConfirms => written && reads,
                _ => false,
            };
            written |= writes;
            if !now || dead {
                return Fate::Pass;
            }
            dead = true;
            if when == When::AfterTheWrite {
                return Fate::LoseTheAnswerAnd(Box::new(kill.clone()));
            }
            kill();
            Fate::Lose
        });
        let kill = three.nodes[LAST].killer();
        if when == When::BeforeItIsRead {
            kill();
        }
        if when == When::WhileDeploying {
            let script = format!("{usual}kill -TERM {}\n", three.nodes[LAST].pid());
            fs::write(&deploy, script).unwrap();
        }
        let mut run = command(&three.slots.site, "rollout --version=v2")
            .spawn()
            .unwrap();
        let mut printed = String::new();
        for line in BufReader::new(run.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if when == When::WhileProvedOrWatched && line.contains("  proved ") {
                kill();
            }
            printed.push_str(&line);
            printed.push('\n');
        }
        let ran = Ran::read(run.wait().unwrap().code(), &printed);
        println!("{}", ran.log);
        fs::write(&deploy, &usual).unwrap();

        assert_eq!(ran.code, code, "{when:?}: {}", ran.log);
        assert_eq!(three.served(&[0, 1]), [others, others], "{when:?}");
        if code != 0 {
            assert!(ran.log.contains("lb3"), "{when:?}: {}", ran.log);
        }

        three.nodes[LAST].revive();
        let ran = three.cutover("switch-traffic --environment production --to blue");
        assert_eq!(ran.code, 0, "{when:?}: {}", ran.log);
        assert_eq!(three.served(&[0, 1, 2]), ["v1", "v1", "v1"], "{when:?}");
        drop(relay);
    }
}
