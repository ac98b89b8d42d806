//! Who is told: listeners of events.
//!
//! The story says an event, the [`Journal`] hands it to every listener in order, and each
//! makes its own of it. Listeners are never called by name from below, and none of them can
//! change what happens.

pub mod approval;
pub mod audit;
mod charts;
mod clerk;
mod compared;
pub mod deployment;
mod digest;
mod gauges;
pub mod heard;
pub mod log;
pub mod markdown;
mod measured;
pub mod news;
pub mod outputs;
pub mod page;
pub mod summary;
pub mod tally;
pub mod telling;
pub mod vigil;
mod words;

use std::sync::{Arc, Mutex, PoisonError};

use crate::model::event::{Event, Say};

/// Somebody who hears every event, in order, and does not block.
pub trait Listener: Send {
    /// Hears one event.
    fn hear(&mut self, event: &Event);
}

/// Hands each event to all listeners.
#[derive(Clone, Default)]
pub struct Journal {
    listeners: Arc<Mutex<Vec<Box<dyn Listener>>>>,
}

impl Journal {
    /// Adds a listener, which hears what is said from now on.
    pub fn add(&self, listener: impl Listener + 'static) {
        self.lock().push(Box::new(listener));
    }

    /// Where to speak.
    pub fn say(&self) -> Say {
        let journal = self.clone();
        Arc::new(move |event| {
            for listener in journal.lock().iter_mut() {
                listener.hear(&event);
            }
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Box<dyn Listener>>> {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A listener that is asked afterwards for what it heard: one clone goes to the [`Journal`], the
/// other stays with whoever asks.
pub struct Shared<L>(Arc<Mutex<L>>);

impl<L> Shared<L> {
    /// Shares a listener.
    pub fn new(listener: L) -> Self {
        Self(Arc::new(Mutex::new(listener)))
    }

    /// Asks it. Nothing may be said meanwhile.
    pub fn with<R>(&self, ask: impl FnOnce(&L) -> R) -> R {
        ask(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends it. Nothing may be said meanwhile.
    pub fn end<R>(&self, end: impl FnOnce(&mut L) -> R) -> R {
        end(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<L> Clone for Shared<L> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<L: Listener> Listener for Shared<L> {
    fn hear(&mut self, event: &Event) {
        let mut listener = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        listener.hear(event);
    }
}
