//! A second opinion: before a release is taken back for what it does by itself, the old one is
//! looked at in the same way. What befalls both is no reason to go back.

use std::time::Duration;

use tokio::time::Instant;
use url::Url;

use crate::judge::limits::{Limits, Verdict, judge};
use crate::model::figures::Figures;
use crate::model::slot::Side;
use crate::platform::http::{Look, below};
use crate::rollout::patience::Check;
use crate::rollout::stage::Stage;

/// So many times the old release is asked.
const LOOKS: u32 = 20;

/// How long each answer may take at most.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether a check that asks one URL, whoever the subject is, asks where users do.
pub(super) fn asks_as_users_do(stage: &Stage, check: &Check) -> bool {
    let place = |url: &Url| {
        (
            url.host_str().map(str::to_owned),
            url.port_or_known_default(),
        )
    };
    let fixed = check.probe.fixed();
    fixed.is_some_and(|url| place(url) == place(&stage.url))
}

/// What a check sees on the slot by itself, where it fails there as often in a row as it may.
pub(super) async fn fails_too(stage: &Stage, slot: Side, check: &Check) -> Option<String> {
    let subject = stage.subject(slot, None);
    let mut last = None;
    for _ in 0..check.patience.fall.max(1) {
        match check.look(&subject).await {
            Err(ailment) if !ailment.unseen => last = Some(ailment.measured),
            _ => return None,
        }
    }
    last.map(|measured| format!("{}: {measured}", stage.slots.name(slot)))
}

/// What requests to the slot by itself come to, where that is beyond the limits, too.
pub(super) async fn is_beyond_too(stage: &Stage, slot: Side, limits: &Limits) -> Option<String> {
    let path = stage.prober.path.as_deref();
    let url = below(
        &stage.slots.on(slot).url,
        path.unwrap_or_else(|| stage.mark.path()),
    );
    let timeout = stage.prober.timeout.get().min(PATIENCE);
    let mut figures = Figures::default();
    for _ in 0..LOOKS {
        let at = Instant::now();
        let answer = stage.http.look(&Look::at(url.clone(), timeout)).await;
        let failed = answer.map_or(true, |answer| answer.status >= 500);
        figures.add(at.elapsed(), failed);
    }
    let limits = Limits {
        min_requests: u64::from(LOOKS),
        ..*limits
    };
    match judge(&figures, &limits) {
        Verdict::Unhealthy { measured, .. } => {
            Some(format!("{} by itself: {measured}", stage.slots.name(slot)))
        }
        _ => None,
    }
}
