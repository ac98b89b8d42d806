//! A rollout that is cancelled or killed outright at every single point, and the post step after it:
//! traffic is on one good slot, nobody noticed, the record is closed, and nothing is held.
//!
//! A point is a question that the rollout asks: of users' URL, a slot, the router or GitHub. By
//! itself this is the built program; `tests/container` lets the image do the same, as PID 1.

mod runner;
mod scene;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::iter;

use crate::world::gate::{Watchman, When};
use runner::{Ended, TO_TERM};
use scene::Scene;

/// How many worlds there are at once. Most of those in which something hangs only wait.
const AT_ONCE: usize = 4;
const AT_ONCE_HANGING: usize = 12;

/// So many points are too many to play them all.
const MANY: usize = 100;

/// How often a run that took too long is tried again, alone. One that hangs does so every time.
const AGAIN: usize = 2;

/// All traffic at once.
const AT_ONCE_ALL: &str = "{ kind: blue-green, watch: 0s }";
/// A share of it first.
const STEP_BY_STEP: &str = "{ kind: canary, steps: [30%, 100%], watch: 0s, source: none }";

/// What is done to a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// SIGKILL, as when the machine goes away.
    Killed,
    /// SIGINT, 7.5 s later SIGTERM, 2.5 s later SIGKILL: what a runner does that cancels.
    Cancelled,
}

impl Cut {
    /// In a cell of the table.
    const fn told(self, when: When) -> &'static str {
        match (self, when) {
            (Self::Killed, When::AfterEffect) => "killed, answer lost",
            (Self::Killed, _) => "killed, not heard",
            (Self::Cancelled, When::Hanging) => "cancelled, it hangs",
            (Self::Cancelled, When::Dead) => "cancelled, all hangs",
            (_, When::Late) => "it comes when all is over",
            (Self::Cancelled, _) => "cancelled",
        }
    }
}

const HEAD: [&str; 9] = [
    "point",
    "what happens",
    "ended",
    "code",
    "after",
    "then users get",
    "failed",
    "Deployment",
    "held",
];

/// What became of it.
struct Row {
    cells: [String; HEAD.len()],
    /// From the signal to its last words.
    words: Duration,
    ended: Ended,
}

/// The questions of a rollout that nothing happens to.
async fn points(strategy: &str) -> Vec<String> {
    let watchman = Watchman::new(usize::MAX, When::Before);
    let scene = Scene::set(&watchman, strategy).await;
    let main = scene.runner.main(&scene.variables());
    let (status, said, _) = main.end(|| None).await;
    assert!(status.success(), "{}", said.text);
    assert_eq!(scene.served().await, "v2");
    let asked = watchman.asked();
    assert!(asked.len() > 15, "{asked:?}");
    assert_eq!(scene.held(&watchman).await, [""; 0]);
    asked
}

/// Cuts a rollout off at its `at`-th question, and lets the post step finish it.
async fn cut_off(strategy: &str, cut: Cut, when: When, at: usize) -> Row {
    let watchman = Watchman::new(at, when);
    let scene = Scene::set(&watchman, strategy).await;
    let main = scene.runner.main(&scene.variables());
    let handle = main.handle.clone();
    let signalled = Arc::new(OnceLock::new());
    let now = Arc::clone(&signalled);
    watchman.shall(move || {
        now.get_or_init(Instant::now);
        Box::pin(async move {
            match cut {
                Cut::Killed => handle.kill().await,
                Cut::Cancelled => handle.cancel().await,
            }
        })
    });
    let clock = || signalled.get().copied().filter(|_| cut == Cut::Cancelled);
    let (status, said, ended) = main.end(clock).await;
    let point = format!("{cut:?} {when:?} at {at}");
    let log = &said.text;
    let signalled = *signalled.get().unwrap_or_else(|| panic!("{point}: {log}"));
    let took = signalled.elapsed();
    let words = said.last.map(|at| at.saturating_duration_since(signalled));
    let code = status.code();
    match cut {
        Cut::Killed => assert!(matches!(code, None | Some(137)), "{point}: {status}\n{log}"),
        Cut::Cancelled if ended == Ended::Killed => {}
        Cut::Cancelled => assert!(
            matches!(code, Some(0 | 40 | 130)),
            "{point}: {status}\n{log}"
        ),
    }

    let before = scene.weight().await;
    // What comes late comes when nobody is there any more.
    if when != When::Late {
        watchman.revive();
    }
    let (post, said, _) = scene.runner.post(&scene.variables()).end(|| None).await;
    let log = format!("{log}\nthe post step:\n{}", said.text);
    assert!(post.success(), "{point}: {post}\n{log}");
    watchman.revive();
    assert_eq!(scene.held(&watchman).await, [""; 0], "{point}: {log}");
    let (weight, served) = (scene.weight().await, scene.served().await);
    let good = match weight {
        0 => "v1",
        100 => "v2",
        _ => panic!("{point}: {weight} % on green\n{log}"),
    };
    assert_eq!(served, good, "{point}: {log}");
    // What ended well by itself is not taken back.
    assert!(code != Some(0) || served == "v2", "{point}: {log}");
    let deployments = scene.deployments();
    let open = |state: &String| matches!(state.as_str(), "in_progress" | "queued" | "pending");
    assert!(
        !deployments.iter().any(open),
        "{point}: {deployments:?}\n{log}"
    );
    // What the record says is live is what users get: the next run would refuse to begin otherwise.
    if let Some(newest) = deployments.last() {
        assert_eq!(
            newest == "success",
            served == "v2",
            "{point}: {deployments:?}\n{log}"
        );
    }
    assert_eq!(scene.held(&watchman).await, [""; 0], "{point}: {log}");
    if scene.runner.starts_the_program() {
        let (again, said, _) = scene.runner.post(&scene.variables()).end(|| None).await;
        let harmless = again.success() && said.text.contains("nothing was left open");
        assert!(harmless, "{point}: {}", said.text);
    }
    let (asked, failed) = scene.felt();
    assert!(
        asked > 0 && failed == 0,
        "{point}: {failed} of {asked} failed\n{log}"
    );
    // Who says that traffic is safe has put it back.
    assert!(code != Some(130) || before == weight, "{point}: {log}");
    // As long as the router answers, the run puts traffic back itself.
    assert!(
        cut == Cut::Killed || when == When::Dead || before == weight,
        "{point}: only the post step put traffic back\n{log}"
    );
    let whom = watchman.asked()[at - 1].replace("/api/v3/repos/shop/storefront", "");
    let ended_how = match (cut, ended) {
        (Cut::Killed, _) => "killed",
        (_, Ended::ByItself) => "by itself",
        (_, Ended::AfterTerm) => "after TERM",
        (_, Ended::Killed) => "not at all",
    };
    Row {
        cells: [
            format!("{at:>2} {whom}"),
            cut.told(when).to_owned(),
            ended_how.to_owned(),
            code.map_or_else(|| "137".to_owned(), |code| code.to_string()),
            format!("{:.1} s", took.as_secs_f64()),
            if before == weight {
                served
            } else {
                format!("{served}, put back")
            },
            format!("{failed} of {asked}"),
            deployments.last().map_or("none", String::as_str).to_owned(),
            "nothing".to_owned(),
        ],
        words: words.unwrap_or_default(),
        ended,
    }
}

/// All points. Who is not done within the runner's patience is tried again alone, because a
/// busy machine must not fail this, and a run that hangs must.
async fn at_every_point(strategy: &str, cut: Cut, whens: &[When], at_once: usize) {
    let points = points(strategy).await;
    // A question that is asked hundreds of times in a row is one, but for the first and the last.
    let same =
        |at: usize, other: Option<usize>| other.is_some_and(|it| points.get(it) == points.get(at));
    let is_point = |at: &usize| {
        points.len() < MANY || !(same(*at, at.checked_sub(1)) && same(*at, Some(at + 1)))
    };
    let all: Vec<_> = (0..points.len()).filter(is_point).collect();
    let all = whens
        .iter()
        .flat_map(|when| all.iter().map(move |at| (*when, at + 1)));
    let rows = iter(all.map(async |(when, at)| (when, at, cut_off(strategy, cut, when, at).await)));
    let mut rows: Vec<_> = rows.buffered(at_once).collect().await;
    for (when, at, row) in &mut rows {
        for _ in 0..AGAIN {
            if row.is_late() {
                println!("again, alone: {}", row.cells.join(", "));
                *row = cut_off(strategy, cut, *when, *at).await;
            }
        }
    }
    println!("\n{}", table(rows.iter().map(|(_, _, row)| &row.cells)));
    let late = rows.iter().filter(|(_, _, row)| row.is_late());
    let late: Vec<_> = late.map(|(_, _, row)| &row.cells).collect();
    assert!(late.is_empty(), "too late: {late:?}");
}

impl Row {
    /// A cancelled run has 6.5 s of its own. It is too late when the runner asks a second time.
    fn is_late(&self) -> bool {
        self.ended == Ended::Killed || self.words > TO_TERM
    }
}

fn table<'a>(rows: impl Iterator<Item = &'a [String; HEAD.len()]>) -> String {
    let mut rows: Vec<[&str; HEAD.len()]> =
        rows.map(|row| row.each_ref().map(String::as_str)).collect();
    rows.insert(0, HEAD);
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<_> = (0..HEAD.len()).map(width).collect();
    let line = |row: &[&str; HEAD.len()]| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        format!("  {}", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_run_that_is_killed_at_any_point_is_finished_by_the_post_step() {
    let whens = [When::Before, When::AfterEffect];
    at_every_point(AT_ONCE_ALL, Cut::Killed, &whens, AT_ONCE).await;
}

#[tokio::test]
async fn a_run_that_is_cancelled_at_any_point_ends_in_time_by_itself() {
    at_every_point(AT_ONCE_ALL, Cut::Cancelled, &[When::InPassing], AT_ONCE).await;
}

#[tokio::test]
async fn a_run_that_is_cancelled_while_others_hang_ends_in_time_by_itself() {
    at_every_point(
        AT_ONCE_ALL,
        Cut::Cancelled,
        &[When::Hanging, When::Dead],
        AT_ONCE_HANGING,
    )
    .await;
}

/// A change of the router that is on its way while the run ends and its post step looks.
#[tokio::test]
async fn a_change_that_comes_when_all_is_over_moves_nothing() {
    let points = points(AT_ONCE_ALL).await;
    let at = points.iter().position(|one| one == "router PUT /weights");
    for cut in [Cut::Killed, Cut::Cancelled] {
        let row = cut_off(AT_ONCE_ALL, cut, When::Late, at.unwrap() + 1).await;
        assert_eq!(row.cells[5], "v1", "{:?}", row.cells);
    }
}

#[tokio::test]
async fn a_canary_that_is_killed_at_any_point_is_finished_by_the_post_step() {
    at_every_point(STEP_BY_STEP, Cut::Killed, &[When::AfterEffect], AT_ONCE).await;
}

#[tokio::test]
async fn a_canary_that_is_cancelled_at_any_point_ends_in_time_by_itself() {
    at_every_point(STEP_BY_STEP, Cut::Cancelled, &[When::InPassing], AT_ONCE).await;
}
