//! A real Caddy with an admin API, before two slots that are an nginx of their own.
//!
//! The slots are not Caddy's, for what Caddy restarts must not be what is counted. `tests/run`
//! installs it: Debian's is older than the admin API's `ETag` header.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cutover::platform::http::{Http, Look};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::patience::PATIENCE;
use super::ports;
use super::stand_in::{Asked, Reply};

/// Where a Caddy is going to run.
pub(crate) struct Site {
    directory: TempDir,
    /// Where users reach it.
    pub(crate) port: u16,
    /// Its admin API.
    pub(crate) admin: u16,
}

impl Site {
    fn choose() -> Self {
        let [port, admin] = [(); 2].map(|()| ports::free());
        let directory = tempfile::tempdir().unwrap();
        Self {
            directory,
            port,
            admin,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A Caddyfile with these lines in the site's block.
    pub(crate) fn caddyfile(&self, lines: &str) -> String {
        let (admin, port) = (self.admin, self.port);
        format!(
            "{{\n\tadmin 127.0.0.1:{admin}\n}}\nhttp://:{port} {{\n\tbind 127.0.0.1\n{lines}\n}}\n"
        )
    }

    /// A configuration in JSON with this handler for all requests.
    pub(crate) fn json(&self, handler: &Value) -> String {
        let (admin, port) = (self.admin, self.port);
        let route = json!({ "handle": [handler] });
        let server = json!({ "listen": [format!("127.0.0.1:{port}")], "routes": [route] });
        let apps = json!({ "http": { "servers": { "shop": server } } });
        json!({ "admin": { "listen": format!("127.0.0.1:{admin}") }, "apps": apps }).to_string()
    }
}

/// A running Caddy.
pub(crate) struct Caddy {
    pub(crate) site: Site,
    http: Http,
    server: Child,
}

/// The program; `tests/run` puts it where `tests/workflows` has its tools.
pub(crate) fn program() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let ours = cache.map(|cache| cache.join("cutover-test-tools/bin/caddy"));
    ours.filter(|ours| ours.exists())
        .unwrap_or_else(|| "caddy".into())
}

impl Caddy {
    /// Starts one with the configuration that `prepare` makes for the place, a Caddyfile or JSON.
    /// A port that somebody else took in the meantime makes for another try on other ports.
    pub(crate) fn start(prepare: impl Fn(&Site) -> String) -> Self {
        let mut tries = 0;
        loop {
            let site = Site::choose();
            fs::write(site.path("config"), prepare(&site)).unwrap();
            let mut caddy = Self {
                server: run(&site, &[]),
                http: Http::default(),
                site,
            };
            if caddy.is_up() {
                return caddy;
            }
            tries += 1;
            let said = fs::read_to_string(caddy.site.path("log")).unwrap_or_default();
            assert!(tries < 5, "Caddy did not start: {said}");
        }
    }

    /// Ends it at once and starts it anew, with more arguments.
    pub(crate) fn restart(&mut self, arguments: &[&str]) {
        self.stop();
        self.server = run(&self.site, arguments);
        let up = self.is_up();
        let said = fs::read_to_string(self.site.path("log")).unwrap_or_default();
        assert!(up, "Caddy did not start: {said}");
    }

    pub(crate) fn stop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }

    fn is_up(&mut self) -> bool {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let ports = [self.site.port, self.site.admin];
            if ports.map(connect).iter().all(Option::is_some) {
                return true;
            }
            if self.server.try_wait().unwrap().is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// What is at a place of the admin API.
    pub(crate) fn config(&self, place: &str) -> String {
        ask(self.site.admin, "GET", place, None, b"").1
    }

    /// Changes something through the admin API, as somebody else does.
    pub(crate) fn change(&self, method: &str, place: &str, body: &Value) {
        let body = body.to_string();
        let (head, said) = ask(self.site.admin, method, place, None, body.as_bytes());
        assert!(head.starts_with("HTTP/1.1 200"), "{head}\n{said}");
    }

    /// Asks the public port `times` times, each on a new connection; counts who answered.
    pub(crate) async fn answers(&self, times: usize) -> BTreeMap<String, usize> {
        let url = format!("http://127.0.0.1:{}/", self.site.port);
        let look = Look::at(url.parse().unwrap(), Duration::from_secs(5));
        let mut counted = BTreeMap::new();
        for _ in 0..times {
            let answer = self.http.look(&look).await.unwrap();
            let slot = answer.header("x-slot").unwrap_or("nobody").to_owned();
            *counted.entry(slot).or_default() += 1;
        }
        counted
    }
}

/// A request that came to a stand-in, passed on to an admin API, and its answer. The host is
/// Caddy's own, for it takes no other.
pub(crate) fn relayed(admin: u16, asked: &Asked) -> Reply {
    let if_match = asked.only("if-match");
    let (head, body) = ask(admin, &asked.method, &asked.path, if_match, &asked.body);
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let reply = Reply::of(status.unwrap(), body);
    let etag = head.lines().find_map(|line| line.strip_prefix("Etag: "));
    match etag {
        Some(etag) => reply.with("etag", etag),
        None => reply,
    }
}

fn ask(
    admin: u16,
    method: &str,
    place: &str,
    if_match: Option<&str>,
    body: &[u8],
) -> (String, String) {
    let if_match = if_match.map_or(String::new(), |etag| format!("If-Match: {etag}\r\n"));
    let head = format!(
        "{method} {place} HTTP/1.1\r\nHost: 127.0.0.1:{admin}\r\nConnection: close\r\n{if_match}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = connect(admin).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

fn run(site: &Site, arguments: &[&str]) -> Child {
    let log = fs::File::create(site.path("log")).unwrap();
    let mut command = Command::new(program());
    let text = fs::read_to_string(site.path("config")).unwrap();
    // A Caddyfile begins with its global options, which have no quotes.
    let adapter: &[&str] = match text.starts_with("{\"") {
        true => &[],
        false => &["--adapter", "caddyfile"],
    };
    command
        .args(["run", "--config"])
        .arg(site.path("config"))
        .args(adapter)
        .args(arguments)
        // Its own places for what it keeps; among that is the configuration that was changed.
        .env("HOME", site.directory.path())
        .env("XDG_CONFIG_HOME", site.directory.path())
        .env("XDG_DATA_HOME", site.directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("Caddy, which tests/run installs")
}

fn connect(port: u16) -> Option<TcpStream> {
    TcpStream::connect(("127.0.0.1", port)).ok()
}

impl Drop for Caddy {
    fn drop(&mut self) {
        self.stop();
    }
}
