//! The page of a run, written where the user wants it, whatever the ending is. What goes wrong here
//! is a warning.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::model::event::{Event, Fact};
use crate::platform::atomic_file;
use crate::report::page::{self, Imprint};

use super::session::Session;

impl Session {
    /// Writes the page, if one is wanted.
    pub(super) fn write_report(&self) {
        let Some(wanted) = &self.report_file else {
            return;
        };
        let imprint = Imprint {
            run_url: self.context.run_url.as_deref(),
            at: Timestamp::now(),
        };
        let vault = &self.vault;
        let html = self
            .summary
            .with(|summary| page::html(summary.heard(), &imprint, vault));
        let written = place(&self.context.workspace, wanted).and_then(|path| {
            atomic_file::replace(&path, html.as_bytes()).map_err(|failed| failed.to_string())
        });
        (self.say)(match written {
            // A later step looks for it in the workspace, which it may know by another path.
            Ok(()) => {
                let told = wanted.strip_prefix(&self.context.workspace);
                let told = told.unwrap_or(wanted).display().to_string();
                Event::Learned(Fact::ReportFile(told))
            }
            Err(said) => Event::Warned(format!(
                "report-file: {} was not written: {said}",
                wanted.display()
            )),
        });
    }
}

/// Where a file goes, with its directory made. A relative path stays in the workspace, also
/// through links: what lies there may be a stranger's pull request.
fn place(workspace: &Path, wanted: &Path) -> Result<PathBuf, String> {
    let path = workspace.join(wanted);
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err("it names no file".to_owned());
    };
    if !wanted.is_absolute() {
        let there = directory.ancestors().find(|it| it.exists());
        stays(workspace, there.unwrap_or(directory))?;
    }
    fs::create_dir_all(directory).map_err(|failed| failed.to_string())?;
    Ok(directory.join(name))
}

fn stays(workspace: &Path, directory: &Path) -> Result<(), String> {
    let real = |path: &Path| path.canonicalize().map_err(|failed| failed.to_string());
    match real(directory)?.starts_with(real(workspace)?) {
        true => Ok(()),
        false => Err("its directory is a link that leads out of the workspace".to_owned()),
    }
}
