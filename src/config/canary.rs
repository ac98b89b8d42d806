//! The canary strategy as it is configured: the ladder, the watch on each step of it, and what
//! follows where the watch proves nothing.
//!
//! The defaults are those under which few good releases were taken back wherever it was measured.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::split::Weight;
use crate::platform::text;

use super::ladder::Rung;
use super::units::{Percent, Span};

/// Where nobody says how long a step may take at most, it is so many times its watch.
const PATIENCE: u32 = 3;

/// More steps than this nobody waits for.
const MOST_STEPS: usize = 50;

/// The canary strategy.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(inline)]
pub struct Canary {
    /// The ladder: shares of traffic that rise to 100%, each alone or as a mapping with a watch
    /// of its own. Default [10%, 25%, 50%, 75%, 100%].
    #[schemars(length(min = 1))]
    pub steps: Vec<Rung>,
    /// How long each step is watched at least. Default 5m.
    pub watch: Span,
    /// How long a step is watched at most where nothing is proved. Default: three times its watch
    /// with `on-inconclusive: extend`, else its watch.
    pub at_most: Option<Span>,
    /// How often both releases are looked at. Default 10s.
    pub every: Span,
    /// Who counts what each slot does: a kind of `metrics`, or `router`. Default: the first of
    /// `metrics` that can.
    pub source: Option<String>,
    /// How the two are compared. Default evidence.
    pub method: Method,
    /// From so many times the stable release's error rate on the release is taken back. Default 1.5.
    pub max_error_ratio: f64,
    /// And from so many times its 95th percentile of latency on. Default 1.3.
    pub max_p95_ratio: f64,
    /// Latency is not compared for so long after the first request. Default 60s.
    pub warm_up: Span,
    /// With `method: ratio`, over which time both are compared. Default 1m.
    pub window: Span,
    /// With `method: ratio`, how long a limit must be passed before it counts. Default 0s.
    pub held_for: Span,
    /// Proved to have fewer errors than this, the release is good, whatever the ratio: where hardly
    /// anything fails, nobody can prove a ratio. Default 1%; `0%` where the ratio is all.
    pub negligible_error_rate: Percent,
    /// Above this share of failed requests the release is taken back, whatever the stable one
    /// does; unless that is beyond it, too. Default 5%.
    pub max_error_rate: Percent,
    /// Above this 95th percentile of latency the release is taken back. Default: no limit.
    pub max_p95: Option<Span>,
    /// With fewer requests than this, `max-error-rate` and `max-p95` decide nothing. Default 20.
    pub min_requests: u32,
    /// What follows where nothing is proved in time. Default extend.
    pub on_inconclusive: OnInconclusive,
    /// What follows where the release is proved to be worse, and within the limits. Default hold.
    pub on_warn: Otherwise,
    /// What follows where there is no data. Default hold.
    pub on_no_data: Otherwise,
    /// For how long there may be none. Default 5m.
    pub no_data_after: Span,
    /// Judges what is there, says what a rollout would do, and touches nothing. Default false.
    pub observe: bool,
    /// How long the slot may take until it serves the release after a deployment. Default 60s.
    pub wait: Span,
}

impl Default for Canary {
    fn default() -> Self {
        Self {
            steps: [10, 25, 50, 75, 100].map(Rung::at).to_vec(),
            watch: Span::secs(300),
            at_most: None,
            every: Span::secs(10),
            source: None,
            method: Method::default(),
            max_error_ratio: 1.5,
            max_p95_ratio: 1.3,
            warm_up: Span::secs(60),
            window: Span::secs(60),
            held_for: Span::secs(0),
            negligible_error_rate: Percent::of(1.0),
            max_error_rate: Percent::of(5.0),
            max_p95: None,
            min_requests: 20,
            on_inconclusive: OnInconclusive::default(),
            on_warn: Otherwise::default(),
            on_no_data: Otherwise::default(),
            no_data_after: Span::secs(300),
            observe: false,
            wait: Span::secs(60),
        }
    }
}

/// How two releases are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// By what is proved; looking often does not weaken it.
    #[default]
    Evidence,
    /// By the ratios alone, over a window.
    Ratio,
}

/// What follows where nothing is proved in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnInconclusive {
    /// The step is watched for longer, and then traffic is held where it is.
    #[default]
    Extend,
    /// Traffic is held where it is, for a person to look.
    Hold,
    /// The next step is taken, if both ratios are within their limits; else it is held.
    Promote,
    /// The release is taken back.
    Rollback,
}

/// What follows where there is neither a yes nor a no.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Otherwise {
    /// Traffic is held where it is, for a person to look.
    #[default]
    Hold,
    /// The next step is taken.
    Promote,
    /// The release is taken back.
    Rollback,
}

impl Canary {
    /// How long a step is watched at least.
    pub fn watch_of(&self, rung: &Rung) -> Duration {
        rung.watch.unwrap_or(self.watch).get()
    }

    /// How long a step is watched at most.
    pub fn at_most_of(&self, rung: &Rung) -> Duration {
        let watch = self.watch_of(rung);
        let patience = match self.on_inconclusive {
            OnInconclusive::Extend => PATIENCE,
            _ => 1,
        };
        // A longest watch of all steps is none for a step whose own watch is longer.
        let of_all = self.at_most.map(|longest| longest.get().max(watch));
        let own = rung.at_most.map(Span::get);
        own.or(of_all).unwrap_or(watch * patience)
    }
}

/// What a schema cannot say of a canary: the path below it, and what is wrong.
pub(super) fn meaning(canary: &Canary, router: Option<&str>) -> Vec<(String, String)> {
    let mut wrong = Vec::new();
    let mut add = |path: &str, said: String| wrong.push((path.to_owned(), said));
    let steps = &canary.steps;
    if steps.is_empty() {
        add("steps", "there is no step; the last one is 100%".to_owned());
    }
    if steps.len() > MOST_STEPS {
        let said = format!("there are {} steps; {MOST_STEPS} at most", steps.len());
        add("steps", said);
    }
    for (i, pair) in steps.windows(2).enumerate() {
        if let [before, step] = pair
            && step.weight <= before.weight
        {
            let said = format!(
                "{} comes after {}; each step has more than the one before it",
                step.weight, before.weight
            );
            add(&format!("steps[{}]", i + 1), said);
        }
    }
    if let Some(last) = steps.last()
        && last.weight != Weight::ALL
    {
        let said = format!(
            "the last step is {}; add 100%, or the release never has all traffic",
            last.weight
        );
        add(&format!("steps[{}]", steps.len() - 1), said);
    }
    if canary.at_most.is_some_and(|most| most < canary.watch) {
        let said = format!("is shorter than the watch, which is {}", canary.watch);
        add("at-most", said);
    }
    for (i, step) in steps.iter().enumerate() {
        let watch = canary.watch_of(step);
        if step.at_most.is_some_and(|most| most.get() < watch) {
            let said = format!(
                "is shorter than the watch, which is {}",
                text::duration(watch)
            );
            add(&format!("steps[{i}].at-most"), said);
        }
        if i == 0 && step.manual {
            let said = "there is nothing to judge before the first step; `approval` asks people before a rollout";
            add("steps[0].manual", said.to_owned());
        }
    }
    if canary.every.get() < Duration::from_millis(100) {
        add("every", "is 100ms at least".to_owned());
    }
    for (key, ratio) in [
        ("max-error-ratio", canary.max_error_ratio),
        ("max-p95-ratio", canary.max_p95_ratio),
    ] {
        if !(ratio > 1.1 && ratio <= 100.0) {
            let said =
                format!("{ratio} times as bad; above 1.1, which is tolerated, and 100 at most");
            add(key, said);
        }
    }
    if canary.method != Method::Ratio && !canary.held_for.get().is_zero() {
        add(
            "held-for",
            "is for `method: ratio`; evidence needs no patience".to_owned(),
        );
    }
    if let Some(kind @ "pointer") = router
        && steps.iter().any(|step| step.weight != Weight::ALL)
    {
        let said = format!(
            "the router {kind} moves all traffic or none; a canary takes one that divides it, or `kind: blue-green`"
        );
        add("kind", said);
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(canary: Value) -> Canary {
        serde_json::from_value(canary).unwrap()
    }

    #[test]
    fn the_default_ladder_makes_sense() {
        let canary = read(json!({}));
        let weights: Vec<u8> = canary.steps.iter().map(|it| it.weight.percent()).collect();
        assert_eq!(weights, [10, 25, 50, 75, 100]);
        assert_eq!(meaning(&canary, Some("nginx")), []);
        let first = &canary.steps[0];
        assert_eq!(canary.watch_of(first), Duration::from_secs(300));
        assert_eq!(canary.at_most_of(first), Duration::from_secs(900));
    }

    #[test]
    fn a_step_may_have_a_watch_of_its_own() {
        let canary = read(json!({
            "steps": ["5%", { "weight": "50%", "watch": "20m", "manual": true }, "100%"],
            "watch": "1m", "at-most": "5m", "on-inconclusive": "hold",
        }));
        let most: Vec<u64> = canary
            .steps
            .iter()
            .map(|it| canary.at_most_of(it).as_secs())
            .collect();
        assert_eq!(most, [300, 1200, 300]);
        assert!(canary.steps[1].manual);
    }

    #[test]
    fn nonsense_is_told_with_its_place() {
        let wrong = |canary: Value, router| -> Vec<String> {
            let told = meaning(&read(canary), router);
            told.into_iter().map(|(path, _)| path).collect()
        };
        assert_eq!(
            wrong(json!({ "steps": ["20%", "10%", "100%"] }), None),
            ["steps[1]"]
        );
        assert_eq!(
            wrong(json!({ "steps": ["20%", "50%"] }), None),
            ["steps[1]"]
        );
        assert_eq!(wrong(json!({ "steps": [] }), None), ["steps"]);
        assert_eq!(wrong(json!({ "at-most": "1m" }), None), ["at-most"]);
        assert_eq!(
            wrong(json!({ "max-error-ratio": 1.0 }), None),
            ["max-error-ratio"]
        );
        assert_eq!(wrong(json!({ "held-for": "1m" }), None), ["held-for"]);
        assert_eq!(wrong(json!({}), Some("pointer")), ["kind"]);
        let first = json!({ "weight": "10%", "manual": true });
        assert_eq!(
            wrong(json!({ "steps": [first, "100%"] }), None),
            ["steps[0].manual"]
        );
        for share in ["0%", "0.5%", "101%", "ten"] {
            let read = serde_json::from_value::<Canary>(json!({ "steps": [share, "100%"] }));
            assert!(read.is_err(), "{share}");
        }
    }
}
