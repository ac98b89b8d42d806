//! Environments of GitHub beside the config, as a table of the summary.

use crate::model::protection::Comparison;
use crate::platform::secret::Vault;

use super::markdown::{inline, row};
use super::words;

/// The differences of all environments, and which of them are left; empty where nothing was
/// compared.
pub(super) fn table(all: &[Comparison], vault: &Vault) -> String {
    let text = |text: &str| inline(&words::clean(text, vault));
    let mut out = String::new();
    for first in all.iter().filter(|one| !one.read_back) {
        let name = text(&first.environment);
        let after = all
            .iter()
            .rfind(|one| one.read_back && one.environment == first.environment);
        let left = after.unwrap_or(first);
        if first.differences.is_empty() {
            let said = "as the config says".to_owned();
            out.push_str(&row(&[
                name,
                String::new(),
                said.clone(),
                said,
                "✅".to_owned(),
            ]));
            continue;
        }
        for one in &first.differences {
            let is_left = left.differences.iter().any(|left| left.key == one.key);
            let state = match (is_left, one.by_hand) {
                (false, _) => "✅ changed",
                (true, true) => "❌ differs, to be changed by hand",
                (true, false) => "❌ differs",
            };
            let (is, should) = (text(&one.is), text(&one.should));
            out.push_str(&row(&[
                name.clone(),
                one.key.to_owned(),
                is,
                should,
                state.to_owned(),
            ]));
        }
    }
    if out.is_empty() {
        return out;
    }
    format!("| environment | key | GitHub had | config | |\n|---|---|---|---|---|\n{out}")
}
