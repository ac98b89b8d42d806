//! What a run adds to the figures that other systems keep over many runs.
//!
//! The names are API: dashboards and alerts are built on them.

/// What a figure does over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// It only grows; a run adds to it.
    Counter,
    /// It is what it was last set to.
    Gauge,
    /// Observations, counted by upper bounds that grow. `+Inf` goes without saying.
    Histogram(&'static [f64]),
}

/// A figure: its name, what it means, and what it does over time.
#[derive(Debug, PartialEq)]
pub struct Instrument {
    /// Its name, in the form that Prometheus wants.
    pub name: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    /// What it does over time.
    pub shape: Shape,
    /// The label that it has beside those that all have.
    pub label: Option<&'static str>,
}

macro_rules! instruments {
    ($($constant:ident = $name:literal $shape:expr, $label:expr, $about:literal;)*) => {
        $(
            #[doc = $about]
            pub static $constant: Instrument = Instrument {
                name: $name, about: $about, shape: $shape, label: $label,
            };
        )*

        /// All of them, in the order in which they are written down.
        pub static INSTRUMENTS: &[&Instrument] = &[$(&$constant),*];
    };
}

use Shape::{Counter, Gauge, Histogram};

instruments! {
    DEPLOYED = "deployment_success_total" Counter, None,
        "Deployments that went as asked.";
    NOT_DEPLOYED = "deployment_failure_total" Counter, Some("failure_reason"),
        "Deployments that did not, by their reason-code.";
    TOOK = "deployment_duration_seconds" Histogram(&[60.0, 300.0, 600.0, 1200.0, 1800.0]), None,
        "How long deployments took, from the first word of the run to its last.";
    FAILED_OVER = "deployment_failover_total" Counter, Some("reason"),
        "Deployments that went from the primary target to the secondary, by why.";
    FAILOVERS = "failover_events_total" Counter, Some("failover_reason"),
        "Failovers to a secondary target, by why.";
    REFUSED = "preflight_check_failures_total" Counter, Some("check_type"),
        "Checks of a preflight that said no, by their kind.";
    UNHEALTHY = "health_gate_failures_total" Counter, Some("service"),
        "Smoke and health checks that failed, by their name.";
    QUEUED = "deployment_queue_depth" Gauge, None,
        "Runs that waited for the environment's lock while the last one did, itself included.";
    SWITCHED = "switch_seconds" Histogram(&[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0]), None,
        "How long routers took to write a change of traffic.";
    LOST = "switch_requests_failed_total" Counter, None,
        "Requests of the prober that failed while traffic was moved and watched.";
}

/// One thing that a run has to add.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// To what.
    pub instrument: &'static Instrument,
    /// The value of the instrument's own label; empty where it has none.
    pub label: String,
    /// By how much a counter grows, what a gauge is now, or what was observed.
    pub value: f64,
}

impl Measure {
    /// Something to add to an instrument without a label of its own.
    pub const fn of(instrument: &'static Instrument, value: f64) -> Self {
        Self {
            instrument,
            label: String::new(),
            value,
        }
    }

    /// One more for an instrument, under the label of its own.
    pub fn one(instrument: &'static Instrument, label: impl Into<String>) -> Self {
        Self {
            instrument,
            label: label.into(),
            value: 1.0,
        }
    }
}

/// Labels that all figures of a run have, by name.
pub type Labels = Vec<(String, String)>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_grow_and_names_are_their_own() {
        let mut names: Vec<_> = INSTRUMENTS.iter().map(|it| it.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), INSTRUMENTS.len());
        for instrument in INSTRUMENTS {
            if let Histogram(bounds) = instrument.shape {
                assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]));
            }
        }
    }
}
