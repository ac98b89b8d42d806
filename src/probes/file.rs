//! A look at a file: that it is there, is fresh, and holds a text.
//!
//! Only regular files are read, and no more than their first mebibyte.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Ailment, Probe, Pulse, Subject, Tools};
use crate::config::kinds::{Kind, plain_schema};
use crate::config::units::Span;
use crate::platform::host::{Host, on};
use crate::platform::secret::Vault;
use crate::platform::text;

/// The kind's entry in the table.
pub(super) const KIND: Kind<dyn Probe, Tools> = Kind {
    name: "file",
    about: "Looks at a file on this machine or a host.",
    schema: plain_schema::<Options>,
    build: |block, tools| {
        let options: Options = block.options()?;
        if options.path.trim().is_empty() {
            return Err("path: there is no path".to_owned());
        }
        let host = tools.hosts.named(options.host.as_deref())?;
        Ok(Box::new(File {
            path: match options.host {
                None => tools.directory.join(&options.path),
                Some(_) => PathBuf::from(&options.path),
            },
            host,
            vault: tools.vault.clone(),
            options,
        }))
    },
};

/// How much of a file is read.
const CAP: u64 = 1 << 20;

/// How long the file system may take; one on the network may never answer.
const TIMEOUT: Span = Span::secs(5);

/// The same for a file on another machine.
const FAR_AWAY: Span = Span::secs(30);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    /// The file.
    #[schemars(length(min = 1))]
    path: String,
    /// The machine that has it, one of `hosts`. Default: this one.
    host: Option<String>,
    /// A text that must be in it.
    contains: Option<String>,
    /// It must have been written within that time.
    newer_than: Option<Span>,
}

struct File {
    options: Options,
    host: Arc<dyn Host>,
    path: PathBuf,
    vault: Vault,
}

#[async_trait]
impl Probe for File {
    fn told(&self) -> String {
        format!("file {}{}", self.options.path, on(&*self.host))
    }

    async fn look(&self, _: &Subject) -> Result<Pulse, Ailment> {
        let began = Instant::now();
        // One that is far away has deadlines of its own, and a connection to make.
        let limit = match self.host.name() {
            None => TIMEOUT,
            Some(_) => FAR_AWAY,
        };
        let reading = self.host.read(&self.path, CAP);
        let seen = match tokio::time::timeout(limit.get(), reading).await {
            Ok(seen) => seen.map_err(|failed| failed.to_string()),
            Err(_) => Err(format!("no answer of the file system within {limit}")),
        };
        let took = began.elapsed();
        let path = self.path.display();
        let ail = |measured: String, wanted: String, silent| {
            Err(Ailment {
                measured,
                wanted,
                took,
                silent,
                unseen: false,
            })
        };
        let seen = match seen {
            Ok(seen) => seen,
            Err(said) => return ail(format!("{path}: {said}"), "a file there".to_owned(), true),
        };
        let age = text::duration(seen.age);
        if let Some(limit) = self.options.newer_than
            && seen.age > limit.get()
        {
            let measured = format!("{path} was written {age} ago");
            return ail(measured, format!("at most {limit} ago"), false);
        }
        if let Some(part) = &self.options.contains
            && let content = String::from_utf8_lossy(&seen.content)
            && !content.contains(part.as_str())
        {
            let begin = text::excerpt(&self.vault.redact(&content), 200);
            let measured = format!("{path} begins with \"{begin}\"");
            return ail(measured, format!("\"{part}\" in it"), false);
        }
        Ok(Pulse {
            said: format!("is there, written {age} ago"),
            took,
        })
    }
}
