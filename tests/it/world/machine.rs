//! A machine with a real systemd as its first process, in namespaces of its own: its files are this
//! machine's with a layer over them, its network is this machine's. An sshd of its own lets people
//! in. It needs root, and ends with its owner, whatever becomes of that.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::children::output;
use super::patience::PATIENCE;
use super::ports;
use super::sshd::{fingerprint, furnish};

/// The machine.
pub(crate) struct Machine {
    folder: TempDir,
    port: u16,
    slots: [u16; 2],
    group: PathBuf,
    boot: Child,
}

/// Mounts what a system has, and becomes its first process. `$1` is the folder.
const BOOT: &str = r#"set -e
r=$1/root; mount -t tmpfs tmpfs "$r"; mkdir "$r/upper" "$r/work" "$r/all"
mount -t overlay -o "lowerdir=/,upperdir=$r/upper,workdir=$r/work" overlay "$r/all"; cd "$r/all"
mount -t proc proc proc; mount --bind proc/sys proc/sys; mount -o remount,ro,bind proc/sys
mount -t sysfs -o ro sysfs sys; mount -t cgroup2 cgroup2 sys/fs/cgroup
mount --rbind /dev dev; mount -t tmpfs tmpfs run; mount -t tmpfs tmpfs var/log
mkdir -p ".$1"; mount --bind "$1" ".$1"; mount --bind "$1/units" etc/systemd/system
for one in sysinit local-fs sockets timers multi-user; do
    d=lib/systemd/system/$one.target.wants; if test -d $d; then mount -t tmpfs tmpfs $d; fi
done
mount -t tmpfs tmpfs lib/systemd/system-generators
# A login's own shell scripts are none of the tests' matter, and may take long.
sed -i 's|^root:.*|root:x:0:0::/tmp:/bin/sh|' etc/passwd
for who in deploy clerk; do
    id=1500; if test $who = clerk; then id=1501; fi
    echo "$who:x:$id:$id::/tmp:/bin/sh" >> etc/passwd; echo "$who:*:19000:0:99999:7:::" >> etc/shadow
done
echo 'deploy ALL=(root) NOPASSWD: ALL' > etc/sudoers.d/deploy; chmod 440 etc/sudoers.d/deploy
echo web-1 > etc/hostname; echo '127.0.0.1 localhost web-1' > etc/hosts
exec env -i container=cutover PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    chroot . /lib/systemd/systemd --system --unit=web.target --show-status=no --log-target=null"#;

/// What it starts, and the units of an application, whose version says how it behaves.
const UNITS: [(&str, &str); 6] = [
    (
        "web.target",
        "[Unit]\nDefaultDependencies=no\nWants=systemd-journald.service sshd-of-tests.service\n",
    ),
    (
        "sshd-of-tests.service",
        "[Service]\nRuntimeDirectory=sshd\nExecStart=/usr/sbin/sshd -D -e -f DIR/sshd_config\nStandardError=append:DIR/log\nTimeoutStopSec=1s\n",
    ),
    (
        "shop@.service",
        "[Service]\nType=notify\nEnvironmentFile=DIR/%i.env\nExecStart=/usr/bin/python3 DIR/app.py\nRestart=always\nTimeoutStopSec=2s\n",
    ),
    (
        "once@.service",
        "[Service]\nType=notify\nEnvironmentFile=DIR/%i.env\nExecStart=/usr/bin/python3 DIR/app.py\n",
    ),
    ("odd@.service", "[Service]\nExecStart=./odd\n"),
    (
        "unmet@.service",
        "[Unit]\nConditionPathExists=/gone\n[Service]\nExecStart=/bin/sleep 99\n",
    ),
];

const APP: &str = r#"import http.server, os, signal, socket, sys
version = os.environ.get("VERSION", "none")
if "stays" in version:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("release", version, flush=True)
if "crash" in version:
    sys.exit("cannot read the config")
class App(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = version.encode()
        self.send_response(500 if "ill" in version and self.path != "/release" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 100
server = Server(("127.0.0.1", int(os.environ["PORT"])), App)
if "never" not in version:
    to = os.environ["NOTIFY_SOCKET"].replace("@", "\0", 1)
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", to)
server.serve_forever()
"#;

impl Machine {
    /// Starts it, and waits until its sshd listens.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let (port, slots) = (ports::free(), [ports::free(), ports::free()]);
        furnish(at, &format!("127.0.0.1:{port}"), "");
        fs::create_dir(at.join("root")).unwrap();
        fs::create_dir(at.join("units")).unwrap();
        for (name, text) in UNITS {
            let text = text.replace("DIR", at.to_str().unwrap());
            fs::write(at.join("units").join(name), text).unwrap();
        }
        fs::write(at.join("app.py"), APP).unwrap();
        for (slot, port) in ["blue", "green"].iter().zip(slots) {
            fs::write(at.join(format!("{slot}.env")), format!("PORT={port}\n")).unwrap();
        }
        let group = group(port);
        fs::create_dir(&group).unwrap();
        // In the group first, so that its own namespace begins there; then nothing outlives us.
        let into = format!(
            "echo $$ > {}/cgroup.procs && exec setpriv --pdeathsig KILL unshare --mount --uts --pid --fork --kill-child --cgroup sh -c \"$0\" sh \"$1\"",
            group.display()
        );
        let boot = Command::new("sh")
            .args(["-c", &into, BOOT])
            .arg(at)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(at.join("boot")).unwrap())
            .spawn()
            .unwrap();
        let mut machine = Self {
            folder,
            port,
            slots,
            group,
            boot,
        };
        machine.wait_for_sshd();
        machine
    }

    /// Waits until it lets people in.
    pub(crate) fn wait_for_sshd(&mut self) {
        let began = Instant::now();
        let at = self.folder.path().to_owned();
        let log = |name: &str| fs::read_to_string(at.join(name)).unwrap_or_default();
        while !log("log").contains("Server listening") {
            let ended = self.boot.try_wait().unwrap();
            let late = began.elapsed() > PATIENCE;
            assert!(
                ended.is_none() && !late,
                "systemd did not start: {} {}",
                log("boot"),
                log("log")
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// It as a host of a config, for a login.
    pub(crate) fn host(&self, login: &str) -> Value {
        json!({
            "kind": "ssh", "address": format!("{login}@127.0.0.1:{}", self.port),
            "key": self.path("deploy"), "host-key": fingerprint(&self.path("host").display().to_string()),
        })
    }

    /// The address of a slot.
    pub(crate) fn url(&self, slot: &str) -> String {
        let port = self.slots[usize::from(slot == "green")];
        format!("http://127.0.0.1:{port}")
    }

    /// What a slot serves; nothing where nobody answers.
    pub(crate) fn served(&self, slot: &str) -> String {
        let url = format!("{}/release", self.url(slot));
        let answer = Command::new("curl")
            .args(["-s", "-m", "60", &url])
            .output()
            .unwrap();
        String::from_utf8(answer.stdout).unwrap()
    }

    /// A file of its folder, which is the same on both sides.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What is in the drop-in of a slot's unit.
    pub(crate) fn drop_in(&self, unit: &str) -> Option<String> {
        fs::read_to_string(self.path(&format!("units/{unit}.d/50-cutover.conf"))).ok()
    }

    /// A command on it, as root.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let boot = self.boot.id();
        let children = format!("/proc/{boot}/task/{boot}/children");
        let first = fs::read_to_string(children).unwrap();
        let mut command = Command::new("nsenter");
        command
            .args(["-t", first.trim(), "-m", "-u", "-p", "-r"])
            .args(words);
        command
    }

    /// Runs one.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        output(&mut self.command(words))
    }

    /// What systemd says of a unit.
    pub(crate) fn state(&self, unit: &str) -> String {
        let said = self.run(&["systemctl", "is-active", unit]).stdout;
        String::from_utf8(said).unwrap().trim().to_owned()
    }

    /// Its sshd ends, and with it all connections. Stopped first, it lets nobody in whom we would
    /// not see.
    pub(crate) fn vanish(&self) {
        for how in [
            &["kill", "--kill-whom=main", "--signal=STOP"][..],
            &["kill", "--signal=KILL"],
            &["stop"],
        ] {
            let told = self.run(&[&["systemctl"], how, &["sshd-of-tests"]].concat());
            assert!(told.status.success(), "{how:?}: {told:?}");
        }
        fs::write(self.path("log"), "").unwrap();
    }

    /// It is back.
    pub(crate) fn come_back(&mut self) {
        assert!(
            self.run(&["systemctl", "start", "sshd-of-tests"])
                .status
                .success()
        );
        self.wait_for_sshd();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.boot.kill();
        let _ = self.boot.wait();
        // The kernel ends them all, and a group is empty a little later.
        let began = Instant::now();
        while !emptied(&self.group) && began.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A place of its own among the control groups.
fn group(port: u16) -> PathBuf {
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let mut mounts = mounts.lines().map(|line| line.split(' '));
    let found = mounts.find_map(|mut line| {
        let place = line.nth(1)?;
        (line.next()? == "cgroup2").then(|| PathBuf::from(place))
    });
    let found = found.expect("control groups of version 2 are needed");
    found.join(format!("cutover-tests-{port}"))
}

/// Whether a group and those below it are gone.
fn emptied(group: &Path) -> bool {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            emptied(&entry.path());
        }
    }
    fs::remove_dir(group).is_ok() || !group.exists()
}
