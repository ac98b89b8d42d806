//! The way forward: every step × every fault.

use super::orders::Call::{self, *};
use super::orders::Fault::{self, *};
use super::theatre::Story::{self, *};
use super::*;

/// For all calls of the step.
const ALWAYS: u32 = u32::MAX;

pub(super) const DONE: (Decision, u8) = (Promoted, 0);
pub(super) const CANCELLED: (Decision, u8) = (Failed, 130);
pub(super) const CANCELLED_BACK: (Decision, u8) = (RolledBack, 130);
pub(super) const REFUSED: (Decision, u8) = (Failed, 10);
pub(super) const UNREACHED: (Decision, u8) = (Failed, 69);
pub(super) const BUG: (Decision, u8) = (Failed, 70);
pub(super) const BACK: (Decision, u8) = (RolledBack, 20);
pub(super) const HELD: (Decision, u8) = (Held, 30);

/// A row of a table: what happens to how many calls, and how that ends.
pub(super) type Row<'a> = &'a [(Fault, u32, (Decision, u8))];

pub(super) fn cells(story: Story, call: Call, row: Row<'_>) -> Vec<Cell> {
    row.iter()
        .map(|(fault, times, ends)| Cell::of(story, call, *fault, *times, *ends))
        .collect()
}

/// The router's verbs before the write: one failure ends the run, and nothing was touched.
pub(super) const ROUTER_BEFORE: Row<'static> = &[
    (Before, 1, UNREACHED),
    (After, 1, REFUSED),
    (Lost, 1, UNREACHED),
    (Repeated, 1, DONE),
    (CancelBefore, 1, CANCELLED),
    (CancelAfter, 1, CANCELLED),
    (PanicBefore, 1, BUG),
    (PanicAfter, 1, BUG),
];

/// Questions to a slot by which nothing stands or falls: silence is an answer.
pub(super) const ASKED: Row<'static> = &[
    (Before, 1, DONE),
    (Before, ALWAYS, DONE),
    (Lost, ALWAYS, DONE),
    (Repeated, 1, DONE),
    (CancelBefore, 1, CANCELLED),
    (CancelAfter, 1, CANCELLED),
];

/// Looks that are repeated until time is up.
pub(super) const PATIENT: Row<'static> = &[
    (Before, 1, DONE),
    (Before, ALWAYS, REFUSED),
    (Lost, 1, DONE),
    (Lost, ALWAYS, REFUSED),
    (Repeated, ALWAYS, DONE),
    (CancelBefore, 1, CANCELLED),
    (CancelAfter, 1, CANCELLED),
];

/// The release goes into its slot.
pub(super) const DEPLOYED: Row<'static> = &[
    (Before, 1, UNREACHED),
    (After, 1, REFUSED),
    (Lost, 1, REFUSED),
    (Repeated, 1, DONE),
    (CancelBefore, 1, CANCELLED),
    (CancelAfter, 1, CANCELLED),
    (PanicBefore, 1, BUG),
    (PanicAfter, 1, BUG),
];

/// The old slot is asked whether one could go back to it.
pub(super) const LOOKED_BACK: Row<'static> = &[
    (Before, 1, REFUSED),
    (Lost, 1, REFUSED),
    (Repeated, 1, DONE),
    (CancelAfter, 1, CANCELLED),
];

/// The router's write. What was changed is put back; what was not is not.
pub(super) const WRITE: Row<'static> = &[
    (Before, 1, UNREACHED),
    (After, 1, BACK),
    (Lost, 1, DONE),
    (LostBefore, 1, UNREACHED),
    (Repeated, 1, DONE),
    (CancelBefore, 1, CANCELLED_BACK),
    (CancelAfter, 1, CANCELLED_BACK),
    (PanicBefore, 1, BUG),
    (PanicAfter, 1, BACK),
];

/// Reading the write back.
pub(super) const READ_BACK: Row<'static> = &[
    (Before, 1, BACK),
    (After, 1, BACK),
    (Lost, 1, BACK),
    (Repeated, 1, DONE),
    (CancelAfter, 1, CANCELLED_BACK),
    (PanicBefore, 1, BACK),
    (PanicAfter, 1, BACK),
];

/// Asking the public URL after the switch.
pub(super) const PROOF: Row<'static> = &[
    (Before, 1, DONE),
    (Before, ALWAYS, BACK),
    (Lost, 1, DONE),
    (Lost, ALWAYS, BACK),
    // One that hangs leaves time for others.
    (Silent, 1, DONE),
    (Repeated, ALWAYS, DONE),
    (CancelBefore, 1, CANCELLED_BACK),
    (CancelAfter, 1, CANCELLED_BACK),
];

#[test]
fn a_rollout_ends_well_whatever_happens() {
    let mut all = cells(Rollout, Read, ROUTER_BEFORE);
    all.extend(cells(Rollout, Ask, ASKED));
    all.extend(cells(Rollout, Deploy, DEPLOYED));
    all.extend(cells(Rollout, Serves, PATIENT));
    all.extend(cells(Rollout, Smoke, PATIENT));
    all.extend(cells(
        Rollout,
        Smoke,
        &[(PanicBefore, 1, BUG), (PanicAfter, 1, BUG)],
    ));
    all.extend(cells(Rollout, Prepare, ROUTER_BEFORE));
    all.extend(cells(Rollout, LookBack, LOOKED_BACK));
    all.extend(cells(Rollout, Apply, WRITE));
    all.extend(cells(Rollout, Confirm, READ_BACK));
    all.extend(cells(Rollout, Prove, PROOF));
    all.extend(cells(
        Rollout,
        Watch,
        &[
            (Before, 1, DONE),
            (Before, ALWAYS, BACK),
            (Lost, ALWAYS, BACK),
            (Repeated, ALWAYS, DONE),
            (CancelBefore, 1, CANCELLED_BACK),
            (CancelAfter, 1, CANCELLED_BACK),
            (PanicBefore, 1, BACK),
            (PanicAfter, 1, BACK),
        ],
    ));
    play_all("rollout, blue-green", &all);
}

/// A required hook before the switch.
const HOOK_BEFORE: Row<'static> = &[
    (Before, 1, UNREACHED),
    (After, 1, REFUSED),
    (Lost, 1, REFUSED),
    (LostBefore, 1, REFUSED),
    (Repeated, 1, DONE),
    (CancelBefore, 1, CANCELLED),
    (CancelAfter, 1, CANCELLED),
    (PanicBefore, 1, BUG),
    (PanicAfter, 1, BUG),
];

/// A required hook after it.
const HOOK_AFTER: Row<'static> = &[
    (Before, 1, BACK),
    (After, 1, BACK),
    (Lost, 1, BACK),
    (LostBefore, 1, BACK),
    (Repeated, 1, DONE),
    (CancelBefore, 1, CANCELLED_BACK),
    // Nothing is left to be done by then.
    (CancelAfter, 1, DONE),
    (PanicBefore, 1, BACK),
    (PanicAfter, 1, BACK),
];

#[test]
fn a_rollout_ends_well_whatever_happens_to_its_hooks() {
    let moments = [HOOK_BEFORE, HOOK_BEFORE, HOOK_BEFORE, HOOK_AFTER];
    let mut all = Vec::new();
    for (nth, row) in (0..).zip(moments) {
        let cells = cells(Hooked, Hook, row).into_iter();
        all.extend(cells.map(|cell| cell.later(nth)));
    }
    play_all("rollout, blue-green, with hooks", &all);
}

#[test]
fn a_switch_ends_well_whatever_happens() {
    let mut all = cells(Switch, Read, ROUTER_BEFORE);
    all.extend(cells(
        Switch,
        Ask,
        &[
            // Nothing is sent to a slot that does not say what it serves.
            (Before, 1, REFUSED),
            (Lost, 1, REFUSED),
            (Repeated, 1, DONE),
            (CancelBefore, 1, CANCELLED),
            (CancelAfter, 1, CANCELLED),
        ],
    ));
    all.extend(cells(Switch, Prepare, ROUTER_BEFORE));
    all.extend(cells(Switch, Apply, WRITE));
    all.extend(cells(Switch, Confirm, READ_BACK));
    all.extend(cells(Switch, Prove, PROOF));
    play_all("switch-traffic", &all);
}

/// There is no way back from the way back: once the router has it, traffic stays, proved or not.
#[test]
fn a_rollback_says_where_traffic_stayed() {
    let mut all = cells(Rollback, Read, ROUTER_BEFORE);
    all.extend(cells(
        Rollback,
        Ask,
        &[
            (Before, 1, REFUSED),
            (Repeated, 1, DONE),
            (CancelAfter, 1, CANCELLED),
        ],
    ));
    all.extend(cells(
        Rollback,
        Apply,
        &[
            (Before, 1, UNREACHED),
            (After, 1, HELD),
            (Lost, 1, DONE),
            (LostBefore, 1, UNREACHED),
            (Repeated, 1, DONE),
            (CancelBefore, 1, HELD),
            (CancelAfter, 1, HELD),
            (PanicBefore, 1, BUG),
            (PanicAfter, 1, HELD),
        ],
    ));
    all.extend(cells(
        Rollback,
        Confirm,
        &[
            (Before, 1, HELD),
            (After, 1, HELD),
            (Lost, 1, HELD),
            (Repeated, 1, DONE),
            (PanicBefore, 1, HELD),
        ],
    ));
    all.extend(cells(
        Rollback,
        Prove,
        &[
            (Before, 1, DONE),
            (Before, ALWAYS, HELD),
            (Lost, ALWAYS, HELD),
            (CancelBefore, 1, HELD),
            (CancelAfter, 1, HELD),
        ],
    ));
    play_all("rollback", &all);
}
