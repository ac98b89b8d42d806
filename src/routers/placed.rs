//! A file that says where traffic goes, on the machine where the proxy is: this one, or a host.
//!
//! On this machine it is read and replaced by calls of the system. On a host that is what `Host`
//! can do, and a few lines of a shell over there for what no other kind needs: links, and a file
//! that appears in one step in a directory that somebody watches.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{Access, access};
use tokio_util::sync::CancellationToken;

use super::lock::{self, Lock};
use super::{RouterError, Tools};
use crate::platform::atomic_file::{directory_of, replace_aside, replace_unseen_aside};
use crate::platform::host::{Host, HostError, Hosts, on};
use crate::platform::process::{End, Script};
use crate::platform::secret::Vault;
use crate::platform::text;

/// No such file is longer.
const LONGEST: u64 = 1 << 20;

/// How long a few lines of a shell may take over there.
const PATIENCE: Duration = Duration::from_secs(20);

/// Writes `$CONTENT` one directory above and renames it, so that the rename is all there is to
/// see; beside its place where the one above is another file system, or may not be written to.
const UNSEEN: &str = r#"d=$(cd -- "$(dirname -- "$FILE")" && pwd -P) || exit 1
a=$(dirname -- "$d")
test "$(stat -c %d -- "$a")" = "$(stat -c %d -- "$d")" || a=$d
t=$(mktemp "$a/.cutover-XXXXXX" 2>/dev/null) || t=$(mktemp "$d/.cutover-XXXXXX") || exit 1
trap 'rm -f -- "$t"' EXIT
m=$(stat -c %a -- "$FILE" 2>/dev/null) || m=644
printf %s "$CONTENT" > "$t" && chmod "$m" "$t" && { sync "$t" 2>/dev/null || sync; } || exit 1
mv -f -- "$t" "$FILE" && { sync "$d" 2>/dev/null || sync; }"#;

/// A file on the machine where the proxy is.
#[derive(Clone)]
pub(super) struct Placed {
    host: Arc<dyn Host>,
    path: PathBuf,
    vault: Vault,
}

impl Placed {
    /// A file as a block names it: below `directory` on this machine, an absolute path on a host.
    ///
    /// # Errors
    /// When there is no such host, or the path is not absolute there.
    pub(super) fn new(
        (key, path): (&str, &str),
        host: Option<&str>,
        (hosts, directory, vault): (&Hosts, &Path, &Vault),
    ) -> Result<Self, String> {
        let placed = |path| {
            Ok(Self {
                host: hosts.named(host)?,
                path,
                vault: vault.clone(),
            })
        };
        match host {
            None => placed(directory.join(path)),
            Some(_) if Path::new(path).is_absolute() => placed(path.into()),
            Some(_) => Err(format!("{key}: on a `host` the path must begin with /")),
        }
    }

    /// The same with the tools of a router.
    ///
    /// # Errors
    /// As [`Placed::new`].
    pub(super) fn of(
        (key, path): (&str, &str),
        host: Option<&str>,
        tools: &Tools,
    ) -> Result<Self, String> {
        let with = (&tools.hosts, tools.directory.as_path(), &tools.vault);
        Self::new((key, path), host, with)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn host(&self) -> &Arc<dyn Host> {
        &self.host
    }

    /// Whether it is on this machine.
    pub(super) fn is_here(&self) -> bool {
        self.host.name().is_none()
    }

    /// What stands in it.
    pub(super) async fn text(&self) -> Result<String, HostError> {
        if self.is_here() {
            return fs::read_to_string(&self.path).map_err(refused);
        }
        let seen = self.host.read(&self.path, LONGEST).await?;
        String::from_utf8(seen.content)
            .map_err(|_| HostError::Refused("it is not UTF-8".to_owned()))
    }

    /// Replaces it in one step. A link to it stays a link.
    pub(super) async fn write(&self, content: &str) -> Result<(), HostError> {
        let place = self.real().await;
        if self.is_here() {
            let written = replace_aside(&place, content.as_bytes()).await;
            return written.map_err(refused);
        }
        self.host.replace(&place, content.as_bytes()).await
    }

    /// The same for a file in a directory that somebody watches: a rename is all there is to see.
    pub(super) async fn write_unseen(&self, content: &str) -> Result<(), HostError> {
        if self.is_here() {
            let written = replace_unseen_aside(&self.path, content.as_bytes()).await;
            return written.map_err(refused);
        }
        let content = ("CONTENT".to_owned(), content.to_owned());
        self.shell(UNSEEN, &[content]).await.map(drop)
    }

    /// Where the content is: behind the links to it.
    async fn real(&self) -> PathBuf {
        if self.is_here() {
            return fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        }
        let found = self.shell(r#"readlink -f -- "$FILE""#, &[]).await;
        match found.as_deref() {
            Ok(place) if !place.is_empty() => PathBuf::from(place),
            _ => self.path.clone(),
        }
    }

    /// Whether it is a symbolic link.
    pub(super) async fn is_link(&self) -> Result<bool, HostError> {
        if self.is_here() {
            return Ok(self.path.is_symlink());
        }
        let asked = r#"if test -L "$FILE"; then echo y; else echo n; fi"#;
        Ok(self.shell(asked, &[]).await? == "y")
    }

    /// That it could be replaced.
    pub(super) async fn prepare(&self) -> Result<(), RouterError> {
        let real = self.real().await;
        let directory = directory_of(&real);
        unwritten(directory, self.host.writable(directory).await)
    }

    /// The same for a watched file: nothing is made in its directory, for that would be seen.
    pub(super) async fn prepare_unseen(&self) -> Result<(), RouterError> {
        let directory = directory_of(&self.path);
        let writable = match self.is_here() {
            true => access(directory, Access::WRITE_OK | Access::EXEC_OK)
                .map_err(|failed| refused(failed.into())),
            false => self.host.writable(directory).await,
        };
        unwritten(directory, writable)
    }

    /// Keeps other writers out, who are waited for at most `patience`.
    pub(super) async fn lock(&self, patience: Duration) -> Result<Lock, RouterError> {
        lock::take(&*self.host, &self.path, patience).await
    }

    /// The same where the content is, behind the links to it.
    pub(super) async fn lock_behind(&self, patience: Duration) -> Result<Lock, RouterError> {
        lock::take(&*self.host, &self.real().await, patience).await
    }

    /// Has a shell on a host do something with `$FILE`, and with variables of its own. Returns
    /// what it printed.
    pub(super) async fn shell(
        &self,
        run: &str,
        hidden: &[(String, String)],
    ) -> Result<String, HostError> {
        let lines = Mutex::new(Vec::new());
        let say = |line: String| {
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.push(line);
        };
        let file = ("FILE".to_owned(), self.path.to_string_lossy().into_owned());
        let script = Script {
            run,
            directory: Path::new(""),
            variables: &[file],
            timeout: PATIENCE,
            grace: Duration::ZERO,
            vault: &self.vault,
        };
        let live = CancellationToken::new();
        let ran = self.host.run(&script, hidden, &say, &live).await?;
        let said = lines.into_inner().unwrap_or_else(PoisonError::into_inner);
        let said = said.join("\n");
        match ran.end {
            End::Code(0) => Ok(said),
            End::Code(_) => Err(HostError::Refused(text::excerpt(&said, 200))),
            end => Err(HostError::Lost {
                said: format!("what was to be done{} {end}", on(&*self.host)),
                last_lines: ran.last_lines,
            }),
        }
    }
}

impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.path.display(), on(&*self.host))
    }
}

fn refused(failed: std::io::Error) -> HostError {
    HostError::Refused(failed.to_string())
}

fn unwritten(directory: &Path, asked: Result<(), HostError>) -> Result<(), RouterError> {
    asked.map_err(|failed| failed_at(&format!("writing in {}", directory.display()), failed))
}

/// What a failure means for a router, with what was being done.
pub(super) fn failed_at(what: &str, failed: HostError) -> RouterError {
    let said = format!("{what}: {failed}");
    match failed {
        HostError::OutOfReach(_) => RouterError::OutOfReach(said),
        HostError::Refused(_) => RouterError::Refused(said),
        HostError::Lost { .. } => RouterError::Lost(said),
    }
}
