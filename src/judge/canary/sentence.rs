//! A look in words that a person can check.

use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use crate::platform::text;

use super::{BAR, Look, Metric, SAFE_BAR, Verdict};

impl Look {
    /// Why, in a sentence: what carries the verdict, or what is missing. It is made when it is
    /// asked for; most looks are never read.
    pub fn said(&self) -> String {
        of(self)
    }
}

impl Serialize for Look {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut fields = to.serialize_struct("Look", 5)?;
        fields.serialize_field("verdict", &self.verdict)?;
        fields.serialize_field("at", &self.at)?;
        fields.serialize_field("errors", &self.errors)?;
        fields.serialize_field("latency", &self.latency)?;
        fields.serialize_field("said", &self.said())?;
        fields.end()
    }
}

fn of(look: &Look) -> String {
    let Look {
        verdict,
        at,
        errors,
        latency,
        settings,
        looks,
    } = look;
    let (verdict, at, looks) = (*verdict, *at, *looks);
    let told = [
        about("errors", errors, errors.ratio, settings.max_error_ratio),
        about(
            "slow requests",
            latency,
            latency.ratio,
            settings.max_p95_ratio,
        ),
    ];
    let worse = [errors, latency].map(|metric| metric.ln_worse >= BAR.ln());
    let time = format!(
        "{}, {}",
        text::duration(std::time::Duration::from_secs_f64(at.max(0.0))),
        text::count(looks, "look")
    );
    let carries = |nth: usize| match verdict {
        Verdict::Rollback | Verdict::Warn => worse[nth],
        Verdict::Safe | Verdict::Inconclusive => [errors, latency][nth].counts.canary > 0.0,
    };
    let subjects: Vec<&str> = told
        .iter()
        .enumerate()
        .filter_map(|(nth, told)| carries(nth).then_some(told.as_str()))
        .collect();
    if subjects.is_empty() {
        return format!("no requests reached both the canary and the stable release; {time}");
    }
    let evidence = match verdict {
        Verdict::Rollback | Verdict::Warn => {
            let most = errors.ln_worse.max(latency.ln_worse);
            format!(
                "evidence {} that the canary is worse than is tolerated (needs {BAR}:1)",
                odds(most)
            )
        }
        Verdict::Safe => {
            let least = errors.ln_within.min(latency.ln_within);
            let or = match settings.negligible_error_rate > 0.0 {
                true => ", or fails too seldom to matter",
                false => "",
            };
            format!(
                "evidence {} that it is within both limits{or} (needs {SAFE_BAR}:1)",
                odds(least)
            )
        }
        Verdict::Inconclusive => format!(
            "evidence {} that it is worse (needs {BAR}:1), {} that it is within both limits (needs {SAFE_BAR}:1)",
            odds(errors.ln_worse.max(latency.ln_worse)),
            odds(errors.ln_within.min(latency.ln_within))
        ),
    };
    format!(
        "{}; {evidence}; {time}; looking often does not weaken this",
        subjects.join("; ")
    )
}

fn about(what: &str, metric: &Metric, ratio: Option<f64>, limit: f64) -> String {
    let counts = metric.counts;
    let count = |n: f64| text::thousands(n.round().max(0.0) as u64);
    let arm = |bad: f64, all: f64| {
        let rate = if all > 0.0 {
            text::percent(bad / all)
        } else {
            "no requests".to_owned()
        };
        format!("{}/{} ({rate})", count(bad), count(all))
    };
    let ratio = ratio.map_or_else(|| "unknown".to_owned(), |ratio| format!("{ratio:.1}"));
    let ratio_of = if what == "errors" {
        "ratio"
    } else {
        "p95 ratio"
    };
    format!(
        "{what}: canary {} vs stable {}, {ratio_of} {ratio} (limit {limit})",
        arm(counts.canary_bad, counts.canary),
        arm(counts.stable_bad, counts.stable),
    )
}

/// Evidence as a bet's odds: `166:1`.
fn odds(ln: f64) -> String {
    match ln.exp() {
        odds if odds >= 1e6 => "over 1,000,000:1".to_owned(),
        odds if odds >= 10.0 => format!("{}:1", text::thousands(odds as u64)),
        odds => format!("{odds:.1}:1"),
    }
}
