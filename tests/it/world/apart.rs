//! Whether two proxies of one fleet serve the same, as their users see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use super::shop::release_at;

/// Somebody who asks two fronts again and again whether they serve the same.
pub(crate) struct Apart {
    over: Arc<AtomicBool>,
    watching: JoinHandle<(u32, u32)>,
}

impl Apart {
    /// Begins to ask.
    pub(crate) fn watch(fronts: [u16; 2]) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let watching = spawn(move || {
            let (mut looks, mut times, mut were_apart) = (0, 0, false);
            while !ended.load(Ordering::Relaxed) {
                let [one, other] = fronts.map(release_at);
                let are_apart = one != other;
                times += u32::from(are_apart && !were_apart);
                (looks, were_apart) = (looks + 1, are_apart);
                sleep(Duration::from_millis(2));
            }
            (looks, times)
        });
        Self { over, watching }
    }

    /// How often it looked, and how many times they came apart.
    pub(crate) fn end(self) -> (u32, u32) {
        self.over.store(true, Ordering::Relaxed);
        self.watching.join().unwrap()
    }
}
