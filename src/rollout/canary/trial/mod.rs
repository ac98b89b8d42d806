//! What is known of a canary: its judge, where the counters stood, and how long it has been on
//! trial. It goes on from run to run, so all of it can be written down.

mod limits;
mod shares;
mod told;

use serde::{Deserialize, Serialize};

use crate::judge::canary::counting::Scale;
use crate::judge::canary::jury::{Jury, NO_DATA, Sight};
use crate::judge::canary::ratio::Rules;
use crate::judge::canary::{Before, Interval, Settings, Verdict};
use crate::model::arms::{Counters, Rate, Stand, Told};
use crate::model::canary::{Glance, Proved, Seen};
use crate::model::slot::Side;

use limits::Against;
pub(super) use limits::Limits;

/// So many requests of the stable release say what is slow, where there was no time before.
const ENOUGH: f64 = 100.0;

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
    /// What was said of both of late, where nobody counts.
    #[serde(default)]
    shares: Option<[Rate; 2]>,
    /// In so many looks of the step, and whether nobody is left to compare with.
    #[serde(skip)]
    looks: u32,
    #[serde(skip)]
    alone: bool,
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
            shares: None,
            looks: 0,
            alone: false,
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
        self.shares = None;
        self.looks = 0;
        self.heard = None;
    }

    /// The watch begins: what was silent before it, while the share was proved, was not listened to.
    pub(super) fn listen_from(&mut self, at: f64) {
        self.heard = Some(at);
    }

    /// Takes where the counters stand `at` seconds after the canary's first traffic, or what is
    /// said of both, or why nobody knows.
    pub(super) fn look(&mut self, at: f64, told: Result<Told, String>, limits: &Limits) -> Found {
        let from = std::mem::replace(&mut self.at, at);
        let heard = *self.heard.get_or_insert(from);
        let interval = match told {
            Err(said) => Err(said),
            Ok(Told::Rated(rated)) => return self.look_at_shares(from, &rated, limits),
            Ok(Told::Counted(stand)) => {
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
            shares: None,
        };
        let look = self.judge.look(&judged);
        let seen = |counted: &Counters, arm: crate::judge::canary::Arm| Seen {
            requests: arm.requests,
            errors: arm.errors,
            error_rate: None,
            p95: self.scale.p95(counted).or(counted.p95),
            slow: arm.slow,
            beyond_limit: arm.beyond_limit,
            buckets: arm.buckets.map(|buckets| buckets.counts().to_vec()),
        };
        let silent = at - self.heard.unwrap_or(heard);
        let both = [
            seen(canary, judged.canary.clone()),
            seen(stable, judged.stable.clone()),
        ];
        let glance = Glance {
            p95_ratio,
            ..glance(&judged, &look, both, judge)
        };
        let found = self.found(glance, &look, silent, self.against(limits));
        self.learn();
        found
    }

    fn found(&self, glance: Glance, look: &Sight, silent: f64, against: Option<Against>) -> Found {
        Found {
            glance,
            verdict: look.verdict,
            silent,
            within_limits: self.within(look),
            incident: against.as_ref().is_some_and(|it| it.stable_too),
            beyond: against.map(|it| it.beyond),
        }
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

/// What is shown of a look, but for its place on the ladder.
fn glance(judged: &Interval, look: &Sight, both: [Seen; 2], judge: Option<Jury>) -> Glance {
    let [canary, stable] = both;
    Glance {
        at: judged.to,
        from: judged.from,
        verdict: look.verdict.name().to_owned(),
        said: look.said.clone(),
        canary,
        stable,
        errors: look.errors,
        latency: look.latency,
        ln_bar: look.bars[0],
        ln_safe_bar: look.bars[1],
        judge: judge.and_then(|judge| serde_json::to_value(judge).ok()),
        ..Glance::default()
    }
}
