//! Something that is run in a container: what it prints, how it ends, and what it is told.
//!
//! The end of its output is not yet its end: the engine is asked how it ended, and whether the
//! container is still the one in which it was begun.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use reqwest::Upgraded;
use serde::Deserialize;
use tokio::io::{AsyncWriteExt as _, WriteHalf};
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::Seen;
use super::frames::{Frames, Pipe, STDERR};
use crate::hosts::posix;
use crate::hosts::shell::{News, Speaker, Talk, Voice};
use crate::platform::docker::Engine;
use crate::platform::process::End;

/// What it ends with when it was killed, by itself or with its container.
const KILLED: i32 = 137;

/// How often the engine is asked for an end that it does not know yet.
const EVERY: Duration = Duration::from_millis(20);

/// How long an end may be unknown when its output has ended.
const LATE: Duration = Duration::from_secs(5);

/// A line at work in a container.
pub(super) struct Exec {
    engine: Arc<Engine>,
    id: String,
    /// The container when it was begun.
    container: Seen,
    frames: Frames,
    mouth: Arc<Mutex<WriteHalf<Upgraded>>>,
    over: bool,
    /// Whether the end of its standard input was our own doing.
    finished: Arc<AtomicBool>,
}

/// How it is.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Ended {
    running: bool,
    exit_code: Option<i32>,
}

impl Exec {
    pub(super) fn new(engine: Arc<Engine>, id: String, container: Seen, wire: Upgraded) -> Self {
        let (hears, speaks) = tokio::io::split(wire);
        Self {
            engine,
            id,
            container,
            frames: Frames::of(hears),
            mouth: Arc::new(Mutex::new(speaks)),
            over: false,
            finished: Arc::default(),
        }
    }

    /// Makes a connection of it: what it prints from now on, and what it is told. `heard` came already.
    pub(super) fn into_pipe(self, heard: Vec<u8>) -> Option<Pipe> {
        let mouth = Arc::into_inner(self.mouth)?.into_inner();
        Some(Pipe::new(self.frames, heard, mouth, self.engine))
    }

    async fn end(&self) -> News {
        let began = Instant::now();
        loop {
            let path = format!("/exec/{}/json", self.id);
            let seen = self.engine.find::<Ended>(&path).await;
            let code = match seen {
                // The engine forgets what was run in a container that has ended.
                Ok(None) => return News::Lost("the container ended".to_owned()),
                Err(no) => return News::Lost(no.to_string()),
                Ok(Some(seen)) => seen.exit_code.filter(|_| !seen.running),
            };
            match code {
                Some(KILLED) if !self.is_same().await => {
                    return News::Lost("the container ended".to_owned());
                }
                // The lifeline ended, and not by us.
                Some(posix::LET_GO) if !self.finished.load(Ordering::Relaxed) => {
                    return News::Lost("the connection was lost".to_owned());
                }
                Some(code) => return News::Ended(End::Code(code)),
                None if began.elapsed() < LATE => sleep(EVERY).await,
                None => return News::Lost("the connection was lost".to_owned()),
            }
        }
    }

    /// Whether the container is still the one that it was begun in.
    async fn is_same(&self) -> bool {
        let path = format!("/containers/{}/json", self.container.id);
        let now = self.engine.find::<Seen>(&path).await.ok().flatten();
        let then = &self.container.state.started_at;
        now.is_some_and(|now| now.state.status == "running" && now.state.started_at == *then)
    }
}

#[async_trait]
impl Talk for Exec {
    async fn next(&mut self) -> Option<News> {
        if self.over {
            return None;
        }
        let news = match self.frames.next().await {
            Some((STDERR, said)) => News::Beside(said),
            Some((_, said)) => News::Output(said),
            None => {
                let end = self.end().await;
                self.over = true;
                end
            }
        };
        Some(news)
    }

    fn speaker(&self) -> Speaker {
        Speaker::new(Mouth {
            mouth: Arc::clone(&self.mouth),
            finished: Arc::clone(&self.finished),
        })
    }
}

struct Mouth {
    mouth: Arc<Mutex<WriteHalf<Upgraded>>>,
    finished: Arc<AtomicBool>,
}

#[async_trait]
impl Voice for Mouth {
    async fn send(&self, bytes: Vec<u8>) -> io::Result<()> {
        let mut mouth = self.mouth.lock().await;
        mouth.write_all(&bytes).await?;
        mouth.flush().await
    }

    async fn finish(&self) -> io::Result<()> {
        self.finished.store(true, Ordering::Relaxed);
        self.mouth.lock().await.shutdown().await
    }
}
