//! A look at the certificate that a server shows: how many days it has left, and whether it is
//! trusted. A certificate that is not trusted is read all the same.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;

use super::reach::{self, Progress, Trouble};
use super::{Ailment, Probe, Pulse, Subject, Tools, trust};
use crate::config::address::Address;
use crate::config::kinds::{Kind, plain_schema};
use crate::config::units::Span;
use crate::platform::certificate::{self, Certificate};
use crate::platform::secret::Vault;
use crate::platform::text;
use crate::platform::tls::{self, Shown, Trust};

/// The kind's entry in the table.
pub(super) const KIND: Kind<dyn Probe, Tools> = Kind {
    name: "tls-expiry",
    about: "Reads the certificate that a server shows: the days left, the issuer and the names.",
    schema: plain_schema::<Options>,
    build: |block, tools| {
        let options: Options = block.options()?;
        if options.ca.is_some() && !options.verify_tls {
            return Err("ca: it is not looked at with `verify-tls: false`".to_owned());
        }
        Ok(Box::new(TlsExpiry {
            ca: trust::file(options.ca.as_deref(), &tools.directory),
            vault: tools.vault.clone(),
            options,
        }))
    },
};

/// Seconds of a day.
const DAY: i64 = 86_400;

/// How many of a certificate's names are told.
const NAMES: usize = 5;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    /// Where it listens, with TLS from the first byte: `shop.example.com:443`.
    address: Address,
    /// The name that is asked for, and that the certificate must be for. Default: the host.
    server_name: Option<String>,
    /// How many days it must have left at least. Default 14.
    #[serde(default = "two_weeks")]
    #[schemars(range(max = 3650))]
    days_left: u32,
    /// A PEM file with the CAs to trust instead of the system's.
    ca: Option<String>,
    /// Whether it must be trusted and for that name. Default true.
    #[serde(default = "yes")]
    verify_tls: bool,
    /// How long it may take. Default 5s.
    #[serde(default = "five_seconds")]
    timeout: Span,
}

const fn two_weeks() -> u32 {
    14
}

const fn yes() -> bool {
    true
}

fn five_seconds() -> Span {
    Span::secs(5)
}

struct TlsExpiry {
    options: Options,
    ca: Option<PathBuf>,
    vault: Vault,
}

#[async_trait]
impl Probe for TlsExpiry {
    fn told(&self) -> String {
        format!("certificate of {}", self.options.address)
    }

    async fn look(&self, _: &Subject) -> Result<Pulse, Ailment> {
        let limit = self.options.timeout;
        let progress = Progress::default();
        let work = async {
            let shown = self.shown(&progress).await?;
            self.judge(&shown, SystemTime::now())
        };
        let wanted = format!("a certificate within {limit}");
        reach::within(limit.get(), wanted, &self.vault, &progress, work).await
    }
}

impl TlsExpiry {
    fn name(&self) -> &str {
        let named = self.options.server_name.as_deref();
        named.unwrap_or_else(|| self.options.address.host())
    }

    async fn shown(&self, progress: &Progress) -> Result<Shown, Trouble> {
        let trust = if self.options.verify_tls {
            trust::with(self.ca.as_deref()).await?
        } else {
            Trust::Anybody
        };
        let (config, witness) = tls::witness(&trust).map_err(Trouble::here)?;
        let stream = reach::connect(&self.options.address, progress).await?;
        progress.at("TLS");
        let agreed = trust::agree(stream, self.name(), config).await;
        // A server that then wants a certificate of us has shown its own all the same.
        match (witness.take(), agreed) {
            (Some(shown), _) => Ok(shown),
            (None, Err(trouble)) => Err(trouble),
            (None, Ok(_)) => Err(Trouble::wrong("the server shows no certificate")),
        }
    }

    fn judge(&self, shown: &Shown, now: SystemTime) -> Result<String, Trouble> {
        let unreadable = || Trouble::wrong("the certificate cannot be read");
        let mut chain = shown.chain.iter().map(|one| certificate::read(one));
        let own = chain.next().flatten().ok_or_else(unreadable)?;
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
        let least = i64::from(self.options.days_left);
        let told = format!(
            "{} ({}), issued by {}, for {}",
            left(&own, now),
            day(own.until),
            if own.by_itself { "itself" } else { &own.issuer },
            listed(&own.names)
        );
        let enough = format!("at least {}", text::count(least as u64, "day"));
        let short = |one: &Certificate| one.until <= now || (one.until - now) / DAY < least;
        if short(&own) {
            return Err(Trouble::wrong(told).wanted(format!("{enough} left")));
        }
        if own.from > now {
            return Err(
                Trouble::wrong(format!("not valid before {}; {told}", day(own.from)))
                    .wanted("a certificate that is valid"),
            );
        }
        if let Some(doubt) = &shown.doubt {
            return Err(Trouble::wrong(format!("{}; {told}", tls::told(doubt)))
                .wanted(format!("a certificate that is trusted for {}", self.name())));
        }
        // A CA's own certificate in the chain can end first.
        if let Some(above) = chain.flatten().find(short) {
            let what = format!(
                "{} in its chain: {} ({})",
                above.subject,
                left(&above, now),
                day(above.until)
            );
            return Err(Trouble::wrong(what).wanted(format!("{enough} left")));
        }
        Ok(format!("{told},"))
    }
}

fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMES);
    match (names.len(), more) {
        (0, _) => "no name".to_owned(),
        (_, 0) => names.join(", "),
        _ => format!("{} and {more} more", names[..NAMES].join(", ")),
    }
}

fn left(one: &Certificate, now: i64) -> String {
    if one.until <= now {
        let ago = (now - one.until) / DAY;
        return format!("expired {} ago", text::count(ago.unsigned_abs(), "day"));
    }
    let days = (one.until - now) / DAY;
    format!("{} left", text::count(days.unsigned_abs(), "day"))
}

fn day(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(
        |_| "no date".to_owned(),
        |time| time.to_string().chars().take(10).collect(),
    )
}
