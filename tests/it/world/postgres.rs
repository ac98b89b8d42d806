//! A real PostgreSQL with a cluster of its own. It refuses to run as root, so root runs it as its
//! own user.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::children::{left, output};
use super::patience::PATIENCE;
use super::ports;

/// A cluster, running or not.
pub(crate) struct Cluster {
    folder: TempDir,
    pub(crate) port: u16,
    server: Option<Child>,
}

impl Cluster {
    /// Makes a cluster that is not running; locals are trusted on its socket.
    pub(crate) fn new() -> Self {
        let cluster = Self::empty();
        let ended = program("initdb")
            .args([
                "-D",
                "data",
                "-U",
                "postgres",
                "-N",
                "-A",
                "trust",
                "--no-locale",
                "-E",
                "UTF8",
            ])
            .current_dir(cluster.folder.path())
            .output()
            .unwrap();
        assert!(ended.status.success(), "initdb: {ended:?}");
        cluster
    }

    fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        give(folder.path());
        Self {
            folder,
            port: ports::free(),
            server: None,
        }
    }

    /// Another cluster with the same data. This one must not be running.
    pub(crate) fn copy(&self) -> Self {
        let other = Self::empty();
        let ended = Command::new("cp")
            .args(["-a"])
            .arg(self.path("data"))
            .arg(other.path("data"))
            .status();
        assert!(ended.unwrap().success());
        other
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of the cluster, readable for the server alone.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.path("data").join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        give(&path);
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts the server with more settings. It may not answer yet.
    pub(crate) fn start(&mut self, settings: &[&str]) {
        let log = fs::File::create(self.path("log")).unwrap();
        let mut command = program("postgres");
        command.args(["-D", "data", "-F", "-h", "127.0.0.1", "-k"]);
        command.arg(self.folder.path());
        command.args(["-p", &self.port.to_string()]);
        for setting in ["shared_buffers=1MB", "log_min_messages=fatal"]
            .iter()
            .chain(settings)
        {
            command.args(["-c", setting]);
        }
        let started = command
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.server = Some(started.unwrap());
    }

    /// Waits until its log or its answers are as wanted.
    pub(crate) fn wait(&mut self, what: &str, there: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !there(self) {
            let ended = self.server.as_mut().unwrap().try_wait().unwrap();
            let log = || fs::read_to_string(self.path("log")).unwrap();
            assert!(ended.is_none(), "postgres ended: {}", log());
            assert!(began.elapsed() < PATIENCE, "{what}: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until locals can log in.
    pub(crate) fn wait_until_it_answers(&mut self) {
        self.wait("postgres answers", |it| {
            it.psql("SELECT 1").status.success()
        });
    }

    /// Runs SQL as its owner over its socket.
    pub(crate) fn sql(&self, sql: &str) -> String {
        let ended = self.psql(sql);
        assert!(ended.status.success(), "{sql}: {ended:?}");
        String::from_utf8(ended.stdout).unwrap().trim().to_owned()
    }

    fn psql(&self, sql: &str) -> std::process::Output {
        let mut psql = program("psql");
        psql.args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "postgres",
            "-d",
            "postgres",
        ])
        .args(["-p", &self.port.to_string(), "-h"])
        .arg(self.folder.path())
        .args(["-c", sql])
        .current_dir("/");
        output(&mut psql)
    }
}

impl Cluster {
    /// Ends the server as an operator does, with its data in order.
    pub(crate) fn stop(&mut self) {
        self.end(rustix::process::Signal::INT);
    }

    fn end(&mut self, how: rustix::process::Signal) {
        if let Some(mut server) = self.server.take() {
            let pid = rustix::process::Pid::from_child(&server);
            let _ = rustix::process::kill_process(pid, how);
            left(&mut server);
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end(rustix::process::Signal::QUIT);
    }
}

/// One of PostgreSQL's programs, as somebody who may run it.
fn program(name: &str) -> Command {
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let found = debian
        .filter_map(|version| Some(version.ok()?.path().join("bin").join(name)))
        .find(|path| path.exists());
    let path = found.unwrap_or_else(|| name.into());
    if !rustix::process::geteuid().is_root() {
        return Command::new(path);
    }
    let mut command = Command::new("setpriv");
    command
        .args([
            "--reuid=postgres",
            "--regid=postgres",
            "--clear-groups",
            "--",
        ])
        .arg(path);
    command
}

/// Makes somebody who may run PostgreSQL the owner.
fn give(path: &Path) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users
        .lines()
        .find(|line| line.starts_with("postgres:"))
        .unwrap();
    let mut ids = line.split(':').skip(2).map(|id| id.parse().unwrap());
    chown(path, ids.next(), ids.next()).unwrap();
}
