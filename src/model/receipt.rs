//! The receipt of a switch: what was changed, how long it took, and what users felt of it.

use serde::Serialize;

use super::figures::Summary;

/// What a switch did, measured. Times are milliseconds from the router's write on.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Receipt {
    /// The slot that got the traffic.
    pub slot: String,
    /// Its weight before, in percent.
    pub weight_before: u8,
    /// Its weight after, in percent.
    pub weight_after: u8,
    /// The release that the other slot serves, where it says so.
    pub release_before: Option<String>,
    /// The release that was switched to.
    pub release_after: Option<String>,
    /// How long the router's own write took.
    pub switch_ms: f64,
    /// From the write to the end of the proof.
    pub proved_ms: Option<f64>,
    /// From the write to the end of the last answer of the old release; `None` where none came
    /// after it.
    pub last_old_ms: Option<f64>,
    /// What the prober's own requests felt from before the write until the end of the proof or
    /// the watch; `None` where the prober is off.
    pub felt: Option<Summary>,
    /// How the router takes the change, where that has known losses.
    pub known_loss: Option<String>,
}
