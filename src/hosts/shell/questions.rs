//! Questions to a shell on another machine, and what it is to do once.
//!
//! What changes something is prepared there first, and begun when the shell has said that it is ready
//! and was told to. So what is lost before has had no effect, and never will, and is begun anew; of
//! what is lost afterwards it is not known.

use std::pin::pin;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::kept::{Came, Kept};
use super::{Out, Running, Shell};
use crate::hosts::posix;
use crate::platform::host::HostError;
use crate::platform::process::End;
use crate::platform::text;

/// How long a question may take, and what is done once until it is ready, and from then on. It is
/// longer than what lets it begin may be on its way (`posix`).
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// That a way was lost.
const NO_ANSWER: &str = "the connection was lost before the answer came";

/// That it was ready, and heard too late that it may begin.
const TOO_LATE: &str = "nothing was changed, as our word that it may begin came too late";

/// Asks a shell there something that changes nothing: its code and what it printed, at most `cap`
/// bytes. Where the way is lost it is asked once more.
pub(super) async fn ask(
    line: &dyn Shell,
    script: &str,
    cap: usize,
) -> Result<(i32, Vec<u8>), HostError> {
    let Some(mut kept) = Kept::of(line) else {
        return ask_within(line, script, cap, DEADLINE).await;
    };
    for _ in 0..2 {
        let begun = OnceLock::new();
        let asking = kept.ask(line, script, cap, false, &begun);
        let asked = timeout(DEADLINE, asking).await;
        let asked = asked.map_err(|_| HostError::OutOfReach(late(line, DEADLINE)))?;
        if let Came::Answer(code, said) = asked? {
            return Ok((code, said));
        }
    }
    Err(HostError::OutOfReach(line.said(&NO_ANSWER)))
}

/// The same over a channel of its own, for what takes longer.
pub(super) async fn ask_within(
    line: &dyn Shell,
    script: &str,
    cap: usize,
    deadline: Duration,
) -> Result<(i32, Vec<u8>), HostError> {
    let mut why = String::new();
    for _ in 0..2 {
        let (exec, mark) = posix::question(script);
        let asking = async {
            let out = Out::Bytes(Vec::new(), cap);
            let mut running = Running::begin(line, exec, mark, out).await?;
            // What its ending needs is no part of a question.
            let _ = running.talk.speaker().finish().await;
            while running.hear().await {}
            Ok(running)
        };
        let asked = timeout(deadline, asking).await;
        let running = asked.map_err(|_| HostError::OutOfReach(late(line, deadline)))??;
        if let Some(failed) = running.not_begun(line) {
            return Err(failed);
        }
        why = running.lost().to_owned();
        if let (Some(End::Code(code)), Out::Bytes(bytes, _)) = (running.ended, running.out) {
            return Ok((code, bytes));
        }
    }
    Err(HostError::OutOfReach(
        line.said(&format!("{why} before the answer came")),
    ))
}

/// Has a shell there do something. It is done once: whether one that was lost after it began had its
/// effect is not known. `apart` is what does the same over a channel of its own, and what it reads: that
/// script is on a command line.
pub(super) async fn act(
    line: &dyn Shell,
    script: &str,
    apart: (&str, &[u8]),
) -> Result<(i32, Vec<u8>), HostError> {
    let Some(mut kept) = Kept::of(line) else {
        return act_with(line, apart.0, apart.1).await;
    };
    let mut why = NO_ANSWER;
    for _ in 0..2 {
        let begun = OnceLock::new();
        let acting = kept.ask(line, script, 1 << 10, true, &begun);
        match in_time(&begun, acting).await {
            Some(Ok(Came::Answer(posix::TOO_LATE, _))) => why = TOO_LATE,
            Some(Ok(Came::Answer(code, said))) => return Ok((code, said)),
            Some(Ok(Came::Nothing)) => why = NO_ANSWER,
            Some(Ok(Came::Lost)) => return Err(lost(line.said(&NO_ANSWER))),
            Some(Err(failed)) => return Err(failed),
            None if begun.get().is_some() => return Err(lost(late(line, DEADLINE))),
            None => return Err(HostError::OutOfReach(late(line, DEADLINE))),
        }
    }
    Err(HostError::OutOfReach(line.said(&why)))
}

/// The same over a channel of its own, where it reads `data`.
pub(super) async fn act_with(
    line: &dyn Shell,
    script: &str,
    data: &[u8],
) -> Result<(i32, Vec<u8>), HostError> {
    let mut why = String::new();
    for _ in 0..2 {
        let begun = OnceLock::new();
        let (exec, mark) = posix::errand_once(script);
        let mut running = Running::begin(line, exec, mark, Out::Bytes(Vec::new(), 1 << 10)).await?;
        let acting = running.act(data.to_vec(), &begun);
        let in_time = in_time(&begun, acting).await.is_some();
        if let Some(failed) = running.not_begun(line) {
            return Err(failed);
        }
        let no_answer = match in_time {
            true => line.said(&format!("{} before the answer came", running.lost())),
            false => late(line, DEADLINE),
        };
        match running.came() {
            Some((posix::TOO_LATE, _)) => why = line.said(&TOO_LATE),
            Some(came) if in_time => return Ok(came),
            _ if begun.get().is_some() => return Err(lost(no_answer)),
            _ if !in_time => return Err(HostError::OutOfReach(no_answer)),
            _ => why = no_answer,
        }
    }
    Err(HostError::OutOfReach(why))
}

/// What comes of something in time: before it begins, and from then on.
async fn in_time<T>(begun: &OnceLock<Instant>, acting: impl Future<Output = T>) -> Option<T> {
    let mut acting = pin!(acting);
    if let Ok(came) = timeout(DEADLINE, &mut acting).await {
        return Some(came);
    }
    let end = *begun.get()? + DEADLINE;
    timeout_at(end, acting).await.ok()
}

fn late(line: &dyn Shell, deadline: Duration) -> String {
    line.said(&format!("no answer within {}", text::duration(deadline)))
}

pub(super) const fn lost(said: String) -> HostError {
    HostError::Lost {
        said,
        last_lines: Vec::new(),
    }
}
