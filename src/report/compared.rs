//! Environments of GitHub beside the config, as a table of the summary.

use crate::model::protection::Comparison;
use crate::platform::secret::Vault;

use super::markdown::{inline, row};
use super::words;

/// The differences of all environments, and which of them are left; empty where nothing was
/// compared.
pub(super) fn table(all: &[Comparison], vault: &Vault) -> String {
    let rows = rows(all, |text| inline(&words::clean(text, vault)));
    if rows.is_empty() {
        return String::new();
    }
    let mut out =
        "| environment | key | GitHub had | config | |\n|---|---|---|---|---|\n".to_owned();
    out.extend(rows.iter().map(|cells| row(cells)));
    out
}

/// The cells of the rows; `text` makes somebody's text fit for one.
pub(super) fn rows(all: &[Comparison], text: impl Fn(&str) -> String) -> Vec<[String; 5]> {
    let mut rows = Vec::new();
    for first in all.iter().filter(|one| !one.read_back) {
        let name = text(&first.environment);
        let after = all
            .iter()
            .rfind(|one| one.read_back && one.environment == first.environment);
        let left = after.unwrap_or(first);
        if first.differences.is_empty() {
            let said = "as the config says".to_owned();
            rows.push([name, String::new(), said.clone(), said, "✅".to_owned()]);
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
            rows.push([
                name.clone(),
                one.key.to_owned(),
                is,
                should,
                state.to_owned(),
            ]);
        }
    }
    rows
}
