//! A trial in the few words of a line of log: what the step has seen of both releases.

use std::time::Duration;

use crate::platform::text;

use super::Trial;

impl Trial {
    /// What the step has seen, for its line: `errors: canary 44/2,040 (2.2 %) vs stable …`.
    pub(in crate::rollout::canary) fn told(&self) -> String {
        if let Some([canary, stable]) = &self.shares {
            let errors = [canary, stable].map(|it| text::percent(it.error_rate));
            let mut told = format!("errors: canary {} vs stable {}", errors[0], errors[1]);
            if let (Some(canary), Some(stable)) = (canary.p95, stable.p95) {
                told.push_str(&format!("   p95 {} vs {}", time(canary), time(stable)));
            }
            return told;
        }
        let [canary, stable] = &self.step;
        let mut told = format!(
            "errors: canary {} vs stable {}",
            share(canary.errors, canary.requests),
            share(stable.errors, stable.requests),
        );
        let p95 = [canary, stable].map(|arm| self.scale.p95(arm).or(arm.p95));
        if let [Some(canary), Some(stable)] = p95 {
            told.push_str(&format!("   p95 {} vs {}", time(canary), time(stable)));
        }
        told
    }

    /// The same of the canary alone.
    pub(in crate::rollout::canary) fn alone(&self) -> String {
        if let Some([canary, _]) = &self.shares {
            let errors = text::percent(canary.error_rate);
            let p95 = canary.p95.map(|p95| format!("   p95 {}", time(p95)));
            return format!("errors: {errors}{}", p95.unwrap_or_default());
        }
        let [canary, _] = &self.step;
        let mut told = format!("errors: {}", share(canary.errors, canary.requests));
        if let Some(p95) = self.scale.p95(canary).or(canary.p95) {
            told.push_str(&format!("   p95 {}", time(p95)));
        }
        told
    }
}

fn time(seconds: f64) -> String {
    text::duration(Duration::from_secs_f64(seconds.max(0.0)))
}

/// So many of so many: `44/2,040 (2.2 %)`.
pub(super) fn share(bad: f64, all: f64) -> String {
    let count = |n: f64| text::thousands(n.round().max(0.0) as u64);
    if all <= 0.0 {
        return "no requests".to_owned();
    }
    format!(
        "{}/{} ({})",
        count(bad),
        count(all),
        text::percent(bad / all)
    )
}
