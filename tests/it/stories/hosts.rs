//! Other machines that must have room: reached by ssh, measured by what the kernel there says.

use std::fs;

use insta::assert_snapshot;

use super::preflight::{result, shop, told};
use crate::world::shop::{Ran, Shop};
use crate::world::sshd::Sshd;

/// A shop with hosts, each with its own words; `REACH` is the way to the real one.
fn with_hosts(hosts: &str) -> Shop {
    shop(&format!(
        "preflight: {{ cpu: 100%, memory: 100%, disk: 1MB, hosts: [{hosts}] }}"
    ))
}

fn preflight(shop: &Shop) -> Ran {
    let output = shop.path("output");
    let mut command = shop.command("preflight --version=v2");
    command.env("GITHUB_OUTPUT", &output);
    Ran::of(command.spawn().unwrap())
}

/// The rows of the machines, and what the run came to.
fn rows(shop: &Shop, ran: &Ran, sshd: Option<&Sshd>) -> String {
    let mut log = told(shop, ran);
    if let Some(sshd) = sshd {
        for key in ["deploy", "noisy", "nobody"] {
            log = log.replace(&sshd.reach(key), &format!("ssh {key}@web-1"));
        }
    }
    log
}

#[test]
fn a_host_is_measured_by_ssh() {
    let sshd = Sshd::start();
    let shop = with_hosts(&format!(
        "{{ name: web-1, reach: \"{}\" }}",
        sshd.reach("deploy")
    ));
    let ran = preflight(&shop);
    assert_eq!(ran.code, 0, "{} {}", ran.log, sshd.log());
    let result = result(&shop);
    let checks = result["checks"].as_array().unwrap();
    for (name, unit) in [
        ("cpu of web-1", " % in use"),
        ("memory of web-1", "B in use"),
        ("disk of web-1", "B free at /"),
    ] {
        let found = checks.iter().find(|one| one["name"] == name).unwrap();
        assert_eq!(found["verdict"], "passed", "{found}");
        let measured = found["measured"].as_str().unwrap();
        assert!(measured.ends_with(unit), "{measured}");
    }
}

#[test]
fn a_full_host_is_1() {
    let sshd = Sshd::start();
    let shop = with_hosts(&format!(
        "{{ name: web-1, reach: \"{}\", memory: 0%, disk: 9000TB, path: /usr }}",
        sshd.reach("deploy")
    ));
    let ran = preflight(&shop);
    let figures = regex_lite::Regex::new(r"[\d.,]+ (%|[kMGT]?B)( of| free| in use)").unwrap();
    let told = rows(&shop, &ran, Some(&sshd));
    let told = figures.replace_all(&told, "[n] $1$2");
    assert_snapshot!(told, @r"
      runner     memory of web-1: [n] % of [n] GB in use; wanted at most 0 %; next: end what takes it, or raise `preflight.memory`
      runner     disk of web-1: [n] GB free at /usr; wanted at least 9,000,000 GB; next: make room there (`docker system prune`, old workspaces), or lower `preflight.disk`
      preflight  10 of 12 checks passed, 1 skipped   [time]
    failed: 2 checks say no: memory of web-1, disk of web-1
      measured   memory of web-1: [n] % of [n] GB in use
      wanted     at most 0 %
      traffic    100 % on blue, says the router
      next       end what takes it, or raise `preflight.memory`
    ");
    assert_eq!(
        (ran.code, ran.output("reason-code")),
        (1, "preflight-runner")
    );
}

/// A login that greets is passed over, and said, so that somebody can make it quiet.
#[test]
fn a_greeting_before_the_figures_is_told() {
    let sshd = Sshd::start();
    let shop = with_hosts(&format!(
        "{{ name: web-1, reach: \"{}\" }}",
        sshd.reach("noisy")
    ));
    let ran = preflight(&shop);
    assert_snapshot!(rows(&shop, &ran, Some(&sshd)), @r"
    skipped    web-1: it says more than it is asked, and that was passed over: Welcome to web-1 3 updates are due; let its login scripts print for terminals alone
    preflight  12 checks passed, 2 skipped   [time]
    passed     v2 may go out: 12 checks passed, 2 skipped
    ");
    assert_eq!(ran.code, 0);
}

#[test]
fn a_login_that_may_do_nothing_is_1() {
    let sshd = Sshd::start();
    let shop = with_hosts(&format!(
        "{{ name: web-1, reach: \"{}\" }}",
        sshd.reach("nobody")
    ));
    let ran = preflight(&shop);
    assert_snapshot!(rows(&shop, &ran, Some(&sshd)), @r"
      runner     web-1: `ssh nobody@web-1` ended with 1; it said: This account is currently not available.; wanted its figures; next: see that `ssh nobody@web-1 true` works where this job runs
      preflight  9 of 10 checks passed, 1 skipped   [time]
    failed: 1 check says no: web-1
      measured   web-1: `ssh nobody@web-1` ended with 1; it said: This account is currently not available.
      wanted     its figures
      traffic    100 % on blue, says the router
      next       see that `ssh nobody@web-1 true` works where this job runs
    ");
    assert_eq!(ran.code, 1);
}

#[test]
fn a_host_that_is_not_there_is_1() {
    let port = crate::world::ports::free();
    let reach = format!("ssh -F none -o BatchMode=yes -p {port} deploy@127.0.0.1");
    let shop = with_hosts(&format!("{{ name: web-1, reach: \"{reach}\" }}"));
    let ran = preflight(&shop);
    let told = told(&shop, &ran).replace(&port.to_string(), "22");
    assert_snapshot!(told, @r"
      runner     web-1: `ssh -F none -o BatchMode=yes -p 22 deploy@127.0.0.1` ended with 255; it said: ssh: connect to host 127.0.0.1 port 22: Connection refused; wanted its figures; next: see that `ssh -F none -o BatchMode=yes -p 22 deploy@127.0.0.1 true` works where this job runs
      preflight  9 of 10 checks passed, 1 skipped   [time]
    failed: 1 check says no: web-1
      measured   web-1: `ssh -F none -o BatchMode=yes -p 22 deploy@127.0.0.1` ended with 255; it said: ssh: connect to host 127.0.0.1 port 22: Connection refused
      wanted     its figures
      traffic    100 % on blue, says the router
      next       see that `ssh -F none -o BatchMode=yes -p 22 deploy@127.0.0.1 true` works where this job runs
    ");
    assert_eq!(ran.code, 1);
}

/// Hosts are asked at the same time, and none longer than its own limit.
#[test]
fn a_host_that_does_not_answer_is_1() {
    let hosts = ["a", "b"].map(|name| {
        format!(
            "{{ name: {name}, reach: \"echo password for deploy:; sleep 100 #\", timeout: 300ms }}"
        )
    });
    let shop = with_hosts(&hosts.join(", "));
    let ran = preflight(&shop);
    assert_snapshot!(told(&shop, &ran), @r"
      runner     a: no answer after [time]; it said: password for deploy:; wanted its figures within 300 ms; next: is it up, and does `echo password for deploy:; sleep 100 # true` ask for something (a password, a host key)? `ssh -o BatchMode=yes` says so at once; `timeout` gives it longer
      runner     b: no answer after [time]; it said: password for deploy:; wanted its figures within 300 ms; next: is it up, and does `echo password for deploy:; sleep 100 # true` ask for something (a password, a host key)? `ssh -o BatchMode=yes` says so at once; `timeout` gives it longer
      preflight  9 of 11 checks passed, 1 skipped   [time]
    failed: 2 checks say no: a, b
      measured   a: no answer after [time]; it said: password for deploy:
      wanted     its figures within 300 ms
      traffic    100 % on blue, says the router
      next       is it up, and does `echo password for deploy:; sleep 100 # true` ask for something (a password, a host key)? `ssh -o BatchMode=yes` says so at once; `timeout` gives it longer
    ");
    assert_eq!(ran.code, 1);
}

/// What is no Linux, and what prints in between, is no figure.
#[test]
fn figures_that_make_no_sense_are_1() {
    let shop = with_hosts(
        "{ name: mac, reach: \"sed s,/proc/,/nowhere/, |\" }, { name: mute, reach: \"true #\" }",
    );
    let ran = preflight(&shop);
    assert_snapshot!(told(&shop, &ran), @r"
      runner     mac: among its figures it says: head: cannot open '/nowhere/stat' for reading: No such file or directory; head: cannot open '/nowhere/stat' for reading:…; wanted its figures; next: `sed s,/proc/,/nowhere/, | sh -s` must run a POSIX shell on Linux, with head, grep, df and tail, and print nothing but what it is asked
      runner     mute: it printed nothing; wanted its figures; next: `true # sh -s` must run a POSIX shell on Linux, with head, grep, df and tail, and print nothing but what it is asked
      preflight  9 of 11 checks passed, 1 skipped   [time]
    failed: 2 checks say no: mac, mute
      measured   mac: among its figures it says: head: cannot open '/nowhere/stat' for reading: No such file or directory; head: cannot open '/nowhere/stat' for reading:…
      wanted     its figures
      traffic    100 % on blue, says the router
      next       `sed s,/proc/,/nowhere/, | sh -s` must run a POSIX shell on Linux, with head, grep, df and tail, and print nothing but what it is asked
    ");
    assert_eq!(ran.code, 1);
}

#[test]
fn hosts_that_make_no_sense_are_refused_with_their_lines() {
    let shop = with_hosts(
        "{ name: a, reach: \"ssh a\" }, { name: a, reach: \" \", path: srv, timeout: 5 }, { name: b, reach: \"\" }",
    );
    let ran = shop.cutover("check");
    assert_eq!(ran.code, 64, "{}", ran.log);
    assert!(ran.log.contains("is not a duration"), "{}", ran.log);
    shop.configure("timeout: 5 ", "timeout: 5s ");
    shop.configure("{ name: b, reach: \"\" }", "{ name: b, reach: \"ssh b\" }");
    let ran = shop.cutover("check");
    for said in [
        "hosts[1].name: there are two hosts a",
        "hosts[1].reach: this is one line, such as \"ssh deploy@web-1\"",
        "hosts[1].path: a path there begins with /",
    ] {
        assert!(ran.log.contains(said), "{said}: {}", ran.log);
    }
    let config = fs::read_to_string(shop.path("cutover.yml")).unwrap();
    assert!(config.contains("hosts"));
}
