//! Values with units: `30s`, `5%`, `10GB`. Strict to read, plain to print.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use url::Url;

/// A length of time: `250ms`, `30s`, `5m`, `2h`, `7d`, or several in falling order: `1h30m`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Span(Duration);

impl Span {
    /// Of so many seconds.
    pub const fn secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Of so many milliseconds.
    pub const fn millis(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }

    /// As the standard library has it.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl From<Duration> for Span {
    fn from(length: Duration) -> Self {
        Self(length)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("\"{text}\" is not a duration; write it as 250ms, 30s, 5m, 2h or 7d");
        let mut rest = text.trim();
        let mut total = Duration::ZERO;
        let mut last = Duration::MAX;
        if rest.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
            let number: u32 = rest[..digits].parse().map_err(|_| wrong())?;
            rest = &rest[digits..];
            let letters = rest
                .find(|c: char| c.is_ascii_digit() || c == ' ')
                .unwrap_or(rest.len());
            let unit = match &rest[..letters] {
                "ms" => Duration::from_millis(1),
                "s" => Duration::from_secs(1),
                "m" => Duration::from_secs(60),
                "h" => Duration::from_secs(3600),
                "d" => Duration::from_secs(86_400),
                _ => return Err(wrong()),
            };
            if unit >= last {
                return Err(wrong());
            }
            last = unit;
            total += unit.checked_mul(number).ok_or_else(wrong)?;
            rest = rest[letters..].trim_start();
        }
        Ok(Self(total))
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::platform::text::duration(self.0))
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "duration", "examples": ["30s", "5m", "1h30m"] })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// A share written as percent: `5%`, `0.5 %`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Deserialize)]
#[serde(try_from = "String")]
pub struct Percent(f64);

impl Percent {
    /// Of so many percent.
    pub const fn of(percent: f64) -> Self {
        Self(percent / 100.0)
    }

    /// As a share of 1.
    pub const fn share(self) -> f64 {
        self.0
    }
}

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("\"{text}\" is not a percentage; write it as 5% or 0.5%, up to 100%");
        let number = text.trim().strip_suffix('%').ok_or_else(wrong)?.trim_end();
        if !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Err(wrong());
        }
        let percent: f64 = number.parse().map_err(|_| wrong())?;
        if (0.0..=100.0).contains(&percent) {
            Ok(Self::of(percent))
        } else {
            Err(wrong())
        }
    }
}

impl TryFrom<String> for Percent {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl JsonSchema for Percent {
    fn schema_name() -> Cow<'static, str> {
        "Percent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "percent", "examples": ["5%", "0.5%"] })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// An amount of data: `500MB`, `10GB`, or in powers of 1024: `10GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Size(u64);

impl Size {
    /// Of so many gigabytes.
    pub const fn gigabytes(number: u64) -> Self {
        Self(number * 1_000_000_000)
    }

    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is not a size; write it as 500MB, 10GB or 10GiB");
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
        let unit: u64 = match text[digits..].trim_start() {
            "KB" | "kB" => 1000,
            "MB" => 1000_u64.pow(2),
            "GB" => 1000_u64.pow(3),
            "TB" => 1000_u64.pow(4),
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return Err(wrong()),
        };
        number.checked_mul(unit).map(Self).ok_or_else(wrong)
    }
}

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::platform::text::bytes(self.0))
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "size", "examples": ["10GB", "500MB"] })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// An `http://` or `https://` URL.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HttpUrl(Url);

impl HttpUrl {
    /// The URL.
    pub const fn get(&self) -> &Url {
        &self.0
    }
}

impl FromStr for HttpUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(Self(url)),
            // The text is not quoted: a URL may carry a password.
            _ => Err("this is not a URL; write it as https://host/path".to_owned()),
        }
    }
}

impl TryFrom<String> for HttpUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl JsonSchema for HttpUrl {
    fn schema_name() -> Cow<'static, str> {
        "Url".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "uri" })
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, ms) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("1h30m", 5_400_000),
            ("1m 5s", 65_000),
            ("0s", 0),
        ] {
            assert_eq!(
                text.parse::<Span>().unwrap().get(),
                Duration::from_millis(ms),
                "{text}"
            );
        }
        for text in [
            "",
            "5",
            "s",
            "5 m",
            "-5s",
            "5sm",
            "5s1m",
            "5s5s",
            "1.5h",
            "99999999999999d",
            "5min",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("10GB", 10_000_000_000),
            ("500 MB", 500_000_000),
            ("1KiB", 1024),
            ("0TB", 0),
        ] {
            assert_eq!(text.parse::<Size>().unwrap().bytes(), bytes, "{text}");
        }
        for text in ["", "10", "GB", "1.5GB", "-1GB", "10gb", "99999999999TB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn percentages_end_at_100() {
        assert_eq!("5%".parse::<Percent>().unwrap().share(), 0.05);
        assert_eq!("0.5 %".parse::<Percent>().unwrap().share(), 0.005);
        for text in ["5", "101%", "-1%", "%", "NaN%", "1e1%"] {
            assert!(text.parse::<Percent>().is_err(), "{text}");
        }
    }
}
