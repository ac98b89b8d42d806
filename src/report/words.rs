//! Words that the log, the summary and the outputs share: headlines, decisions, the four lines.

use crate::actions::commands;
use crate::model::assessment::{Assessment, Health};
use crate::model::ending::{Account, Decision};
use crate::model::event::Headline;
use crate::platform::secret::Vault;
use crate::platform::text;

/// Somebody's text without secrets and control characters, before it is cut or escaped: a cut or
/// escaped secret is no longer recognised. The vault goes second again, because a secret may
/// have been hidden by a colour in its middle.
pub(super) fn clean(text: &str, vault: &Vault) -> String {
    let text = commands::without_controls(&vault.redact(text));
    vault.redact(&text).into_owned()
}

/// `rollout · production · storefront 4f2a9c1 · blue-green`, with what is known of it.
pub(super) fn headline(headline: &Headline) -> String {
    let release = headline.release.as_deref().map(text::short_sha);
    let what: Vec<&str> = [headline.app.as_deref(), release]
        .into_iter()
        .flatten()
        .collect();
    let what = what.join(" ");
    let parts = [
        Some(headline.mode),
        headline.environment.as_deref(),
        Some(what.as_str()),
        headline.strategy.as_deref(),
    ];
    let parts: Vec<&str> = parts
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .collect();
    parts.join(" · ")
}

/// A figure by its name, with its word where that is not `healthy`.
pub(super) fn figure(figure: &Assessment) -> String {
    match figure.health {
        Health::Healthy => format!("{} {}", figure.metric, figure.said),
        other => format!("{} {}: {}", figure.metric, other.name(), figure.said),
    }
}

/// A decision in a sentence: `rolled back`.
pub(super) const fn decision(decision: Decision) -> &'static str {
    match decision {
        Decision::Passed => "passed",
        Decision::Failed => "failed",
        Decision::Promoted => "promoted",
        Decision::RolledBack => "rolled back",
        Decision::Held => "held",
        Decision::Stuck => "stuck",
        Decision::Skipped => "skipped",
        Decision::Planned => "planned",
        Decision::Paused => "paused",
    }
}

/// A decision at a glance. The word stands beside it, for whoever cannot see the sign.
pub(super) const fn sign(decision: Decision) -> &'static str {
    match decision {
        Decision::Passed | Decision::Promoted => "✅",
        Decision::Failed => "❌",
        Decision::RolledBack => "↩️",
        Decision::Held => "⚠️",
        Decision::Stuck => "🆘",
        Decision::Skipped => "⏭️",
        Decision::Planned => "📝",
        Decision::Paused => "⏸️",
    }
}

/// The lines of an account that say something, in the order in which they are read.
pub(super) fn account(account: &Account) -> impl Iterator<Item = (&'static str, &str)> {
    [
        ("measured", account.measured.as_deref()),
        ("wanted", account.wanted.as_deref()),
        ("traffic", account.traffic.as_deref()),
        ("next", account.next.as_deref()),
    ]
    .into_iter()
    .filter_map(|(label, said)| Some((label, said?)))
}
