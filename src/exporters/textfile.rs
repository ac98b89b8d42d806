//! A file of series, as the node exporter's textfile collector reads it.
//!
//! Counters go on from what the file holds. Runs on one machine take turns by a lock on the
//! file's directory, and readers see the old file or the new one.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use rustix::fs::{FlockOperation, flock};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::kinds::{Kind, plain_schema};
use crate::model::measure::{Labels, Measure};
use crate::platform::atomic_file::{directory_of, replace_aside};

use super::series::Series;
use super::{ExportError, Exporter, Tools, exposition};

/// Its line in the table.
pub(super) const KIND: Kind<dyn Exporter, Tools> = Kind {
    name: "textfile",
    about: "A file for the node exporter's textfile collector; counters go on from what it holds.",
    schema: plain_schema::<Options>,
    build: |block, tools| {
        let options: Options = block.options()?;
        if Path::new(&options.path)
            .extension()
            .is_none_or(|it| it != "prom")
        {
            return Err(format!(
                "path: {} does not end in .prom, and the collector reads no other files",
                options.path
            ));
        }
        Ok(Box::new(Textfile {
            path: tools.directory.join(&options.path),
            shown: options.path,
        }))
    },
};

/// Between two tries to get the directory's lock.
const PAUSE: Duration = Duration::from_millis(20);

/// What the kind takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The file, which ends in `.prom`; relative to the workspace. Only Cutover writes it.
    path: String,
}

struct Textfile {
    path: PathBuf,
    shown: String,
}

#[async_trait]
impl Exporter for Textfile {
    fn told(&self) -> String {
        self.shown.clone()
    }

    async fn export(&self, measures: &[Measure], labels: &Labels) -> Result<(), ExportError> {
        let failed = |failed: io::Error| ExportError(failed.to_string());
        let directory = File::open(directory_of(&self.path)).map_err(failed)?;
        while let Err(held) = flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            if held.kind() != ErrorKind::WouldBlock {
                return Err(failed(held.into()));
            }
            tokio::time::sleep(PAUSE).await;
        }
        let mut series = read(&self.path)?;
        series.add(measures, labels);
        let text = exposition::write(&series);
        replace_aside(&self.path, text.as_bytes())
            .await
            .map_err(failed)
    }
}

/// What the file holds. One that somebody else writes is left alone.
fn read(path: &Path) -> Result<Series, ExportError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(none) if none.kind() == ErrorKind::NotFound => String::new(),
        Err(failed) => return Err(ExportError(failed.to_string())),
    };
    let mut series = Series::default();
    for sample in exposition::read(&text) {
        let sample = sample.map_err(|said| {
            ExportError(format!(
                "{said}; move the file away, and counters begin anew"
            ))
        })?;
        let name = sample.name.clone();
        if !exposition::put(&mut series, sample) {
            return Err(ExportError(format!(
                "it holds {name}, which is not written here; give Cutover a file of its own"
            )));
        }
    }
    Ok(series)
}
