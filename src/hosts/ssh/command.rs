//! A command on a host over SSH, from its begin to its end.
//!
//! A server need not hand on signals, and OpenSSH does so for some users only. So what ends a
//! command is over there with it, and hangs on our end of its standard input (`posix`).

use std::time::{Duration, Instant};

use russh::ChannelMsg;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::connection::{Line, Session};
use crate::hosts::posix::{self, Heard, Mark};
use crate::platform::host::HostError;
use crate::platform::process::{
    BURIAL, DRAIN, End, GRACE_WHEN_CANCELLED, Lines, Ran, Script, Sink,
};
use crate::platform::text;

/// The way there and back, on top of what an ending takes over there.
const ON_THE_WAY: Duration = Duration::from_secs(2);

/// How long output may be on its way after the end of a command, over a slow line.
const SLOW_WAY: Duration = Duration::from_secs(20);

/// How much of what a login says is kept, to be quoted where nothing else comes.
const GREETING: usize = 8 << 10;

/// A command at work, and what has come of it so far.
pub(super) struct Running<'a> {
    pub(super) session: Session,
    mark: Mark,
    /// What came before the mark; `None` once it came.
    greeting: Option<Vec<u8>>,
    complaints: Vec<u8>,
    lacking: bool,
    pub(super) out: Out<'a>,
    pub(super) ended: Option<End>,
    refused: bool,
}

/// Where the output goes.
pub(super) enum Out<'a> {
    /// To somebody who reads.
    Lines(Lines<'a>),
    /// To a program, which wants no more than so many bytes.
    Bytes(Vec<u8>, usize),
}

impl<'a> Running<'a> {
    /// Asks for a command.
    pub(super) async fn begin(
        line: &Line,
        exec: String,
        mark: Mark,
        out: Out<'a>,
    ) -> Result<Self, HostError> {
        let session = line.session().await?;
        let begun = session.exec(exec).await;
        begun.map_err(|failed| HostError::OutOfReach(line.said(failed)))?;
        Ok(Self {
            session,
            mark,
            greeting: Some(Vec::new()),
            complaints: Vec::new(),
            lacking: false,
            out,
            ended: None,
            refused: false,
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

    /// Reads what is still on its way after the end, as long as something comes. What lives on
    /// may hold it open, and talk.
    async fn drain(&mut self) {
        let rest = async { while timeout(DRAIN, self.hear()).await == Ok(true) {} };
        let _ = timeout(SLOW_WAY, rest).await;
    }

    /// Reads once; whether more may come.
    pub(super) async fn hear(&mut self) -> bool {
        match self.session.next().await {
            None | Some(ChannelMsg::Close) => return false,
            Some(ChannelMsg::Data { data }) => self.take(&data),
            Some(ChannelMsg::ExtendedData { data, .. }) => {
                // Ours has one stream only; this is what a login script complains of.
                let room = GREETING.saturating_sub(self.complaints.len());
                self.complaints
                    .extend_from_slice(&data[..data.len().min(room)]);
            }
            Some(ChannelMsg::ExitStatus { exit_status }) => {
                self.ended = Some(End::Code(i32::try_from(exit_status).unwrap_or(i32::MAX)));
            }
            Some(ChannelMsg::ExitSignal { .. }) => self.ended = Some(End::Signal(9)),
            Some(ChannelMsg::Failure) => {
                self.refused = true;
                return false;
            }
            Some(_) => {}
        }
        true
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
    pub(super) fn not_begun(&self, line: &Line) -> Option<HostError> {
        if self.refused {
            let said = "it runs no commands for this key";
            return Some(HostError::OutOfReach(line.said(said)));
        }
        let greeting = self.greeting.as_ref()?;
        self.ended?;
        let words = [greeting.as_slice(), self.complaints.as_slice()].concat();
        let words = text::excerpt(&String::from_utf8_lossy(&words), 200);
        let said = match (self.lacking, words.is_empty()) {
            (true, _) => "it has no `setsid` or no `head`, which ending a command needs".to_owned(),
            (false, true) => "its login shell ran nothing and said nothing".to_owned(),
            (false, false) => format!("its login shell did not run the command; it said: {words}"),
        };
        Some(HostError::OutOfReach(line.said(said)))
    }

    /// Ends the whole group: politely first, if there is any grace, then for certain.
    async fn put_down(&mut self, grace: Duration) {
        if !grace.is_zero()
            && self
                .session
                .speaker()
                .send(posix::TERM.to_vec())
                .await
                .is_ok()
        {
            let _ = timeout(grace, self.end()).await;
        }
        if self.ended.is_none() {
            let _ = self.session.speaker().finish().await;
            let _ = timeout(BURIAL + ON_THE_WAY, self.end()).await;
        }
    }
}

impl Out<'_> {
    fn take(&mut self, data: &[u8]) {
        match self {
            Self::Lines(lines) => lines.feed(data),
            Self::Bytes(bytes, cap) => {
                let room = cap.saturating_sub(bytes.len());
                bytes.extend_from_slice(&data[..data.len().min(room)]);
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
    line: &Line,
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
    };
    if cancelled.is_cancelled() {
        return Ok(ran(End::Cancelled, Vec::new()));
    }
    let errand = posix::errand(script, hidden);
    let out = Out::Lines(Lines::new(say, script.vault));
    let begun = async {
        let running = Running::begin(line, errand.line, errand.mark, out).await?;
        let sent = running
            .session
            .speaker()
            .send(errand.payload.into_bytes())
            .await;
        sent.map_err(|failed| HostError::OutOfReach(line.said(failed)))?;
        Ok(running)
    };
    let mut running = tokio::select! {
        biased;
        begun = begun => begun?,
        () = cancelled.cancelled() => return Ok(ran(End::Cancelled, Vec::new())),
    };
    let stopped = tokio::select! {
        biased;
        () = running.end() => None,
        () = cancelled.cancelled() => Some(End::Cancelled),
        () = tokio::time::sleep(script.timeout) => Some(End::TimedOut),
    };
    if let Some(failed) = running.not_begun(line) {
        return Err(failed);
    }
    let end = match stopped {
        None => running.ended,
        Some(stopped) => {
            let grace = match stopped {
                End::Cancelled => script.grace.min(GRACE_WHEN_CANCELLED),
                _ => script.grace,
            };
            running.put_down(grace).await;
            Some(stopped)
        }
    };
    running.drain().await;
    let last_lines = running.out.lines();
    end.map(|end| ran(end, last_lines.clone())).ok_or_else(|| HostError::Lost {
        said: line.said(format!(
            "the connection was lost after {}, while the command was at work; how it ended is not known",
            text::duration(began.elapsed())
        )),
        last_lines,
    })
}
