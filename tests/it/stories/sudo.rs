//! A command that goes on as another user, whom the program may not end: nobody says that it has
//! ended, and nobody else begins meanwhile. The program itself is no root here.

use crate::seams::hosts_ends::{Sudo, end, sleep};
use crate::world::children::{exit_code, lines};
use crate::world::nobody::as_nobody;
use crate::world::shop::{Ran, Shop, Way};

/// A shop whose primary goes on as root, and says that it is; and what it runs then.
fn opened(timeout: &str) -> (Shop, Sudo, String) {
    let (shop, sudo) = (Shop::open(Way::Flags), Sudo::new());
    let long = sleep();
    let run = sudo.runs(&format!("sh -c \"echo it begins; exec {long}\""));
    let both = format!(
        "target: {{ kind: command, run: '{run}', timeout: {timeout} }}
    failover: {{ wait: 0s, to: {{ kind: command, run: 'echo the other one' }} }}"
    );
    shop.configure("target: { kind: command, run: ./deploy.sh }", &both);
    (shop, sudo, long)
}

#[test]
fn who_may_be_at_work_as_root_is_followed_by_nobody() {
    let (shop, _sudo, long) = opened("1s");
    let command = shop.command("deploy-slot --version=v2");
    let ran = Ran::of(as_nobody(&command).spawn().unwrap());
    end(&long);
    for words in [
        "may still be at work, so there was no failover",
        "the command timed out after ",
        "goes on, as what another user runs (by `sudo`)",
        "100 % on blue",
    ] {
        assert!(ran.log.contains(words), "{}", ran.log);
    }
    assert!(!ran.log.contains("the other one"), "{}", ran.log);
    assert_eq!((ran.code, shop.answers().as_str()), (10, "blue v1"));
}

#[test]
fn a_cancelled_run_says_what_it_could_not_end() {
    let (shop, _sudo, long) = opened("5m");
    let command = shop.command("deploy-slot --version=v2");
    let mut run = as_nobody(&command).spawn().unwrap();
    let mut log = String::new();
    for line in lines(run.stdout.take()) {
        if line.contains("| it begins") {
            let run = rustix::process::Pid::from_child(&run);
            rustix::process::kill_process(run, rustix::process::Signal::INT).unwrap();
        }
        log.push_str(&line);
        log.push('\n');
    }
    let code = exit_code(&mut run);
    end(&long);
    assert_eq!(code, Some(130), "{log}");
    for words in [
        "the command was cancelled after ",
        "see how it ends before the next run",
        "100 % on blue",
    ] {
        assert!(log.contains(words), "{log}");
    }
}
