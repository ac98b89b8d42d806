//! Every step of every story, and what can happen to it: how the run ends, and where traffic is.
//!
//! The stories are the real ones, and so are the `http` router, target and probes; the world
//! is the rehearsal's. Each cell of a table is a run in a world of its own.

mod canaries;
mod faulty;
mod github;
mod orders;
mod relay;
mod stories;
mod theatre;
mod way_back;

use std::sync::atomic::{AtomicUsize, Ordering};

use cutover::model::ending::Decision::{self, Failed, Held, Promoted, RolledBack, Stuck};

use cutover::rollout::ledger::Progress;
use orders::{Call, Fault, Order};
use theatre::{NEW, OLD, Outcome, Story, Theatre};

/// How many worlds there are at once.
const AT_ONCE: usize = 3;

/// A cell: what happens in which story, and how it must end.
struct Cell {
    story: Story,
    orders: Vec<Order>,
    ends: (Decision, u8),
    /// Where traffic must be, in percent of the second slot, where the decision does not say it.
    weight: Option<u64>,
}

impl Cell {
    fn of(story: Story, call: Call, fault: Fault, times: u32, ends: (Decision, u8)) -> Self {
        Self {
            story,
            orders: vec![Order {
                call,
                fault,
                times,
                later: 0,
            }],
            ends,
            weight: None,
        }
    }

    /// With another fault.
    fn and(mut self, call: Call, fault: Fault, times: u32) -> Self {
        self.orders.push(Order {
            call,
            fault,
            times,
            later: 0,
        });
        self
    }

    /// Not the first so many times.
    fn later(mut self, times: u32) -> Self {
        self.orders[0].later = times;
        self
    }

    /// With traffic there at the end.
    const fn at(mut self, weight: u64) -> Self {
        self.weight = Some(weight);
        self
    }

    /// Where traffic must be at the end.
    fn weight(&self) -> u64 {
        // A rollback begins with traffic on the second slot and goes to the first.
        let goes = if self.story == Story::Rollback {
            0
        } else {
            100
        };
        self.weight.unwrap_or(match self.ends.0 {
            Promoted | Held | Stuck => goes,
            // It begins where another run has left it.
            Failed if self.story == Story::Resumed => theatre::SHARE,
            _ => 100 - goes,
        })
    }

    /// Whether somebody gave the second slot traffic before there was anything in it.
    fn others_came_first(&self) -> bool {
        let mut faults = self.orders.iter().map(|order| order.fault);
        faults.any(|fault| matches!(fault, Fault::ThenOther(_)))
    }

    fn name(&self) -> String {
        let story = format!("{:?}", self.story).to_lowercase();
        let orders = self.orders.iter().map(|order| {
            let times = match order.times {
                1 => "",
                u32::MAX => " always",
                _ => " again",
            };
            let later = match order.later {
                0 => String::new(),
                n => format!(" at {}", n + 1),
            };
            format!("{:?} {:?}{times}{later}", order.call, order.fault)
        });
        format!("{story:<9}{}", orders.collect::<Vec<_>>().join(", "))
    }

    /// What is wrong with an outcome.
    fn wrong(&self, outcome: &Outcome) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut must = |holds: bool, what: String| {
            if !holds {
                wrong.push(what);
            }
        };
        let ending = &outcome.ending;
        must(
            outcome.happened > 0,
            "nothing of what was ordered happened".to_owned(),
        );
        must(
            outcome.verdict() == self.ends,
            format!("it must end with {} {}", self.ends.0, self.ends.1),
        );
        let weight = self.weight();
        must(
            outcome.weight == weight,
            format!("{} % are on green, not {weight} %", outcome.weight),
        );
        let served = match weight {
            0 => OLD,
            100 if self.others_came_first() => "nothing",
            100 => NEW,
            _ => &outcome.served,
        };
        must(
            outcome.served == served,
            format!("users get {}, not {served}", outcome.served),
        );
        let progress = match (ending.decision, self.story) {
            (Promoted | Held, _) | (Stuck, Story::Rollback) => Progress::Committed,
            (Stuck, _) => Progress::Promised,
            _ => Progress::Begun,
        };
        must(
            outcome.progress == progress,
            format!("the ledger says {:?}, not {progress:?}", outcome.progress),
        );
        if !ending.is_good() {
            let traffic = match weight {
                0 => "100 % on blue",
                100 => "100 % on green",
                _ => "on green",
            };
            let told = ending.account.traffic.as_deref().unwrap_or("nothing");
            must(
                told.contains(traffic),
                format!("of traffic it says {told:?}"),
            );
            must(
                ending.account.next.is_some(),
                "it says not what to do".to_owned(),
            );
        }
        if ending.decision == Stuck {
            let next = ending.account.next.as_deref().unwrap_or_default();
            must(
                next.starts_with("cutover "),
                format!("there is no command in {next:?}"),
            );
        }
        wrong
    }
}

/// Plays all cells, prints them as a table, and fails with all that are wrong.
fn play_all(title: &str, cells: &[Cell]) {
    let next = AtomicUsize::new(0);
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let work = || {
            let mut mine = Vec::new();
            let theatre = Theatre::new();
            while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                let outcome = theatre.play(cell.story, &cell.orders);
                mine.push((cell, outcome));
            }
            mine
        };
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    println!("\n{title}");
    let mut wrong = Vec::new();
    let mut rows: Vec<_> = outcomes
        .iter()
        .map(|(cell, outcome)| (cell.name(), cell, outcome))
        .collect();
    let order = |cell: &Cell| cells.iter().position(|one| std::ptr::eq(one, cell));
    rows.sort_by_key(|(_, cell, _)| order(cell));
    for (name, cell, outcome) in rows {
        println!(
            "  {name:<44} {:<15} {:>3} % on green, {}",
            outcome.told(),
            outcome.weight,
            outcome.served
        );
        for said in cell.wrong(outcome) {
            wrong.push(format!(
                "{name}: {said}\n    {:?}\n    {}",
                outcome.ending,
                outcome.said.join("\n    ")
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
