//! A look that opens a TCP connection and closes it: something listens there.
//!
//! Nothing is sent. Whether what listens is well is for another kind to see.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::reach::{self, Progress, Trouble};
use super::{Ailment, Probe, Pulse, Subject, Tools};
use crate::config::address::Address;
use crate::config::kinds::{Kind, plain_schema};
use crate::config::units::Span;
use crate::platform::host::{Host, Socket};
use crate::platform::secret::Vault;

/// The kind's entry in the table.
pub(super) const KIND: Kind<dyn Probe, Tools> = Kind {
    name: "tcp",
    about: "Opens a TCP connection.",
    schema: plain_schema::<Options>,
    build: |block, tools| {
        let options: Options = block.options()?;
        Ok(Box::new(Tcp {
            host: tools.hosts.named(options.host.as_deref())?,
            options,
            vault: tools.vault.clone(),
        }))
    },
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    /// Where to: `host:port`, `[::1]:6379`.
    address: Address,
    /// The machine from which to connect, one of `hosts`. Default: this one.
    host: Option<String>,
    /// How long it may take. Default 5s.
    #[serde(default = "five_seconds")]
    timeout: Span,
}

fn five_seconds() -> Span {
    Span::secs(5)
}

struct Tcp {
    options: Options,
    host: Arc<dyn Host>,
    vault: Vault,
}

#[async_trait]
impl Probe for Tcp {
    fn told(&self) -> String {
        format!("TCP {}{}", self.options.address, from(&*self.host))
    }

    async fn look(&self, _: &Subject) -> Result<Pulse, Ailment> {
        let Options {
            address, timeout, ..
        } = &self.options;
        let from = from(&*self.host);
        let wanted = format!("a connection to {address}{from} within {timeout}");
        let progress = Progress::default();
        let work = async {
            match self.host.name() {
                None => drop(reach::connect(address, &progress).await?),
                Some(_) => {
                    progress.at("host");
                    let to = Socket::Tcp(address.host().to_owned(), address.port());
                    let stream = self.host.connect(&to).await;
                    drop(stream.map_err(|failed| Trouble::silent(failed.to_string()))?);
                }
            }
            Ok("connected".to_owned())
        };
        reach::within(timeout.get(), wanted, &self.vault, &progress, work).await
    }
}

/// ` from web1`; nothing for this machine.
fn from(host: &dyn Host) -> String {
    let name = host.name();
    name.map_or_else(String::new, |name| format!(" from {name}"))
}
