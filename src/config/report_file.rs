//! The path of a run's page, as people write it.
//!
//! A relative one stays within the workspace: whoever may write a workflow's inputs need not be
//! whoever owns the machine. That no link leads out of it is seen when it is written.

use std::path::{Component, Path, PathBuf};

/// The path, or what is wrong with it.
///
/// # Errors
/// Where it leads out of the workspace, or names no file.
pub(super) fn path(text: &str) -> Result<PathBuf, &'static str> {
    let path = Path::new(text);
    let is_file = matches!(path.components().next_back(), Some(Component::Normal(_)));
    if text.ends_with('/') || text.contains('\0') || !is_file {
        return Err("must name a file, such as cutover-report.html");
    }
    let leads_out = path.components().any(|it| it == Component::ParentDir);
    if leads_out && !path.is_absolute() {
        return Err("must be a path in the workspace without `..`, or an absolute one");
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_path_stays_in_the_workspace() {
        for good in [
            "report.html",
            "out/report.html",
            "./r",
            "/tmp/r.html",
            "/a/../b",
        ] {
            assert!(path(good).is_ok(), "{good}");
        }
        for bad in [
            "../r.html",
            "a/../../r.html",
            "a/../r.html",
            "out/",
            "/",
            ".",
            "..",
            "a\0b",
        ] {
            assert!(path(bad).is_err(), "{bad}");
        }
    }
}
