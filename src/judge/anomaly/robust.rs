//! Medians, their spread, and quantiles: what a few wild values cannot move.

/// From the median absolute deviation to a standard deviation, for normal values.
const NORMAL: f64 = 1.4826;

/// The median of values in any order; their order is lost. `None` of none.
pub fn median(values: &mut [f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let half = values.len() / 2;
    let is_odd = values.len() % 2 == 1;
    let (below, upper, _) = values.select_nth_unstable_by(half, f64::total_cmp);
    match below.iter().copied().max_by(f64::total_cmp) {
        Some(lower) if !is_odd => Some(f64::midpoint(lower, *upper)),
        _ => Some(*upper),
    }
}

/// The median and 1.4826 times the median absolute deviation from it.
pub fn middle_and_spread(values: &mut [f64]) -> Option<(f64, f64)> {
    let middle = median(values)?;
    for value in values.iter_mut() {
        *value = (*value - middle).abs();
    }
    Some((middle, NORMAL * median(values)?))
}

/// The smallest of the sorted values that a share of them does not exceed.
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wild_value_moves_nothing() {
        assert_eq!(median(&mut []), None);
        assert_eq!(median(&mut [4.0]), Some(4.0));
        assert_eq!(median(&mut [9.0, 1.0, 5.0, 3.0]), Some(4.0));
        assert_eq!(median(&mut [1e9, 1.0, 3.0, 2.0, 2.5]), Some(2.5));
        let (middle, spread) = middle_and_spread(&mut [1.0, 2.0, 3.0, 4.0, 1e9]).unwrap();
        assert_eq!((middle, spread), (3.0, 1.4826));
    }

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let values: Vec<f64> = (1..=1000).map(f64::from).collect();
        assert_eq!(quantile(&values, 0.999), Some(999.0));
        assert_eq!(quantile(&values[..10], 0.999), Some(10.0));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
