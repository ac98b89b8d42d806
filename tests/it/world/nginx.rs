//! A real nginx: two slots behind one public port, a prefix and ports of its own.
//!
//! The slots answer with their name in `X-Slot` and their release in `X-Release`; at `/release`
//! they serve the file of that name in the directory named like the slot, if there is one. At
//! `/work` they do so, too: slowly where there is a file `slow` beside it, and with an error three
//! times of ten where there is one `broken`. What is asked at `/hold` is for whoever listens at
//! `hold.sock` to answer. What comes between the public port and the slots is for the test to say. It ends with its owner.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cutover::model::slot::{Slot, Slots};
use cutover::platform::http::{Http, Look};
use tempfile::TempDir;
use url::Url;

use super::patience::PATIENCE;
use super::ports;

const NGINX: &str = "/usr/sbin/nginx";

/// Where an nginx is going to run.
pub(crate) struct Site {
    directory: TempDir,
    /// Where users reach it.
    pub(crate) port: u16,
    /// For one more server, where a test wants one.
    pub(crate) spare: u16,
    blue: u16,
    green: u16,
}

impl Site {
    fn choose() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // The workers run as another user, as they do in life, and must be able to look in.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let [port, spare, blue, green] = [(); 4].map(|()| ports::free());
        Self {
            directory,
            port,
            spare,
            blue,
            green,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        let port = self.port;
        format!("http://127.0.0.1:{port}{path}").parse().unwrap()
    }

    /// blue and green, by their own ports.
    pub(crate) fn slots(&self) -> Slots {
        let slot = |name: &str, port: u16| Slot {
            name: name.to_owned(),
            url: format!("http://127.0.0.1:{port}/").parse().unwrap(),
        };
        Slots {
            first: slot("blue", self.blue),
            second: slot("green", self.green),
        }
    }

    /// A command line that runs this nginx's own binary on its own configuration.
    pub(crate) fn command(&self, arguments: &str) -> String {
        let at = self.directory.path().display();
        format!("{NGINX} -p {at} -e {at}/error.log -c {at}/nginx.conf {arguments}")
    }

    fn configuration(&self, lines: &Lines) -> String {
        let (at, port) = (self.directory().display(), self.port);
        let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temps: String = kinds.map(|k| format!("{k}_temp_path {at}/{k};\n")).concat();
        let slot = |name: &str, port: u16| {
            format!(
                "server {{ listen 127.0.0.1:{port}; add_header X-Slot {name}; \
                 add_header X-Release {name}-1; location / {{ return 200 \"{name}\\n\"; }} \
                 location = /release {{ root {at}/{name}; }} \
                 location = /hold {{ proxy_pass http://unix:{at}/hold.sock; }} \
                 location = /work {{ root {at}/{name}; \
                 if (-f {at}/{name}/slow) {{ set $limit_rate 20000; }} \
                 if (-f {at}/{name}/broken) {{ set $fate b$unlucky; }} \
                 if ($fate = b1) {{ return 500; }} }} }}\n"
            )
        };
        let unlucky = "split_clients $request_id $unlucky { 30% 1; * 0; }\n";
        let slots = [
            unlucky.to_owned(),
            slot("blue", self.blue),
            slot("green", self.green),
        ]
        .concat();
        let Lines { http, server } = lines;
        format!(
            "user www-data; daemon off; worker_processes 2; pid {at}/nginx.pid;\n\
             events {{ worker_connections 512; }}\n\
             http {{\naccess_log off;\n{temps}{slots}{http}\n\
             server {{ listen 127.0.0.1:{port};\n{server}\n}}\n}}\n"
        )
    }
}

/// What a test adds to the configuration.
pub(crate) struct Lines {
    /// In `http { }`.
    pub(crate) http: String,
    /// In the `server { }` of the public port.
    pub(crate) server: String,
}

/// A running nginx.
pub(crate) struct Nginx {
    pub(crate) site: Site,
    http: Http,
    master: Child,
}

impl Nginx {
    /// Starts one; `prepare` is told where and answers with its lines. A port that somebody
    /// else took in the meantime makes for another try on other ports.
    pub(crate) fn start(prepare: impl Fn(&Site) -> Lines) -> Self {
        let mut tries = 0;
        loop {
            let site = Site::choose();
            let lines = prepare(&site);
            fs::write(site.path("nginx.conf"), site.configuration(&lines)).unwrap();
            let master = Command::new("sh")
                .args(["-c", &format!("exec {}", site.command(""))])
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                // A group of its own, so that the workers end with the master.
                .process_group(0)
                .spawn()
                .unwrap();
            let mut nginx = Self {
                site,
                http: Http::default(),
                master,
            };
            if nginx.is_up() {
                return nginx;
            }
            tries += 1;
            let said = fs::read_to_string(nginx.site.path("error.log")).unwrap_or_default();
            assert!(tries < 5, "nginx did not start: {said}");
        }
    }

    /// Waits for the pid file, which the master writes when it has its ports.
    fn is_up(&mut self) -> bool {
        let began = Instant::now();
        let id = self.master.id().to_string();
        while began.elapsed() < PATIENCE {
            let pid = fs::read_to_string(self.site.path("nginx.pid")).unwrap_or_default();
            if pid.trim() == id {
                return true;
            }
            if self.master.try_wait().unwrap().is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    /// Changes the configuration on the disk; nginx does not know of it yet.
    pub(crate) fn edit(&self, from: &str, to: &str) {
        let path = self.site.path("nginx.conf");
        let old = fs::read_to_string(&path).unwrap();
        assert!(old.contains(from), "{from} is not in {old}");
        fs::write(&path, old.replacen(from, to, 1)).unwrap();
    }

    /// Asks the public port `times` times, each on a new connection; counts who answered.
    pub(crate) async fn answers(&self, times: usize) -> BTreeMap<String, usize> {
        let look = Look::at(self.site.url("/"), Duration::from_secs(5));
        let mut counted = BTreeMap::new();
        for _ in 0..times {
            let answer = self.http.look(&look).await.unwrap();
            let slot = answer.header("x-slot").unwrap_or("nobody").to_owned();
            assert_eq!(answer.header("x-release"), Some(&*format!("{slot}-1")));
            *counted.entry(slot).or_default() += 1;
        }
        counted
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.master);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.master.wait();
    }
}
