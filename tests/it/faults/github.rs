//! Every call that a rollout makes to GitHub, and what can happen to it: the verdict and traffic
//! are right, there is one Deployment, and it is not left open. Only where the lock cannot be asked
//! nothing is changed.

use std::time::Instant;

use futures_util::StreamExt as _;
use futures_util::stream;

use crate::world::github::{Fault, Verb};
use crate::world::scene::{CHECK_RUN, RUN, SHA, Scene};

/// How many worlds there are at once: most of them wait most of the time.
const AT_ONCE: usize = 10;

/// What can happen to a call, by its name in the table.
const FAULTS: [(&str, Fault); 11] = [
    ("500", Fault::Page(500)),
    ("502", Fault::Page(502)),
    ("503", Fault::Page(503)),
    ("429", Fault::Spent(1)),
    ("limit", Fault::TooMany(1)),
    ("dropped", Fault::HangUp),
    ("lost", Fault::LostAfterEffect),
    ("slow", Fault::Late),
    ("401", Fault::Page(401)),
    ("404", Fault::Page(404)),
    ("no JSON", Fault::NoJson),
];

/// Whose Deployment is the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Ours,
    GitHubs,
}

/// A rollout with a standing record before it and an orphan beside it, and one fault, or an
/// outage from there on.
#[derive(Clone, Copy)]
struct Cell {
    whose: Whose,
    /// At which call.
    at: usize,
    fault: (&'static str, Fault),
    outage: bool,
}

struct Outcome {
    /// Which call it was.
    call: Option<Verb>,
    /// How the run ended, what users get, and how its record and the orphan stand.
    stands: String,
    wrong: Vec<String>,
}

async fn play(cell: Cell) -> Outcome {
    let scene = Scene::set("auto").await;
    let github = &scene.github;
    let before = scene.record("blue", "v1", 40, "success");
    let orphan = scene.record("green", "v2", 41, "in_progress");
    github.run_is(41, "completed");
    let (check_run, given) = match cell.whose {
        Whose::Ours => (CHECK_RUN, None),
        Whose::GitHubs => {
            let id = github.job_begins("production", SHA, RUN);
            (id + 1000, Some(id))
        }
    };
    github.order_at(cell.at, cell.fault.1, cell.outage);
    let ran = scene.run(check_run, "rollout --version=v2").await;
    let call = github.struck();

    let mut wrong = Vec::new();
    let mut must = |holds: bool, what: String| {
        if !holds {
            wrong.push(what);
        }
    };
    // Whose lock it is must be known before traffic moves; nothing else may change the verdict.
    let blocked = call.is_some_and(|call| call.is_of_lock() || cell.outage) && ran.code != 0;
    let verdict = if blocked {
        "failed\u{1b}[0m"
    } else {
        "promoted\u{1b}[0m"
    };
    must(
        matches!((ran.code, blocked), (0, false) | (10 | 69, true)),
        format!("it ends with {}", ran.code),
    );
    must(ran.log.contains(verdict), format!("it is not {verdict}"));
    let served = scene.served().await;
    let wanted = if blocked { "v1" } else { "v2" };
    must(served == wanted, format!("users get {served}"));
    let made: Vec<u64> = github.deployments()[2..]
        .iter()
        .filter_map(|one| one["id"].as_u64())
        .collect();
    must(
        made.len() <= 1 && given.is_none_or(|id| made == [id]),
        format!("the Deployments of this run are {made:?}"),
    );
    let own = made.first().map_or_else(String::new, |id| scene.state(*id));
    // What was refused while it was looked for is found by the next run.
    let refused = matches!(cell.fault.0, "401" | "404") || blocked;
    let (stands, old) = (scene.state(orphan), scene.state(before));
    if !cell.outage {
        let right = match cell.whose {
            _ if !blocked => matches!(own.as_str(), "success" | ""),
            Whose::Ours => matches!(own.as_str(), "failure" | ""),
            // What a run did not get to, GitHub closes when the job ends.
            Whose::GitHubs => matches!(own.as_str(), "failure" | "in_progress"),
        };
        must(right, format!("its Deployment says {own:?}"));
        must(
            refused || made.len() == 1,
            "there is no Deployment".to_owned(),
        );
        must(
            refused || stands == "inactive",
            format!("the orphan is {stands}"),
        );
        must(
            refused || old == "inactive",
            format!("the old one is {old}"),
        );
        must(
            !blocked || old == "success",
            format!("the old one is {old}"),
        );
    }
    let told = ran.log.contains("::warning") || ran.log.contains("::notice");
    must(told || blocked || !cell.outage, "nobody is told".to_owned());
    if !wrong.is_empty() {
        wrong.push(ran.log.clone());
    }
    let none = if own.is_empty() { "none" } else { &own };
    Outcome {
        call,
        stands: format!(
            "exit {}, users get {served}; record {none}, orphan {stands}",
            ran.code
        ),
        wrong,
    }
}

/// More than a rollout of these makes.
const MOST: usize = 17;

async fn play_all(cells: Vec<Cell>) {
    let began = Instant::now();
    let count = cells.len();
    let mut played: Vec<_> = stream::iter(cells.into_iter().enumerate())
        .map(|(i, cell)| async move { (i, cell, play(cell).await) })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    played.sort_by_key(|(i, ..)| *i);
    let (mut wrong, mut struck) = (Vec::new(), 0);
    for (_, cell, outcome) in played {
        let Some(call) = outcome.call else { continue };
        struck += 1;
        let times = if cell.outage { " from then on" } else { "" };
        let name = format!(
            "{:?} call {:>2} {call:?}: {}{times}",
            cell.whose, cell.at, cell.fault.0
        );
        println!("  {name:<44} {}", outcome.stands);
        for said in outcome.wrong {
            wrong.push(format!("{name}: {said}"));
        }
    }
    println!(
        "  {struck} of {count} happened, in {} s",
        began.elapsed().as_secs()
    );
    assert!(
        wrong.is_empty(),
        "{} wrong\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    // Calls that were not made cannot go wrong; most were made.
    assert!(struck * 10 >= count * 8, "{struck} of {count} happened");
}

#[tokio::test]
async fn whatever_happens_to_a_call_there_is_one_record_and_the_verdict_stands() {
    let mut cells = Vec::new();
    for whose in [Whose::Ours, Whose::GitHubs] {
        for at in 1..=MOST {
            for fault in FAULTS {
                // What differs with GitHub's own Deployment is no matter of the status code.
                let differs = !matches!(fault.0, "502" | "503" | "429" | "limit" | "404");
                if whose == Whose::Ours || differs {
                    cells.push(Cell {
                        whose,
                        at,
                        fault,
                        outage: false,
                    });
                }
            }
        }
    }
    play_all(cells).await;
}

#[tokio::test]
async fn an_outage_from_any_call_on_changes_nothing_but_the_record() {
    let mut cells = Vec::new();
    // The lock takes its time before it gives up, so each call has one of the two.
    let both = [(Whose::Ours, FAULTS[0], 1), (Whose::GitHubs, FAULTS[5], 2)];
    for (whose, fault, first) in both {
        for at in (first..=MOST).step_by(2) {
            cells.push(Cell {
                whose,
                at,
                fault,
                outage: true,
            });
        }
    }
    play_all(cells).await;
}
