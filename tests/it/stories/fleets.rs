//! Three real HAProxies in front of the same two slots, changed as one router, on this machine and on
//! three others over SSH. One of them dies at each step of a rollout, with its machine; the others
//! are never left apart, and afterwards all can be made to agree.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::world::apart::Apart;
use crate::world::children::{exit_code, lines};
use crate::world::haproxy::{Ground, HaProxy};
use crate::world::haproxy_relay::{Fate, Relay};
use crate::world::nginx::{Nginx, Site};
use crate::world::shop::{Ran, command, furnish, put, release_at, router_config, slots};
use crate::world::sshd::{At, Sshd};

pub(super) const LAST: usize = 2;

pub(super) struct Three {
    pub(super) slots: Nginx,
    pub(super) nodes: Vec<HaProxy>,
    /// How the machine of each is reached, if it is another one.
    sshds: Vec<Sshd>,
    /// Where each machine has its own directory.
    place: TempDir,
}

impl Three {
    /// v1 on blue, which has all traffic at every node, and v0 on green.
    pub(super) fn open() -> Self {
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
            sshds: Vec::new(),
            place: tempfile::tempdir().unwrap(),
        }
    }

    /// The same with each node on a machine of its own, where all paths are the same.
    fn over_ssh() -> Self {
        let slots = slots();
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name).display().to_string();
        let grounds: Vec<Ground> = (0..3)
            .map(|_| Ground {
                seen_at: Some(place.path().to_owned()),
                ..Ground::new()
            })
            .collect();
        let mut hosts = Map::new();
        let mut sshds = Vec::new();
        for (n, ground) in grounds.iter().enumerate() {
            fs::write(ground.path("weight.map"), "green_weight 0\n").unwrap();
            let sees = Some((ground.directory.path().to_owned(), place.path().to_owned()));
            let last = u8::try_from(n).unwrap() + 2;
            let sshd = Sshd::start_at(At { last, sees }, "");
            let block = json!({
                "kind": "ssh", "address": sshd.address(), "key": sshd.path("deploy"),
                "host-key": sshd.fingerprint(),
            });
            hosts.insert(format!("lb{}", n + 1), block);
            sshds.push(sshd);
        }
        let router = json!({ "kind": "fleet", "hosts": ["lb1", "lb2", "lb3"], "each": {
            "kind": "haproxy", "address": format!("unix:{}", at("admin.sock")),
            "map": at("weight.map"), "key": "green_weight",
        }});
        furnish(&slots.site, &router, grounds[0].front);
        let hosts = format!("    hosts: {}\n    router: ", Value::from(hosts));
        configure(&slots.site, "    router: ", &hosts);
        let lines = router_config(&slots.site);
        // The same for all of them.
        let lines = lines.split("# On lb2:").next().unwrap();
        let (_, lines) = lines.split_once("# On lb1:\n").unwrap();
        let started = grounds.into_iter().map(|ground| ground.start(lines));
        Self {
            nodes: started.collect(),
            slots,
            sshds,
            place,
        }
    }

    /// Ends a node at once, and the machine that it is on.
    fn killer(&self, node: usize) -> impl Fn() + Clone + Send + 'static {
        let proxy = self.nodes[node].killer();
        let machine = self.sshds.get(node).map(Sshd::killer);
        move || {
            if let Some(kill) = &machine {
                kill();
            }
            proxy();
        }
    }

    fn revive(&mut self, node: usize) {
        self.nodes[node].revive();
        if let Some(sshd) = self.sshds.get_mut(node) {
            sshd.vanish();
            sshd.come_back(false);
        }
    }

    /// The socket of the last node is from now on the relay's.
    pub(super) fn relayed(&self) {
        if self.sshds.is_empty() {
            let ground = &self.nodes[LAST].ground;
            let real = ground.text_path("admin.sock");
            return self.configure(&real, &ground.text_path("relay.sock"));
        }
        let real = self.place.path().join("admin.sock").display().to_string();
        self.configure(&real, &real.replace("admin.sock", "relay.sock"));
        for node in &self.nodes[..LAST] {
            symlink("admin.sock", node.ground.path("relay.sock")).unwrap();
        }
    }

    pub(super) fn cutover(&self, arguments: &str) -> Ran {
        Ran::of(command(&self.slots.site, arguments).spawn().unwrap())
    }

    /// The release that users of each node get.
    pub(super) fn served(&self, nodes: &[usize]) -> Vec<String> {
        let fronts = nodes.iter().map(|node| self.nodes[*node].ground.front);
        fronts.map(release_at).collect()
    }

    pub(super) fn configure(&self, from: &str, to: &str) {
        configure(&self.slots.site, from, to);
    }

    /// Everything is as it was at first, with the last node behind a relay that decides what
    /// becomes of each command.
    pub(super) fn again(&mut self, fate: impl FnMut(&str) -> Fate + Send + 'static) -> Relay {
        let ground = &self.nodes[LAST].ground;
        let (real, relay) = (ground.path("admin.sock"), ground.path("relay.sock"));
        for (slot, release) in [("blue", "v1"), ("green", "v0")] {
            put(&self.slots.site, slot, release);
        }
        let _ = fs::remove_file(&relay);
        Relay::start(relay, real, fate)
    }
}

fn configure(site: &Site, from: &str, to: &str) {
    let path = site.path("cutover.yml");
    let old = fs::read_to_string(&path).unwrap();
    assert!(old.contains(from), "{from} is not in {old}");
    fs::write(&path, old.replace(from, to)).unwrap();
}

#[test]
fn all_nodes_change_at_once_and_go_back_at_once() {
    for three in [Three::open(), Three::over_ssh()] {
        changes_and_goes_back(&three);
    }
}

fn changes_and_goes_back(three: &Three) {
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
    dies_at_each_step(Three::open());
}

#[test]
fn one_machine_of_three_dies_at_each_step() {
    dies_at_each_step(Three::over_ssh());
}

fn dies_at_each_step(mut three: Three) {
    three.configure("watch: 0s", "watch: 2s");
    three.relayed();
    let deploy = three.slots.site.path("deploy.sh");
    let usual = fs::read_to_string(&deploy).unwrap();

    let known = "lb1: 100 % on blue; lb2: 100 % on blue; lb3: the router is out of reach: ";
    let mend = "cutover switch-traffic --environment production --to blue";
    for (when, code, reason, others, words) in [
        (
            When::BeforeItIsRead,
            10,
            "divergent",
            "v1",
            "bring lb3 up, or leave it out of `nodes`",
        ),
        (
            When::WhileDeploying,
            69,
            "out-of-reach",
            "v1",
            "check that it runs",
        ),
        (When::BeforeTheWrite, 40, "divergent", "v1", mend),
        (When::AfterTheWrite, 40, "divergent", "v1", mend),
        (When::BeforeItConfirms, 40, "out-of-reach", "v1", mend),
        (
            When::WhileProvedOrWatched,
            0,
            "done",
            "v2",
            "lb1, lb2 and lb3 say 100 % on green",
        ),
    ] {
        println!("{when:?}");
        let kill = three.killer(LAST);
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
        let kill = three.killer(LAST);
        if when == When::BeforeItIsRead {
            kill();
        }
        if when == When::WhileDeploying {
            let waits = "echo it dies; until test -e dead; do sleep 0.01; done";
            fs::write(&deploy, format!("{usual}{waits}\n")).unwrap();
        }
        let apart = Apart::watch([0, 1].map(|node| three.nodes[node].ground.front));
        let mut run = command(&three.slots.site, "rollout --version=v2")
            .spawn()
            .unwrap();
        let mut printed = String::new();
        for line in lines(run.stdout.take()) {
            if when == When::WhileProvedOrWatched && line.contains("  proved ") {
                kill();
            }
            if when == When::WhileDeploying && line.contains("it dies") {
                kill();
                fs::write(three.slots.site.path("dead"), "").unwrap();
            }
            printed.push_str(&line);
            printed.push('\n');
        }
        let ran = Ran::read(exit_code(&mut run), &printed);
        println!("{}", ran.log);
        fs::write(&deploy, &usual).unwrap();

        // There and back, each a moment in which one is ahead of the other.
        let (looks, times) = apart.end();
        assert!(
            looks > 0 && times <= 2,
            "{when:?}: {times} times in {looks} looks"
        );
        let told = (ran.code, ran.output("reason-code"));
        assert_eq!(told, (code, reason), "{when:?}: {}", ran.log);
        assert_eq!(three.served(&[0, 1]), [others, others], "{when:?}");
        assert!(ran.log.contains(words), "{when:?}: {}", ran.log);
        if code != 0 {
            let traffic = ran
                .log
                .lines()
                .find(|it| it.starts_with("  traffic    unknown: "));
            assert!(
                traffic.is_some_and(|it| it.contains(known)),
                "{when:?}: {}",
                ran.log
            );
        }

        three.revive(LAST);
        let ran = three.cutover("switch-traffic --environment production --to blue");
        assert_eq!(ran.code, 0, "{when:?}: {}", ran.log);
        assert_eq!(three.served(&[0, 1, 2]), ["v1", "v1", "v1"], "{when:?}");
        drop(relay);
    }
}
