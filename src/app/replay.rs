//! `cutover replay FILE`: the judge of canaries, over a recording or the audit of a rollout.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde::Serialize;

use crate::error::Refusal;
use crate::judge::canary::glances::{is_audit, judged};
use crate::judge::canary::jury::Sight;
use crate::judge::canary::recording::read;
use crate::judge::canary::{Arm, Interval, Look, Settings, Verdict};
use crate::model::canary::{Glance, Proved, Seen};
use crate::model::ending::{Account, Decision, Ending, Reason};
use crate::model::event::{Event, Headline};

use super::session::Session;

/// A longer file is not read. An audit has some kilobytes for a look.
const LONGEST: u64 = 64 << 20;

impl Session {
    /// Prints each look as a row and ends as a rollout would have, or prints a line of JSON each.
    pub(super) fn replay(&self, words: &[String]) -> Result<Option<Ending>, Refusal> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (file, json) = match words.as_slice() {
            [file] => (*file, false),
            [file, "json"] => (*file, true),
            _ => {
                return Err(Refusal::of_input(
                    "replay",
                    "takes `replay FILE` or `replay FILE json`",
                ));
            }
        };
        let path = self.context.workspace.join(file);
        let wrong = |said| Refusal::of_input("replay", format!("{file}: {said}"));
        let text = content(&path).map_err(wrong)?;
        let (intervals, looks): (Vec<Interval>, Vec<Sight>) = if is_audit(&text) {
            let judged = judged(&text).map_err(wrong)?;
            let (intervals, looks): (Vec<_>, Vec<Sight>) = judged.into_iter().unzip();
            if json {
                self.print_each(&looks);
                return Ok(None);
            }
            (intervals, looks)
        } else {
            let recording = read(&text, Settings::default()).map_err(wrong)?;
            let (mut judge, intervals) = (recording.judge, recording.intervals);
            let looks: Vec<Look> = intervals.iter().map(|it| judge.look(it)).collect();
            if json {
                self.print_each(&looks);
                return Ok(None);
            }
            (intervals, looks.into_iter().map(Sight::from).collect())
        };
        self.print(&table(&looks));
        self.begin(Headline {
            mode: "replay",
            ..Headline::default()
        });
        for (look, interval) in looks.iter().zip(&intervals) {
            (self.say)(Event::Glanced(Box::new(glance(look, interval))));
        }
        let ending = ending(&looks);
        self.ended(&ending);
        Ok(Some(ending))
    }

    /// A line of JSON for each look.
    fn print_each(&self, looks: &[impl Serialize]) {
        let lines = looks
            .iter()
            .filter_map(|look| serde_json::to_string(look).ok());
        self.print(&lines.map(|line| line + "\n").collect::<String>());
    }
}

/// What is in a file, if it is no longer than a recording may be.
fn content(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    // What is no plain file says no length beforehand.
    let read = File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes));
    read.map_err(|failed| failed.to_string())?;
    if bytes.len() as u64 > LONGEST {
        return Err(format!(
            "it has more than {} MB, and a replay reads no more; cut it to the lines of one canary, with those of the time before",
            LONGEST >> 20
        ));
    }
    String::from_utf8(bytes).map_err(|failed| failed.to_string())
}

/// A look as a rollout tells it; a recording does not know of steps.
fn glance(look: &Sight, interval: &Interval) -> Glance {
    let seen = |arm: &Arm| Seen {
        requests: arm.requests,
        errors: arm.errors,
        ..Seen::default()
    };
    Glance {
        at: look.at,
        from: interval.from,
        verdict: look.verdict.name().to_owned(),
        said: look.said.clone(),
        canary: seen(&interval.canary),
        stable: seen(&interval.stable),
        errors: look.errors,
        latency: look.latency,
        ln_bar: look.bars[0],
        ln_safe_bar: look.bars[1],
        ..Glance::default()
    }
}

fn table(looks: &[Sight]) -> String {
    let mut table = format!(
        "{:>8}  {:<12}  {:>8} {:>8} {:>8}  {:>8} {:>8} {:>8}\n",
        "time", "verdict", "errors", "worse", "within", "p95", "worse", "within"
    );
    for look in looks {
        let metric = |metric: &Proved| {
            let ratio = metric
                .ratio
                .map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}x"));
            format!(
                "{ratio:>8} {:>8} {:>8}",
                odds(metric.ln_worse),
                odds(metric.ln_within)
            )
        };
        let _ = writeln!(
            table,
            "{:>8}  {:<12}  {}  {}",
            time(look.at),
            look.verdict.name(),
            metric(&look.errors),
            metric(&look.latency)
        );
    }
    table
}

/// What a stake of one has come to; a power of ten where that is a long number.
fn odds(ln: f64) -> String {
    match ln / std::f64::consts::LN_10 {
        power if power >= 5.0 => format!("1e{power:.0}"),
        power if power <= -3.0 => format!("1e{power:.0}"),
        _ => format!("{:.2}", ln.exp()),
    }
}

/// Minutes and seconds.
fn time(seconds: f64) -> String {
    let seconds = seconds.round().max(0.0) as u64;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// A rollout would have ended at the first look that decides.
fn ending(looks: &[Sight]) -> Ending {
    let first = |verdict| looks.iter().find(|look| look.verdict == verdict);
    let at = |look: &Sight| {
        format!(
            "{}: at {}: {}",
            look.verdict.name(),
            time(look.at),
            look.said
        )
    };
    let bad = first(Verdict::Rollback);
    let good = first(Verdict::Safe).filter(|good| bad.is_none_or(|bad| good.at < bad.at));
    match (good, bad, first(Verdict::Warn), looks.last()) {
        (Some(good), ..) => Ending::good(Decision::Passed, Reason::Done, at(good)),
        (None, Some(bad), ..) => no(Reason::LimitPassed, at(bad)),
        (None, None, Some(warned), _) => no(Reason::Unhealthy, at(warned)),
        (None, None, None, Some(last)) => no(Reason::NoData, at(last)),
        (None, None, None, None) => no(Reason::NoData, "there is nothing to look at".to_owned()),
    }
}

fn no(reason: Reason, said: String) -> Ending {
    Ending {
        decision: Decision::Failed,
        reason,
        said,
        account: Account::default(),
    }
}
