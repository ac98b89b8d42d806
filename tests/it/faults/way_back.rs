//! The way back itself, when something happens to it; and what others change meanwhile.

use super::orders::Call::*;
use super::orders::Fault::*;
use super::theatre::Story::*;
use super::*;

const ALWAYS: u32 = u32::MAX;

/// A release that fails under watch, and something more.
fn bad(call: Call, fault: Fault, times: u32, ends: (Decision, u8)) -> Cell {
    Cell::of(Rollout, Watch, Before, ALWAYS, ends).and(call, fault, times)
}

#[test]
fn the_way_back_is_tried_again_and_failing_that_handed_over() {
    let back = (RolledBack, 20);
    let stuck = (Stuck, 40);
    let cells = [
        bad(ReadBack, Before, 1, back),
        bad(ReadBack, Lost, 2, back),
        bad(ReadBack, PanicBefore, 1, back),
        bad(Restore, Before, 1, back),
        bad(Restore, Before, 2, back),
        bad(Restore, Before, ALWAYS, stuck),
        bad(Restore, After, 1, back),
        bad(Restore, After, ALWAYS, back),
        bad(Restore, Lost, 1, back),
        bad(Restore, LostBefore, 1, back),
        bad(Restore, LostBefore, ALWAYS, stuck),
        bad(Restore, Repeated, 1, back),
        bad(Restore, CancelBefore, 1, back),
        bad(Restore, CancelAfter, 1, back),
        bad(Restore, PanicBefore, 1, back),
        bad(Restore, PanicBefore, ALWAYS, stuck),
        bad(Restore, PanicAfter, 1, back),
        // Cancelled, and then stuck: stuck is stuck.
        Cell::of(Rollout, Prove, CancelAfter, 1, stuck).and(Restore, Before, ALWAYS),
        Cell::of(Rollout, Prove, CancelAfter, 1, (RolledBack, 130)).and(Restore, Lost, 1),
    ];
    play_all("the way back", &cells);
}

#[test]
fn what_others_change_is_left_to_them() {
    let refused = (Failed, 10);
    let cells = [
        // Between our look and our write.
        Cell::of(Rollout, Prepare, Other(25), 1, refused).at(25),
        Cell::of(Rollout, Apply, Other(25), 1, refused).at(25),
        Cell::of(Switch, Apply, Other(25), 1, refused).at(25),
        Cell::of(Rollback, Apply, Other(75), 1, refused).at(75),
        // They wanted the same; it is proved like our own.
        Cell::of(Rollout, Apply, Other(100), 1, (Promoted, 0)),
        // After our write, before it was read back.
        Cell::of(Rollout, Confirm, Other(25), 1, (Stuck, 40)).at(25),
        Cell::of(Switch, Confirm, Other(25), 1, (Stuck, 40)).at(25),
        Cell::of(Rollback, Confirm, Other(75), 1, (Stuck, 40)).at(75),
        // They have put it back themselves.
        Cell::of(Rollout, Confirm, Other(0), 1, refused),
        // Somebody gives the idle slot traffic before we deploy to it.
        Cell::of(Rollout, Read, ThenOther(100), 1, refused).at(100),
    ];
    play_all("changed by others", &cells);
}
