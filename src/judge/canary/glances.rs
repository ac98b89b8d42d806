//! The audit of a rollout as a recording: its looks, judged again.
//!
//! Each look has the counts that were judged; the first of a run, and those at which something
//! was learned anew, have the judge as well, as it was before.

use serde::Deserialize;
use serde_json::Value;

use crate::model::canary::Glance;

use super::Interval;
use super::jury::{Jury, Sight};

/// A line of an audit, as far as it matters here.
#[derive(Deserialize)]
struct Line {
    event: String,
    #[serde(default)]
    data: Value,
}

/// Whether a text is an audit, and no recording of another kind.
pub fn is_audit(text: &str) -> bool {
    let first = text.lines().find(|line| !line.trim().is_empty());
    first.is_some_and(|line| serde_json::from_str::<Line>(line).is_ok())
}

/// Judges all looks again.
///
/// # Errors
/// The line and what is wrong with it.
pub fn judged(text: &str) -> Result<Vec<(Interval, Sight)>, String> {
    let mut jury: Option<Jury> = None;
    let mut looks = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let place = |said: &dyn std::fmt::Display| format!("line {}: {said}", i + 1);
        if line.trim().is_empty() {
            continue;
        }
        let line: Line = serde_json::from_str(line).map_err(|failed| place(&failed))?;
        if line.event != "glanced" {
            continue;
        }
        let mut glance = Glance::deserialize(&line.data).map_err(|failed| place(&failed))?;
        let Some(interval) = Interval::of(&glance) else {
            continue;
        };
        if let Some(known) = glance.judge.take() {
            jury = Some(Jury::deserialize(known).map_err(|failed| place(&failed))?);
        }
        let jury = jury.as_mut().ok_or_else(|| {
            place(&"nobody says what the judge knew before this look; the beginning of the run is missing")
        })?;
        let look = jury.look(&interval);
        looks.push((interval, look));
    }
    if looks.is_empty() {
        return Err("it has no look at a canary".to_owned());
    }
    Ok(looks)
}
