//! How much traffic a proof takes, so that it can be said before a canary begins.
//!
//! A bet grows by so many nats a request on average, where the canary truly is so many times as
//! bad; divided into what the bar takes, that is the requests. Half of all canaries need fewer,
//! and a few need twice as many.

use std::time::Duration;

use crate::platform::text;

use super::{ERRORS, SAFE_BAR};

/// What the bar takes, in nats: its own ln 40, ln 4 for the bets on other ratios, and ln 2 for the
/// half of the stake that waits.
const NATS: f64 = 5.8;

/// How many bets there are that it is within the limit; they have all of the stake.
const BETS_WITHIN: f64 = 5.0;

/// The traffic that a step of a canary has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Traffic {
    /// Requests a second that reach the canary.
    pub canary: f64,
    /// Its share of all traffic, above 0 and below 1.
    pub weight: f64,
    /// The stable release's share of failed requests, above 0.
    pub error_rate: f64,
}

/// How many requests of the canary it takes on average to prove that it is worse, where it fails
/// `ratio` times as often. `None` where no traffic is enough: without errors, without a release
/// beside it, or for a ratio within the tolerance.
pub fn requests_to_prove(ratio: f64, weight: f64, error_rate: f64) -> Option<f64> {
    (ratio > ERRORS.null).then_some(())?;
    requests(NATS, ratio, ERRORS.null, weight, error_rate)
}

/// How many it takes to prove that it is within a limit, where it is just as good.
pub fn requests_to_clear(limit: f64, weight: f64, error_rate: f64) -> Option<f64> {
    (limit > 1.0).then_some(())?;
    let nats = SAFE_BAR.ln() + BETS_WITHIN.ln();
    requests(nats, 1.0, limit, weight, error_rate)
}

/// What the bar takes, by what a request adds where the canary is `ratio` times as bad and the
/// claim is `null`.
fn requests(nats: f64, ratio: f64, null: f64, weight: f64, error_rate: f64) -> Option<f64> {
    let beside = (1.0 - weight) / weight;
    let share = |ratio: f64| ratio / (ratio + beside);
    let (truly, claimed) = (share(ratio), share(null));
    let won = ratio * (truly / claimed).ln() + beside * ((1.0 - truly) / (1.0 - claimed)).ln();
    let needed = nats / (error_rate * won);
    (needed.is_finite() && needed > 0.0).then_some(needed)
}

/// The smallest ratio that so many requests of the canary prove, up to a hundred.
pub fn smallest_ratio(requests: f64, weight: f64, error_rate: f64) -> Option<f64> {
    let proves = |ratio| {
        let needed = requests_to_prove(ratio, weight, error_rate);
        needed.is_some_and(|needed| needed <= requests)
    };
    let (mut too_small, mut enough) = (ERRORS.null, 100.0);
    proves(enough).then_some(())?;
    for _ in 0..40 {
        let middle = f64::midpoint(too_small, enough);
        if proves(middle) {
            enough = middle;
        } else {
            too_small = middle;
        }
    }
    Some(enough)
}

/// What the traffic allows within a time, in a sentence; `ratio` is what is to be proved.
pub fn told(traffic: Traffic, ratio: f64, within: Duration) -> String {
    let Traffic {
        canary,
        weight,
        error_rate,
    } = traffic;
    let often = format!("at {} a second to the canary", number(canary, "request"));
    let times = match ratio {
        2.0 => "a doubling of".to_owned(),
        3.0 => "a tripling of".to_owned(),
        ratio => format!("{ratio} times"),
    };
    let what = format!("{times} a {} error rate", text::percent(error_rate));
    let time = text::long(within);
    let Some(needed) = requests_to_prove(ratio, weight, error_rate) else {
        return format!("{often}, {what} cannot be proved by any traffic");
    };
    let come = canary * within.as_secs_f64();
    let needed_told = text::thousands(needed.ceil() as u64);
    if needed <= come {
        let took = text::long(Duration::from_secs_f64(needed / canary));
        return format!("{often}, {what} takes about {needed_told} of its requests, {took}");
    }
    let smallest = smallest_ratio(come, weight, error_rate).map_or_else(
        || "nothing below 100 times can be".to_owned(),
        |ratio| format!("{ratio:.1} times can be"),
    );
    format!(
        "{often}, {what} cannot be proved in {time}: that takes about {needed_told} of its requests, and {} come ({smallest}); longer steps, more weight, or synthetic load",
        text::thousands(come.round() as u64)
    )
}

/// `1 request`, `0.5 requests`.
fn number(n: f64, noun: &str) -> String {
    let plural = if n == 1.0 { "" } else { "s" };
    format!("{n} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: Option<f64>, wanted: f64) {
        let found = found.unwrap();
        // The table has three digits, or two.
        let rounded = (wanted * 0.015).max(0.6);
        assert!((found - wanted).abs() < rounded, "{found}, not {wanted}");
    }

    #[test]
    fn as_many_requests_as_were_reckoned() {
        for (ratio, wanted) in [
            (1.5, [101_000.0, 10_100.0, 2_020.0, 19_800.0]),
            (2.0, [22_600.0, 2_260.0, 450.0, 4_620.0]),
            (3.0, [6_200.0, 620.0, 125.0, 1_340.0]),
            (5.0, [1_930.0, 195.0, 39.0, 460.0]),
            (10.0, [580.0, 58.0, 12.0, 150.0]),
        ] {
            let traffic = [(0.1, 0.001), (0.1, 0.01), (0.1, 0.05), (0.5, 0.01)];
            for ((weight, errors), wanted) in traffic.into_iter().zip(wanted) {
                near(requests_to_prove(ratio, weight, errors), wanted);
            }
        }
        for (errors, wanted) in [(0.001, 55_900.0), (0.01, 5_600.0), (0.05, 1_120.0)] {
            near(requests_to_clear(1.5, 0.1, errors), wanted);
        }
    }

    #[test]
    fn what_cannot_be_proved_has_no_number() {
        assert_eq!(requests_to_prove(1.1, 0.1, 0.01), None, "the tolerance");
        assert_eq!(requests_to_prove(2.0, 0.1, 0.0), None, "no errors");
        assert_eq!(requests_to_prove(2.0, 0.0, 0.01), None, "no canary");
        assert_eq!(requests_to_prove(2.0, 1.0, 0.01), None, "nothing beside it");
        assert_eq!(requests_to_clear(1.0, 0.1, 0.01), None);
        assert_eq!(smallest_ratio(0.0, 0.1, 0.01), None);
    }

    #[test]
    fn the_smallest_ratio_is_the_one_that_just_takes_the_requests() {
        let ratio = smallest_ratio(2260.0, 0.1, 0.01).unwrap();
        assert!((ratio - 2.0).abs() < 0.01, "{ratio}");
    }

    #[test]
    fn it_is_told_before_the_canary_begins() {
        let traffic = |canary| Traffic {
            canary,
            weight: 0.1,
            error_rate: 0.01,
        };
        let told = |canary, ratio| told(traffic(canary), ratio, Duration::from_secs(900));
        insta::assert_snapshot!(told(1.0, 2.0), @"at 1 request a second to the canary, a doubling of a 1 % error rate cannot be proved in 15 m: that takes about 2,260 of its requests, and 900 come (2.6 times can be); longer steps, more weight, or synthetic load");
        insta::assert_snapshot!(told(10.0, 2.0), @"at 10 requests a second to the canary, a doubling of a 1 % error rate takes about 2,260 of its requests, 3 m");
        insta::assert_snapshot!(told(0.1, 3.0), @"at 0.1 requests a second to the canary, a tripling of a 1 % error rate cannot be proved in 15 m: that takes about 617 of its requests, and 90 come (7.6 times can be); longer steps, more weight, or synthetic load");
        insta::assert_snapshot!(told(0.002, 1.5), @"at 0.002 requests a second to the canary, 1.5 times a 1 % error rate cannot be proved in 15 m: that takes about 10,103 of its requests, and 2 come (nothing below 100 times can be); longer steps, more weight, or synthetic load");
        insta::assert_snapshot!(told(5.0, 1.0), @"at 5 requests a second to the canary, 1 times a 1 % error rate cannot be proved by any traffic");
    }
}
