//! What happens during a run, as data.
//!
//! The story says events; the log, the summary, the outputs, the GitHub Deployment and the
//! notifiers listen. Nothing that is below them knows that they exist.

use std::time::Duration;

use super::anomaly::Deviation;
use super::approval::Figure;
use super::assessment::Assessment;
use super::canary::{Glance, Standing};
use super::ending::Ending;
use super::failover::Cause;
use super::figures::Summary;
use super::finding::Finding;
use super::protection::Comparison;
use super::queue::Waited;
use super::receipt::Receipt;
use super::vigil;

/// The first line of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headline {
    /// The mode.
    pub mode: &'static str,
    /// The environment, where there is one.
    pub environment: Option<String>,
    /// The application.
    pub app: Option<String>,
    /// The release that this is about.
    pub release: Option<String>,
    /// The strategy of a rollout.
    pub strategy: Option<String>,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The run begins.
    Began(Headline),
    /// A step is at work; said often, for live displays only.
    Working {
        /// The step's short name, such as `deploy`.
        step: &'static str,
        /// How far it is.
        said: String,
    },
    /// A step ended well.
    Done {
        /// The step's short name.
        step: &'static str,
        /// What it did, in one line.
        said: String,
        /// How long it took.
        took: Duration,
    },
    /// A step failed; the ending says what follows from it.
    Failed {
        /// The step's short name.
        step: &'static str,
        /// What it saw, in one line.
        said: String,
        /// How long it took.
        took: Duration,
    },
    /// A line that a user's own command printed.
    Line(String),
    /// Worth knowing, and nothing is wrong.
    Noticed(String),
    /// Wrong, and it does not change the verdict.
    Warned(String),
    /// Something is wrong with the inputs or the config.
    Wrong {
        /// The file, if it is about a place in one.
        file: Option<String>,
        /// The line in it.
        line: Option<usize>,
        /// What is wrong and what would be right.
        said: String,
    },
    /// A check came to its result; said for each check of a step, for those who keep records.
    Checked {
        /// The check, as its probe names it.
        check: String,
        /// Whether it passed.
        passed: bool,
        /// What the last look saw.
        said: String,
        /// What it should have seen, where it did not.
        wanted: Option<String>,
    },
    /// Something outside of this process was changed by us.
    Changed {
        /// What: `traffic`, or the release in a slot.
        what: String,
        /// What it was before, as far as that is known.
        before: Option<String>,
        /// What it is now.
        after: String,
    },
    /// Figures were judged, and what follows was decided by them.
    Judged {
        /// The step's short name.
        step: &'static str,
        /// `healthy`, `unhealthy`, `inconclusive` or `unknown`.
        verdict: &'static str,
        /// The figures in words, with their limits.
        said: String,
        /// The figures.
        figures: Summary,
    },
    /// Both arms of a canary were looked at.
    Glanced(Box<Glance>),
    /// A canary stays where it is, and the next run goes on with it.
    Stands(Box<Standing>),
    /// A figure was read, and held against its threshold if it has one.
    Assessed(Assessment),
    /// A metric is not as it always is; said once for each.
    Deviated(Deviation),
    /// An environment of GitHub was held against the config.
    Compared(Comparison),
    /// A check of the preflight is over.
    Found(Finding),
    /// A figure or a name that goes into the outputs.
    Learned(Fact),
    /// A switch was measured. Said again when the watch has more figures.
    Measured(Receipt),
    /// The run is over.
    Ended(Ending),
}

/// A figure or a name that goes into the outputs.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// The environment.
    Environment(String),
    /// Its public URL.
    EnvironmentUrl(String),
    /// The slot that this run is about.
    Slot(String),
    /// The slot that receives traffic, or most of it.
    ActiveSlot(String),
    /// The slot that received traffic before.
    PreviousSlot(String),
    /// The weight of the slot that this run is about, in percent.
    Weight(u8),
    /// The weight that the slot is to have at the end, in percent; for the record.
    IntendedWeight(u8),
    /// The release that was asked for.
    Version(String),
    /// The release that answered.
    ServedVersion(String),
    /// The id of the GitHub Deployment.
    DeploymentId(u64),
    /// Whether all checks passed.
    Healthy(bool),
    /// Why a closed window, a holiday, a freeze or an unhealthy slot was passed over.
    Override(String),
    /// The issue in which people approve.
    Approval(Figure),
    /// The secondary target deploys, and why.
    Failover(Cause),
    /// What waiting for the lock came to.
    Queue(Waited),
    /// The file that has the run as a page.
    ReportFile(String),
    /// What a look on a clock came to.
    Clock(vigil::Figure),
    /// Error rate and latencies.
    Figures(Summary),
}

/// Where events are said. Whoever holds one can speak and cannot know who listens.
pub type Say = std::sync::Arc<dyn Fn(Event) + Send + Sync>;
