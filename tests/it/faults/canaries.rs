//! A canary, step by step of its ladder: every step × every fault. From the first share on there is
//! something to take back, whatever fails; and what is held stays at a weight that is known.

use super::orders::Call::*;
use super::orders::Fault::{self, *};
use super::stories::*;
use super::theatre::SHARE;
use super::theatre::Story::*;
use super::*;

/// For all calls of the step.
const ALWAYS: u32 = u32::MAX;

/// A row from the `later`-th time on that its step begins, counted from 0.
fn later(story: Story, call: Call, row: Row<'_>, times: u32) -> Vec<Cell> {
    let cells = cells(story, call, row).into_iter();
    cells.map(|cell| cell.later(times)).collect()
}

/// Between two steps of the ladder the router is read again, and traffic is divided by then.
const READ_AGAIN: Row<'static> = &[
    (Before, 1, BACK),
    (After, 1, BACK),
    (Lost, 1, BACK),
    (Repeated, 1, DONE),
    (CancelBefore, 1, CANCELLED_BACK),
    (CancelAfter, 1, CANCELLED_BACK),
    (PanicBefore, 1, BACK),
    (PanicAfter, 1, BACK),
];

/// The write of a later step: all that was moved is put back, in one jump.
const WRITE_AGAIN: Row<'static> = &[
    (Before, 1, BACK),
    (After, 1, BACK),
    (Lost, 1, DONE),
    (LostBefore, 1, BACK),
    (Repeated, 1, DONE),
    (CancelBefore, 1, CANCELLED_BACK),
    (CancelAfter, 1, CANCELLED_BACK),
    (PanicBefore, 1, BACK),
    (PanicAfter, 1, BACK),
];

/// A share is proved by many answers, and one of them may be missing.
const SHARE_PROOF: Row<'static> = &[
    (Before, 1, DONE),
    (Before, ALWAYS, BACK),
    (Lost, 1, DONE),
    (Lost, ALWAYS, BACK),
    (Silent, 1, DONE),
    (Silent, ALWAYS, BACK),
    (Repeated, 1, DONE),
    (CancelBefore, 1, CANCELLED_BACK),
    (CancelAfter, 1, CANCELLED_BACK),
    (CancelSilent, 1, CANCELLED_BACK),
];

/// A health check under traffic. Before anything is taken back for it, the old release is looked
/// at in the same way.
const STEP: Row<'static> = &[
    (Before, 1, DONE),
    (Before, 2, BACK),
    (Lost, 2, BACK),
    (Repeated, ALWAYS, DONE),
    (CancelBefore, 1, CANCELLED_BACK),
    (CancelAfter, 1, CANCELLED_BACK),
    (PanicBefore, 1, BACK),
    (PanicAfter, 1, BACK),
];

/// Who counts what each slot does. One look that is missing decides nothing.
const LOOK: Row<'static> = &[
    (Before, 1, DONE),
    (After, 1, DONE),
    (Lost, 1, DONE),
    (Repeated, ALWAYS, DONE),
    (CancelAfter, 1, CANCELLED_BACK),
    (CancelSilent, 1, CANCELLED_BACK),
    (PanicBefore, 1, BACK),
    (PanicAfter, 1, BACK),
];

#[test]
fn a_canary_ends_well_whatever_happens_before_it_has_traffic() {
    let mut all = cells(Canary, Read, ROUTER_BEFORE);
    all.extend(cells(Canary, Start, ASKED));
    all.extend(cells(Canary, Prepare, ROUTER_BEFORE));
    all.extend(cells(Canary, LookBack, LOOKED_BACK));
    all.extend(cells(Canary, Deploy, DEPLOYED));
    all.extend(cells(Canary, Serves, PATIENT));
    all.extend(cells(Canary, Smoke, PATIENT));
    // Read again before the first step: it is where it was.
    all.extend(later(Canary, Read, ROUTER_BEFORE, 1));
    all.extend(cells(Canary, Apply, WRITE));
    // The counters are looked at between the steps, too: at the beginning, to learn what the old
    // release does, and before traffic moves.
    for look in [0, 1, 2] {
        let row: Row<'_> = &[
            (Before, 1, DONE),
            (CancelSilent, 1, CANCELLED),
            (PanicBefore, 1, BUG),
        ];
        all.extend(later(Canary, Count, row, look));
    }
    play_all("canary, until it has traffic", &all);
}

#[test]
fn a_canary_ends_well_whatever_happens_at_its_first_share() {
    let mut all = cells(Canary, Confirm, READ_BACK);
    all.extend(cells(Canary, Prove, SHARE_PROOF));
    all.extend(cells(Canary, Step, STEP));
    all.extend(cells(Canary, Look, LOOK));
    // The old release fails as well; and nobody knows anything any more.
    all.push(Cell::of(Canary, Step, Before, ALWAYS, HELD).at(SHARE));
    all.push(Cell::of(Canary, Look, Before, ALWAYS, HELD).at(SHARE));
    all.push(Cell::of(Canary, Look, Lost, ALWAYS, HELD).at(SHARE));
    play_all("canary, at its first share", &all);
}

#[test]
fn a_canary_ends_well_whatever_happens_on_its_way_to_all_traffic() {
    let mut all = later(Canary, Read, READ_AGAIN, 2);
    all.extend(later(Canary, Apply, WRITE_AGAIN, 1));
    all.extend(later(Canary, Confirm, READ_BACK, 1));
    all.extend(later(Canary, Prove, PROOF, 1));
    all.extend(later(Canary, Step, STEP, 1));
    all.extend(later(Canary, Look, LOOK, 1));
    all.push(Cell::of(Canary, Step, Before, ALWAYS, HELD).later(1));
    all.push(Cell::of(Canary, Look, Before, ALWAYS, HELD).later(1));
    play_all("canary, on its way to all traffic", &all);
}

/// What another run has left at a share stays there until something was promised, and goes to the
/// old release from then on.
#[test]
fn a_canary_that_goes_on_ends_well_whatever_happens() {
    let mut all = cells(Resumed, Read, ROUTER_BEFORE);
    // The one that answers says which of the two it is.
    let who_is_who: Row<'_> = &[
        (Before, 1, DONE),
        (Repeated, 1, DONE),
        (CancelBefore, 1, CANCELLED),
        (CancelAfter, 1, CANCELLED),
    ];
    all.extend(cells(Resumed, Prepare, ROUTER_BEFORE));
    all.extend(cells(Resumed, LookBack, LOOKED_BACK));
    all.extend(cells(Resumed, Prove, &SHARE_PROOF[..2]));
    all.extend(cells(Resumed, Step, STEP));
    all.extend(later(Resumed, Read, READ_AGAIN, 1));
    all.extend(cells(Resumed, Apply, WRITE_AGAIN));
    all.extend(cells(Resumed, Confirm, READ_BACK));
    all.push(Cell::of(Resumed, Step, Before, ALWAYS, HELD).at(SHARE));
    all.extend(cells(Resumed, Start, who_is_who));
    play_all("canary that goes on", &all);
}

#[test]
fn the_jump_back_is_tried_again_and_failing_that_handed_over() {
    let mut all = Vec::new();
    for (story, share) in [(Canary, 0), (Canary, 1), (Resumed, 0)] {
        let bad = |call, fault, times, ends| {
            let cell = Cell::of(story, Step, Before, 2, ends).later(share);
            cell.and(call, fault, times)
        };
        let stuck = |fault: Fault| {
            let cell = bad(Restore, fault, ALWAYS, (Stuck, 40));
            cell.at(if share == 0 { SHARE } else { 100 })
        };
        all.extend([
            bad(ReadBack, Before, 1, BACK),
            bad(Restore, Before, 1, BACK),
            bad(Restore, After, ALWAYS, BACK),
            bad(Restore, Lost, 1, BACK),
            bad(Restore, LostBefore, 1, BACK),
            bad(Restore, CancelBefore, 1, BACK),
            bad(Restore, CancelAfter, 1, BACK),
            bad(Restore, PanicAfter, 1, BACK),
            stuck(Before),
            stuck(PanicBefore),
        ]);
    }
    play_all("the way back of a canary", &all);
}

#[test]
fn what_others_change_under_a_canary_is_left_to_them() {
    let all = [
        // Nothing of ours was there yet.
        Cell::of(Canary, Read, Other(60), 1, REFUSED)
            .later(1)
            .at(60),
        Cell::of(Canary, Apply, Other(60), 1, REFUSED).at(60),
        Cell::of(Resumed, Apply, Other(60), 1, REFUSED).at(60),
        // The share was ours, and is theirs now: somebody has to look.
        Cell::of(Canary, Confirm, Other(60), 1, (Stuck, 40)).at(60),
        Cell::of(Canary, Read, Other(60), 1, (Stuck, 40))
            .later(2)
            .at(60),
        Cell::of(Canary, Apply, Other(60), 1, (Stuck, 40))
            .later(1)
            .at(60),
        Cell::of(Canary, Confirm, Other(60), 1, (Stuck, 40))
            .later(1)
            .at(60),
        // They wanted the same, or have put it back.
        Cell::of(Canary, Apply, Other(100), 1, DONE).later(1),
        Cell::of(Canary, Read, Other(0), 1, REFUSED).later(2),
    ];
    play_all("canary, changed by others", &all);
}
