//! Canaries that are drawn: what two releases would have counted, interval by interval.
//!
//! An interval is 10 s. Before the canary comes an hour of the stable release alone, at all of
//! the traffic; then half an hour of both, the canary at a tenth of it. How many requests come is
//! Poisson, how many fail is binomial, and latency is lognormal, delivered as counts in buckets.

use std::array;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Binomial, Distribution, Geometric, LogNormal, Poisson, StandardNormal};

/// Seconds of an interval.
pub(crate) const INTERVAL: usize = 10;

/// Intervals of the canary: 30 minutes.
pub(crate) const DURING: usize = 180;

/// Intervals of the stable release alone: an hour.
const BEFORE: usize = 360;

/// The stable release's traffic, in those of the canary.
const STABLE: f64 = 9.0;

/// Buckets of latency, the last without an upper edge.
pub(crate) const BUCKETS: usize = 66;

/// The share of requests that fail where nothing is wrong.
const ERRORS: f64 = 0.01;

/// Half of all requests take no longer, in milliseconds; and the logarithm's deviation.
const MEDIAN: f64 = 100.0;
const DEVIATION: f64 = 0.6;

/// Up to so many requests are drawn one by one, and more bucket by bucket.
const FEW: u64 = 120;

/// What befalls the canary, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scenario {
    /// Nothing.
    Null,
    /// The canary's errors, in thousandths of its requests.
    Errors(u32),
    /// How many times as slow the canary is, in tenths.
    Slow(u32),
    /// Errors of both come in groups of four.
    Burst,
    /// Two minutes in which both fail and are slow.
    Outage,
    /// The canary is twice as slow in its first minute.
    Warm,
    /// Both are slower and faster by turns, the canary more so, for it is smaller.
    Jitter,
    /// From minute ten on, 5 % of the canary's requests fail.
    Late,
}

impl Scenario {
    /// In a word.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Errors(thousandths) => format!("E{}", f64::from(thousandths) / 10.0),
            Self::Slow(tenths) => format!("L{}", f64::from(tenths) / 10.0),
            Self::Burst => "burst".to_owned(),
            Self::Outage => "outage".to_owned(),
            Self::Warm => "warm".to_owned(),
            Self::Jitter => "jitter".to_owned(),
            Self::Late => "late5".to_owned(),
        }
    }

    fn errors(self, is_canary: bool, i: usize) -> f64 {
        match self {
            Self::Errors(thousandths) if is_canary => f64::from(thousandths) / 1000.0,
            Self::Late if is_canary && i >= 60 => 0.05,
            Self::Outage if (60..72).contains(&i) => 0.08,
            _ => ERRORS,
        }
    }

    /// How many times as slow.
    fn slower(self, is_canary: bool, i: usize, rng: &mut ChaCha8Rng) -> f64 {
        match self {
            Self::Slow(tenths) if is_canary => f64::from(tenths) / 10.0,
            Self::Outage if (60..72).contains(&i) => 1.5,
            Self::Warm if is_canary && i < 6 => 2.0,
            Self::Jitter => {
                let normal: f64 = StandardNormal.sample(rng);
                (normal * if is_canary { 0.10 } else { 0.0333 }).exp()
            }
            _ => 1.0,
        }
    }
}

/// What was counted of a release in an interval.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    /// Requests.
    pub(crate) requests: u64,
    /// Of them, those that failed.
    pub(crate) errors: u64,
    /// How long they took.
    pub(crate) buckets: [u64; BUCKETS],
}

/// A canary from an hour before it to its end.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    /// The stable release alone.
    pub(crate) before: Vec<Counted>,
    /// The canary.
    pub(crate) canary: Vec<Counted>,
    /// The stable release beside it.
    pub(crate) stable: Vec<Counted>,
}

/// The upper edges of the buckets, in milliseconds: eight to each doubling, from 10 to 2,560.
pub(crate) fn edges() -> Vec<f64> {
    (0..BUCKETS - 1)
        .map(|k| 10.0 * 2f64.powf(k as f64 / 8.0))
        .collect()
}

/// Draws canary number `run`, at so many requests a second.
pub(crate) fn draw(scenario: Scenario, rate: f64, run: u64) -> Trace {
    let name = scenario.name();
    let seed = name.bytes().fold((rate * 10.0) as u64, |sum, byte| {
        sum.wrapping_mul(257).wrapping_add(u64::from(byte))
    });
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(run);
    let mut arms = [Spread::of(1.0), Spread::of(1.0)];
    let mut count = |is_canary: bool, rate: f64, i: usize| {
        let slower = scenario.slower(is_canary, i, &mut rng);
        let spread = &mut arms[usize::from(is_canary)];
        if spread.slower != slower {
            *spread = Spread::of(slower);
        }
        let requests = poisson(rate * INTERVAL as f64, &mut rng);
        let errors = if scenario == Scenario::Burst {
            let bursts = poisson(requests as f64 * ERRORS / 4.0, &mut rng);
            let size = Geometric::new(0.25).unwrap();
            let all: u64 = (0..bursts).map(|_| 1 + size.sample(&mut rng)).sum();
            all.min(requests)
        } else {
            binomial(requests, scenario.errors(is_canary, i), &mut rng)
        };
        Counted {
            requests,
            errors,
            buckets: spread.draw(requests, &mut rng),
        }
    };
    // In the hour before, nothing has begun: an interval that no scenario speaks of.
    let before = (0..BEFORE).map(|_| count(false, (STABLE + 1.0) * rate, usize::MAX));
    let before = before.collect();
    let (canary, stable) = (0..DURING)
        .map(|i| (count(true, rate, i), count(false, STABLE * rate, i)))
        .unzip();
    Trace {
        before,
        canary,
        stable,
    }
}

fn poisson(mean: f64, rng: &mut ChaCha8Rng) -> u64 {
    Poisson::new(mean).map_or(0, |it| it.sample(rng) as u64)
}

fn binomial(n: u64, p: f64, rng: &mut ChaCha8Rng) -> u64 {
    if n == 0 {
        return 0;
    }
    Binomial::new(n, p.clamp(0.0, 1.0)).unwrap().sample(rng)
}

/// How latency spreads over the buckets where all is so many times as slow.
struct Spread {
    slower: f64,
    one: LogNormal<f64>,
    /// The chance of each bucket where none of those below was it.
    chances: [f64; BUCKETS],
}

impl Spread {
    fn of(slower: f64) -> Self {
        let centre = (MEDIAN * slower).ln();
        let edges = edges();
        let below = |i: usize| {
            edges
                .get(i)
                .map_or(1.0, |it| normal((it.ln() - centre) / DEVIATION))
        };
        let chances = array::from_fn(|i| {
            let under = if i == 0 { 0.0 } else { below(i - 1) };
            (below(i) - under) / (1.0 - under).max(1e-12)
        });
        Self {
            slower,
            one: LogNormal::new(centre, DEVIATION).unwrap(),
            chances,
        }
    }

    fn draw(&self, requests: u64, rng: &mut ChaCha8Rng) -> [u64; BUCKETS] {
        let mut buckets = [0; BUCKETS];
        if requests <= FEW {
            for _ in 0..requests {
                let latency = self.one.sample(rng);
                let bucket = (8.0 * (latency / 10.0).log2()).ceil().max(0.0) as usize;
                buckets[bucket.min(BUCKETS - 1)] += 1;
            }
            return buckets;
        }
        let mut left = requests;
        for (bucket, chance) in buckets.iter_mut().zip(self.chances) {
            *bucket = binomial(left, chance, rng);
            left -= *bucket;
            if left == 0 {
                break;
            }
        }
        // What rounding left is beyond the last edge.
        buckets[BUCKETS - 1] += left;
        buckets
    }
}

/// The normal distribution (Abramowitz and Stegun, 26.2.17; it errs by 7.5e-8 at most).
fn normal(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let series = [
        1.330_274_429,
        -1.821_255_978,
        1.781_477_937,
        -0.356_563_782,
        0.319_381_530,
    ];
    let sum = series.iter().fold(0.0, |sum, factor| (sum + factor) * t);
    let above = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * sum;
    if z > 0.0 { 1.0 - above } else { above }
}
