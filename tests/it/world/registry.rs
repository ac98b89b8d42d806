//! A real registry of images, and tiny images of a real program for it: a web server that serves its
//! release, made of a static busybox. It lets nobody in without the password.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::dockerd::Dockerd;
use super::patience::PATIENCE;
use super::ports;

/// Who may push and pull.
pub(crate) const USER: &str = "robot";
/// With this.
pub(crate) const PASSWORD: &str = "s3cr3t-pushes";
/// The same, by bcrypt, which is all that the registry reads.
const HASHED: &str = "$2b$05$abcdefghijklmnopqrstuu53Dl20B0SVH4SGjQjcNHPpXMrKuIwVm";

/// What an image does when it is run; `MODE` is a variable of the container.
const PROGRAM: &str = "#!/bin/sh
echo \"release $(cat /www/release), mode ${MODE:-none}\"
case \"$MODE\" in
    exit) echo 'cannot read the config' >&2; exit 3;;
    eat) exec dd if=/dev/zero of=/dev/null bs=64M count=99;;
    crash) sleep 0.1; echo 'out of luck' >&2; exit 4;;
    ill) printf '#!/bin/sh\\nprintf \"Status: 500 Ill\\\\r\\\\n\\\\r\\\\n\"\\n' > /www/cgi-bin/page;;
esac
httpd -f -p 8080 -h /www &
trap 'kill $!; exit 0' TERM
wait
";

/// The registry. It ends with its owner.
pub(crate) struct Registry {
    folder: TempDir,
    port: u16,
    server: Child,
}

impl Registry {
    /// Starts one.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = ports::free();
        let at = folder.path();
        fs::write(at.join("users"), format!("{USER}:{HASHED}\n")).unwrap();
        let config = json!({
            "version": 0.1,
            "storage": { "filesystem": { "rootdirectory": at.join("images") }, "delete": { "enabled": true } },
            "http": { "addr": format!("127.0.0.1:{port}") },
            "auth": { "htpasswd": { "realm": "tests", "path": at.join("users") } },
        });
        fs::write(at.join("config.yml"), config.to_string()).unwrap();
        let server = Command::new("docker-registry")
            .arg("serve")
            .arg(at.join("config.yml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(at.join("log")).unwrap())
            .spawn()
            .unwrap();
        let registry = Self {
            folder,
            port,
            server,
        };
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = fs::read_to_string(registry.folder.path().join("log")).unwrap();
            assert!(began.elapsed() < PATIENCE, "no registry: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
        registry
    }

    /// The name of the application's image in it.
    pub(crate) fn name(&self) -> String {
        format!("127.0.0.1:{}/shop", self.port)
    }

    /// Builds an image of a release on an engine and pushes it there; its digest. The engine does
    /// not have it afterwards.
    pub(crate) fn push(&self, dockerd: &Dockerd, release: &str, padding: usize) -> String {
        let name = self.name();
        import(dockerd, &name, release, padding);
        let auth = URL_SAFE.encode(json!({ "username": USER, "password": PASSWORD }).to_string());
        let auth = format!("X-Registry-Auth: {auth}");
        let path = format!("/images/{name}/push?tag={release}");
        let (status, said) = dockerd.api("POST", &path, "", &["-H", &auth]);
        assert!(status == 200 && !said.contains("\"error\""), "{said}");
        let line = said.lines().find(|line| line.contains("\"aux\"")).unwrap();
        let line: Value = serde_json::from_str(line).unwrap();
        dockerd.ask("DELETE", &format!("/images/{name}:{release}?force=1"), "");
        line["aux"]["Digest"].as_str().unwrap().to_owned()
    }
}

impl Registry {
    /// Waits until somebody pulls a layer, and says no more then.
    pub(crate) fn freeze_in_a_layer(&self) {
        let began = Instant::now();
        let log = || fs::read_to_string(self.folder.path().join("log")).unwrap();
        let pulls = |log: &str| {
            let of_layer = |line: &&str| {
                line.contains("authorized request")
                    && line.contains("GET")
                    && line.contains("/blobs/")
            };
            log.lines().filter(of_layer).count()
        };
        // Two: the image's own document is a blob, too.
        let enough = pulls(&log()) + 2;
        while pulls(&log()) < enough {
            assert!(began.elapsed() < PATIENCE, "nobody pulls: {}", log());
        }
        self.signal(Signal::STOP);
    }

    /// Goes on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.server), signal).unwrap();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Builds an image on an engine, with so many bytes in it that nobody can pack.
pub(crate) fn import(dockerd: &Dockerd, name: &str, release: &str, padding: usize) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    for part in ["bin", "www/cgi-bin", "tmp"] {
        fs::create_dir_all(root.join(part)).unwrap();
    }
    fs::copy(busybox(), root.join("bin/busybox")).unwrap();
    for tool in ["sh", "cat", "dd", "sleep", "httpd", "wget"] {
        symlink("busybox", root.join("bin").join(tool)).unwrap();
    }
    fs::write(root.join("www/release"), format!("{release}\n")).unwrap();
    fs::write(root.join("www/index.html"), "a page\n").unwrap();
    let page = "#!/bin/sh\necho 'Content-Type: text/plain'\necho\ncat /www/release\n";
    for (name, text) in [("bin/app", PROGRAM), ("www/cgi-bin/page", page)] {
        fs::write(root.join(name), text).unwrap();
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut noise = fs::File::open("/dev/urandom").unwrap();
    let mut file = fs::File::create(root.join("padding")).unwrap();
    std::io::copy(
        &mut std::io::Read::by_ref(&mut std::io::Read::take(&mut noise, padding as u64)),
        &mut file,
    )
    .unwrap();
    let changes = "&changes=CMD%20%5B%22/bin/app%22%5D&changes=EXPOSE%208080";
    load(dockerd, &root, name, release, changes);
}

/// Makes an image of a folder.
pub(crate) fn load(dockerd: &Dockerd, root: &Path, name: &str, release: &str, changes: &str) {
    let tar = root.with_extension("tar");
    let packed = Command::new("tar")
        .arg("-C")
        .arg(root)
        .arg("-cf")
        .arg(&tar)
        .arg(".")
        .status();
    assert!(packed.unwrap().success());
    let path = format!("/images/create?fromSrc=-&repo={name}&tag={release}{changes}");
    let body = format!("@{}", tar.display());
    let (status, said) = dockerd.api("POST", &path, &body, &[]);
    assert!(status == 200 && !said.contains("\"error\""), "{said}");
}

/// One that needs no libraries.
pub(crate) fn busybox() -> PathBuf {
    let places = ["/usr/bin/busybox", "/bin/busybox"].map(PathBuf::from);
    let found = places.into_iter().find(|place| place.exists());
    found.expect("the package busybox-static is needed")
}
