//! A shell on a host that stays: a question to it costs a way there and back, and no channel,
//! login shell and processes of its own. On a slow line and on a busy machine that is nearly all
//! that a question costs.
//!
//! It takes one question at a time; who comes meanwhile asks over a channel of its own. What was
//! given up, or has no clean end, is not asked again: the shell goes, and the next one is new.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout};

use super::{Out, Running, Shell};
use crate::hosts::posix::{self, GO};
use crate::platform::host::HostError;

/// How long the end of a shell is waited for that nobody needs any more.
const ENDING: Duration = Duration::from_secs(2);

/// Where the shell is kept that stays, over this connection or one before it.
#[derive(Default)]
pub(in crate::hosts) struct Place(Mutex<Option<Running<'static>>>);

/// The shell that is kept, if nobody asks it now.
pub(in crate::hosts) struct Kept<'a>(MutexGuard<'a, Option<Running<'static>>>);

/// What came of a question.
pub(super) enum Came {
    /// Its code, and what it printed.
    Answer(i32, Vec<u8>),
    /// The way was lost before it was begun.
    Nothing,
    /// The way was lost afterwards.
    Lost,
}

impl<'a> Kept<'a> {
    /// The turn to ask it; `None` where another asks it now, or none is kept.
    pub(in crate::hosts) fn of(line: &'a (impl Shell + ?Sized)) -> Option<Self> {
        line.keeps()?.0.try_lock().ok().map(Self)
    }

    /// Asks. With `once` it is not begun before the shell has said that it is `ready`, so that what
    /// was lost on a dead connection can be told from what may have had its effect.
    pub(super) async fn ask(
        &mut self,
        line: &dyn Shell,
        script: &str,
        cap: usize,
        once: bool,
        begun: &OnceLock<Instant>,
    ) -> Result<Came, HostError> {
        let mut shell = match self.0.take() {
            Some(shell) => shell,
            None => {
                let (exec, mark) = posix::question("exec sh");
                Running::begin(line, exec, mark, Out::Bytes(Vec::new(), 0)).await?
            }
        };
        let (text, mark) = posix::asked(script, once);
        shell.out = Out::Bytes(Vec::new(), mark.room(cap));
        if !once {
            begun.get_or_init(Instant::now);
        }
        let mut open = shell.tell(text.into_bytes()).await;
        loop {
            let mut ready = false;
            if let Out::Bytes(heard, _) = &shell.out {
                if let Some((code, said)) = mark.answer(heard) {
                    self.0.replace(shell);
                    return Ok(Came::Answer(code, said));
                }
                ready = begun.get().is_none() && mark.is_ready(heard);
            }
            if ready {
                begun.get_or_init(Instant::now);
                open = shell.tell(GO.to_vec()).await;
            }
            if !open || !shell.hear().await {
                break;
            }
        }
        match shell.not_begun(line) {
            Some(failed) => Err(failed),
            None if begun.get().is_some() => Ok(Came::Lost),
            None => Ok(Came::Nothing),
        }
    }

    /// Ends it, where there is one, for a server that lets in so few at once.
    pub(in crate::hosts) async fn end(mut self) {
        if let Some(mut shell) = self.0.take() {
            let _ = shell.talk.speaker().finish().await;
            let _ = timeout(ENDING, async { while shell.hear().await {} }).await;
        }
    }
}
