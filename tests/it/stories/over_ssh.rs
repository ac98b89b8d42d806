//! Releases on machines that are reached over SSH: the command runs there, the proxy is asked
//! there, and the key is in a secret alone.

use std::fs;

use insta::assert_snapshot;

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
    let key = fs::read_to_string(sshd.path("deploy")).unwrap();
    let mut command = shop.command(arguments);
    command
        .env("SSH_KEY", key)
        .env("DEPLOY_TOKEN", "s3cr3t-t0ken");
    Ran::of(command.spawn().unwrap())
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
    let sshd = Sshd::start();
    let mut sshd = sshd;
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
    assert!([3, 6].contains(&ran.code), "{}", ran.log);
    assert!(
        ran.log
            .contains("network    host web1: web1 (root@127.0.0.1:"),
        "{}",
        ran.log
    );
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
    let dist = shop.path("dist");
    fs::create_dir(&dist).unwrap();
    fs::write(dist.join("release"), "v2\n").unwrap();
    let slots = shop.path("slots").display().to_string();
    let line = fs::read_to_string(shop.path("cutover.yml")).unwrap();
    let line = line
        .lines()
        .find(|line| line.contains("target:"))
        .unwrap()
        .trim()
        .to_owned();
    let target = format!("target: {{ kind: directory, host: web1, from: dist, to: '{slots}' }}");
    shop.configure(&line, &target);
    // What nginx serves is what `current` points to, as people set it up.
    fs::create_dir_all(shop.path("slots/green")).unwrap();
    fs::remove_dir_all(shop.path("green")).unwrap();
    std::os::unix::fs::symlink(shop.path("slots/green/current"), shop.path("green")).unwrap();
    let ran = cutover(&shop, &sshd, "deploy-slot --version=v2");
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert!(ran.log.contains("on web1"), "{}", ran.log);
    assert_eq!(
        fs::read_to_string(shop.path("green/release")).unwrap(),
        "v2\n"
    );
}
