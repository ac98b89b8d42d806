//! What nginx or Caddy wrote down for each slot: an access log of its own, with a line a request.
//!
//! nginx's `stub_status` has one counter for all slots, and Caddy's metrics know no upstream, so
//! they are of no use here. nginx's line has the slot, Caddy's what it dialled. The log is read from
//! where it ended at the first look; each look reads what was added, in pieces. A log that was
//! rotated is read to its end, and once more, for workers go on with it until they have reopened.

mod lines;

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde::Deserialize;

use crate::model::arms::{Counters, Stand};
use crate::platform::text;
use crate::routers::{RouterError, Tally};

pub(super) use lines::Log;

/// How much is read at a time.
const PIECE: usize = 64 << 10;

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
    path: &'a Path,
    form: Form,
    /// What stands for the first slot in a line, and what for the second.
    names: [String; 2],
    reading: Arc<Mutex<Reading>>,
}

#[derive(Default)]
struct Reading {
    current: Option<Tail>,
    /// One that was rotated away at the last look.
    leaving: Option<Tail>,
    both: [Counters; 2],
    /// Lines that are of no slot, and one of them.
    strange: u64,
    example: String,
}

/// An open log, read so far.
struct Tail {
    file: File,
    at: u64,
    inode: u64,
    /// The beginning of a line that is not whole yet.
    rest: Vec<u8>,
}

impl<'a> AccessLog<'a> {
    fn new(path: &'a Path, form: Form, names: [String; 2]) -> Self {
        let reading = Reading {
            both: [Counters::of_latency(), Counters::of_latency()],
            ..Reading::default()
        };
        Self {
            path,
            form,
            names,
            reading: Arc::new(Mutex::new(reading)),
        }
    }
}

#[async_trait]
impl Tally for AccessLog<'_> {
    fn told(&self) -> String {
        format!("{}'s log {}", self.form.proxy, self.path.display())
    }

    async fn stand(&self) -> Result<Stand, RouterError> {
        let (path, reading) = (self.path.to_owned(), Arc::clone(&self.reading));
        let (names, parse) = (self.names.clone(), self.form.parse);
        // A long log on a slow disk must not hold up what else is measured.
        let read = tokio::task::spawn_blocking(move || {
            let mut reading = reading.lock().unwrap_or_else(PoisonError::into_inner);
            reading.read(&path, &names, parse)?;
            Ok::<_, io::Error>((
                reading.both.clone(),
                reading.strange,
                reading.example.clone(),
            ))
        });
        let read = read.await.map_err(io::Error::other).flatten();
        let ([first, second], strange, example) =
            read.map_err(|failed| RouterError::OutOfReach(format!("{}: {failed}", self.told())))?;
        if strange > 0 && first.requests + second.requests == 0.0 {
            return Err(RouterError::Refused(format!(
                "{} was added to {} and none is {}, such as {example}; `cutover router-config` prints the lines",
                text::count(strange, "line"),
                self.path.display(),
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

impl Reading {
    /// Reads what was added since the last time; at the first time nothing, for that is the past.
    fn read(&mut self, path: &Path, names: &[String; 2], parse: Parse) -> io::Result<()> {
        let Some(mut current) = self.current.take() else {
            self.current = Some(Tail::open(path, true)?);
            return Ok(());
        };
        if let Some(mut leaving) = self.leaving.take() {
            leaving.read(|line| self.count(line, names, parse))?;
        }
        let read = current.read(|line| self.count(line, names, parse));
        match fs::metadata(path) {
            // Moved away, and not reopened yet.
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => self.current = Some(current),
            Err(failed) => {
                self.current = Some(current);
                return Err(failed);
            }
            Ok(found) if found.ino() == current.inode => self.current = Some(current),
            Ok(_) => {
                self.leaving = Some(current);
                let mut fresh = Tail::open(path, false)?;
                let read = fresh.read(|line| self.count(line, names, parse));
                self.current = Some(fresh);
                read?;
            }
        }
        read
    }

    fn count(&mut self, line: &[u8], names: &[String; 2], parse: Parse) {
        let line = String::from_utf8_lossy(line);
        let Some((slot, failed, seconds)) = parse(&line) else {
            self.strange += 1;
            self.example = text::excerpt(&line, 80);
            return;
        };
        // A request that was for neither slot says nothing of one.
        if let Some(nth) = names.iter().position(|name| *name == slot) {
            self.both[nth].add(seconds, failed);
        }
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

impl Tail {
    fn open(path: &Path, at_its_end: bool) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let at = if at_its_end {
            file.seek(SeekFrom::End(0))?
        } else {
            0
        };
        let inode = file.metadata()?.ino();
        Ok(Self {
            file,
            at,
            inode,
            rest: Vec::new(),
        })
    }

    /// Reads whole lines to the end of the file.
    fn read(&mut self, mut line: impl FnMut(&[u8])) -> io::Result<()> {
        // Shorter than before: it was emptied where it is.
        if self.file.metadata()?.len() < self.at {
            self.at = self.file.seek(SeekFrom::Start(0))?;
            self.rest.clear();
        }
        let mut piece = vec![0; PIECE];
        loop {
            let read = self.file.read(&mut piece)?;
            if read == 0 {
                return Ok(());
            }
            self.at += read as u64;
            for part in piece
                .get(..read)
                .unwrap_or_default()
                .split_inclusive(|byte| *byte == b'\n')
            {
                if self.rest.len() < LONGEST_LINE {
                    self.rest.extend_from_slice(part);
                }
                if part.ends_with(b"\n") {
                    line(self.rest.trim_ascii_end());
                    self.rest.clear();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn what_is_added_is_counted_once_across_rotations() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("access.log");
        let line = |slot: &str| format!("1.0 slot={slot} status=200 time=0.010\n");
        let names = ["blue".to_owned(), "green".to_owned()];
        let add = |to: &Path, text: &str| {
            use std::io::Write as _;
            let mut file = fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(to)
                .unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        let mut reading = Reading {
            both: [Counters::of_latency(), Counters::of_latency()],
            ..Reading::default()
        };
        let mut at = |wanted: [f64; 2]| {
            reading.read(&path, &names, parsed).unwrap();
            assert_eq!([reading.both[0].requests, reading.both[1].requests], wanted);
        };
        add(&path, &line("blue"));
        at([0.0, 0.0]);
        // A line that is not whole yet counts when it is.
        add(&path, &(line("blue") + "1.0 slot=gre"));
        at([1.0, 0.0]);
        add(&path, "en status=200 time=0.010\n");
        at([1.0, 1.0]);
        // Moved away, still written to, then reopened, and written to by a worker that is late.
        let old = directory.path().join("access.log.1");
        fs::rename(&path, &old).unwrap();
        add(&old, &line("green"));
        at([1.0, 2.0]);
        add(&path, &line("blue"));
        add(&old, &line("green"));
        at([2.0, 3.0]);
        add(&old, &line("green"));
        at([2.0, 4.0]);
        add(&old, &line("green"));
        add(&path, &line("other"));
        at([2.0, 4.0]);
        // Emptied where it is.
        fs::write(&path, line("blue")).unwrap();
        at([3.0, 4.0]);
        add(&path, &("x".repeat(300_000) + "\n" + &line("blue")));
        at([4.0, 4.0]);
        assert_eq!(reading.strange, 1);
    }
}
