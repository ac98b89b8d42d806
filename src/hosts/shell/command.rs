//! A command on another machine, from its begin to its end.
//!
//! Who brings it there need not hand on signals: OpenSSH does so for some users only, and Docker for
//! nobody. So what ends a command is over there with it, and hangs on our end of its standard
//! input (`posix`).

use std::io;
use std::pin::pin;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::{News, Seat, Shell, Talk};
use crate::hosts::posix::{self, Heard, Mark};
use crate::platform::host::HostError;
use crate::platform::process::{
    BURIAL, DRAIN, End, GRACE_WHEN_CANCELLED, Lines, OTHERS, Ran, Script, Sink,
};
use crate::platform::text;

/// The way there and back, on top of what an ending takes over there. A run that is cancelled has
/// no time to wait for a host that is slow.
const ON_THE_WAY: Duration = Duration::from_secs(10);
const ON_THE_WAY_WHEN_CANCELLED: Duration = Duration::from_secs(2);

/// How long a command may be on its way there, before its own time begins.
const SENDING: Duration = Duration::from_secs(60);

/// How long output may be on its way after the end of a command, over a slow line.
const SLOW_WAY: Duration = Duration::from_secs(20);

/// How much of what a login says is kept, to be quoted where nothing else comes.
const GREETING: usize = 8 << 10;

/// How much of the end of an output is kept, however much there was before it.
const TAIL: usize = 128;

/// A command at work, and what has come of it so far.
pub(in crate::hosts) struct Running<'a> {
    pub(in crate::hosts) talk: Box<dyn Talk>,
    mark: Mark,
    /// What came before the mark; `None` once it came.
    greeting: Option<Vec<u8>>,
    complaints: Vec<u8>,
    lacking: bool,
    pub(in crate::hosts) out: Out<'a>,
    pub(in crate::hosts) ended: Option<End>,
    refused: Option<String>,
    lost: Option<String>,
}

/// Where the output goes.
pub(in crate::hosts) enum Out<'a> {
    /// To somebody who reads.
    Lines(Lines<'a>),
    /// To a program, which wants no more than so many bytes, and the last ones.
    Bytes(Vec<u8>, usize),
}

impl<'a> Running<'a> {
    /// Asks for a command.
    pub(in crate::hosts) async fn begin(
        line: &dyn Shell,
        exec: String,
        mark: Mark,
        out: Out<'a>,
    ) -> Result<Self, HostError> {
        Self::begin_on(Seat::Command, line, exec, mark, out).await
    }

    /// The same, on a seat of that kind.
    pub(super) async fn begin_on(
        seat: Seat,
        line: &dyn Shell,
        exec: String,
        mark: Mark,
        out: Out<'a>,
    ) -> Result<Self, HostError> {
        Ok(Self {
            talk: line.begin(exec, seat).await?,
            mark,
            greeting: Some(Vec::new()),
            complaints: Vec::new(),
            lacking: false,
            out,
            ended: None,
            refused: None,
            lost: None,
        })
    }

    /// Reads until nothing more comes.
    async fn end(&mut self) {
        while self.ended.is_none() {
            if !self.hear().await {
                return;
            }
        }
    }

    /// Does something and hears meanwhile; whether it was done. Who was refused, or has ended, takes
    /// nothing more, and nobody else would wake who waits for room.
    async fn meanwhile(&mut self, doing: impl Future<Output = io::Result<()>>) -> bool {
        let mut doing = pin!(doing);
        loop {
            tokio::select! {
                biased;
                done = &mut doing => return done.is_ok(),
                more = self.hear() => if !more || self.ended.is_some() {
                    return false;
                }
            }
        }
    }

    /// Sends something; whether all of it was.
    pub(super) async fn tell(&mut self, bytes: Vec<u8>) -> bool {
        let speaker = self.talk.speaker();
        self.meanwhile(speaker.send(bytes)).await
    }

    /// Hands over what something is done with, lets it begin when it is ready, and hears it to its
    /// end.
    pub(super) async fn act(&mut self, data: Vec<u8>, begun: &OnceLock<Instant>) {
        if !self.tell(data).await && self.ended.is_none() {
            return;
        }
        loop {
            let ready = matches!(&self.out, Out::Bytes(heard, _) if self.mark.is_ready(heard));
            if ready && begun.get().is_none() {
                begun.get_or_init(Instant::now);
                self.tell(posix::GO.to_vec()).await;
            }
            if !self.hear().await {
                return;
            }
        }
    }

    /// The code of something that was done, and what it said.
    pub(super) fn came(self) -> Option<(i32, Vec<u8>)> {
        match (self.ended, self.out) {
            (Some(End::Code(code)), Out::Bytes(said, _)) => Some((code, self.mark.told(said))),
            _ => None,
        }
    }

    /// Reads what is still on its way after the end, as long as something comes. What lives on
    /// may hold it open, and talk.
    async fn drain(&mut self, in_all: Duration) {
        let rest = async { while timeout(DRAIN, self.hear()).await == Ok(true) {} };
        let _ = timeout(in_all, rest).await;
    }

    /// Reads once; whether more may come.
    pub(in crate::hosts) async fn hear(&mut self) -> bool {
        match self.talk.next().await {
            None => return false,
            Some(News::Output(data)) => self.take(&data),
            Some(News::Beside(data)) => {
                let room = GREETING.saturating_sub(self.complaints.len());
                self.complaints
                    .extend_from_slice(&data[..data.len().min(room)]);
            }
            Some(News::Ended(end)) => self.ended = Some(end),
            Some(News::Refused(said)) => {
                self.refused = Some(said);
                return false;
            }
            Some(News::Lost(said)) => {
                self.lost = Some(said);
                return false;
            }
            Some(News::Nothing) => {}
        }
        true
    }

    /// What happened to the way there, where the end did not come.
    pub(in crate::hosts) fn lost(&self) -> &str {
        let lost = self.lost.as_deref();
        lost.unwrap_or("the connection was lost")
    }

    fn take(&mut self, data: &[u8]) {
        let Some(greeting) = &mut self.greeting else {
            return self.out.take(data);
        };
        greeting.extend_from_slice(data);
        match self.mark.find(greeting) {
            Heard::Ready(at) => {
                let ours = greeting.split_off(at);
                self.greeting = None;
                self.out.take(&ours);
            }
            Heard::Lacking => self.lacking = true,
            // What has no mark for long is cut, but for an end that may be the begin of one.
            Heard::Nothing if greeting.len() > 2 * GREETING => drop(greeting.drain(..GREETING)),
            Heard::Nothing => {}
        }
    }

    /// Why it did not begin, if it did not.
    pub(in crate::hosts) fn not_begun(&self, line: &dyn Shell) -> Option<HostError> {
        if let Some(said) = &self.refused {
            return Some(HostError::OutOfReach(line.said(said)));
        }
        let greeting = self.greeting.as_ref()?;
        self.ended?;
        let words = [greeting.as_slice(), self.complaints.as_slice()].concat();
        let words = text::excerpt(&String::from_utf8_lossy(&words), 200);
        let said = match self.lacking {
            true => "it has no `setsid` or no `head`, which ending a command needs".to_owned(),
            false => line.mute(&words),
        };
        Some(HostError::OutOfReach(line.said(&said)))
    }

    /// Ends the whole group: politely first, if there is any grace, then for certain.
    async fn put_down(&mut self, grace: Duration, on_the_way: Duration) {
        if !grace.is_zero() {
            let politely = async {
                if self.tell(posix::TERM.to_vec()).await {
                    self.end().await;
                }
            };
            let _ = timeout(grace, politely).await;
        }
        if self.ended.is_none() {
            let for_certain = async {
                let speaker = self.talk.speaker();
                self.meanwhile(speaker.finish()).await;
                self.end().await;
            };
            let _ = timeout(BURIAL + on_the_way, for_certain).await;
        }
    }
}

impl Out<'_> {
    fn take(&mut self, data: &[u8]) {
        match self {
            Self::Lines(lines) => lines.feed(data),
            Self::Bytes(bytes, cap) => {
                bytes.extend_from_slice(data);
                // What is too much is left out before the end, which says how it ended.
                let rest = bytes.len().saturating_sub(TAIL);
                if rest > *cap {
                    bytes.drain(*cap..rest);
                }
            }
        }
    }

    fn lines(self) -> Vec<String> {
        match self {
            Self::Lines(lines) => lines.end(),
            Self::Bytes(..) => Vec::new(),
        }
    }
}

/// Runs a command there.
pub(super) async fn run(
    line: &dyn Shell,
    script: &Script<'_>,
    hidden: &[(String, String)],
    say: Sink<'_>,
    cancelled: &CancellationToken,
) -> Result<Ran, HostError> {
    let began = Instant::now();
    let ran = |end, last_lines| Ran {
        end,
        took: began.elapsed(),
        last_lines,
        lives_on: false,
    };
    if cancelled.is_cancelled() {
        return Ok(ran(End::Cancelled, Vec::new()));
    }
    let errand = posix::errand(script, hidden);
    let out = Out::Lines(Lines::new(say, script.vault));
    let begun = async {
        let mut running = Running::begin(line, errand.line, errand.mark, out).await?;
        let sending = running.tell(errand.payload.into_bytes());
        let sent = timeout(SENDING, sending).await;
        if sent == Ok(false) && running.ended.is_none() {
            // What it said before it was over says why.
            running.drain(SLOW_WAY).await;
        }
        if let Some(failed) = running.not_begun(line) {
            return Err(failed);
        }
        // A part of a command is not run.
        let why = match sent {
            Ok(true) => return Ok(running),
            Ok(false) => running.lost().to_owned(),
            Err(_) => format!("it takes no command within {}", text::duration(SENDING)),
        };
        Err(HostError::OutOfReach(line.said(&why)))
    };
    let mut running = tokio::select! {
        biased;
        begun = begun => begun?,
        () = cancelled.cancelled() => return Ok(ran(End::Cancelled, Vec::new())),
    };
    // The limit is around the hearing and not beside it: where output comes faster than it is read, a
    // timer beside it gets no turn.
    let stopped = tokio::select! {
        biased;
        ended = timeout(script.timeout, running.end()) => ended.err().map(|_| End::TimedOut),
        () = cancelled.cancelled() => Some(End::Cancelled),
    };
    if let Some(failed) = running.not_begun(line) {
        return Err(failed);
    }
    if let Some(stopped) = stopped {
        let (grace, on_the_way) = match stopped {
            End::Cancelled => (
                script.grace.min(GRACE_WHEN_CANCELLED),
                ON_THE_WAY_WHEN_CANCELLED,
            ),
            _ => (script.grace, ON_THE_WAY),
        };
        running.put_down(grace, on_the_way).await;
    }
    running
        .drain(match stopped {
            // The time that is left is for the way back.
            Some(End::Cancelled) => DRAIN,
            _ => SLOW_WAY,
        })
        .await;
    let (lost, ended) = (running.lost().to_owned(), running.ended);
    let last_lines = running.out.lines();
    let after = text::duration(began.elapsed());
    // That it was told to end is not yet its end.
    let said = match (stopped, ended) {
        (None, Some(end)) => return Ok(ran(end, last_lines)),
        (None, None) => {
            format!(
                "{lost} after {after}, while the command was at work; how it ended is not known"
            )
        }
        (Some(stopped), Some(End::Code(posix::LIVES_ON))) => {
            format!("the command {stopped} after {after}, and {OTHERS}")
        }
        (Some(stopped), Some(_)) => return Ok(ran(stopped, last_lines)),
        (Some(stopped), None) => format!(
            "the command {stopped} after {after}, and nothing came back that says that it has ended; it may still be at work"
        ),
    };
    Err(HostError::Lost {
        said: line.said(&said),
        last_lines,
    })
}
