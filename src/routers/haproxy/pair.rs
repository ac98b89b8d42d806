//! The weights of two servers, and the only order in which they are changed. Pure.
//!
//! What is raised comes first, so that there is no moment at which nobody gets traffic; the
//! tests hold that over every ladder, every restore and every change that was cut in two.

use crate::model::split::{Split, Weight};

/// The weights of the first and the second slot's servers, as HAProxy counts them: 0 to 256.
pub(super) type Pair = [u16; 2];

/// The commands that lead from one pair to the other: which server, and its new weight. The one
/// that is raised most comes first.
pub(super) fn steps(from: Pair, to: Pair) -> Vec<(usize, u16)> {
    let rise = |server: usize| i32::from(to[server]) - i32::from(from[server]);
    let mut order = [0, 1];
    order.sort_by_key(|server| -rise(*server));
    let changed = order.into_iter().filter(|server| rise(*server) != 0);
    changed.map(|server| (server, to[server])).collect()
}

/// The pair for a split; its sum is 100.
pub(super) fn pair_of(split: Split) -> Pair {
    [split.second.rest(), split.second].map(|weight| u16::from(weight.percent()))
}

/// The split that a pair makes, if it is one of whole percent.
pub(super) fn split_of([first, second]: Pair) -> Option<Split> {
    let (part, sum) = (
        u32::from(second) * 100,
        u32::from(first) + u32::from(second),
    );
    if sum == 0 || part % sum != 0 {
        return None;
    }
    let second = u8::try_from(part / sum).ok().and_then(Weight::new)?;
    Some(Split { second })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Walks the steps and looks at every moment.
    fn walk(from: Pair, to: Pair) -> Pair {
        let mut now = from;
        let mut lowered = false;
        for (server, weight) in steps(from, to) {
            assert!(
                weight < now[server] || !lowered,
                "{from:?} to {to:?} raises after it lowers"
            );
            lowered |= weight < now[server];
            now[server] = weight;
            assert_ne!(now, [0, 0], "{from:?} to {to:?}");
        }
        now
    }

    fn split() -> impl Strategy<Value = Split> {
        (0..=100_u8).prop_map(|percent| Split {
            second: Weight::new(percent).unwrap(),
        })
    }

    /// Any pair that HAProxy can have, with zeros as often as they matter.
    fn pair() -> impl Strategy<Value = Pair> {
        let one = || prop_oneof![Just(0_u16), 0..=256_u16];
        [one(), one()]
    }

    proptest! {
        #[test]
        fn a_ladder_up_and_the_way_back_from_every_rung(start in split(), rungs in prop::collection::vec(split(), 1..8)) {
            let start = pair_of(start);
            let mut now = start;
            for rung in rungs {
                now = walk(now, pair_of(rung));
                prop_assert_eq!(now, pair_of(rung));
                prop_assert_eq!(split_of(now), Some(rung));
                prop_assert_eq!(walk(now, start), start);
            }
        }

        #[test]
        fn a_restore_from_any_pair_to_any_pair(from in pair(), to in pair()) {
            prop_assume!(to != [0, 0]);
            prop_assert_eq!(walk(from, to), to);
        }

        #[test]
        fn a_change_that_was_cut_between_its_steps_can_be_restored(from in pair(), to in split(), cut in 0..2_usize) {
            prop_assume!(from != [0, 0]);
            let mut now = from;
            for (server, weight) in steps(from, pair_of(to)).into_iter().take(cut) {
                now[server] = weight;
            }
            prop_assert_eq!(walk(now, from), from);
        }

        #[test]
        fn a_pair_is_a_split_of_whole_percent_or_none(pair in pair()) {
            let sum = u32::from(pair[0]) + u32::from(pair[1]);
            match split_of(pair) {
                Some(split) => prop_assert_eq!(u32::from(split.second.percent()) * sum, u32::from(pair[1]) * 100),
                None => prop_assert!(sum == 0 || (u32::from(pair[1]) * 100) % sum != 0),
            }
        }
    }
}
