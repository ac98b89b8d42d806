//! Whoever judges a canary, by the method that the user chose: one face for both, for rollouts and
//! for what replays them.

use serde::{Deserialize, Serialize};

use crate::model::arms::Rate;
use crate::model::canary::{Glance, Proved, Seen};

use super::buckets::Buckets;
use super::{Arm, BAR, Before, Interval, Judge, Look, Metric, SAFE_BAR, Settings, Verdict, ratio};

/// A judge, with all that it knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Jury {
    /// By what is proved.
    Evidence(Box<Judge>),
    /// By the ratios alone.
    Ratio(Box<ratio::Judge>),
}

/// What a look has come to, by either method.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Sight {
    /// What it says.
    pub verdict: Verdict,
    /// Seconds since the canary began.
    pub at: f64,
    /// Why, in a sentence.
    pub said: String,
    /// Errors.
    pub errors: Proved,
    /// Slow requests.
    pub latency: Proved,
    /// The bars for "worse" and for "within the limits", as natural logarithms; 0 without proof.
    pub bars: [f64; 2],
}

impl Jury {
    /// One that has seen nothing, by what is proved.
    pub fn by_evidence(settings: Settings, before: Before, edges: Vec<f64>) -> Self {
        Self::Evidence(Box::new(Judge::new(settings, before, edges)))
    }

    /// One that has seen nothing, by the ratios.
    pub fn by_ratio(rules: ratio::Rules, edges: Vec<f64>) -> Self {
        Self::Ratio(Box::new(ratio::Judge::new(rules, edges)))
    }

    /// Takes the next interval, and says what all of them show.
    pub fn look(&mut self, interval: &Interval) -> Sight {
        match self {
            Self::Evidence(judge) => Sight::from(judge.look(interval)),
            Self::Ratio(judge) => Sight::from(judge.look(interval)),
        }
    }

    /// Learns how many slow requests are tolerated, where that was not known before.
    pub fn tolerate(&mut self, before: Before) {
        match self {
            Self::Evidence(judge) => judge.tolerate(before),
            Self::Ratio(_) => {}
        }
    }

    /// Both shares over the window, the canary's and the stable release's, where nobody counts
    /// and the window is full. Evidence knows none.
    pub fn shares(&self) -> Option<[Rate; 2]> {
        match self {
            Self::Evidence(_) => None,
            Self::Ratio(judge) => judge.shares(),
        }
    }

    /// Forgets what is over in a moment anyway, and is too much to be written down.
    pub fn forget_window(&mut self) {
        match self {
            Self::Evidence(_) => {}
            Self::Ratio(judge) => judge.forget(),
        }
    }

    /// Learns between which edges latency is counted. What was seen of latency is nothing then.
    pub fn count_between(&mut self, edges: Vec<f64>, before: Before) {
        match self {
            Self::Evidence(judge) => judge.count_between(edges, before),
            Self::Ratio(judge) => judge.count_between(edges),
        }
    }
}

impl From<Look> for Sight {
    fn from(look: Look) -> Self {
        let proved = |metric: &Metric| Proved {
            ln_worse: metric.ln_worse,
            ln_within: metric.ln_within,
            ratio: metric.ratio,
        };
        Self {
            verdict: look.verdict,
            at: look.at,
            errors: proved(&look.errors),
            latency: proved(&look.latency),
            said: look.said(),
            bars: [BAR.ln(), SAFE_BAR.ln()],
        }
    }
}

impl From<ratio::Look> for Sight {
    fn from(look: ratio::Look) -> Self {
        let proved = |compared: &ratio::Compared| Proved {
            ratio: compared.ratio,
            ..Proved::default()
        };
        Self {
            verdict: look.verdict,
            at: look.at,
            errors: proved(&look.errors),
            latency: proved(&look.latency),
            said: look.said(),
            bars: [0.0; 2],
        }
    }
}

impl Interval {
    /// The interval of a glance, as it was judged; `None` where there was no data.
    pub fn of(glance: &Glance) -> Option<Self> {
        let arm = |seen: &Seen| Arm {
            requests: seen.requests,
            errors: seen.errors,
            slow: seen.slow,
            beyond_limit: seen.beyond_limit,
            buckets: seen.buckets.clone().map(Buckets::new),
        };
        let share = |seen: &Seen| {
            Some(Rate {
                error_rate: seen.error_rate?,
                p95: seen.p95,
            })
        };
        let shares = || Some([share(&glance.canary)?, share(&glance.stable)?]);
        (glance.verdict != NO_DATA).then(|| Self {
            from: glance.from,
            to: glance.at,
            canary: arm(&glance.canary),
            stable: arm(&glance.stable),
            p95_ratio: glance.p95_ratio,
            shares: shares(),
        })
    }
}

/// The verdict of a look at which nobody knew anything.
pub const NO_DATA: &str = "no-data";
