//! The text form of Prometheus, version 0.0.4: written, and read as far as our own figures go.

use std::fmt::Write as _;

use crate::model::measure::{INSTRUMENTS, Instrument, Shape};

use super::series::{Key, Series, Value};

/// What the form is called.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A line of the form: a name, labels, and a number.
#[derive(Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) labels: Key,
    pub(super) number: f64,
}

/// Series as text.
pub(super) fn write(series: &Series) -> String {
    let mut text = String::new();
    for (instrument, values) in series.iter() {
        let Instrument { name, about, .. } = instrument;
        let kind = match instrument.shape {
            Shape::Counter => "counter",
            Shape::Gauge => "gauge",
            Shape::Histogram(_) => "histogram",
        };
        let _ = writeln!(text, "# HELP {name} {about}\n# TYPE {name} {kind}");
        for (key, value) in values {
            match (value, instrument.shape) {
                (
                    Value::Counts {
                        at_most,
                        count,
                        sum,
                    },
                    Shape::Histogram(bounds),
                ) => {
                    for (bound, number) in bounds.iter().zip(at_most) {
                        line(
                            &mut text,
                            &format!("{name}_bucket"),
                            key,
                            Some(*bound),
                            *number as f64,
                        );
                    }
                    line(
                        &mut text,
                        &format!("{name}_bucket"),
                        key,
                        Some(f64::INFINITY),
                        *count as f64,
                    );
                    line(&mut text, &format!("{name}_sum"), key, None, *sum);
                    line(
                        &mut text,
                        &format!("{name}_count"),
                        key,
                        None,
                        *count as f64,
                    );
                }
                (Value::Number(number), _) => line(&mut text, name, key, None, *number),
                (Value::Counts { .. }, _) => {}
            }
        }
    }
    text
}

fn line(text: &mut String, name: &str, key: &Key, bound: Option<f64>, number: f64) {
    text.push_str(name);
    let bound = bound.map(|bound| ("le".to_owned(), number_of(bound)));
    let labels = key
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()));
    for (i, (name, value)) in labels.chain(bound).enumerate() {
        text.push(if i == 0 { '{' } else { ',' });
        let _ = write!(text, "{name}=\"");
        for c in value.chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                c => text.push(c),
            }
        }
        text.push('"');
    }
    if text.ends_with('"') {
        text.push('}');
    }
    let _ = writeln!(text, " {}", number_of(number));
}

fn number_of(number: f64) -> String {
    if number == f64::INFINITY {
        "+Inf".to_owned()
    } else {
        number.to_string()
    }
}

/// The lines of a text, one by one; comments and empty lines are left out.
///
/// # Errors
/// The line that is none.
pub(super) fn read(text: &str) -> impl Iterator<Item = Result<Sample, String>> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|(i, line)| {
            sample(line).ok_or_else(|| format!("line {} is not a sample: {line}", i + 1))
        })
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(|c: char| c == '{' || c.is_whitespace())?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Key::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            rest = rest.trim_start_matches([',', ' ']);
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.insert(label.trim().to_owned(), value);
            rest = after;
        }
    }
    // A time may stand behind the number.
    let number = rest.split_whitespace().next()?.parse().ok()?;
    (!name.is_empty()).then(|| Sample {
        name: name.to_owned(),
        labels,
        number,
    })
}

/// A value up to its closing quote, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    loop {
        match chars.next()? {
            (i, '"') => return Some((value, text.get(i + 1..)?)),
            (_, '\\') => value.push(match chars.next()?.1 {
                'n' => '\n',
                c => c,
            }),
            (_, c) => value.push(c),
        }
    }
}

/// Puts a sample back into the series that it came from. `false` is one that is not ours.
pub(super) fn put(series: &mut Series, sample: Sample) -> bool {
    let Sample {
        name,
        mut labels,
        number,
    } = sample;
    for instrument in INSTRUMENTS {
        let Some(part) = name.strip_prefix(instrument.name) else {
            continue;
        };
        let bounds = match (instrument.shape, part) {
            (Shape::Histogram(bounds), "_bucket" | "_sum" | "_count") => bounds,
            (Shape::Counter | Shape::Gauge, "") => &[],
            _ => continue,
        };
        let bound = labels
            .remove("le")
            .and_then(|bound| bound.parse::<f64>().ok());
        match series.of(instrument, labels) {
            Some(Value::Number(value)) => *value = number,
            Some(Value::Counts {
                at_most,
                count,
                sum,
            }) => match (part, bound) {
                ("_sum", _) => *sum = number,
                ("_count", _) => *count = number as u64,
                (_, Some(bound)) => {
                    let nth = bounds.iter().position(|it| *it == bound);
                    if let Some(at_most) = nth.and_then(|nth| at_most.get_mut(nth)) {
                        *at_most = number as u64;
                    }
                }
                _ => {}
            },
            None => {}
        }
        return true;
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::model::measure::{DEPLOYED, Measure, NOT_DEPLOYED, TOOK};

    use super::*;

    fn read_back(text: &str) -> Series {
        let mut series = Series::default();
        for sample in read(text) {
            put(&mut series, sample.unwrap());
        }
        series
    }

    #[test]
    fn a_run_as_text() {
        let mut series = Series::default();
        let labels = vec![("environment".to_owned(), "production".to_owned())];
        let measures = [
            Measure::of(&DEPLOYED, 1.0),
            Measure::one(&NOT_DEPLOYED, "not-proved"),
            Measure::of(&TOOK, 61.5),
        ];
        series.add(&measures, &labels);
        series.add(&measures[..1], &labels);
        insta::assert_snapshot!(write(&series), @r#"
        # HELP deployment_success_total Deployments that went as asked.
        # TYPE deployment_success_total counter
        deployment_success_total{environment="production"} 2
        # HELP deployment_failure_total Deployments that did not, by their reason-code.
        # TYPE deployment_failure_total counter
        deployment_failure_total{environment="production",failure_reason="not-proved"} 1
        # HELP deployment_duration_seconds How long deployments took, from the first word of the run to its last.
        # TYPE deployment_duration_seconds histogram
        deployment_duration_seconds_bucket{environment="production",le="60"} 0
        deployment_duration_seconds_bucket{environment="production",le="300"} 1
        deployment_duration_seconds_bucket{environment="production",le="600"} 1
        deployment_duration_seconds_bucket{environment="production",le="1200"} 1
        deployment_duration_seconds_bucket{environment="production",le="1800"} 1
        deployment_duration_seconds_bucket{environment="production",le="+Inf"} 1
        deployment_duration_seconds_sum{environment="production"} 61.5
        deployment_duration_seconds_count{environment="production"} 1
        "#);
    }

    #[test]
    fn what_others_wrote_is_read_and_left_out() {
        let text = "# HELP x y\ngo_info{version=\"go1\"} 1\npush_time_seconds{instance=\"\",job=\"a\"} 1.7e+09 123\n\ndeployment_success_total{} 3\n";
        let samples: Vec<_> = read(text).map(Result::unwrap).collect();
        assert_eq!(samples[1].labels["job"], "a");
        assert_eq!(samples[1].number, 1.7e9);
        assert_eq!(
            write(&read_back(text)).lines().last(),
            Some("deployment_success_total 3")
        );
        assert_eq!(
            read("half{a=\"b").next(),
            Some(Err("line 1 is not a sample: half{a=\"b".to_owned()))
        );
    }

    proptest! {
        #[test]
        fn any_label_comes_back(value in "\\PC*|.*\n.*", reason in "[\\\\\"\n,}{= a]*", took in 0.0..4000.0f64) {
            let mut series = Series::default();
            let labels = vec![("branch".to_owned(), value)];
            series.add(&[Measure::one(&NOT_DEPLOYED, reason), Measure::of(&TOOK, took)], &labels);
            // A text has no line ends but `\n`; the labels' own are escaped.
            prop_assert_eq!(read_back(&write(&series)), series);
        }
    }
}
