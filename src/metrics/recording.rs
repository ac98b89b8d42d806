//! Figures of the past in a file, where no server keeps them for days.
//!
//! A line of JSON for each time: `{"at": 1763719200, "error-rate": 0.0103, "p95": 0.181}`. `at` is
//! in seconds since 1970, or a text such as `2026-11-21T10:00:00Z`; values are shares of 1 and
//! seconds. Lines are in the order of time; what a line leaves out is a gap.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::platform::text;

/// A file may have so many bytes and lines: a month of minutes has 44,640.
const MOST_BYTES: u64 = 16 << 20;
const MOST_LINES: usize = 100_000;

/// Figures by the metric's name: times in milliseconds since 1970 with values, in their order.
pub type Recorded = HashMap<String, Vec<(i64, f64)>>;

/// Reads the metrics of a recording that are wanted.
///
/// # Errors
/// In a line with its number, what is wrong with the file.
pub fn read(path: &Path, wanted: &[&str]) -> Result<Recorded, String> {
    let file = File::open(path).map_err(|failed| failed.to_string())?;
    let size = file.metadata().map_err(|failed| failed.to_string())?.len();
    if size > MOST_BYTES {
        return Err(format!(
            "the file has {}; at most {} are read",
            text::bytes(size),
            text::bytes(MOST_BYTES)
        ));
    }
    // A file that is no file, such as a pipe, has no size.
    let lines = BufReader::new(file.take(MOST_BYTES)).lines();
    let mut recorded = Recorded::new();
    let mut last = i64::MIN;
    for (i, line) in lines.enumerate() {
        let wrong = |said: String| format!("line {}: {said}", i + 1);
        let line = line.map_err(|failed| wrong(failed.to_string()))?;
        if line.trim().is_empty() {
            continue;
        }
        if i >= MOST_LINES {
            return Err(wrong(format!("more than {MOST_LINES} lines")));
        }
        let entry: Map<String, Value> = serde_json::from_str(&line)
            .map_err(|failed| wrong(format!("this is no JSON object: {failed}")))?;
        let at = entry.get("at").and_then(time).ok_or_else(|| {
            wrong("`at` is wanted, in seconds since 1970 or as 2026-11-21T10:00:00Z".to_owned())
        })?;
        if at <= last {
            return Err(wrong("its time is not after the line before".to_owned()));
        }
        last = at;
        for name in wanted {
            match entry.get(*name) {
                None | Some(Value::Null) => {}
                Some(value) => {
                    let value = value
                        .as_f64()
                        .ok_or_else(|| wrong(format!("{name} is no number")))?;
                    let figures = recorded.entry((*name).to_owned()).or_default();
                    figures.push((at, value));
                }
            }
        }
    }
    Ok(recorded)
}

fn time(at: &Value) -> Option<i64> {
    match at {
        Value::String(text) => Some(text.parse::<Timestamp>().ok()?.as_millisecond()),
        number => {
            let seconds = number.as_f64().filter(|it| it.abs() < 1e11)?;
            Some((seconds * 1000.0).round() as i64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Recorded, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read(file.path(), &["p95", "cpu"])
    }

    #[test]
    fn what_is_wanted_is_read() {
        let text = "{\"at\": 60, \"p95\": 0.1, \"other\": \"x\"}\n\n\
                    {\"at\": \"1970-01-01T00:02:00Z\", \"p95\": null, \"cpu\": 1}\n";
        let recorded = of(text).unwrap();
        assert_eq!(recorded["p95"], [(60_000, 0.1)]);
        assert_eq!(recorded["cpu"], [(120_000, 1.0)]);
        assert_eq!(recorded.len(), 2);
    }

    #[test]
    fn what_is_wrong_has_its_line() {
        for (text, said) in [
            ("{\"at\": 1}\n{\"at\": 1}", "line 2: its time is not after"),
            ("{\"p95\": 1}", "line 1: `at` is wanted"),
            ("{\"at\": 1, \"cpu\": \"x\"}", "line 1: cpu is no number"),
            ("[1]", "line 1: this is no JSON object"),
            ("\u{feff}{", "line 1: this is no JSON object"),
        ] {
            let wrong = of(text).unwrap_err();
            assert!(wrong.starts_with(said), "{wrong}");
        }
        let gone = read(Path::new("/no/such/file"), &[]).unwrap_err();
        assert!(gone.contains("No such file"), "{gone}");
        let long = "\n".repeat(MOST_LINES) + "{\"at\": 1}";
        assert!(of(&long).unwrap_err().contains("more than 100000 lines"));
    }
}
