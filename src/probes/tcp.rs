//! A look that opens a TCP connection and closes it: something listens there.
//!
//! Nothing is sent. Whether what listens is well is for another kind to see.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::reach::{self, Progress};
use super::{Ailment, Probe, Pulse, Subject, Tools};
use crate::config::address::Address;
use crate::config::kinds::{Kind, plain_schema};
use crate::config::units::Span;
use crate::platform::secret::Vault;

/// The kind's entry in the table.
pub(super) const KIND: Kind<dyn Probe, Tools> = Kind {
    name: "tcp",
    about: "Opens a TCP connection.",
    schema: plain_schema::<Options>,
    build: |block, tools| {
        Ok(Box::new(Tcp {
            options: block.options()?,
            vault: tools.vault.clone(),
        }))
    },
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    /// Where to: `host:port`, `[::1]:6379`.
    address: Address,
    /// How long it may take. Default 5s.
    #[serde(default = "five_seconds")]
    timeout: Span,
}

fn five_seconds() -> Span {
    Span::secs(5)
}

struct Tcp {
    options: Options,
    vault: Vault,
}

#[async_trait]
impl Probe for Tcp {
    fn told(&self) -> String {
        format!("TCP {}", self.options.address)
    }

    async fn look(&self, _: &Subject) -> Result<Pulse, Ailment> {
        let Options { address, timeout } = &self.options;
        let wanted = format!("a connection to {address} within {timeout}");
        let progress = Progress::default();
        let work = async {
            reach::connect(address, &progress).await?;
            Ok("connected".to_owned())
        };
        reach::within(timeout.get(), wanted, &self.vault, &progress, work).await
    }
}
