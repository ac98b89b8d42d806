//! Releases on machines that are reached over SSH: the command runs there, the proxy is asked
//! there, and the key is in a secret alone.

use std::fs;
use std::process::Child;

use insta::assert_snapshot;

use super::over_ssh_uploads::with_a_folder;
use super::preflight::EASY;
use crate::world::shop::{Ran, Shop, Way};
use crate::world::sshd::Sshd;

/// A shop whose target, and router if that is asked for, are on a host.
pub(super) fn shop(sshd: &Sshd, way: Way, routed: bool) -> Shop {
    let shop = Shop::open(way);
    let home = shop.path("").display().to_string();
    shop.configure(
        "target: { kind: command, run: ./deploy.sh }",
        &format!(
            "hosts:
      web1: {{ kind: ssh, address: '{}', key: '${{SSH_KEY}}', host-key: '{}' }}
    target: {{ kind: command, run: ./deploy.sh, host: web1, directory: '{home}', env: {{ TOKEN: '${{DEPLOY_TOKEN}}' }} }}",
            sshd.address(),
            sshd.fingerprint()
        ),
    );
    if routed && way == Way::Flags {
        let flags = shop.path("flags").display().to_string();
        shop.configure("\"flags\":\"flags\"", &format!("\"flags\":\"{flags}\""));
    }
    if routed {
        shop.configure("\"kind\":\"", "\"host\":\"web1\",\"kind\":\"");
    }
    shop
}

pub(super) fn cutover(shop: &Shop, sshd: &Sshd, arguments: &str) -> Ran {
    Ran::of(cutover_begun(shop, sshd, arguments))
}

pub(super) fn cutover_begun(shop: &Shop, sshd: &Sshd, arguments: &str) -> Child {
    let key = fs::read_to_string(sshd.path("deploy")).unwrap();
    let mut command = shop.command(arguments);
    command
        .env("SSH_KEY", key)
        .env("DEPLOY_TOKEN", "s3cr3t-t0ken");
    command.spawn().unwrap()
}

/// Without what differs from run to run.
fn told(shop: &Shop, sshd: &Sshd, ran: &Ran) -> String {
    let (address, print) = (sshd.address(), sshd.fingerprint());
    shop.told(&ran.log)
        .replace(&address, "root@web1")
        .replace(&print, "SHA256:pinned")
}

#[test]
fn a_good_release_is_promoted_over_ssh() {
    let sshd = Sshd::start();
    let shop = shop(&sshd, Way::Map, false);
    let ran = cutover(&shop, &sshd, "rollout --version=v2");
    assert_snapshot!(told(&shop, &sshd, &ran), @r"
    cutover · rollout · production · storefront v2 · blue-green
      traffic    100 % on blue   [time]
    | green has v2
      deploy     green <- v2      ./deploy.sh on web1 ended with 0   [time]
      serves     green says v2   [time]
      smoke      1 of 1 on green   [time]
      way back   blue serves v1, restore prepared   [time]
      switch     green 0 % -> 100 %    the map says `green_weight 100`, and so does the file   [time]
      proved     5 of 5 answers say v2, none v1   [time]
      promoted   0 of [n] requests failed, slowest [time]
    ");
    assert_eq!((ran.code, shop.answers().as_str()), (0, "green v2"));
    assert!(!ran.log.contains("s3cr3t-t0ken"));
}

#[test]
fn haproxy_is_asked_through_the_host_it_is_on() {
    let sshd = Sshd::start();
    let shop = shop(&sshd, Way::Map, true);
    let ran = cutover(&shop, &sshd, "rollout --version=v2");
    assert_eq!(
        (ran.code, shop.answers().as_str()),
        (0, "green v2"),
        "{}",
        ran.log
    );
    assert!(ran.log.contains("and so does the file"), "{}", ran.log);
    // One login for all of it: the way back would have needed no handshake.
    assert_eq!(sshd.log().matches("Accepted publickey").count(), 1);
    let ran = cutover(&shop, &sshd, "rollback");
    assert_eq!(
        (ran.code, shop.answers().as_str()),
        (0, "blue v1"),
        "{}",
        ran.log
    );
}

#[test]
fn nginx_flags_are_renamed_on_the_host() {
    let sshd = Sshd::start();
    let shop = shop(&sshd, Way::Flags, true);
    let ran = cutover(&shop, &sshd, "rollout --version=v2");
    assert_eq!(
        (ran.code, shop.answers().as_str()),
        (0, "green v2"),
        "{}",
        ran.log
    );
    let ran = cutover(&shop, &sshd, "rollback");
    assert_eq!(
        (ran.code, shop.answers().as_str()),
        (0, "blue v1"),
        "{}",
        ran.log
    );
    let state = shop.state();
    let flags: Vec<&String> = state
        .keys()
        .filter(|file| file.contains("/flags/"))
        .collect();
    assert_eq!(flags, ["/shop/flags/w0"]);
}

/// A release that serves errors only once it has traffic, on HAProxy's own machine.
#[test]
fn a_bad_release_is_taken_back_over_the_warm_connection() {
    let sshd = Sshd::start();
    let shop = shop(&sshd, Way::Map, true);
    shop.configure("path: /release }", "path: /release }\n    health: { checks: [{ kind: command, host: web1, run: 'exit 1', retries: 0, fall: 1 }] }");
    shop.configure("watch: 0s }", "watch: 10s }");
    let ran = cutover(&shop, &sshd, "rollout --version=v2");
    assert_eq!(
        (ran.code, shop.answers().as_str()),
        (20, "blue v1"),
        "{}",
        ran.log
    );
    assert_eq!(sshd.log().matches("Accepted publickey").count(), 1);
    assert!(ran.log.contains("  back "), "{}", ran.log);
}

#[test]
fn a_host_that_nobody_knows_or_that_is_another_changes_nothing() {
    let mut sshd = Sshd::start();
    let shop = shop(&sshd, Way::Flags, true);
    sshd.vanish();
    sshd.come_back(true);
    let before = shop.state();
    let ran = cutover(&shop, &sshd, "rollout --version=v2");
    assert_eq!(
        (ran.code, shop.state()),
        (69, before.clone()),
        "{}",
        ran.log
    );
    assert!(
        ran.log
            .contains("it shows a key that is not the pinned one"),
        "{}",
        ran.log
    );
    let ran = cutover(&shop, &sshd, "preflight --version=v2");
    // The router is on it, too, and what a rollout relies on is graver than a connection.
    assert_eq!(ran.code, 6, "{}", ran.log);
    let at_login = "network    host web1: web1 (root@127.0.0.1:";
    assert!(ran.log.contains(at_login), "{}", ran.log);
    shop.configure("\"host\":\"web1\",\"kind\":", "\"kind\":");
    let ran = cutover(&shop, &sshd, "preflight --version=v2");
    assert_eq!(ran.code, 3, "{}", ran.log);
    assert!(ran.log.contains(at_login), "{}", ran.log);
    shop.configure("host: web1", "host: wbe1");
    let ran = cutover(&shop, &sshd, "rollout --version=v2");
    assert_eq!((ran.code, shop.state()), (64, before), "{}", ran.log);
    assert!(
        ran.log
            .contains("unknown host \"wbe1\", did you mean \"web1\"?"),
        "{}",
        ran.log
    );
}

#[test]
fn a_folder_is_deployed_to_the_host() {
    let sshd = Sshd::start();
    let shop = shop(&sshd, Way::Flags, false);
    with_a_folder(&shop);
    let ran = cutover(&shop, &sshd, "deploy-slot --version=v2");
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert!(ran.log.contains("on web1"), "{}", ran.log);
    assert_eq!(
        fs::read_to_string(shop.path("green/release")).unwrap(),
        "v2\n"
    );
}

/// The slots listen where no other machine gets to, as behind a firewall: the runner does not even
/// know their name.
#[test]
fn slots_that_only_the_host_reaches_are_looked_at_over_it() {
    let sshd = Sshd::start_knowing("app.web1");
    let shop = shop(&sshd, Way::Flags, true);
    let config = fs::read_to_string(shop.path("cutover.yml")).unwrap();
    let own = config
        .lines()
        .filter_map(|line| line.split_once("{ url: http://127.0.0.1:"));
    let ports: Vec<&str> = own.map(|(_, rest)| rest.trim_end_matches("/ }")).collect();
    for port in &ports {
        shop.configure(
            &format!("{{ url: http://127.0.0.1:{port}"),
            &format!("{{ url: http://app.web1:{port}"),
        );
    }
    shop.configure("    release:", &format!("    {EASY}\n    release:"));
    let ran = cutover(&shop, &sshd, "preflight --version=v2");
    assert_eq!(ran.code, 6, "{}", ran.log);
    assert!(ran.log.contains("slot green: DNS: "), "{}", ran.log);

    let all: Vec<String> = ports
        .iter()
        .map(|port| format!("app.web1:{port}"))
        .collect();
    let tunnels = format!(
        "    tunnels: {{ web1: [{}] }}\n    release:",
        all.join(", ")
    );
    shop.configure("    release:", &tunnels);
    let ran = cutover(&shop, &sshd, "preflight --version=v2");
    assert_eq!(ran.code, 0, "{}", ran.log);
    let checks = r#"smoke-test --slot=green --checks=[{"kind":"http","path":"/release"}]"#;
    let ran = cutover(&shop, &sshd, checks);
    assert_eq!(ran.code, 0, "{}", ran.log);
    let ran = cutover(&shop, &sshd, "rollout --version=v2");
    assert_eq!(
        (ran.code, shop.answers().as_str()),
        (0, "green v2"),
        "{}",
        ran.log
    );
    assert!(ran.log.contains("serves     green says v2"), "{}", ran.log);
    let ran = cutover(&shop, &sshd, "rollback");
    assert_eq!(
        (ran.code, shop.answers().as_str()),
        (0, "blue v1"),
        "{}",
        ran.log
    );

    shop.configure("tunnels: { web1:", "tunnels: { wbe1:");
    let ran = cutover(&shop, &sshd, "smoke-test --slot=green");
    assert_eq!(ran.code, 64, "{}", ran.log);
    assert!(
        ran.log
            .contains("unknown host \"wbe1\", did you mean \"web1\"?"),
        "{}",
        ran.log
    );
    let twice = format!("tunnels: {{ web1: [{0}, {0}], wbe1:", all[0]);
    shop.configure("tunnels: { wbe1:", &twice);
    let ran = cutover(&shop, &sshd, "smoke-test --slot=green");
    assert!(
        ran.log.contains("tunnels.web1[1]: app.web1:"),
        "{}",
        ran.log
    );
}
