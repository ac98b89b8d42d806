//! The second opinion: an isolation forest over the metrics that count, fed with how much worse
//! than usual each is. It is told beside the rule's verdict, and changes nothing.

use std::collections::BTreeMap;

use crate::platform::text;

use super::forest::{Forest, Moment};
use super::{Baseline, Basis, IN_A_ROW, Part, Spot, Watched};

/// The forest, and which metric each of its features is.
pub struct Second {
    forest: Forest,
    parts: Vec<Part>,
}

/// What counts for it: context does not.
fn counts(baseline: &Baseline) -> bool {
    baseline.part() != Part::Rps
}

/// The moments at which there are figures, in the order of time. A metric without a figure is as
/// it always is.
fn moments<'a>(
    all: impl Iterator<Item = (&'a Baseline, &'a [Spot])>,
    features: usize,
) -> BTreeMap<i64, Moment> {
    let mut moments: BTreeMap<i64, Moment> = BTreeMap::new();
    for (i, (baseline, figures)) in all.enumerate() {
        for spot in figures {
            let moment = moments
                .entry(spot.at)
                .or_insert_with(|| vec![0.0; features]);
            if let (Some(feature), Some(z)) = (moment.get_mut(i), baseline.z(*spot)) {
                *feature = z.max(0.0);
            }
        }
    }
    moments
}

impl Second {
    /// Grows it from the baselines and the figures that they were learnt from.
    ///
    /// # Errors
    /// Why there is no second opinion.
    pub fn grow(all: &[(&Baseline, &[Spot])]) -> Result<Self, String> {
        let counting = || all.iter().copied().filter(|(it, _)| counts(it));
        if counting().any(|(it, _)| matches!(it.basis(), Basis::Short(_))) {
            return Err("the isolation forest needs three days of baseline".to_owned());
        }
        let parts: Vec<Part> = counting().map(|(it, _)| it.part()).collect();
        let moments = moments(counting(), parts.len());
        let moments: Vec<Moment> = moments.into_values().collect();
        let forest = Forest::grow(&moments);
        let forest = forest.ok_or("the isolation forest has too few moments to grow from")?;
        Ok(Self { forest, parts })
    }

    /// What it has to say of the newest figures, where it has found the last three moments strange
    /// after a time (in milliseconds since 1970).
    pub fn opinion(&self, watched: &[Watched<'_>], after: i64) -> Option<String> {
        let counting = watched.iter().filter(|it| counts(it.baseline));
        let counting: BTreeMap<Part, &Watched<'_>> =
            counting.map(|it| (it.baseline.part(), it)).collect();
        let all = self.parts.iter().filter_map(|part| {
            let watched = counting.get(part)?;
            let from = watched.figures.partition_point(|it| it.at <= after);
            Some((watched.baseline, watched.figures.get(from..)?))
        });
        if counting.len() < self.parts.len() {
            return None;
        }
        let moments = moments(all, self.parts.len());
        let newest: Vec<_> = moments.values().rev().take(IN_A_ROW).collect();
        let opinions: Vec<_> = newest.iter().map(|it| self.forest.opinion(it)).collect();
        if opinions.len() < IN_A_ROW || !opinions.iter().all(|it| it.is_strange()) {
            return None;
        }
        let newest = opinions.first()?;
        let most = counting.get(self.parts.get(newest.most)?)?.metric;
        Some(format!(
            "the isolation forest finds the last {} strange: score {:.2}, where 99.9 % of the baseline is below {:.2}; most by {most}, without which it would be {:.2}",
            text::count(IN_A_ROW as u64, "moment"),
            newest.score,
            newest.threshold,
            newest.without
        ))
    }
}
