//! Limits that know no other release: a canary beyond one of them is taken back, whatever the
//! stable release does, unless that is beyond it, too.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::judge::evidence;
use crate::model::arms::Rate;
use crate::platform::text;

use super::Trial;
use super::told::share;

/// Of so many requests one may be slower than the limit of the 95th percentile.
const SLOW: f64 = 0.05;

/// Limits that know no other release.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::rollout::canary) struct Limits {
    /// The largest share of failed requests, of 1.
    pub error_rate: f64,
    /// The largest 95th percentile, in seconds.
    pub p95: Option<f64>,
}

/// A limit that is passed.
pub(super) struct Against {
    /// The figure and the limit.
    pub(super) beyond: [String; 2],
    /// Whether the stable release is beyond it, too.
    pub(super) stable_too: bool,
}

impl Limits {
    /// Shares over a window held against them. Nobody counts, so nothing is proved.
    pub(super) fn against(&self, [canary, stable]: &[Rate; 2]) -> Option<Against> {
        let time = |s: f64| text::duration(Duration::from_secs_f64(s.max(0.0)));
        if canary.error_rate > self.error_rate {
            return Some(Against {
                beyond: [
                    format!("errors {}", text::percent(canary.error_rate)),
                    format!("errors at most {}", text::percent(self.error_rate)),
                ],
                stable_too: stable.error_rate > self.error_rate,
            });
        }
        let limit = self.p95?;
        let p95 = canary.p95.filter(|p95| *p95 > limit)?;
        Some(Against {
            beyond: [
                format!("p95 {}", time(p95)),
                format!("p95 at most {}", time(limit)),
            ],
            stable_too: stable.p95.is_some_and(|p95| p95 > limit),
        })
    }
}

impl Trial {
    /// The canary since the step began, held against limits that know no other release: what it
    /// is proved to be beyond, and whether the stable release is so, too, by what is seen of it.
    pub(super) fn against(&self, limits: &Limits) -> Option<Against> {
        let [canary, stable] = &self.step;
        let limit = limits.error_rate;
        if proves(canary.errors, canary.requests, limit) {
            let measured = format!("errors {}", share(canary.errors, canary.requests));
            let told = format!("errors at most {}", text::percent(limit));
            return Some(Against {
                beyond: [measured, told],
                stable_too: stable.errors > stable.requests * limit,
            });
        }
        let limit = limits.p95.filter(|_| self.at >= self.settings.warm_up)?;
        let slow = self.scale.slower_than(canary, limit)?;
        proves(slow, canary.requests, SLOW).then(|| {
            let too = self.scale.slower_than(stable, limit).unwrap_or_default();
            let limit = text::duration(Duration::from_secs_f64(limit));
            let measured = format!("slower than {limit}: {}", share(slow, canary.requests));
            let told = format!("p95 at most {limit}");
            Against {
                beyond: [measured, told],
                stable_too: too > stable.requests * SLOW,
            }
        })
    }
}

/// Whether so many of so many are proved to be more than a share.
fn proves(bad: f64, all: f64, limit: f64) -> bool {
    limit < 1.0 && bad > all * limit && evidence::evidence(bad, all, limit) >= evidence::BAR
}
