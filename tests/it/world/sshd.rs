//! A real sshd on a port of its own, with keys of its own: one that gets a shell, one whose
//! login greets first, one whose login may do nothing. It ends with its owner.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::ports;

/// The server.
pub(crate) struct Sshd {
    folder: TempDir,
    port: u16,
    server: Child,
}

/// Whose key it is, and what the server does for it.
const KEYS: [(&str, &str); 3] = [
    ("deploy", ""),
    (
        "noisy",
        r#"command="echo Welcome to web-1; echo; echo '3 updates are due'; exec sh -c \"$SSH_ORIGINAL_COMMAND\"" "#,
    ),
    (
        "nobody",
        r#"command="echo This account is currently not available.; exit 1" "#,
    ),
];

impl Sshd {
    /// Makes the keys and waits until it listens.
    pub(crate) fn start() -> Self {
        let mut tries = 0;
        loop {
            let folder = tempfile::tempdir().unwrap();
            let port = ports::free();
            furnish(folder.path(), port);
            let server = Command::new("/usr/sbin/sshd")
                .args(["-D", "-e", "-f"])
                .arg(folder.path().join("sshd_config"))
                .stdin(Stdio::null())
                .stderr(fs::File::create(folder.path().join("log")).unwrap())
                .spawn()
                .unwrap();
            let mut sshd = Self {
                folder,
                port,
                server,
            };
            if sshd.is_up() {
                return sshd;
            }
            tries += 1;
            assert!(tries < 3, "sshd did not start: {}", sshd.log());
        }
    }

    /// The command that reaches it with one of the keys.
    pub(crate) fn reach(&self, key: &str) -> String {
        format!(
            "ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no \
             -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -i {} -p {} 127.0.0.1",
            self.folder.path().join(key).display(),
            self.port
        )
    }

    /// What it says of itself.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn is_up(&mut self) -> bool {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(10) {
            if self.log().contains("Server listening") {
                return true;
            }
            if self.server.try_wait().unwrap().is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn furnish(folder: &Path, port: u16) {
    let mut known = String::new();
    for (name, options) in KEYS {
        make_key(&folder.join(name));
        let public = fs::read_to_string(folder.join(name).with_extension("pub")).unwrap();
        known += &format!("{options}{public}");
    }
    make_key(&folder.join("host"));
    fs::write(folder.join("authorized_keys"), known).unwrap();
    let at = folder.display();
    let config = format!(
        "ListenAddress 127.0.0.1:{port}\nHostKey {at}/host\nAuthorizedKeysFile {at}/authorized_keys\n\
         PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
    );
    fs::write(folder.join("sshd_config"), config).unwrap();
    // As root it wants this place; the service's own start makes it otherwise.
    if rustix::process::geteuid().is_root() {
        fs::create_dir_all("/run/sshd").unwrap();
    }
}

fn make_key(path: &Path) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(path)
        .status()
        .unwrap();
    assert!(made.success());
}
