//! What nginx or Caddy wrote down for each slot: an access log of its own, with a line a request.
//!
//! nginx's `stub_status` has one counter for all slots, and Caddy's metrics know no upstream, so
//! they are of no use here. nginx's line has the slot, Caddy's what it dialled. The log is read from
//! where it ended at the first look; each look reads what was added, in pieces. A log that was
//! rotated is read to its end, and once more, for workers go on with it until they have reopened.

mod here;
mod lines;
mod there;

use std::borrow::Cow;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde::Deserialize;

use self::here::Here;
use self::there::There;
use crate::model::arms::{Counters, Stand};
use crate::platform::text;
use crate::routers::placed::Placed;
use crate::routers::{RouterError, Tally};

pub(super) use lines::Log;

/// A line that is longer than this is none of ours.
const LONGEST_LINE: usize = 4 << 10;

/// Who the line says was asked, whether the request failed, and how long it took in seconds.
type Parsed<'a> = (Cow<'a, str>, bool, f64);

/// How a line is read.
type Parse = fn(&str) -> Option<Parsed<'_>>;

/// Whose log it is.
#[derive(Clone, Copy)]
struct Form {
    proxy: &'static str,
    /// What its lines are, for a message.
    lines: &'static str,
    parse: Parse,
}

const NGINX: Form = Form {
    proxy: "nginx",
    lines: "of the format `cutover`",
    parse: parsed,
};

const CADDY: Form = Form {
    proxy: "Caddy",
    lines: "JSON with `status`, `duration` and `upstream`",
    parse: parsed_json,
};

/// What was counted from one access log.
struct AccessLog<'a> {
    log: &'a Placed,
    form: Form,
    reading: Reading,
}

/// How it is read, and what came of it so far.
enum Reading {
    /// On this machine, by a thread that may wait for a disk.
    Here(Arc<Mutex<(Here, Counted)>>),
    /// On a host.
    There(Box<tokio::sync::Mutex<(There, Counted)>>),
}

/// What the lines say.
#[derive(Clone)]
struct Counted {
    parse: Parse,
    /// What stands for the first slot in a line, and what for the second.
    names: [String; 2],
    both: [Counters; 2],
    /// Lines that are of no slot, and one of them.
    strange: u64,
    example: String,
}

/// The beginning of a line that is not whole yet.
#[derive(Default)]
struct Rest(Vec<u8>);

impl<'a> AccessLog<'a> {
    fn new(log: &'a Placed, form: Form, names: [String; 2]) -> Self {
        let counted = Counted::new(form.parse, names);
        let reading = match log.is_here() {
            true => Reading::Here(Arc::new(Mutex::new((Here::default(), counted)))),
            false => Reading::There(Box::new((There::default(), counted).into())),
        };
        Self { log, form, reading }
    }

    /// Reads what was added; what was counted so far.
    async fn read(&self) -> Result<Counted, String> {
        match &self.reading {
            Reading::Here(reading) => {
                let (path, reading) = (self.log.path().to_owned(), Arc::clone(reading));
                // A long log on a slow disk must not hold up what else is measured.
                let read = tokio::task::spawn_blocking(move || {
                    let mut reading = reading.lock().unwrap_or_else(PoisonError::into_inner);
                    let (here, counted) = &mut *reading;
                    here.read(&path, counted)?;
                    Ok::<_, io::Error>(counted.clone())
                });
                let read = read.await.map_err(io::Error::other).flatten();
                read.map_err(|failed| failed.to_string())
            }
            Reading::There(reading) => {
                let (there, counted) = &mut *reading.lock().await;
                let read = there.read(&**self.log.host(), self.log.path(), counted);
                read.await.map_err(|failed| failed.to_string())?;
                Ok(counted.clone())
            }
        }
    }
}

#[async_trait]
impl Tally for AccessLog<'_> {
    fn told(&self) -> String {
        format!("{}'s log {}", self.form.proxy, self.log)
    }

    async fn stand(&self) -> Result<Stand, RouterError> {
        let read = self.read().await;
        let counted =
            read.map_err(|failed| RouterError::OutOfReach(format!("{}: {failed}", self.told())))?;
        let (strange, example) = (counted.strange, counted.example);
        let [first, second] = counted.both;
        if strange > 0 && first.requests + second.requests == 0.0 {
            return Err(RouterError::Refused(format!(
                "{} was added to {} and none is {}, such as {example}; `cutover router-config` prints the lines",
                text::count(strange, "line"),
                self.log,
                self.form.lines
            )));
        }
        Ok(Stand {
            at: jiff::Timestamp::now().as_millisecond(),
            first,
            second,
        })
    }
}

impl Counted {
    fn new(parse: Parse, names: [String; 2]) -> Self {
        Self {
            parse,
            names,
            both: [Counters::of_latency(), Counters::of_latency()],
            strange: 0,
            example: String::new(),
        }
    }

    fn line(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let Some((slot, failed, seconds)) = (self.parse)(&line) else {
            self.strange += 1;
            self.example = text::excerpt(&line, 80);
            return;
        };
        // A request that was for neither slot says nothing of one.
        if let Some(nth) = self.names.iter().position(|name| *name == slot) {
            self.both[nth].add(seconds, failed);
        }
    }
}

impl Rest {
    /// Goes on with a piece of a log, and hands on the lines that are whole.
    fn take(&mut self, piece: &[u8], counted: &mut Counted) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            if self.0.len() < LONGEST_LINE {
                self.0.extend_from_slice(part);
            }
            if part.ends_with(b"\n") {
                counted.line(self.0.trim_ascii_end());
                self.0.clear();
            }
        }
    }

    /// What follows is no end of it.
    fn forget(&mut self) {
        self.0.clear();
    }
}

/// A line of nginx.
fn parsed(line: &str) -> Option<Parsed<'_>> {
    let mut words = line.split_ascii_whitespace();
    words.next()?.parse::<f64>().ok()?;
    let slot = words.next()?.strip_prefix("slot=")?;
    let status: u16 = words.next()?.strip_prefix("status=")?.parse().ok()?;
    let seconds: f64 = words.next()?.strip_prefix("time=")?.parse().ok()?;
    let whole = words.next().is_none() && seconds.is_finite();
    whole.then_some((Cow::Borrowed(slot), status >= 500, seconds))
}

/// A line of Caddy. What it answered without asking anybody has no upstream.
fn parsed_json(line: &str) -> Option<Parsed<'_>> {
    #[derive(Deserialize)]
    struct Line<'a> {
        status: u16,
        duration: f64,
        #[serde(borrow)]
        upstream: Option<Cow<'a, str>>,
    }
    let line: Line<'_> = serde_json::from_str(line).ok()?;
    let upstream = line.upstream.unwrap_or_default();
    let dialled = match upstream.strip_prefix("tcp/") {
        Some(rest) => Cow::Owned(rest.to_owned()),
        None => upstream,
    };
    Some((dialled, line.status >= 500, line.duration))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::platform::host::Local;

    #[test]
    fn only_lines_of_the_format_are_counted() {
        let good = "1732200000.123 slot=green status=502 time=0.007";
        assert_eq!(parsed(good), Some(("green".into(), true, 0.007)));
        let json = r#"{"level":"info","duration":0.007,"status":502,"upstream":"tcp/h:1"}"#;
        assert_eq!(parsed_json(json), Some(("h:1".into(), true, 0.007)));
        let alone = r#"{"level":"info","duration":0.007,"status":200}"#;
        assert_eq!(parsed_json(alone), Some(("".into(), false, 0.007)));
        assert_eq!(parsed_json(good), None);
        for strange in [
            "",
            "127.0.0.1 - - [21/Nov/2026] \"GET / HTTP/1.1\" 200 5",
            "1732200000.123 slot=green status=502",
            "1732200000.123 slot=green status=- time=0.007",
            "1732200000.123 slot=green status=200 time=0.007 more",
        ] {
            assert_eq!(parsed(strange), None, "{strange}");
        }
    }

    /// How the log is read, by one of the two.
    enum By {
        Here(Here),
        There(There),
    }

    impl By {
        async fn read(&mut self, path: &Path, counted: &mut Counted) {
            match self {
                Self::Here(here) => here.read(path, counted).unwrap(),
                Self::There(there) => there.read(&Local, path, counted).await.unwrap(),
            }
        }
    }

    fn add(to: &Path, text: &str) {
        use std::io::Write as _;
        let mut file = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(to)
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    #[tokio::test]
    async fn what_is_added_is_counted_once_across_rotations() {
        for mut by in [By::Here(Here::default()), By::There(There::default())] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("access.log");
            let line = |slot: &str| format!("1.0 slot={slot} status=200 time=0.010\n");
            let names = ["blue".to_owned(), "green".to_owned()];
            let mut counted = Counted::new(parsed, names);
            let mut at = async |wanted: [f64; 2]| {
                by.read(&path, &mut counted).await;
                assert_eq!([counted.both[0].requests, counted.both[1].requests], wanted);
            };
            add(&path, &line("blue"));
            at([0.0, 0.0]).await;
            // A line that is not whole yet counts when it is.
            add(&path, &(line("blue") + "1.0 slot=gre"));
            at([1.0, 0.0]).await;
            add(&path, "en status=200 time=0.010\n");
            at([1.0, 1.0]).await;
            // Moved away, still written to, then reopened, and written to by a worker that is late.
            let old = directory.path().join("access.log.1");
            fs::rename(&path, &old).unwrap();
            add(&old, &line("green"));
            at([1.0, 2.0]).await;
            add(&path, &line("blue"));
            add(&old, &line("green"));
            at([2.0, 3.0]).await;
            add(&old, &line("green"));
            at([2.0, 4.0]).await;
            add(&old, &line("green"));
            add(&path, &line("other"));
            at([2.0, 4.0]).await;
            // Emptied where it is.
            fs::write(&path, line("blue")).unwrap();
            at([3.0, 4.0]).await;
            add(&path, &("x".repeat(300_000) + "\n" + &line("blue")));
            at([4.0, 4.0]).await;
            // More than one piece.
            add(&path, &line("green").repeat(40_000));
            at([4.0, 40_004.0]).await;
            assert_eq!(counted.strange, 1);
        }
    }

    /// One that is gone takes nothing along but what was not read of it, and what comes is new.
    #[tokio::test]
    async fn a_log_that_is_removed_is_gone_on_with() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("access.log");
        let line = "1.0 slot=blue status=200 time=0.010\n";
        let mut there = There::default();
        let mut counted = Counted::new(parsed, ["blue".to_owned(), "green".to_owned()]);
        assert!(there.read(&Local, &path, &mut counted).await.is_err());
        add(&path, line);
        for wanted in [0.0, 3.0, 6.0] {
            there.read(&Local, &path, &mut counted).await.unwrap();
            assert_eq!(counted.both[0].requests, wanted);
            fs::remove_file(&path).unwrap();
            there.read(&Local, &path, &mut counted).await.unwrap();
            // It may well get the inode of the one before it.
            add(&path, &line.repeat(3));
        }
    }
}
