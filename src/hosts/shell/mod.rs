//! A machine that is worked on by a shell: what all have in common whose shell runs a line, wherever
//! that line comes from. Who brings it there is a [`Shell`]; the verbs are made of it here.

mod command;
mod files;
mod growth;
pub(super) mod kept;
mod questions;
mod upload;

use std::fmt::Display;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::platform::host::{
    Grown, Held, Host, HostError, Kind, ReadTo, Seen, Socket, Stream, Uploaded,
};
use crate::platform::process::{End, Ran, Script, Sink};

pub(super) use command::{Out, Running};

/// The way to a shell.
#[async_trait]
pub(super) trait Shell: Send + Sync {
    /// The machine's name in the config.
    fn name(&self) -> &str;

    /// Makes sure that it can be reached, and says as what.
    async fn reach(&self) -> Result<String, HostError>;

    /// Has the shell run a line.
    async fn begin(&self, line: String, seat: Seat) -> Result<Box<dyn Talk>, HostError>;

    /// Where a shell that stays is kept, if any is: where each line costs a log-in, say.
    fn keeps(&self) -> Option<&kept::Place> {
        None
    }

    /// Connects to something there.
    async fn connect(&self, to: &Socket) -> Result<Box<dyn Stream>, HostError>;

    /// A sentence about the machine, without secrets.
    fn said(&self, what: &dyn Display) -> String;

    /// Why nothing of a line was run, from what came instead.
    fn mute(&self, words: &str) -> String;
}

/// What a line is for. Where only so many can be at work, those that hold locks have seats of their
/// own: who holds one needs another line to do what it is held for.
#[derive(Clone, Copy)]
pub(super) enum Seat {
    /// A command or a question.
    Command,
    /// To hold a lock.
    Lock,
}

/// A line at work. Dropped, its standard input ends.
#[async_trait]
pub(super) trait Talk: Send + Sync {
    /// The next that comes; `None` when nothing more does. Given up, it has taken nothing.
    async fn next(&mut self) -> Option<News>;

    /// For who speaks while somebody else listens.
    fn speaker(&self) -> Speaker;
}

/// What comes of a line.
pub(super) enum News {
    /// Something that it printed.
    Output(Vec<u8>),
    /// Something beside it, such as what a login script complains of.
    Beside(Vec<u8>),
    /// It ended.
    Ended(End),
    /// It was not begun, and why.
    Refused(String),
    /// How it ends will not be known, and why.
    Lost(String),
    /// Nothing that matters.
    Nothing,
}

/// The way into a line's standard input.
#[derive(Clone)]
pub(super) struct Speaker(Arc<dyn Voice>);

/// What a [`Speaker`] speaks through.
#[async_trait]
pub(super) trait Voice: Send + Sync {
    /// Sends something, as soon as the other side has room for it.
    async fn send(&self, bytes: Vec<u8>) -> io::Result<()>;

    /// Ends it.
    async fn finish(&self) -> io::Result<()>;
}

impl Speaker {
    pub(super) fn new(voice: impl Voice + 'static) -> Self {
        Self(Arc::new(voice))
    }

    pub(super) async fn send(&self, bytes: Vec<u8>) -> io::Result<()> {
        self.0.send(bytes).await
    }

    pub(super) async fn finish(&self) -> io::Result<()> {
        self.0.finish().await
    }
}

/// A machine with a shell.
pub(super) struct Machine(pub(super) Box<dyn Shell>);

#[async_trait]
impl Host for Machine {
    fn name(&self) -> Option<&str> {
        Some(self.0.name())
    }

    async fn reach(&self) -> Result<String, HostError> {
        self.0.reach().await
    }

    async fn run(
        &self,
        script: &Script<'_>,
        hidden: &[(String, String)],
        say: Sink<'_>,
        cancelled: &CancellationToken,
    ) -> Result<Ran, HostError> {
        command::run(&*self.0, script, hidden, say, cancelled).await
    }

    async fn kind(&self, path: &Path) -> Result<Option<Kind>, HostError> {
        files::kind(&*self.0, path).await
    }

    async fn read(&self, path: &Path, cap: u64) -> Result<Seen, HostError> {
        files::read(&*self.0, path, cap).await
    }

    async fn read_on(
        &self,
        path: &Path,
        since: Option<ReadTo>,
        cap: u64,
    ) -> Result<Grown, HostError> {
        growth::read_on(&*self.0, path, since, cap).await
    }

    async fn connect(&self, to: &Socket) -> Result<Box<dyn Stream>, HostError> {
        self.0.connect(to).await
    }

    async fn list(&self, directory: &Path) -> Result<Vec<(String, Kind)>, HostError> {
        files::list(&*self.0, directory).await
    }

    async fn writable(&self, directory: &Path) -> Result<(), HostError> {
        files::writable(&*self.0, directory).await
    }

    async fn replace(&self, path: &Path, content: &[u8]) -> Result<(), HostError> {
        files::replace(&*self.0, path, content).await
    }

    async fn rename(&self, from: &Path, to: &Path) -> Result<bool, HostError> {
        files::rename(&*self.0, from, to).await
    }

    async fn lock(&self, path: &Path, patience: Duration) -> Result<Option<Held>, HostError> {
        files::lock(&*self.0, path, patience).await
    }

    async fn upload(
        &self,
        from: &Path,
        to: &Path,
        cancelled: &CancellationToken,
    ) -> Result<Uploaded, HostError> {
        tokio::select! {
            biased;
            () = cancelled.cancelled() => Err(HostError::Refused("cancelled".to_owned())),
            uploaded = upload::upload(&*self.0, from, to, cancelled) => uploaded,
        }
    }
}
