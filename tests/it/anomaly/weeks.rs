//! Simulated weeks of a shop, minute by minute, and what the anomaly rule makes of a deployment
//! at the end of each. Seeded: the same weeks each time.
//!
//! Traffic follows the hour and the weekend; errors, latency, processors and memory follow
//! traffic, each with noise that remembers (AR(1)). Errors are counted of so many requests.
//! The bench takes this file, too.

use cutover::judge::anomaly::forest::{Forest, Moment};
use cutover::judge::anomaly::{Baseline, DAY, IN_A_ROW, MINUTE, Part, Rules, Spot, Watched, judge};

/// So long after the deployment is watched, in minutes.
pub(crate) const WATCHED: i64 = 30;

/// What the forest sees, in its order.
const SEEN: [Part; 4] = [Part::ErrorRate, Part::P95, Part::Cpu, Part::Memory];

/// What the deployment does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Case {
    Healthy,
    Errors(f64),
    Latency(f64),
    Cpu(f64),
    /// Of memory, for each minute.
    Leak(f64),
    Traffic(f64),
    /// Errors so many times as many, since 5 minutes before the deployment.
    Earlier(f64),
}

impl Case {
    fn change(self, part: Part, value: f64, minute: i64) -> f64 {
        let after = minute > 0;
        match (self, part) {
            (Self::Errors(times), Part::ErrorRate) if after => (value * times).min(1.0),
            (Self::Latency(times), Part::P95) if after => value * times,
            (Self::Cpu(more), Part::Cpu) if after => (value + more).min(1.0),
            (Self::Leak(more), Part::Memory) if after => (value + more * minute as f64).min(1.0),
            (Self::Traffic(times), Part::Rps) if after => value * times,
            (Self::Earlier(times), Part::ErrorRate) if minute > -5 => (value * times).min(1.0),
            _ => value,
        }
    }
}

/// Numbers that look random (splitmix64), and normal ones of them.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.share()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.share()).cos()
    }
}

/// A shop at a minute.
#[derive(Clone)]
struct Shop {
    dice: Dice,
    /// The noise of each part, with a variance of 1.
    noise: [f64; 5],
}

impl Shop {
    fn minute(&mut self, at: i64) -> [f64; 5] {
        for (noise, memory) in self.noise.iter_mut().zip([0.7, 0.7, 0.7, 0.97, 0.9]) {
            let fresh = f64::sqrt(1.0 - memory * memory);
            *noise = memory * *noise + fresh * self.dice.normal();
        }
        let [errors, slow, cpu, memory, traffic] = self.noise;
        let hour = (at.rem_euclid(DAY)) as f64 / DAY as f64 * std::f64::consts::TAU;
        // The first of January 1970 was a Thursday.
        let weekend = matches!(at.div_euclid(DAY).rem_euclid(7), 2 | 3);
        let load = (1.0 - 0.5 * hour.cos()) * if weekend { 0.7 } else { 1.0 };
        let rps = 200.0 * load * (0.08 * traffic).exp();
        let share = 0.01 * (0.10 * errors).exp();
        let counted = share + (share / (rps * 60.0)).sqrt() * self.dice.normal();
        [
            counted.max(0.0),
            0.180 * (1.0 + 0.1 * (load - 1.0)) * (0.05 * slow).exp(),
            0.25 + 0.12 * load + 0.02 * cpu,
            0.45 + 0.02 * load + 0.008 * memory,
            rps,
        ]
    }
}

/// A week, and what was learnt of it.
pub(crate) struct Week {
    seed: u64,
    deployed: i64,
    /// The state of the shop a quarter of an hour and a window before the deployment.
    shop: Shop,
    rules: Rules,
    baselines: Vec<Baseline>,
    forest: Option<Forest>,
}

/// What came of a deployment within the time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    /// After so many minutes it was flagged.
    pub(crate) flagged: Option<i64>,
    /// After so many minutes it was to be taken back.
    pub(crate) taken_back: Option<i64>,
    /// Whether the forest found it strange three times in a row.
    pub(crate) strange: bool,
}

/// Before the deployment so much is looked at, in minutes.
const BEFORE: i64 = 20;

impl Week {
    /// A week of so many days that ends at a time of the week that the seed decides.
    pub(crate) fn new(seed: u64, days: i64, with_forest: bool) -> Self {
        let mut dice = Dice(seed);
        let deployed = 2900 * 7 * DAY + (dice.share() * 7.0 * 1440.0) as i64 * MINUTE;
        let mut shop = Shop {
            dice,
            noise: [0.0; 5],
        };
        let mut figures: [Vec<Spot>; 5] = Default::default();
        let from = deployed - days * DAY;
        let mut kept = shop.clone();
        for minute in 1..=days * 1440 {
            let at = from + minute * MINUTE;
            if at == deployed - (BEFORE - 1) * MINUTE {
                kept = shop.clone();
            }
            for (figures, value) in figures.iter_mut().zip(shop.minute(at)) {
                figures.push(Spot { at, value });
            }
        }
        let rules = Rules::default();
        let baselines: Vec<Baseline> = Part::ALL
            .iter()
            .zip(&figures)
            .map(|(part, figures)| Baseline::learn(*part, figures, deployed, &[], &rules).unwrap())
            .collect();
        let forest = with_forest.then(|| {
            let all = 0..figures[0].len();
            let moments: Vec<Moment> = all
                .map(|i| moment(&baselines, &figures.each_ref().map(|it| it[i])))
                .collect();
            Forest::grow(&moments).unwrap()
        });
        Self {
            seed,
            deployed,
            shop: kept,
            rules,
            baselines,
            forest,
        }
    }

    /// A deployment at the end of the week, looked at each minute; `future` decides the noise.
    pub(crate) fn deploy(&self, case: Case, future: u64) -> Outcome {
        let mut shop = self.shop.clone();
        let mut figures: [Vec<Spot>; 5] = Default::default();
        let mut outcome = Outcome::default();
        let mut row = 0;
        for minute in 1 - BEFORE..=WATCHED {
            if minute == 1 {
                shop.dice = Dice(self.seed.wrapping_mul(31).wrapping_add(future));
            }
            let at = self.deployed + minute * MINUTE;
            for ((part, figures), value) in Part::ALL.iter().zip(&mut figures).zip(shop.minute(at))
            {
                let value = case.change(*part, value, minute);
                figures.push(Spot { at, value });
            }
            if minute < 1 {
                continue;
            }
            let watched: Vec<Watched<'_>> = Part::ALL
                .iter()
                .zip(&self.baselines)
                .zip(&figures)
                .map(|((part, baseline), figures)| Watched {
                    metric: part.name(),
                    baseline,
                    figures,
                })
                .collect();
            let verdict = judge(&watched, Some(self.deployed), at, &self.rules);
            if verdict.deviations().next().is_some() {
                outcome.flagged.get_or_insert(minute);
            }
            if verdict.rollback.is_some() {
                outcome.taken_back.get_or_insert(minute);
            }
            if let Some(forest) = self.forest.as_ref().filter(|_| minute > 1) {
                let newest = figures.each_ref().map(|it| it[it.len() - 1]);
                let strange = forest.opinion(&moment(&self.baselines, &newest));
                row = if strange.is_strange() { row + 1 } else { 0 };
                outcome.strange |= row >= IN_A_ROW;
            }
        }
        outcome
    }
}

fn moment(baselines: &[Baseline], spots: &[Spot; 5]) -> Moment {
    let all = baselines.iter().zip(spots);
    all.filter(|(baseline, _)| SEEN.contains(&baseline.part()))
        .map(|(baseline, spot)| baseline.z(*spot).unwrap_or_default().max(0.0))
        .collect()
}
