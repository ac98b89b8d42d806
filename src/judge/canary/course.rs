//! What follows from a look: go on watching, take the next step, hold traffic, or take it back.
//!
//! A step has a shortest and a longest time. Bad news ends it at once, good news not before the
//! shortest: a fault that comes late cannot be seen early. What neither proves is for the user's
//! own words to decide.

use crate::config::canary::{OnInconclusive, Otherwise};
use crate::model::ending::Reason;

use super::Verdict;

/// What the user wants of a step. Times are in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// The shortest time.
    pub watch: f64,
    /// The longest.
    pub at_most: f64,
    /// For so long there may be no data.
    pub no_data_after: f64,
    /// Where nothing is proved in time.
    pub on_inconclusive: OnInconclusive,
    /// Where it is proved to be worse, and within the limits.
    pub on_warn: Otherwise,
    /// Where there is no data.
    pub on_no_data: Otherwise,
    /// Whether there is somebody to compare with: without, time is all that can be waited for.
    pub compares: bool,
}

/// What a look has shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shown {
    /// What the judge says.
    pub verdict: Verdict,
    /// How long the step has been watched.
    pub watched: f64,
    /// How long there has been no data.
    pub silent: f64,
    /// Whether both ratios are within their limits, as far as they are known.
    pub within_limits: bool,
    /// Whether the stable release is bad as well, by limits that know no other release.
    pub incident: bool,
    /// Whether the canary is beyond such a limit.
    pub beyond: bool,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// The step goes on.
    Watch,
    /// The step is over, and went well.
    Advance,
    /// Traffic stays where it is, and a person looks.
    Hold(Reason),
    /// Traffic goes back.
    Back(Reason),
}

/// What follows from a look.
pub fn course(terms: &Terms, shown: &Shown) -> Course {
    if shown.verdict == Verdict::Rollback {
        return Course::Back(Reason::Worse);
    }
    // Back would not be better where both are bad.
    match (shown.beyond, shown.incident) {
        (true, true) => return Course::Hold(Reason::SharedIncident),
        (true, false) => return Course::Back(Reason::LimitPassed),
        (false, _) => {}
    }
    let by = |otherwise, reason| match otherwise {
        Otherwise::Hold => Course::Hold(reason),
        Otherwise::Promote => Course::Advance,
        Otherwise::Rollback => Course::Back(reason),
    };
    if shown.silent > 0.0 {
        // Silence is no proof of anything, so nobody goes on in the midst of it.
        return match shown.silent >= terms.no_data_after {
            false => Course::Watch,
            true => match by(terms.on_no_data, Reason::NoData) {
                Course::Advance if shown.watched < terms.watch => Course::Watch,
                course => course,
            },
        };
    }
    if shown.watched < terms.watch {
        return Course::Watch;
    }
    if !terms.compares && shown.verdict == Verdict::Inconclusive {
        return Course::Advance;
    }
    match shown.verdict {
        Verdict::Safe => Course::Advance,
        Verdict::Warn => by(terms.on_warn, Reason::Worse),
        _ if shown.watched < terms.at_most => Course::Watch,
        _ => match terms.on_inconclusive {
            OnInconclusive::Promote if shown.within_limits => Course::Advance,
            OnInconclusive::Rollback => Course::Back(Reason::Inconclusive),
            _ => Course::Hold(Reason::Inconclusive),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms {
        watch: 60.0,
        at_most: 180.0,
        no_data_after: 30.0,
        on_inconclusive: OnInconclusive::Extend,
        on_warn: Otherwise::Hold,
        on_no_data: Otherwise::Hold,
        compares: true,
    };

    fn at(watched: f64, verdict: Verdict) -> Shown {
        Shown {
            verdict,
            watched,
            silent: 0.0,
            within_limits: true,
            incident: false,
            beyond: false,
        }
    }

    #[test]
    fn bad_news_is_at_once_and_good_news_takes_its_time() {
        let course = |watched, verdict| course(&TERMS, &at(watched, verdict));
        assert_eq!(course(1.0, Verdict::Rollback), Course::Back(Reason::Worse));
        assert_eq!(course(1.0, Verdict::Safe), Course::Watch);
        assert_eq!(course(60.0, Verdict::Safe), Course::Advance);
        assert_eq!(course(1.0, Verdict::Warn), Course::Watch);
        assert_eq!(course(60.0, Verdict::Warn), Course::Hold(Reason::Worse));
    }

    #[test]
    fn what_is_not_proved_is_watched_for_longer() {
        let with = |on_inconclusive, watched, within_limits| {
            let terms = Terms {
                on_inconclusive,
                ..TERMS
            };
            let shown = Shown {
                within_limits,
                ..at(watched, Verdict::Inconclusive)
            };
            course(&terms, &shown)
        };
        let held = Course::Hold(Reason::Inconclusive);
        for on in [
            OnInconclusive::Extend,
            OnInconclusive::Hold,
            OnInconclusive::Promote,
        ] {
            assert_eq!(with(on, 61.0, true), Course::Watch);
        }
        assert_eq!(with(OnInconclusive::Extend, 180.0, true), held);
        assert_eq!(with(OnInconclusive::Hold, 180.0, true), held);
        assert_eq!(with(OnInconclusive::Promote, 180.0, true), Course::Advance);
        assert_eq!(with(OnInconclusive::Promote, 180.0, false), held);
        let back = Course::Back(Reason::Inconclusive);
        assert_eq!(with(OnInconclusive::Rollback, 180.0, true), back);
    }

    #[test]
    fn no_data_is_neither_good_nor_bad() {
        let silent = |silent, on_no_data, verdict| {
            let terms = Terms {
                on_no_data,
                ..TERMS
            };
            course(
                &terms,
                &Shown {
                    silent,
                    ..at(200.0, verdict)
                },
            )
        };
        assert_eq!(silent(29.0, Otherwise::Hold, Verdict::Safe), Course::Watch);
        let held = Course::Hold(Reason::NoData);
        assert_eq!(silent(30.0, Otherwise::Hold, Verdict::Safe), held);
        assert_eq!(
            silent(30.0, Otherwise::Promote, Verdict::Safe),
            Course::Advance
        );
        let back = Course::Back(Reason::NoData);
        assert_eq!(silent(30.0, Otherwise::Rollback, Verdict::Safe), back);
    }

    #[test]
    fn what_befalls_both_is_no_reason_to_go_back() {
        let limits = |beyond, incident| {
            let shown = Shown {
                beyond,
                incident,
                ..at(5.0, Verdict::Inconclusive)
            };
            course(&TERMS, &shown)
        };
        assert_eq!(limits(true, false), Course::Back(Reason::LimitPassed));
        assert_eq!(limits(true, true), Course::Hold(Reason::SharedIncident));
        assert_eq!(limits(false, true), Course::Watch);
    }

    #[test]
    fn with_nobody_to_compare_with_time_is_all_there_is() {
        let terms = Terms {
            compares: false,
            ..TERMS
        };
        let course = |watched, verdict| course(&terms, &at(watched, verdict));
        assert_eq!(course(59.0, Verdict::Inconclusive), Course::Watch);
        assert_eq!(course(60.0, Verdict::Inconclusive), Course::Advance);
    }
}
