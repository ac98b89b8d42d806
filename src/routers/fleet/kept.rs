//! What the nodes of a fleet said, as one reading and apart again.
//!
//! What is saved tells nothing of when it was read, so revisions are kept beside it.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::model::split::Split;
use crate::platform::text::listed;
use crate::routers::{Change, Reading, RouterError};

/// What the nodes said, by name.
pub(super) type Kept = IndexMap<String, Reading>;

/// What is saved of a node.
#[derive(Serialize, Deserialize)]
struct Saved {
    split: Split,
    saved: String,
}

/// The fleet as one, with what its nodes said.
pub(super) fn together(kept: Kept, split: Split) -> Result<Reading, RouterError> {
    let written = |what: Result<String, serde_json::Error>| {
        what.map_err(|failed| RouterError::Refused(failed.to_string()))
    };
    let splits = kept.values().map(|it| it.split);
    let apart = splits.filter(|it| *it != split).collect();
    let (mut revisions, mut saved) = (IndexMap::new(), IndexMap::new());
    for (name, reading) in kept {
        revisions.insert(name.clone(), reading.revision);
        let of_node = Saved {
            split: reading.split,
            saved: reading.saved,
        };
        saved.insert(name, of_node);
    }
    Ok(Reading {
        split,
        apart,
        revision: written(serde_json::to_string(&revisions))?,
        saved: written(serde_json::to_string(&saved))?,
    })
}

/// What each node said, which must be these.
pub(super) fn apart(reading: &Reading, names: &[&str]) -> Result<Kept, RouterError> {
    let saved: Option<IndexMap<String, Saved>> = serde_json::from_str(&reading.saved).ok();
    let revisions: Option<IndexMap<String, String>> = serde_json::from_str(&reading.revision).ok();
    let mut revisions = revisions.unwrap_or_default();
    let complete = |saved: &IndexMap<String, Saved>| {
        saved.len() == names.len() && names.iter().all(|name| saved.contains_key(*name))
    };
    let saved = saved.filter(complete).ok_or_else(|| {
        RouterError::Refused(format!(
            "what was saved is not of these nodes: {}",
            listed(names.iter().copied())
        ))
    })?;
    let one = |(name, Saved { split, saved }): (String, Saved)| {
        let revision = revisions.swap_remove(&name).unwrap_or_default();
        let reading = Reading {
            split,
            apart: Vec::new(),
            revision,
            saved,
        };
        (name, reading)
    };
    Ok(saved.into_iter().map(one).collect())
}

/// The change of the fleet as one node's own.
pub(super) fn of_node(kept: &Kept, node: &str, change: &Change) -> Change {
    let from = kept.get(node).unwrap_or(&change.from).clone();
    Change {
        from,
        to: change.to,
        reason: change.reason.clone(),
    }
}
