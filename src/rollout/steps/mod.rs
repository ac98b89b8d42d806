//! The steps that the stories are made of: what each does, refuses and hands on.

mod slot;
mod traffic;

use std::time::Duration;

pub use slot::{AskSlot, AwaitServed, Deploy, SmokeTest, side_named};
pub use traffic::{Heed, PrepareWayBack, ProveServed, ReadTraffic, Shift};

/// How long a slot or the public URL may take to say what it serves.
pub(super) const LOOK: Duration = Duration::from_secs(5);
