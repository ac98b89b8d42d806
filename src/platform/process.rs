//! A shell command, run so that nothing of it is left when it is over.
//!
//! The shell leads a process group of its own, and the whole group is signalled: on a timeout,
//! on a cancellation, and when the future is dropped. What the command prints is handed on line
//! by line, stdout and stderr in the order in which they were written, without secrets.
//! A process that leaves the group (`setsid`, a daemon) is out of reach; one that the command
//! leaves behind in the background when it ends by itself is meant to live on and is let alone.

use std::collections::VecDeque;
use std::fmt;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::secret::Vault;

/// How many of the last lines are kept.
pub const LAST_LINES: usize = 20;

/// Longer lines are cut, in bytes.
pub const LINE_CAP: usize = 8 << 10;

/// How much of a line is held before it is cut: a secret that lies across the cut is still
/// known as one.
const LINE_HELD: usize = 2 * LINE_CAP;

/// How long a command that timed out has to end by itself after SIGTERM.
pub const GRACE: Duration = Duration::from_secs(2);

/// The same after a cancellation: the runner does not wait long.
pub(crate) const GRACE_WHEN_CANCELLED: Duration = Duration::from_secs(1);

/// How long the output is read on after the shell has ended: a process in the background may
/// hold it open for ever.
pub(crate) const DRAIN: Duration = Duration::from_millis(500);

/// How long the kernel may take to end a killed group.
pub(crate) const BURIAL: Duration = Duration::from_secs(2);

/// What is said of what could not be ended, as it is another user's.
pub(crate) const OTHERS: &str =
    "something of it could not be ended and goes on, as what another user runs (by `sudo`)";

/// A command for `sh -c`.
#[derive(Clone, Copy, Debug)]
pub struct Script<'a> {
    /// The command.
    pub run: &'a str,
    /// Where it runs.
    pub directory: &'a Path,
    /// Variables beside those of this process; of two with one name the later one counts.
    pub variables: &'a [(String, String)],
    /// How long it may take.
    pub timeout: Duration,
    /// How long it has to end by itself after the timeout; zero is killed at once.
    pub grace: Duration,
    /// What must not be shown.
    pub vault: &'a Vault,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with that exit code.
    Code(i32),
    /// By a signal that was not ours.
    Signal(i32),
    /// It took longer than its timeout and was ended.
    TimedOut,
    /// It was cancelled and was ended.
    Cancelled,
}

impl fmt::Display for End {
    /// Finishes a sentence that begins with the command: `ended with 3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "ended with {code}"),
            Self::Signal(signal) => write!(f, "was ended by signal {signal}"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Cancelled => f.write_str("was cancelled"),
        }
    }
}

/// A command that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// How it ended.
    pub end: End,
    /// From its start until nothing of it was left.
    pub took: Duration,
    /// The last lines that it printed, at most [`LAST_LINES`].
    pub last_lines: Vec<String>,
    /// Whether something of it goes on although it was to end: what is another user's.
    pub lives_on: bool,
}

/// Takes each line that a command prints, without its line break.
pub type Sink<'a> = &'a (dyn Fn(String) + Send + Sync);

/// Runs a command to its end, its timeout or its cancellation. It reads nothing: stdin is empty.
///
/// # Errors
/// When it could not be begun: there is no `sh`, or the directory is missing. A command that
/// fails has ended, which is no error here.
pub async fn run(
    script: &Script<'_>,
    say: Sink<'_>,
    cancelled: &CancellationToken,
) -> io::Result<Ran> {
    let began = Instant::now();
    let mut lines = Lines::new(say, script.vault);
    let mut lives_on = false;
    let end = if cancelled.is_cancelled() {
        End::Cancelled
    } else {
        let mut running = Running::begin(script)?;
        // The limit is around the reading and not beside it: where output comes faster than it is
        // read, a timer beside it gets no turn.
        let end = tokio::select! {
            biased;
            exited = timeout(script.timeout, running.exit(&mut lines)) => match exited {
                Ok(status) => end_of(status?),
                Err(_) => End::TimedOut,
            },
            () = cancelled.cancelled() => End::Cancelled,
        };
        match end {
            End::Code(_) | End::Signal(_) => running.group.release(),
            End::TimedOut => running.put_down(script.grace, &mut lines).await,
            End::Cancelled => {
                let grace = script.grace.min(GRACE_WHEN_CANCELLED);
                running.put_down(grace, &mut lines).await;
            }
        }
        let _ = timeout(DRAIN, running.drain(&mut lines)).await;
        lives_on = running.group.armed;
        end
    };
    Ok(Ran {
        end,
        lives_on,
        last_lines: lines.end(),
        took: began.elapsed(),
    })
}

fn end_of(status: ExitStatus) -> End {
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Code(code),
        (None, signal) => End::Signal(signal.unwrap_or_default()),
    }
}

/// A command at work. Dropped, it takes its group with it; `group` comes first for that.
struct Running {
    group: Group,
    child: Child,
    output: Option<pipe::Receiver>,
}

impl Running {
    fn begin(script: &Script<'_>) -> io::Result<Self> {
        // One pipe for both streams keeps their lines in order.
        let (reader, writer) = io::pipe()?;
        let output = pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(script.run)
            .current_dir(script.directory)
            .envs(script.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .process_group(0);
        let child = command.spawn()?;
        Ok(Self {
            group: Group::led_by(&child)?,
            child,
            output: Some(output),
        })
    }

    /// Reads until the shell ends.
    async fn exit(&mut self, lines: &mut Lines<'_>) -> io::Result<ExitStatus> {
        loop {
            tokio::select! {
                status = self.child.wait() => return status,
                () = read(&mut self.output, lines) => {}
            }
        }
    }

    /// Reads until nobody can write any more.
    async fn drain(&mut self, lines: &mut Lines<'_>) {
        while self.output.is_some() {
            read(&mut self.output, lines).await;
        }
    }

    /// Ends the whole group: politely first, if there is any grace, then for certain.
    async fn put_down(&mut self, grace: Duration, lines: &mut Lines<'_>) {
        if !grace.is_zero() {
            self.group.signal(Signal::TERM);
            let _ = timeout(grace, self.gone(lines)).await;
        }
        self.group.signal(Signal::KILL);
        if timeout(BURIAL, self.gone(lines)).await.is_ok() {
            self.group.release();
        }
    }

    /// Reads until no process of the group is left.
    async fn gone(&mut self, lines: &mut Lines<'_>) {
        let mut tick = tokio::time::interval(Duration::from_millis(25));
        loop {
            tokio::select! {
                () = read(&mut self.output, lines) => {}
                _ = tick.tick() => {
                    if matches!(self.child.try_wait(), Ok(Some(_))) && self.group.is_over() {
                        return;
                    }
                }
            }
        }
    }
}

/// Reads once; after the end of the output it waits for ever, so that others get their turn.
async fn read(output: &mut Option<pipe::Receiver>, lines: &mut Lines<'_>) {
    let Some(pipe) = output else {
        return std::future::pending().await;
    };
    let mut buffer = [0; 8 << 10];
    match pipe.read(&mut buffer).await {
        Ok(0) | Err(_) => *output = None,
        Ok(length) => lines.feed(&buffer[..length]),
    }
}

/// The process group of a command, which is killed unless it was released.
struct Group {
    id: Pid,
    armed: bool,
}

impl Group {
    fn led_by(child: &Child) -> io::Result<Self> {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let id = id.and_then(Pid::from_raw);
        let id = id.ok_or_else(|| io::Error::other("the command has no process id"))?;
        Ok(Self { id, armed: true })
    }

    /// The group is gone or lives on by right; its number may soon be somebody else's.
    fn release(&mut self) {
        self.armed = false;
    }

    fn signal(&self, signal: Signal) {
        // It fails where nobody is left, which is what the signal is for; and where nobody is
        // ours, which is seen when the group is not over.
        let _ = rustix::process::kill_process_group(self.id, signal);
    }

    /// Whether no process is at work. To be asked after the shell itself was waited for.
    fn is_over(&self) -> bool {
        // As PID 1 of a container we inherit the orphans, and nobody else would bury them.
        while let Ok(Some(_)) = rustix::process::waitpgid(self.id, WaitOptions::NOHANG) {}
        // What is another user's must not be signalled, but it is there.
        rustix::process::test_kill_process_group(self.id) == Err(Errno::SRCH) || self.is_dead()
    }

    /// Whether all that is left is dead and not yet buried, which takes long where PID 1 is no
    /// init. Without a `/proc` to ask they count as alive.
    fn is_dead(&self) -> bool {
        let id = self.id.as_raw_pid().to_string();
        let Ok(processes) = fs::read_dir("/proc") else {
            return false;
        };
        !processes.flatten().any(|process| {
            let stat = fs::read_to_string(process.path().join("stat")).unwrap_or_default();
            // `pid (name) state parent group …`, and a name may have anything in it.
            let mut fields = stat.rsplit_once(") ").unwrap_or_default().1.split(' ');
            let (state, group) = (fields.next(), fields.nth(1));
            group == Some(id.as_str()) && !matches!(state, Some("Z" | "X"))
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.armed {
            self.signal(Signal::KILL);
        }
    }
}

/// Makes lines of what is read, hands them on and keeps the last ones.
pub(crate) struct Lines<'a> {
    say: Sink<'a>,
    vault: &'a Vault,
    begun: Vec<u8>,
    last: VecDeque<String>,
}

impl<'a> Lines<'a> {
    /// Lines for somebody, without secrets.
    pub(crate) fn new(say: Sink<'a>, vault: &'a Vault) -> Self {
        Self {
            say,
            vault,
            begun: Vec::new(),
            last: VecDeque::new(),
        }
    }

    /// Takes what was read next.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            let room = LINE_HELD - self.begun.len();
            self.begun.extend_from_slice(&text[..text.len().min(room)]);
            if ends {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&self.begun);
        let line = self.vault.redact(line.strip_suffix('\r').unwrap_or(&line));
        let line = if line.len() > LINE_CAP {
            let cut = (0..=LINE_CAP).rev().find(|at| line.is_char_boundary(*at));
            format!("{}…", &line[..cut.unwrap_or_default()])
        } else {
            line.into_owned()
        };
        self.begun.clear();
        if self.last.len() == LAST_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line.clone());
        (self.say)(line);
    }

    /// The last lines, when nothing more comes.
    pub(crate) fn end(mut self) -> Vec<String> {
        if !self.begun.is_empty() {
            self.end_line();
        }
        self.last.into()
    }
}
