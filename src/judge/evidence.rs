//! Proof from few requests: is the share of failed ones above a limit? A one-sample sequential
//! test, for breaches so gross that nobody should wait for their duration.
//!
//! It is a bet against "at most the limit": on average it wins nothing where that is true, so it
//! passes [`BAR`] there in one of 40 cases at most, however often one looks.

/// How many times worse than the limit the truth may be; a quarter of the stake is on each.
const TIMES: [f64; 4] = [1.5, 2.0, 4.0, 8.0];

/// What the stake must be worth.
pub const BAR: f64 = 40.0;

/// What the stake is worth after `failed` of `requests`, where `limit` (a share of 1) is the most
/// that should fail. Counts may be fractions.
pub fn evidence(failed: f64, requests: f64, limit: f64) -> f64 {
    let failed = failed.clamp(0.0, requests.max(0.0));
    let worth = |times: f64| (failed * times.ln() - requests * limit * (times - 1.0)).exp();
    TIMES.map(worth).iter().sum::<f64>() / TIMES.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers from 0 to 1, the same in each run.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self) -> f64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) as f64 / (1_u64 << 53) as f64
        }
    }

    /// How many requests it takes until the bar is passed, if it ever is; each one is looked at.
    fn requests_until(dice: &mut Dice, rate: f64, most: u32) -> Option<u32> {
        let mut failed = 0.0;
        (1..=most).find(|n| {
            failed += f64::from(u8::from(dice.roll() < rate));
            evidence(failed, f64::from(*n), 0.05) >= BAR
        })
    }

    #[test]
    fn it_takes_as_many_requests_as_was_measured() {
        let mut dice = Dice(0x5eed);
        for (rate, median) in [(0.5, 7), (0.2, 31), (0.1, 209), (0.08, 510)] {
            let mut all: Vec<u32> = (0..2000)
                .map(|_| requests_until(&mut dice, rate, 20_000).unwrap_or(u32::MAX))
                .collect();
            all.sort_unstable();
            let off = f64::from(all[1000]) / f64::from(median);
            assert!((0.9..1.1).contains(&off), "{rate}: {} ", all[1000]);
        }
    }

    #[test]
    fn at_the_limit_it_hardly_ever_cries() {
        let mut dice = Dice(0xca11);
        let cries = (0..2000).filter(|_| requests_until(&mut dice, 0.05, 2000).is_some());
        let share = cries.count() as f64 / 2000.0;
        assert!((0.005..0.025).contains(&share), "{share}");
    }

    #[test]
    fn few_that_all_fail_are_enough() {
        assert!(evidence(2.0, 2.0, 0.05) < BAR);
        assert!(evidence(3.0, 3.0, 0.05) >= BAR);
        assert!(evidence(0.0, 0.0, 0.05) <= 1.0);
        assert!(evidence(9.0, 3.0, 0.05) <= evidence(3.0, 3.0, 0.05));
    }
}
