//! Commands that fail, hang, shout and leave children behind.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use cutover::platform::process::{End, GRACE, LAST_LINES, LINE_CAP, Ran, Script, run};
use cutover::platform::secret::Vault;
use tokio_util::sync::CancellationToken;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(300);

fn script<'a>(run: &'a str, timeout: Duration, vault: &'a Vault) -> Script<'a> {
    Script {
        run,
        directory: Path::new("/"),
        variables: &[],
        timeout,
        grace: GRACE,
        vault,
    }
}

async fn ran(command: &str, timeout: Duration) -> Ran {
    let vault = Vault::default();
    let script = script(command, timeout, &vault);
    let never = CancellationToken::new();
    run(&script, &|_| {}, &never).await.unwrap()
}

/// Whether a process is there and not merely unburied.
fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map(|(_, rest)| &rest[..1]);
    !matches!(state, None | Some("Z" | "X"))
}

async fn ends(pid: &str) {
    let began = Instant::now();
    while lives(pid) {
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{pid} is still there"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn the_exit_code_and_the_last_lines_in_their_order() {
    let ran = ran(
        "i=0; while [ $i -lt 30 ]; do i=$((i+1)); echo out $i; echo err $i >&2; done; exit 3",
        LONG,
    )
    .await;
    assert_eq!(ran.end, End::Code(3));
    assert_eq!(ran.last_lines.len(), LAST_LINES);
    assert_eq!(ran.last_lines[0], "out 21");
    assert_eq!(ran.last_lines[19], "err 30");
}

#[tokio::test]
async fn a_signal_of_others_is_told() {
    let ran = ran("kill -9 $$", LONG).await;
    assert_eq!(ran.end, End::Signal(9));
    assert_eq!(ran.end.to_string(), "was ended by signal 9");
}

#[tokio::test]
async fn there_is_nothing_to_read_and_variables_are_set() {
    let vault = Vault::default();
    let variables = [("A", "1"), ("A", "2 \"x\"")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let script = Script {
        variables: &variables,
        directory: Path::new("/proc"),
        ..script("cat; printf '%s' \"$A $PWD\"", LONG, &vault)
    };
    let ran = run(&script, &|_| {}, &CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(ran.last_lines, ["2 \"x\" /proc"]);
}

#[tokio::test]
async fn a_timeout_ends_the_children_of_children() {
    let ran = ran(
        "sh -c 'sleep 1000 & echo $!; wait' & sleep 1000 & echo $!; wait",
        SHORT,
    )
    .await;
    assert_eq!(ran.end, End::TimedOut);
    assert!(ran.took < SHORT + GRACE, "they went at once: {ran:?}");
    assert_eq!(ran.last_lines.len(), 2);
    for pid in &ran.last_lines {
        assert!(!lives(pid), "{pid}");
    }
}

#[tokio::test]
async fn who_does_not_listen_is_killed() {
    let ran = ran("trap '' TERM; sleep 1000 & echo $!; wait", SHORT).await;
    assert_eq!(ran.end, End::TimedOut);
    assert!(ran.took >= SHORT + GRACE, "{ran:?}");
    assert!(ran.took < SHORT + GRACE * 2, "{ran:?}");
    assert!(!lives(&ran.last_lines[0]));
}

#[tokio::test]
async fn there_is_time_to_tidy_up() {
    let ran = ran(
        "trap 'sleep 0.2; echo tidied; exit 0' TERM; while :; do sleep 0.05; done",
        SHORT,
    )
    .await;
    assert_eq!(ran.end, End::TimedOut);
    assert_eq!(ran.last_lines.last().unwrap(), "tidied");
}

#[tokio::test]
async fn a_cancellation_ends_it_within_a_second_or_so() {
    let vault = Vault::default();
    let cancelled = CancellationToken::new();
    let script = script("trap '' TERM; sleep 1000 & echo $!; wait", LONG, &vault);
    let ran = run(&script, &|_| cancelled.cancel(), &cancelled)
        .await
        .unwrap();
    assert_eq!(ran.end, End::Cancelled);
    assert!(ran.took < GRACE, "{ran:?}");
    assert!(!lives(&ran.last_lines[0]));
    let ran = run(&script, &|_| {}, &cancelled).await.unwrap();
    assert_eq!((ran.end, ran.last_lines.len()), (End::Cancelled, 0));
}

#[tokio::test]
async fn a_dropped_run_takes_its_children_with_it() {
    let vault = Vault::default();
    let script = script("sleep 1000 & echo $!; wait", LONG, &vault);
    let seen = CancellationToken::new();
    let pid = Mutex::new(String::new());
    let note = |line: String| {
        *pid.lock().unwrap() = line;
        seen.cancel();
    };
    let never = CancellationToken::new();
    tokio::select! {
        ran = run(&script, &note, &never) => panic!("{ran:?}"),
        () = seen.cancelled() => {}
    }
    let pid = pid.lock().unwrap().clone();
    ends(&pid).await;
}

#[tokio::test]
async fn a_child_in_the_background_holds_nobody_up_and_lives_on() {
    let ran = ran("sleep 1000 & echo $!; exit 4", LONG).await;
    assert_eq!(ran.end, End::Code(4));
    assert!(ran.took < Duration::from_secs(3), "{ran:?}");
    let pid = &ran.last_lines[0];
    assert!(lives(pid));
    std::process::Command::new("kill")
        .arg(pid)
        .status()
        .unwrap();
    ends(pid).await;
}

#[tokio::test]
async fn a_line_without_end_is_cut() {
    let ran = ran(
        "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end",
        LONG,
    )
    .await;
    assert_eq!(ran.end, End::Code(0));
    assert_eq!(ran.last_lines.len(), 2);
    assert_eq!(ran.last_lines[0].len(), LINE_CAP + "…".len());
    assert_eq!(ran.last_lines[1], "end");
}

#[tokio::test]
async fn bytes_that_are_no_text_and_line_ends_of_others() {
    let ran = ran("printf 'a\\377b\\r\\n\\nlast'", LONG).await;
    assert_eq!(ran.last_lines, ["a\u{fffd}b", "", "last"]);
}

#[tokio::test]
async fn a_secret_is_taken_out_before_the_cut() {
    let vault = Vault::default();
    vault.keep("s3cr3t-token");
    let command = format!(
        "printf '%0{}d' 0; echo s3cr3t-token; echo s3cr3t-token",
        LINE_CAP - 5
    );
    let script = script(&command, LONG, &vault);
    let ran = run(&script, &|_| {}, &CancellationToken::new())
        .await
        .unwrap();
    assert!(ran.last_lines[0].ends_with("000***"), "{ran:?}");
    assert_eq!(ran.last_lines[1], "***");
}

#[tokio::test]
async fn what_cannot_begin_is_an_error() {
    let vault = Vault::default();
    let script = Script {
        directory: Path::new("/nonexistent"),
        ..script("true", LONG, &vault)
    };
    let failed = run(&script, &|_| {}, &CancellationToken::new()).await;
    assert_eq!(failed.unwrap_err().kind(), std::io::ErrorKind::NotFound);
}
