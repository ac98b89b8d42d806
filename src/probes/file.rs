//! A look at a file: that it is there, is fresh, and holds a text.
//!
//! Only regular files are read, and no more than their first mebibyte.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Ailment, Probe, Pulse, Subject, Tools};
use crate::config::kinds::{Kind, plain_schema};
use crate::config::units::Span;
use crate::platform::secret::Vault;
use crate::platform::text;

/// The kind's entry in the table.
pub(super) const KIND: Kind<dyn Probe, Tools> = Kind {
    name: "file",
    about: "Looks at a file on this machine.",
    schema: plain_schema::<Options>,
    build: |block, tools| {
        let options: Options = block.options()?;
        if options.path.trim().is_empty() {
            return Err("path: there is no path".to_owned());
        }
        Ok(Box::new(File {
            path: tools.directory.join(&options.path),
            vault: tools.vault.clone(),
            options,
        }))
    },
};

/// How much of a file is read.
const CAP: u64 = 1 << 20;

/// How long the file system may take; one on the network may never answer.
const TIMEOUT: Span = Span::secs(5);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    /// The file.
    #[schemars(length(min = 1))]
    path: String,
    /// A text that must be in it.
    contains: Option<String>,
    /// It must have been written within that time.
    newer_than: Option<Span>,
}

struct File {
    options: Options,
    path: PathBuf,
    vault: Vault,
}

/// What a file is.
struct Seen {
    age: Duration,
    content: String,
}

#[async_trait]
impl Probe for File {
    fn told(&self) -> String {
        format!("file {}", self.options.path)
    }

    async fn look(&self, _: &Subject) -> Result<Pulse, Ailment> {
        let began = Instant::now();
        let path = self.path.clone();
        let reading = tokio::task::spawn_blocking(move || read(&path));
        let seen = match tokio::time::timeout(TIMEOUT.get(), reading).await {
            Ok(Ok(seen)) => seen.map_err(|failed| failed.to_string()),
            Ok(Err(broken)) => Err(broken.to_string()),
            Err(_) => Err(format!("no answer of the file system within {TIMEOUT}")),
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
            && !seen.content.contains(part.as_str())
        {
            let begin = text::excerpt(&self.vault.redact(&seen.content), 200);
            let measured = format!("{path} begins with \"{begin}\"");
            return ail(measured, format!("\"{part}\" in it"), false);
        }
        Ok(Pulse {
            said: format!("is there, written {age} ago"),
            took,
        })
    }
}

fn read(path: &Path) -> io::Result<Seen> {
    let about = fs::metadata(path)?;
    if !about.is_file() {
        // To open a pipe would be to wait for its other end.
        return Err(io::Error::other("this is not a regular file"));
    }
    let mut content = Vec::new();
    fs::File::open(path)?.take(CAP).read_to_end(&mut content)?;
    Ok(Seen {
        // Written in the future is a clock that was set, and as fresh as can be.
        age: about.modified()?.elapsed().unwrap_or_default(),
        content: String::from_utf8_lossy(&content).into_owned(),
    })
}
