//! One release on several machines over SSH: what a run prints of each of them, in the log and in the
//! summary, where all goes well, where one fails, and where one is not there.

use std::fs;

use crate::world::shop::{Ran, Shop, Way};
use crate::world::sshd::{At, Sshd};

/// Three machines that have the slots of one shop.
struct Machines {
    sshds: Vec<Sshd>,
    shop: Shop,
}

impl Machines {
    /// Each does this on top, and knows itself as `$NODE`.
    fn open(more: &str) -> Self {
        let shop = Shop::open(Way::Flags);
        let home = shop.path("").display().to_string();
        let one = |n: u8| Sshd::start_at(At::address(n + 1), &format!("SetEnv NODE=web{n}"));
        let sshds: Vec<Sshd> = (1..=3).map(one).collect();
        let host = |(n, sshd): (usize, &Sshd)| {
            format!(
                "      web{}: {{ kind: ssh, address: '{}', key: '{}', host-key: '{}' }}\n",
                n + 1,
                sshd.address(),
                sshd.path("deploy"),
                sshd.fingerprint()
            )
        };
        let hosts: String = sshds.iter().enumerate().map(host).collect();
        let run = format!(
            "{more} echo \"$VERSION\" > \"$SLOT/release.$NODE\" && mv \"$SLOT/release.$NODE\" \"$SLOT/release\""
        );
        shop.configure(
            "    target: { kind: command, run: ./deploy.sh }",
            &format!(
                "    hosts:\n{hosts}    target:\n      kind: fleet\n      hosts: [web1, web2, web3]\n      at-once: 1\n      each: {{ kind: command, directory: '{home}', run: '{run}' }}"
            ),
        );
        Self { sshds, shop }
    }

    /// Runs it, with a place for its summary.
    fn rollout(&self) -> (Ran, String) {
        let path = self.shop.path("summary.md");
        fs::write(&path, "").unwrap();
        let mut command = self.shop.command("rollout --version=v2");
        command.env("GITHUB_STEP_SUMMARY", &path);
        let ran = Ran::of(command.spawn().unwrap());
        (ran, fs::read_to_string(path).unwrap())
    }
}

/// The rows about machines, without their times.
fn rows<'t>(text: &'t str, label: &str) -> Vec<&'t str> {
    let rows = text
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix(label));
    let rows = rows.map(|row| row.trim_start_matches([' ', '|']));
    rows.map(|row| row.split(['|', '`', ';']).next().unwrap_or_default())
        .map(|row| row.split("  ").next().unwrap_or_default().trim_end())
        .collect()
}

#[test]
fn each_machine_has_a_row_in_the_log_and_in_the_summary() {
    let machines = Machines::open("");
    let (ran, summary) = machines.rollout();
    assert_eq!(
        (ran.code, machines.shop.answers().as_str()),
        (0, "green v2"),
        "{}",
        ran.log
    );
    for (text, label) in [(&ran.log, "node "), (&summary, "| ✅ node |")] {
        let rows = rows(text, label);
        assert_eq!(rows.len(), 3, "{text}");
        for (row, name) in rows.iter().zip(["web1", "web2", "web3"]) {
            assert!(row.starts_with(&format!("{name}: ")), "{text}");
        }
    }
    assert!(ran.log.contains("on web3 ended with 0"), "{}", ran.log);
    assert!(ran.log.contains("green <- v2      3 of 3: "), "{}", ran.log);
}

#[test]
fn where_one_fails_the_others_are_told_and_traffic_stays() {
    let machines = Machines::open("[ $NODE != web2 ] || { echo no room; exit 3; };");
    let (ran, summary) = machines.rollout();
    assert_eq!(
        (ran.code, machines.shop.answers().as_str()),
        (10, "blue v1"),
        "{}",
        ran.log
    );
    assert_eq!(rows(&ran.log, "node ").len(), 3, "{}", ran.log);
    for (sign, what) in [
        ("✅", "web1: "),
        ("❌", "web2: "),
        ("❌", "web3: not begun"),
    ] {
        let rows = rows(&summary, &format!("| {sign} node |"));
        assert!(
            rows.iter().any(|row| row.starts_with(what)),
            "{what} in {summary}"
        );
    }
    let said = "1 of 3 went well; 1 not begun; it said: web2: no room";
    assert!(ran.log.contains(said), "{}", ran.log);
}

#[test]
fn where_one_is_not_there_nobody_is_deployed_to() {
    let mut machines = Machines::open("");
    machines.sshds[2].vanish();
    let before = machines.shop.state();
    let (ran, _) = machines.rollout();
    assert_eq!(
        (ran.code, machines.shop.state()),
        (69, before),
        "{}",
        ran.log
    );
    assert!(
        ran.log.contains("web3: web3 (root@127.0.0.4:"),
        "{}",
        ran.log
    );
    assert!(
        ran.log.contains("no machine was deployed to"),
        "{}",
        ran.log
    );
    assert!(rows(&ran.log, "node ").is_empty(), "{}", ran.log);
}
