//! A real sshd on a port of its own, with keys of its own: one that gets a shell, one whose
//! login greets first, one whose login may do nothing. It ends with its owner, and so does
//! everybody who is logged in. Several of them are several machines, each at an address of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::patience::PATIENCE;
use super::ports;

/// The server.
pub(crate) struct Sshd {
    folder: TempDir,
    at: At,
    port: u16,
    server: Child,
}

/// Where a server is.
#[derive(Clone, Debug)]
pub(crate) struct At {
    /// The last number of its loopback address.
    pub(crate) last: u8,
    /// A folder of its own that it sees at a place where others see theirs.
    pub(crate) sees: Option<(PathBuf, PathBuf)>,
}

impl At {
    /// `127.0.0.N`, with the files that everybody has.
    pub(crate) const fn address(last: u8) -> Self {
        Self { last, sees: None }
    }
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
        Self::start_with("")
    }

    /// The same with more lines in its settings; `DIR` in them is its folder, `PORT` its port.
    pub(crate) fn start_with(more: &str) -> Self {
        Self::start_at(At::address(1), more)
    }

    /// On a machine that knows by a name of its own what nobody else knows: this machine's loopback.
    pub(crate) fn start_knowing(name: &str) -> Self {
        let names = tempfile::NamedTempFile::new().unwrap();
        fs::write(names.path(), format!("127.0.0.1 localhost {name}\n")).unwrap();
        // Kept by who has it mounted.
        let sees = Some((names.path().to_owned(), PathBuf::from("/etc/hosts")));
        Self::start_at(At { last: 1, sees }, "")
    }

    /// The same somewhere else.
    pub(crate) fn start_at(at: At, more: &str) -> Self {
        let mut tries = 0;
        loop {
            let folder = tempfile::tempdir().unwrap();
            let port = ports::free();
            furnish(folder.path(), &format!("127.0.0.{}:{port}", at.last), more);
            let server = serve(folder.path(), &at);
            let mut sshd = Self {
                folder,
                at: at.clone(),
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

    /// Where it is, for a host of the config.
    pub(crate) fn address(&self) -> String {
        format!("root@127.0.0.{}:{}", self.at.last, self.port)
    }

    /// The port that it listens on.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// A file of its own.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The fingerprint of the key that it shows.
    pub(crate) fn fingerprint(&self) -> String {
        fingerprint(&self.path("host"))
    }

    /// Makes a key as `ssh-keygen` is told, and lets it in. Returns the path of the private part.
    pub(crate) fn key(&self, name: &str, how: &[&str]) -> String {
        let path = self.folder.path().join(name);
        make_key(&path, how);
        let public = fs::read_to_string(path.with_extension("pub")).unwrap();
        self.let_in(&public);
        path.display().to_string()
    }

    /// Lets somebody in: a line of `authorized_keys`.
    pub(crate) fn let_in(&self, line: &str) {
        let path = self.folder.path().join("authorized_keys");
        let known = fs::read_to_string(&path).unwrap();
        fs::write(path, format!("{known}{line}")).unwrap();
    }

    /// It dies, and with it all connections, at once.
    pub(crate) fn vanish(&mut self) {
        self.killer()();
        let _ = self.server.wait();
    }

    /// The same, to be done by somebody else.
    pub(crate) fn killer(&self) -> impl Fn() + Clone + Send + 'static {
        let server = rustix::process::Pid::from_child(&self.server);
        let id = self.server.id();
        move || {
            // Stopped first, it lets nobody in whom we would not see.
            let _ = rustix::process::kill_process(server, rustix::process::Signal::STOP);
            for process in below(id).into_iter().chain([server]) {
                let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
            }
        }
    }

    /// It cuts all connections and goes on.
    pub(crate) fn cut(&self) {
        for process in below(self.server.id()) {
            let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
        }
    }

    /// It is back after it vanished, perhaps with another key.
    pub(crate) fn come_back(&mut self, with_another_key: bool) {
        if with_another_key {
            fs::remove_file(self.path("host")).unwrap();
            make_key(&self.folder.path().join("host"), &[]);
        }
        self.server = serve(self.folder.path(), &self.at);
        assert!(self.is_up(), "{}", self.log());
    }

    /// The command that reaches it with one of the keys.
    pub(crate) fn reach(&self, key: &str) -> String {
        format!(
            "ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no \
             -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -i {} -p {} 127.0.0.{}",
            self.folder.path().join(key).display(),
            self.port,
            self.at.last
        )
    }

    /// What it says of itself.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn is_up(&mut self) -> bool {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
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
        self.vanish();
    }
}

fn serve(folder: &Path, at: &At) -> Child {
    let sshd = "/usr/sbin/sshd";
    let mut command = match &at.sees {
        None => Command::new(sshd),
        Some((own, place)) => seeing(own, place, sshd),
    };
    command
        .args(["-D", "-e", "-f"])
        .arg(folder.join("sshd_config"))
        .stdin(Stdio::null())
        .stderr(fs::File::create(folder.join("log")).unwrap())
        .spawn()
        .unwrap()
}

/// The servers of single connections: sshd's children and their children of the same name.
fn below(server: u32) -> Vec<rustix::process::Pid> {
    let mut found = Vec::new();
    let mut open = vec![server.to_string()];
    while let Some(parent) = open.pop() {
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let name = stat.split_once('(').map_or("", |(_, rest)| rest);
            let after = stat.rsplit_once(") ").unwrap_or_default().1;
            if !name.starts_with("sshd") || after.split(' ').nth(1) != Some(&parent) {
                continue;
            }
            let id = entry.file_name().to_string_lossy().into_owned();
            let number = id.parse().ok().and_then(rustix::process::Pid::from_raw);
            found.extend(number);
            open.push(id);
        }
    }
    found
}

/// What `ssh-keygen` says of a key.
pub(crate) fn fingerprint(key: &str) -> String {
    let said = Command::new("ssh-keygen")
        .args(["-lf", key])
        .output()
        .unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    said.split(' ').nth(1).unwrap().to_owned()
}

/// A program that sees a folder at another place, as a machine of its own does. It needs root.
pub(crate) fn seeing(own: &Path, place: &Path, program: &str) -> Command {
    let mut command = Command::new("unshare");
    let mounted = "mount --bind \"$0\" \"$1\" && shift && exec \"$@\"";
    command.args(["--mount", "sh", "-c", mounted]);
    command.args([own, place]).arg(program);
    command
}

pub(super) fn furnish(folder: &Path, address: &str, more: &str) {
    let mut known = String::new();
    for (name, options) in KEYS {
        make_key(&folder.join(name), &[]);
        let public = fs::read_to_string(folder.join(name).with_extension("pub")).unwrap();
        known += &format!("{options}{public}");
    }
    make_key(&folder.join("host"), &[]);
    fs::write(folder.join("authorized_keys"), known).unwrap();
    let at = folder.display();
    let at_home = format!("ListenAddress {address}\n");
    let (_, port) = address.rsplit_once(':').unwrap();
    let listen = match more.contains("ListenAddress") {
        true => "",
        false => &at_home,
    };
    let config = format!(
        "{listen}HostKey {at}/host\nAuthorizedKeysFile {at}/authorized_keys\n\
         PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n\
         MaxStartups 300\n{}\n",
        more.replace("DIR", &at.to_string()).replace("PORT", port)
    );
    fs::write(folder.join("sshd_config"), config).unwrap();
    // As root it wants this place; the service's own start makes it otherwise.
    if rustix::process::geteuid().is_root() {
        fs::create_dir_all("/run/sshd").unwrap();
    }
}

/// A key, of ed25519 without a passphrase where nothing else is said.
pub(crate) fn make_key(path: &Path, how: &[&str]) {
    let usual = |flag: &str, value| match how.contains(&flag) {
        true => vec![],
        false => vec![flag.to_owned(), value],
    };
    let made = Command::new("ssh-keygen")
        .arg("-q")
        .args(usual("-t", "ed25519".to_owned()))
        .args(usual("-N", String::new()))
        .args(how)
        .arg("-f")
        .arg(path)
        .status()
        .unwrap();
    assert!(made.success());
}
