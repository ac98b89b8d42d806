//! A stats socket between the router under test and the real one, that loses what it is told to.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread;

use super::haproxy::talk;

/// What becomes of a line of commands.
pub(crate) enum Fate {
    /// Passed on, and so is the answer.
    Pass,
    /// Passed on; the answer is lost.
    LoseTheAnswer,
    /// Passed on; then something happens, and the answer is lost.
    LoseTheAnswerAnd(Box<dyn Fn() + Send>),
    /// Lost before it has any effect.
    Lose,
    /// Lost before it has any effect, and the connection stays open as long as the relay.
    Hang,
    /// Answered by the relay.
    Say(&'static str),
}

/// A relay at a path. It ends with its owner.
pub(crate) struct Relay {
    path: PathBuf,
}

impl Relay {
    /// `fate` is asked for every line, in order; it may do things in between.
    pub(crate) fn start(
        path: PathBuf,
        real: PathBuf,
        mut fate: impl FnMut(&str) -> Fate + Send + 'static,
    ) -> Self {
        let listener = UnixListener::bind(&path).unwrap();
        thread::spawn(move || {
            let mut hanging = Vec::new();
            for stream in listener.incoming().flatten() {
                let mut line = String::new();
                BufReader::new(&stream).read_line(&mut line).unwrap();
                let line = line.trim_end();
                if line.is_empty() {
                    break;
                }
                let answer = match fate(line) {
                    Fate::Pass => talk(&real, line).unwrap_or_default(),
                    Fate::LoseTheAnswer => {
                        talk(&real, line).unwrap();
                        String::new()
                    }
                    Fate::LoseTheAnswerAnd(deed) => {
                        talk(&real, line).unwrap();
                        deed();
                        String::new()
                    }
                    Fate::Lose => String::new(),
                    Fate::Hang => {
                        hanging.push(stream);
                        continue;
                    }
                    Fate::Say(text) => format!("{text}\n\n"),
                };
                let _ = (&stream).write_all(answer.as_bytes());
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
        Self { path }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // An empty line ends it.
        if let Ok(mut stream) = UnixStream::connect(&self.path) {
            let _ = stream.write_all(b"\n");
        }
    }
}
