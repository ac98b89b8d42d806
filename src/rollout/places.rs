//! How many looks are under way at once, in the whole process.
//!
//! Each takes a file and a port. Without a bound, thousands of checks would run into the limits
//! of this machine, and into the other side's, and be told as its failure.

use std::sync::LazyLock;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::platform::shortage;

/// As many as that, where the limit of open files allows.
const MOST: usize = 128;

static PLACES: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(many(shortage::files())));

/// Waits for a place. It is free again when it is dropped.
pub(super) async fn one() -> Option<SemaphorePermit<'static>> {
    PLACES.acquire().await.ok()
}

/// A look may have two files at once, and a part of them is needed elsewhere.
fn many(files: usize) -> usize {
    (files / 4).clamp(4, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_files_are_few_places() {
        assert_eq!([many(20), many(256), many(1 << 20)], [5, 64, MOST]);
    }
}
