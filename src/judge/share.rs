//! Whether the share of answers that came from a slot fits the weight it was given.

use crate::model::split::Weight;

/// How many standard deviations of a binomial count are taken for chance. At 4, a router that
/// is right is called wrong once in about 16,000 proofs.
const SIGMAS: f64 = 4.0;

/// How many answers a proof of a partial weight asks for. At 200, a weight of 25 % that is
/// really 0 or 100 % is always found, and one that is off by 13 points nearly always.
pub const ANSWERS: u32 = 200;

/// Whether `hits` of `asked` answers are what `weight` gives, within chance. A router that
/// divides exactly (round robin) is well within.
pub fn fits(weight: Weight, hits: u32, asked: u32) -> bool {
    if asked == 0 {
        return false;
    }
    let (n, p) = (f64::from(asked), weight.share());
    let deviation = (f64::from(hits) - n * p).abs();
    deviation <= SIGMAS * (n * p * (1.0 - p)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_weights_allow_no_stray_answer() {
        assert!(fits(Weight::ALL, 200, 200));
        assert!(!fits(Weight::ALL, 199, 200));
        assert!(!fits(Weight::ZERO, 1, 200));
    }

    #[test]
    fn partial_weights_allow_chance_and_no_more() {
        let quarter = Weight::new(25).unwrap();
        for (hits, fitting) in [
            (50, true),
            (30, true),
            (74, true),
            (25, false),
            (75, false),
            (0, false),
        ] {
            assert_eq!(fits(quarter, hits, ANSWERS), fitting, "{hits}");
        }
        assert!(!fits(quarter, 0, 0), "no data is not a fit");
    }
}
