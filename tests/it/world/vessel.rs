//! A container that is a machine: BusyBox with all of its tools, and what a test puts beside it. It sees
//! this machine's `/tmp` and its network, so that a test sees what is done in it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::dockerd::Dockerd;
use super::registry::{busybox, load};

/// The container, `edge`, and its engine.
pub(crate) struct Vessel {
    pub(crate) dockerd: Dockerd,
}

impl Vessel {
    /// Starts one that has these programs of this machine, too.
    pub(crate) fn with(programs: &[&str]) -> Self {
        Self::running(programs, "exec sleep 100000", |_| {})
    }

    /// The same with a command of its own, and more in its image.
    pub(crate) fn running(programs: &[&str], command: &str, more: impl Fn(&Path)) -> Self {
        let dockerd = Dockerd::serving();
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        for part in ["bin", "tmp", "run", "etc", "dev", "proc"] {
            fs::create_dir_all(root.join(part)).unwrap();
        }
        fs::copy(busybox(), root.join("bin/busybox")).unwrap();
        let tools = Command::new(busybox()).arg("--list").output().unwrap();
        for tool in String::from_utf8(tools.stdout).unwrap().lines() {
            if tool != "busybox" {
                symlink("busybox", root.join("bin").join(tool)).unwrap();
            }
        }
        for program in programs {
            pack(Path::new(program), &root);
        }
        more(&root);
        load(&dockerd, &root, "box", "v1", "");
        let vessel = Self { dockerd };
        vessel.start("edge", "box:v1", &["sh", "-c", command]);
        vessel
    }

    /// Starts a container of an image.
    pub(crate) fn start(&self, name: &str, image: &str, command: &[&str]) {
        let body = json!({
            "Image": image, "Cmd": command,
            "HostConfig": { "NetworkMode": "host", "Binds": ["/tmp:/tmp"] },
        });
        let path = format!("/containers/create?name={name}");
        self.dockerd.ask("POST", &path, &body.to_string());
        self.act("start", name);
    }

    /// Has the engine do something to a container.
    pub(crate) fn act(&self, what: &str, name: &str) {
        self.dockerd
            .ask("POST", &format!("/containers/{name}/{what}"), "");
    }

    /// It as a host of a config.
    pub(crate) fn block(&self) -> Value {
        let engine = format!("unix://{}", self.dockerd.socket().display());
        json!({ "kind": "docker-exec", "container": "edge", "engine": engine })
    }
}

/// Puts a program of this machine, and the libraries that it needs, where they are here.
fn pack(program: &Path, root: &Path) {
    let needs = Command::new("ldd").arg(program).output().unwrap();
    let needs = String::from_utf8(needs.stdout).unwrap();
    let words = needs
        .split_whitespace()
        .filter(|word| word.starts_with('/'));
    let mut files: Vec<PathBuf> = words.map(PathBuf::from).collect();
    files.push(program.to_owned());
    for file in files {
        let to = root.join(file.strip_prefix("/").unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        // One of BusyBox is no more where a real one is put.
        let _ = fs::remove_file(&to);
        fs::copy(&file, &to).unwrap();
    }
    let name = program.file_name().unwrap();
    let at = root.join("bin").join(name);
    if !at.exists() {
        symlink(program, at).unwrap();
    }
}
