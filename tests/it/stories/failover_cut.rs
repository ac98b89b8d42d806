//! Each trigger of a failover together with a cancel: while the primary is at work, while the
//! secondary waits, while it is at work. The run says so with 130, nothing of it goes on, nobody
//! begins any more, traffic is where it was, and the lock is free.

use std::fs;
use std::path::Path;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use crate::locks::{PATIENCE, Ran, Scene, ended, signal};
use crate::world::patience::{until, within};

use super::failover::{behind, figures, silent};

/// Is at work until it is ended; which process it is stands in `pid`. What it then prints is not in
/// its own text, which the log has before.
const ENDLESS: &str = "sleep 600 & echo $! > pid; echo at $((40 + 2)); wait";
const AT_WORK: &str = "| at 42";

/// A primary that is over at once.
const FAILS: &str = "{ kind: command, run: exit 3 }";
const LATE: &str = "{ kind: command, run: sleep 600 }";
const AWAY: &str = "{ kind: http, url: 'http://127.0.0.1:1/' }";

/// The secondary is a command in the place of the deployment API.
async fn followed_by(primary: &str, more: &str, secondary: &str) -> Scene {
    let scene = behind(primary, more).await;
    let path = scene.home.path().join("cutover.yml");
    let config = fs::read_to_string(&path).unwrap();
    let (before, rest) = config.split_once("failover: { to: ").unwrap();
    let (_, after) = rest.split_once(" }").unwrap();
    let to = format!("failover: {{ to: {{ kind: command, run: '{secondary}' }}");
    fs::write(path, format!("{before}{to}{after}")).unwrap();
    scene
}

/// A rollout that is cancelled once it has said something.
async fn cut(scene: &Scene, arguments: &[&str], once: &str) -> Ran {
    let mut child = scene.command(arguments, "v2").spawn().unwrap();
    let pid = child.id().unwrap().to_string();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut log = String::new();
    while !log.contains(once) {
        let read = tokio::time::timeout(PATIENCE, out.read_line(&mut log));
        assert_ne!(read.await.unwrap().unwrap(), 0, "{once} is not in {log}");
    }
    signal("-INT", &pid);
    let rest = tokio::time::timeout(PATIENCE, out.read_to_string(&mut log));
    rest.await.unwrap().unwrap();
    let ran = ended(child).await;
    Ran { log, ..ran }
}

/// What holds whenever a failover is cancelled.
fn nothing_is_left(scene: &Scene, ran: &Ran) {
    assert_eq!(ran.code, Some(130), "{}", ran.log);
    assert!(ran.log.contains("the run was cancelled"), "{}", ran.log);
    assert!(ran.log.contains("100 % on blue"), "{}", ran.log);
    assert_eq!(scene.yard.changes(), [""; 0], "{}", ran.log);
    assert_eq!(scene.yard.served(), "v1");
    assert!(scene.github.git(|git| git.is_free()), "{}", ran.log);
    if let Ok(pid) = fs::read_to_string(scene.home.path().join("pid")) {
        // Whoever inherits the dead may never bury them.
        let stat = Path::new("/proc").join(pid.trim()).join("stat");
        let stat = fs::read_to_string(stat).unwrap_or_default();
        let state = stat.rsplit_once(") ").unwrap_or_default().1;
        assert!(
            state.is_empty() || state.starts_with(['Z', 'X']),
            "it goes on: {}",
            ran.log
        );
    }
    assert!(!scene.home.path().join("secondary").exists(), "{}", ran.log);
    assert!(figures(scene).contains("failure_reason=\"cancelled\""));
}

fn failed_over(scene: &Scene, cause: &str) -> bool {
    let wanted = format!("failover_reason=\"{cause}\"");
    figures(scene).contains(&wanted)
}

#[tokio::test]
async fn while_the_primary_is_at_work_it_is_ended_and_nobody_follows() {
    let primary = format!("{{ kind: command, run: '{ENDLESS}' }}");
    // By whatever it would have ended: an exit code of its own, or the failover's deadline.
    for more in ["", ", deadline: 10m"] {
        let scene = followed_by(&primary, more, "touch secondary").await;
        let ran = cut(&scene, &["rollout"], AT_WORK).await;
        nothing_is_left(&scene, &ran);
        assert!(!ran.log.contains("failover ("), "{}", ran.log);
        assert!(!figures(&scene).contains("failover_events_total"));
    }
}

#[tokio::test]
async fn a_primary_whose_work_goes_on_elsewhere_is_said_to_be_at_work() {
    let (listener, _) = silent();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let primary = format!("{{ kind: http, url: '{url}', timeout: 10m }}");
    let scene = followed_by(&primary, ", fenced: true", "touch secondary").await;
    // It is cancelled when the order has arrived.
    let child = scene.rollout("v2");
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let arrived = within("the order arrives", listener.accept())
        .await
        .unwrap();
    signal("-INT", &child.id().unwrap().to_string());
    let ran = ended(child).await;
    drop(arrived);
    nothing_is_left(&scene, &ran);
    assert!(ran.log.contains("may still be at work"), "{}", ran.log);
}

#[tokio::test]
async fn while_the_secondary_waits_it_never_begins() {
    for (primary, more, cause) in [
        (FAILS, "", "primary_exit_code"),
        (LATE, ", deadline: 300ms", "primary_timeout"),
        (AWAY, "", "primary_unreachable"),
    ] {
        let scene = followed_by(primary, more, "touch secondary").await;
        let path = scene.home.path().join("cutover.yml");
        let config = fs::read_to_string(&path).unwrap();
        fs::write(&path, config.replace("wait: 0s", "wait: 10m")).unwrap();
        let ran = cut(&scene, &["rollout"], "deploys in 10 m").await;
        nothing_is_left(&scene, &ran);
        assert!(
            ran.log.contains(&format!("failover ({cause})")),
            "{}",
            ran.log
        );
        assert!(failed_over(&scene, cause));
    }
}

#[tokio::test]
async fn while_the_secondary_is_at_work_it_is_ended() {
    for (primary, more, by_hand, cause) in [
        (FAILS, "", false, "primary_exit_code"),
        (LATE, ", deadline: 300ms", false, "primary_timeout"),
        (AWAY, "", false, "primary_unreachable"),
        (FAILS, "", true, "manual"),
    ] {
        let scene = followed_by(primary, more, ENDLESS).await;
        let now = ["rollout", "--failover", "now"];
        let arguments = if by_hand { &now[..] } else { &now[..1] };
        let ran = cut(&scene, arguments, AT_WORK).await;
        nothing_is_left(&scene, &ran);
        assert!(scene.home.path().join("pid").exists());
        assert!(failed_over(&scene, cause), "{cause}");
        // What the secondary was cut off at is no failure of both.
        assert!(!ran.log.contains("neither the primary"), "{}", ran.log);
    }
}

#[tokio::test]
async fn a_primary_that_comes_back_after_a_cancel_changes_nothing() {
    // What it leaves behind has a session of its own, so that no signal of ours reaches it.
    let late = r#"until test -e go; do sleep 0.02; done
"$CUTOVER" lock check "$FENCE" --environment production > said 2>&1 && touch changed
echo "ended with $?" > over
"#;
    let primary = format!(
        r#"export CUTOVER='{}'
"$CUTOVER" lock check "$FENCE" --environment production || exit 9
setsid sh late.sh > /dev/null 2>&1 < /dev/null &
exit 3
"#,
        env!("CARGO_BIN_EXE_cutover")
    );
    let scene = followed_by("{ kind: command, run: sh primary.sh }", "", ENDLESS).await;
    let home = scene.home.path();
    fs::write(home.join("late.sh"), late).unwrap();
    fs::write(home.join("primary.sh"), primary).unwrap();
    let ran = cut(&scene, &["rollout"], AT_WORK).await;
    nothing_is_left(&scene, &ran);
    assert!(ran.log.contains("ended with 3"), "{}", ran.log);

    fs::write(home.join("go"), "").unwrap();
    until("it comes back", || home.join("over").exists()).await;
    let said = fs::read_to_string(home.join("said")).unwrap();
    assert!(said.contains("the turn is over"), "{said}");
    assert!(!home.join("changed").exists());
}
