//! What is known of a canary: its judge, where the counters stood, and how long it has been on
//! trial. It goes on from run to run, so all of it can be written down.

use serde::{Deserialize, Serialize};

use crate::judge::canary::counting::Scale;
use crate::judge::canary::jury::{Jury, NO_DATA, Sight};
use crate::judge::canary::ratio::Rules;
use crate::judge::canary::{Before, Interval, Settings, Verdict};
use crate::judge::evidence;
use crate::model::arms::{Counters, Stand};
use crate::model::canary::{Glance, Proved, Seen};
use crate::model::slot::Side;
use crate::platform::text;

/// So many requests of the stable release say what is slow, where there was no time before.
const ENOUGH: f64 = 100.0;

/// Of so many requests one may be slower than the limit of the 95th percentile.
const SLOW: f64 = 0.05;

/// Limits that know no other release.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Limits {
    /// The largest share of failed requests, of 1.
    pub error_rate: f64,
    /// The largest 95th percentile, in seconds.
    pub p95: Option<f64>,
}

/// A canary on trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Trial {
    canary: Side,
    settings: Settings,
    scale: Scale,
    judge: Jury,
    /// What the stable release did before the canary came.
    hour: Counters,
    /// In so many seconds.
    hours: f64,
    /// Seconds from the canary's first traffic to the last look.
    at: f64,
    /// What was counted of both since the step began: of the canary, and beside it.
    step: [Counters; 2],
    #[serde(skip)]
    last: Option<Stand>,
    /// Whether the next look is to say what the judge knew before it.
    #[serde(skip, default = "yes")]
    begins: bool,
    /// When the canary was last seen to do something.
    #[serde(skip)]
    heard: Option<f64>,
}

const fn yes() -> bool {
    true
}

/// What a look has come to, beside what is shown of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    /// What is shown and recorded.
    pub glance: Glance,
    /// What the judge says.
    pub verdict: Verdict,
    /// How long the canary has been silent.
    pub silent: f64,
    /// Whether both ratios are within their limits, as far as they are known.
    pub within_limits: bool,
    /// The figure and the limit that the canary is beyond, whatever the other does.
    pub beyond: Option<[String; 2]>,
    /// Whether the stable release is beyond it, too.
    pub incident: bool,
}

impl Trial {
    /// Of a canary that has had no traffic yet. `hour` is where the counters stood before, the
    /// oldest first. With `rules` the ratios alone decide.
    pub(super) fn new(
        canary: Side,
        settings: Settings,
        rules: Option<Rules>,
        hour: &[Stand],
    ) -> Self {
        let stable = canary.other();
        let mut scale = hour.last().map_or_else(Scale::default, |stand| {
            match stand.of(canary).buckets.is_empty() {
                true => Scale::common(stand.of(stable), stand.of(stable)),
                false => Scale::common(stand.of(stable), stand.of(canary)),
            }
        });
        let pairs = hour.iter().zip(hour.iter().skip(1));
        let intervals = pairs.filter_map(|(then, now)| now.of(stable).since(then.of(stable)));
        let intervals: Vec<Counters> = intervals.collect();
        let mut sum = Counters::default();
        for interval in &intervals {
            sum.include(interval);
        }
        if sum.requests >= ENOUGH {
            scale.calibrate(&intervals, settings.max_p95_ratio);
        }
        let before = Before {
            latency: !scale.edges().is_empty(),
            ..scale.before(&intervals)
        };
        Self {
            canary,
            settings,
            judge: match rules {
                Some(rules) => Jury::by_ratio(rules, scale.edges().to_vec()),
                None => Jury::by_evidence(settings, before, scale.edges().to_vec()),
            },
            scale,
            hour: sum,
            hours: span(hour),
            at: 0.0,
            step: Default::default(),
            last: hour.last().cloned(),
            begins: true,
            heard: None,
        }
    }

    /// Seconds from the canary's first traffic to the last look.
    pub(super) const fn at(&self) -> f64 {
        self.at
    }

    /// The slot that is on trial.
    pub(super) const fn canary(&self) -> Side {
        self.canary
    }

    /// As it is written down: without what a moment later is known anew.
    pub(super) fn kept(&self) -> Self {
        let mut kept = self.clone();
        kept.judge.forget_window();
        kept
    }

    /// Whether anybody knows how slow requests are.
    pub(super) fn knows_latency(&self) -> bool {
        !self.scale.edges().is_empty()
    }

    /// Counting goes on from here: what came before it is not the canary's doing.
    pub(super) fn begin_at(&mut self, stand: Option<Stand>) {
        self.last = stand;
    }

    /// The next step begins.
    pub(super) fn next_step(&mut self) {
        self.step = Default::default();
        self.heard = None;
    }

    /// The watch begins: what was silent before it, while the share was proved, was not listened to.
    pub(super) fn listen_from(&mut self, at: f64) {
        self.heard = Some(at);
    }

    /// Takes where the counters stand `at` seconds after the canary's first traffic, or why
    /// nobody knows.
    pub(super) fn look(&mut self, at: f64, stand: Result<Stand, String>, limits: &Limits) -> Found {
        let from = std::mem::replace(&mut self.at, at);
        let heard = *self.heard.get_or_insert(from);
        let interval = match stand {
            Err(said) => Err(said),
            Ok(stand) => {
                let last = self.last.replace(stand.clone());
                let last = last.map(|last| from_zero(last, &stand));
                let since = last.and_then(|last| stand.since(&last));
                since.ok_or_else(|| "counting began anew".to_owned())
            }
        };
        let interval = match interval {
            Ok(interval) => interval,
            Err(said) => return self.no_data(from, at - heard, said),
        };
        let (canary, stable) = (interval.of(self.canary), interval.of(self.canary.other()));
        if canary.requests > 0.0 {
            self.heard = Some(at);
        }
        for (sum, arm) in self.step.iter_mut().zip([canary, stable]) {
            sum.include(arm);
        }
        self.fit(canary, stable);
        let judge = std::mem::take(&mut self.begins).then(|| self.judge.clone());
        let p95_ratio = match (self.scale.edges().is_empty(), canary.p95, stable.p95) {
            (true, Some(canary), Some(stable)) if stable > 0.0 => Some(canary / stable),
            _ => None,
        };
        let judged = Interval {
            from,
            to: at,
            canary: self.scale.canary(canary),
            stable: self.scale.stable(stable),
            p95_ratio,
        };
        let look = self.judge.look(&judged);
        let seen = |counted: &Counters, arm: crate::judge::canary::Arm| Seen {
            requests: arm.requests,
            errors: arm.errors,
            p95: self.scale.p95(counted).or(counted.p95),
            slow: arm.slow,
            beyond_limit: arm.beyond_limit,
            buckets: arm.buckets.map(|buckets| buckets.counts().to_vec()),
        };
        let silent = at - self.heard.unwrap_or(heard);
        let glance = Glance {
            at,
            from,
            verdict: look.verdict.name().to_owned(),
            said: look.said.clone(),
            canary: seen(canary, judged.canary.clone()),
            stable: seen(stable, judged.stable.clone()),
            errors: look.errors,
            latency: look.latency,
            ln_bar: look.bars[0],
            ln_safe_bar: look.bars[1],
            p95_ratio,
            judge: judge.and_then(|judge| serde_json::to_value(judge).ok()),
            ..Glance::default()
        };
        let against = self.against(limits);
        let incident = against.as_ref().is_some_and(|(_, too)| *too);
        let found = Found {
            glance,
            verdict: look.verdict,
            silent,
            within_limits: self.within(&look),
            beyond: against.map(|(beyond, _)| beyond),
            incident,
        };
        self.learn();
        found
    }

    /// Counts latency between edges that both have: the new release may have others, and some
    /// sources know of none before its first request.
    fn fit(&mut self, canary: &Counters, stable: &Counters) {
        let fits = |arm| arm == &Counters::default() || self.scale.spread(arm).is_some();
        let known = canary.buckets.is_empty() || stable.buckets.is_empty();
        if known || (self.knows_latency() && fits(canary) && fits(stable)) {
            return;
        }
        let scale = Scale::common(stable, canary);
        if scale.edges() == self.scale.edges() {
            return;
        }
        self.scale = scale;
        if self.hour.requests >= ENOUGH {
            self.scale
                .calibrate([&self.hour], self.settings.max_p95_ratio);
        }
        let edges = self.scale.edges().to_vec();
        self.judge.count_between(edges, self.scale.tolerance());
        self.begins = true;
    }

    /// A look of which only the time is known, for nobody counts.
    pub(super) fn blind(&mut self, at: f64) -> Found {
        let from = std::mem::replace(&mut self.at, at);
        Found {
            silent: 0.0,
            ..self.no_data(from, 0.0, "nobody counts what each release does".to_owned())
        }
    }

    fn no_data(&self, from: f64, silent: f64, said: String) -> Found {
        Found {
            glance: Glance {
                at: self.at,
                from,
                verdict: NO_DATA.to_owned(),
                said,
                ..Glance::default()
            },
            verdict: Verdict::Inconclusive,
            silent: silent.max(f64::MIN_POSITIVE),
            within_limits: false,
            beyond: None,
            incident: false,
        }
    }

    /// What is slow is known once the stable release has done enough: not before, and never
    /// again, so that a proof is not bent by what it is to prove.
    fn learn(&mut self) {
        let [_, stable] = &self.step;
        if self.scale.is_calibrated() || !self.knows_latency() || stable.requests < ENOUGH {
            return;
        }
        self.scale.calibrate([stable], self.settings.max_p95_ratio);
        self.judge.tolerate(self.scale.tolerance());
        self.begins = true;
    }

    fn within(&self, look: &Sight) -> bool {
        let fine = |metric: &Proved, limit: f64| metric.ratio.is_none_or(|ratio| ratio < limit);
        fine(&look.errors, self.settings.max_error_ratio)
            && fine(&look.latency, self.settings.max_p95_ratio)
    }

    /// The canary since the step began, held against limits that know no other release: what it
    /// is proved to be beyond, and whether the stable release is so, too, by what is seen of it.
    fn against(&self, limits: &Limits) -> Option<([String; 2], bool)> {
        let [canary, stable] = &self.step;
        let limit = limits.error_rate;
        if proves(canary.errors, canary.requests, limit) {
            let measured = format!("errors {}", share(canary.errors, canary.requests));
            let told = format!("errors at most {}", text::percent(limit));
            return Some(([measured, told], stable.errors > stable.requests * limit));
        }
        let limit = limits.p95.filter(|_| self.at >= self.settings.warm_up)?;
        let slow = self.scale.slower_than(canary, limit)?;
        proves(slow, canary.requests, SLOW).then(|| {
            let too = self.scale.slower_than(stable, limit).unwrap_or_default();
            let limit = text::duration(std::time::Duration::from_secs_f64(limit));
            let measured = format!("slower than {limit}: {}", share(slow, canary.requests));
            let told = format!("p95 at most {limit}");
            ([measured, told], too > stable.requests * SLOW)
        })
    }

    /// What the step has seen, for its line: `errors: canary 44/2,040 (2.2 %) vs stable …`.
    pub(super) fn told(&self) -> String {
        let [canary, stable] = &self.step;
        let mut told = format!(
            "errors: canary {} vs stable {}",
            share(canary.errors, canary.requests),
            share(stable.errors, stable.requests),
        );
        let p95 = [canary, stable].map(|arm| self.scale.p95(arm).or(arm.p95));
        if let [Some(canary), Some(stable)] = p95 {
            let time = |s: f64| text::duration(std::time::Duration::from_secs_f64(s.max(0.0)));
            told.push_str(&format!("   p95 {} vs {}", time(canary), time(stable)));
        }
        told
    }

    /// The same of the canary alone.
    pub(super) fn alone(&self) -> String {
        let [canary, _] = &self.step;
        let mut told = format!("errors: {}", share(canary.errors, canary.requests));
        if let Some(p95) = self.scale.p95(canary).or(canary.p95) {
            let p95 = text::duration(std::time::Duration::from_secs_f64(p95.max(0.0)));
            told.push_str(&format!("   p95 {p95}"));
        }
        told
    }

    /// Requests a second and the share of failed ones, as the stable release had them with all
    /// traffic; `None` where too little is known. A release without a single error is not infinitely good.
    pub(super) fn traffic_before(&self) -> Option<(f64, f64)> {
        let Counters {
            requests, errors, ..
        } = self.hour;
        (self.hours > 0.0 && requests >= ENOUGH)
            .then(|| (requests / self.hours, (errors + 0.5) / (requests + 1.0)))
    }
}

/// Of a slot that had not been seen before, the edges were not known: it stands at zero on all.
fn from_zero(mut last: Stand, now: &Stand) -> Stand {
    for (then, now) in [
        (&mut last.first, &now.first),
        (&mut last.second, &now.second),
    ] {
        if then.requests <= 0.0 && then.buckets.is_empty() {
            then.buckets = now.buckets.iter().map(|(edge, _)| (*edge, 0.0)).collect();
        }
    }
    last
}

/// From the first of them to the last, in seconds.
fn span(stands: &[Stand]) -> f64 {
    match stands {
        [first, .., last] => (last.at - first.at) as f64 / 1000.0,
        _ => 0.0,
    }
}

/// Whether so many of so many are proved to be more than a share.
fn proves(bad: f64, all: f64, limit: f64) -> bool {
    limit < 1.0 && bad > all * limit && evidence::evidence(bad, all, limit) >= evidence::BAR
}

fn share(bad: f64, all: f64) -> String {
    let count = |n: f64| text::thousands(n.round().max(0.0) as u64);
    if all <= 0.0 {
        return "no requests".to_owned();
    }
    let part = text::percent(bad / all);
    format!("{}/{} ({part})", count(bad), count(all))
}
