//! The one machine that everything is on vanishes in the middle of a rollout: at each step it is
//! said what is known, users are where it says, and when the machine is back the next run goes on.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::over_ssh::{cutover, cutover_begun, shop};
use crate::world::children::{exit_code, lines};
use crate::world::patience::A_RUN;
use crate::world::shop::{Ran, Shop, Way};
use crate::world::sshd::Sshd;

/// When the machine vanishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    BeforeItIsRead,
    WhileDeploying,
    BeforeTheWrite,
    AfterTheWrite,
    WhileWatched,
    BeforeTheWayBack,
}

/// A `mv` over there that stops when it is about such a file, before it does its work or after it,
/// until the machine is gone.
fn stops(sshd: &Sshd, about: &str, after: bool) {
    let stop = sshd.path("stop");
    let wait = format!("echo > {stop}; while test -e {stop}; do sleep .02; done");
    let work = match after {
        true => format!("/usr/bin/mv \"$@\"; {wait}"),
        // What it was to do is not done any more: the machine is gone.
        false => format!("{wait}; exit 1"),
    };
    let shim = PathBuf::from(sshd.path("bin/mv"));
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *{about}*) {work};; *) exec /usr/bin/mv \"$@\";; esac\n"
    );
    fs::write(&shim, script).unwrap();
    fs::set_permissions(&shim, fs::Permissions::from_mode(0o755)).unwrap();
}

fn run(shop: &Shop, sshd: &Sshd, when: When) -> Ran {
    let marker = PathBuf::from(sshd.path("stop"));
    let kill = sshd.killer();
    let gone = kill.clone();
    let mut running = cutover_begun(shop, sshd, "rollout --version=v2");
    let lines = lines(running.stdout.take());
    let waits = std::thread::spawn(move || {
        let began = Instant::now();
        while !marker.exists() && began.elapsed() < A_RUN {
            std::thread::sleep(Duration::from_millis(2));
        }
        if marker.exists() {
            gone();
            fs::remove_file(marker).unwrap();
        }
    });
    let mut printed = String::new();
    for line in lines {
        if matches!(when, When::WhileWatched | When::BeforeTheWayBack) && line.contains("  proved ")
        {
            kill();
        }
        printed.push_str(&line);
        printed.push('\n');
    }
    let ran = Ran::read(exit_code(&mut running), &printed);
    // Where nothing stops, nothing is waited for.
    fs::write(sshd.path("stop"), "").unwrap();
    waits.join().unwrap();
    ran
}

#[test]
fn the_machine_vanishes_at_each_step() {
    let out = "traffic    unknown: the router is out of reach: ";
    let back = "next       cutover switch-traffic --environment production --to blue --weight 100";
    for (when, code, reason, served, words) in [
        (
            When::BeforeItIsRead,
            69,
            "out-of-reach",
            "blue v1",
            [out, "check that it runs"],
        ),
        (
            When::WhileDeploying,
            10,
            "deploy-failed",
            "blue v1",
            [
                out,
                "while the command was at work; how it ended is not known",
            ],
        ),
        (
            When::BeforeTheWrite,
            40,
            "out-of-reach",
            "blue v1",
            [out, back],
        ),
        // Nobody here knows that it was done; who looks at the traffic line sees so.
        (
            When::AfterTheWrite,
            40,
            "out-of-reach",
            "green v2",
            [out, back],
        ),
        (
            When::WhileWatched,
            0,
            "done",
            "green v2",
            ["promoted", "proved"],
        ),
        (
            When::BeforeTheWayBack,
            40,
            "unhealthy",
            "green v2",
            [out, back],
        ),
    ] {
        let mut sshd = Sshd::start_with("SetEnv PATH=DIR/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        fs::create_dir(sshd.path("bin")).unwrap();
        let shop = shop(&sshd, Way::Flags, true);
        match when {
            When::BeforeItIsRead => sshd.vanish(),
            When::WhileDeploying => stops(&sshd, "release.new", true),
            When::BeforeTheWrite => stops(&sshd, "/flags/w", false),
            When::AfterTheWrite => stops(&sshd, "/flags/w", true),
            When::WhileWatched | When::BeforeTheWayBack => {
                shop.configure("watch: 0s }", "watch: 3s }");
            }
        }
        if when == When::BeforeTheWayBack {
            let bad = "health: { checks: [{ kind: command, run: 'sleep 1; exit 1', retries: 0, fall: 1 }] }";
            let release = "release: { kind: text, path: /release }";
            shop.configure(release, &format!("{release}\n    {bad}"));
        }
        let ran = run(&shop, &sshd, when);
        let told = (ran.code, ran.output("reason-code"), shop.answers());
        assert_eq!(
            told,
            (code, reason, served.to_owned()),
            "{when:?}: {}",
            ran.log
        );
        for words in words {
            assert!(ran.log.contains(words), "{when:?}: {}", ran.log);
        }
        // It is back, and what the run said is what mends it.
        let _ = fs::remove_file(sshd.path("bin/mv"));
        sshd.vanish();
        sshd.come_back(false);
        let ran = cutover(
            &shop,
            &sshd,
            "switch-traffic --environment production --to blue --weight 100",
        );
        assert_eq!(
            (ran.code, shop.answers().as_str()),
            (0, "blue v1"),
            "{when:?}: {}",
            ran.log
        );
        if when == When::BeforeTheWayBack {
            continue;
        }
        let ran = cutover(&shop, &sshd, "rollout --version=v2");
        assert_eq!(
            (ran.code, shop.answers().as_str()),
            (0, "green v2"),
            "{when:?}: {}",
            ran.log
        );
    }
}
