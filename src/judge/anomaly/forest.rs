//! An isolation forest (Liu, Ting, Zhou 2008) as a second opinion: how few random cuts set a
//! moment apart from all others, over several metrics at once.
//!
//! It is fed with how much worse than usual each metric is, never with raw values, so what is
//! better than ever does not stand out. It is weaker than the rule for each metric, and only
//! informs. Its seed is fixed: the same figures yield the same words.

use super::robust::{median, quantile};

/// How many trees there are, and how many moments each is grown from.
const TREES: usize = 100;
const SAMPLES: usize = 256;

/// The share of the baseline, in time, that trees are grown from; the rest sets the threshold.
const GROWN_FROM: f64 = 0.7;

/// So many of the moments that were held out keep the threshold.
const KEPT: f64 = 0.999;

/// Without so many moments there is no opinion.
const FEWEST: usize = 1000;

const SEED: u64 = 0x5eed_0f7e_e5a1_1000;

/// A moment: how much worse than usual each metric is, and 0 where it is not.
pub type Moment = Vec<f64>;

enum Node {
    Leaf {
        /// How many more cuts its moments would take, by Liu and others.
        more: f64,
    },
    Cut {
        feature: usize,
        at: f64,
        below: usize,
        above: usize,
    },
}

/// The forest, with its threshold.
pub struct Forest {
    trees: Vec<Vec<Node>>,
    /// The cuts that a moment takes on average.
    usual_depth: f64,
    threshold: f64,
    medians: Vec<f64>,
}

/// What the forest has to say of a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Opinion {
    /// From 0 to 1; higher is stranger.
    pub score: f64,
    /// What nearly all moments of the baseline keep.
    pub threshold: f64,
    /// The metric whose usual value would lower the score most, by its place.
    pub most: usize,
    /// The score with that metric's usual value.
    pub without: f64,
}

impl Opinion {
    /// Whether it finds the moment strange.
    pub fn is_strange(&self) -> bool {
        self.score > self.threshold
    }
}

impl Forest {
    /// Grows a forest from the moments of a baseline, in the order of time; `None` of too few.
    pub fn grow(moments: &[Moment]) -> Option<Self> {
        if moments.len() < FEWEST {
            return None;
        }
        let split = (moments.len() as f64 * GROWN_FROM) as usize;
        let (old, held_out) = moments.split_at(split);
        let mut dice = Dice(SEED);
        let depth = (SAMPLES as f64).log2().ceil() as usize;
        let tree = |_| {
            let mut sample: Vec<&Moment> = (0..SAMPLES)
                .filter_map(|_| old.get(dice.below(old.len())))
                .collect();
            let mut nodes = Vec::new();
            plant(&mut nodes, &mut sample, depth, &mut dice);
            nodes
        };
        let trees = (0..TREES).map(tree).collect();
        let features = old.first().map_or(0, Vec::len);
        let usual = |feature: usize| {
            let mut all: Vec<f64> = old
                .iter()
                .filter_map(|it| it.get(feature))
                .copied()
                .collect();
            median(&mut all).unwrap_or_default()
        };
        let mut forest = Self {
            trees,
            usual_depth: expected_cuts(SAMPLES),
            threshold: 0.0,
            medians: (0..features).map(usual).collect(),
        };
        let mut scores: Vec<f64> = held_out.iter().map(|it| forest.score(it)).collect();
        scores.sort_unstable_by(f64::total_cmp);
        forest.threshold = quantile(&scores, KEPT)?;
        Some(forest)
    }

    /// What it thinks of a moment.
    pub fn opinion(&self, moment: &Moment) -> Opinion {
        let score = self.score(moment);
        let mut opinion = Opinion {
            score,
            threshold: self.threshold,
            most: 0,
            without: score,
        };
        for (feature, usual) in self.medians.iter().enumerate() {
            let mut other = moment.clone();
            if let Some(value) = other.get_mut(feature) {
                *value = *usual;
            }
            let without = self.score(&other);
            if without < opinion.without {
                opinion.most = feature;
                opinion.without = without;
            }
        }
        opinion
    }

    /// `2^(-cuts / usual cuts)`.
    fn score(&self, moment: &Moment) -> f64 {
        let cuts: f64 = self.trees.iter().map(|tree| cuts(tree, moment)).sum();
        (-cuts / self.trees.len() as f64 / self.usual_depth).exp2()
    }
}

/// How many cuts set a moment apart in a tree.
fn cuts(tree: &[Node], moment: &Moment) -> f64 {
    let (mut at, mut depth) = (0, 0.0);
    loop {
        match tree.get(at) {
            Some(Node::Cut {
                feature,
                at: cut,
                below,
                above,
            }) => {
                let value = moment.get(*feature).copied().unwrap_or_default();
                at = if value < *cut { *below } else { *above };
                depth += 1.0;
            }
            Some(Node::Leaf { more }) => return depth + more,
            None => return depth,
        }
    }
}

/// Grows a tree of moments below a node; returns the node's place.
fn plant(nodes: &mut Vec<Node>, moments: &mut [&Moment], depth: usize, dice: &mut Dice) -> usize {
    let place = nodes.len();
    nodes.push(Node::Leaf {
        more: expected_cuts(moments.len()),
    });
    if depth == 0 || moments.len() < 2 {
        return place;
    }
    let features = moments.first().map_or(0, |it| it.len());
    let range = |feature: usize| {
        let values = moments.iter().filter_map(|it| it.get(feature).copied());
        values.fold((f64::MAX, f64::MIN), |(least, most), value| {
            (least.min(value), most.max(value))
        })
    };
    // Where all are the same there is nothing to cut.
    let differing: Vec<(usize, f64, f64)> = (0..features)
        .map(|feature| (feature, range(feature)))
        .filter(|(_, (least, most))| least < most)
        .map(|(feature, (least, most))| (feature, least, most))
        .collect();
    let Some((feature, least, most)) = differing.get(dice.below(differing.len())).copied() else {
        return place;
    };
    let cut = least + dice.share() * (most - least);
    moments.sort_unstable_by(|a, b| {
        let of = |it: &Moment| it.get(feature).copied().unwrap_or_default();
        of(a).total_cmp(&of(b))
    });
    let split = moments.partition_point(|it| it.get(feature).is_some_and(|value| *value < cut));
    let (low, high) = moments.split_at_mut(split);
    let below = plant(nodes, low, depth - 1, dice);
    let above = plant(nodes, high, depth - 1, dice);
    if let Some(node) = nodes.get_mut(place) {
        *node = Node::Cut {
            feature,
            at: cut,
            below,
            above,
        };
    }
    place
}

/// How many cuts a search for nothing takes in a tree of so many, on average.
fn expected_cuts(n: usize) -> f64 {
    const EULER: f64 = 0.577_215_664_901_532_9;
    match n {
        0 | 1 => 0.0,
        2 => 1.0,
        n => {
            let before = (n - 1) as f64;
            2.0 * (before.ln() + EULER) - 2.0 * before / n as f64
        }
    }
}

/// Numbers that look random and are the same each time (splitmix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.share() * n as f64) as usize
    }

    /// From 0 to just under 1.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(n: usize) -> Vec<Moment> {
        let mut dice = Dice(7);
        let mut normal = || (0..6).map(|_| dice.share()).sum::<f64>() - 3.0;
        let of = |_| (0..3).map(|_| normal().max(0.0)).collect();
        (0..n).map(of).collect()
    }

    #[test]
    fn what_stands_out_is_named() {
        let forest = Forest::grow(&moments(3000)).unwrap();
        assert!(forest.opinion(&vec![6.0, 6.0, 6.0]).is_strange());
        let one = forest.opinion(&vec![0.1, 6.0, 0.0]);
        assert_eq!(one.most, 1);
        assert!(one.without < one.score, "{one:?}");
        let usual = forest.opinion(&vec![0.0, 0.2, 0.1]);
        assert!(!usual.is_strange() && usual.score < one.score, "{usual:?}");
    }

    #[test]
    fn it_says_the_same_again_and_nothing_of_little() {
        let all = moments(1500);
        let one = |all| Forest::grow(all).unwrap().opinion(&vec![1.0, 2.0, 3.0]);
        assert_eq!(one(&all), one(&all));
        assert!(Forest::grow(&all[..999]).is_none());
    }
}
