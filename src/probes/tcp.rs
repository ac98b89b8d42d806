//! A look that opens a TCP connection and closes it: something listens there.
//!
//! Nothing is sent. Whether what listens is well is for another kind to see.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

use super::{Ailment, Probe, Pulse, Subject, Tools};
use crate::config::kinds::{Kind, plain_schema};
use crate::config::units::Span;
use crate::platform::http::Phase;
use crate::platform::text;

/// The kind's entry in the table.
pub(super) const KIND: Kind<dyn Probe, Tools> = Kind {
    name: "tcp",
    about: "Opens a TCP connection.",
    schema: plain_schema::<Options>,
    build: |block, _| {
        let options: Options = block.options()?;
        let (host, port) = options.address.rsplit_once(':').unwrap_or_default();
        if host.is_empty() || !port.parse().is_ok_and(|port: u16| port > 0) {
            return Err(format!(
                "address: \"{}\" is not an address; write it as host:port",
                options.address
            ));
        }
        Ok(Box::new(Tcp(options)))
    },
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    /// Where to: `host:port`, `[::1]:6379`.
    address: String,
    /// How long it may take. Default 5s.
    #[serde(default = "five_seconds")]
    timeout: Span,
}

fn five_seconds() -> Span {
    Span::secs(5)
}

struct Tcp(Options);

impl Tcp {
    /// Connects to the first of the host's addresses that answers.
    async fn connect(&self, phase: &mut Phase) -> std::io::Result<()> {
        let addresses: Vec<_> = tokio::net::lookup_host(&self.0.address).await?.collect();
        *phase = Phase::Tcp;
        TcpStream::connect(&addresses[..]).await.map(drop)
    }
}

#[async_trait]
impl Probe for Tcp {
    fn told(&self) -> String {
        format!("TCP {}", self.0.address)
    }

    async fn look(&self, _: &Subject) -> Result<Pulse, Ailment> {
        let began = Instant::now();
        let limit = self.0.timeout;
        let mut phase = Phase::Dns;
        let connected = tokio::time::timeout(limit.get(), self.connect(&mut phase)).await;
        let took: Duration = began.elapsed();
        let said = match connected {
            Ok(Ok(())) => {
                return Ok(Pulse {
                    said: format!("connected in {}", text::duration(took)),
                    took,
                });
            }
            Ok(Err(failed)) => failed.to_string(),
            Err(_) => "no connection".to_owned(),
        };
        Err(Ailment {
            measured: format!("{phase}: {said} after {}", text::duration(took)),
            wanted: format!("a connection to {} within {limit}", self.0.address),
            took,
            silent: true,
        })
    }
}
