//! Real proxies that watch a file, Traefik and Envoy, in front of two slots.
//!
//! Both come from PyPI; `tests/run` puts them where they are found here. Each is started with the
//! lines that a router printed, and with what every installation has beside them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cutover::platform::http::{Http, Look};
use serde_json::json;
use tempfile::TempDir;
use url::Url;

use super::nginx::Site;
use super::patience::connect;
use super::ports;
use super::shop::{Way, furnish, router_config};

/// How long one may take to begin on a machine that does much else.
const START: Duration = super::patience::PATIENCE;

/// What Traefik is started with.
const TRAEFIK: &[&str] = &["--configFile=traefik.yml"];

/// A place for a proxy.
pub(crate) struct Place {
    directory: TempDir,
    /// Where users come in.
    pub(crate) front: u16,
    /// Where the proxy tells about itself.
    pub(crate) admin: u16,
}

/// A running one. It ends with its owner.
pub(crate) struct Watching {
    pub(crate) place: Place,
    http: Http,
    child: Child,
}

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self {
            directory: tempfile::tempdir().unwrap(),
            front: ports::free(),
            admin: ports::free(),
        };
        fs::create_dir(place.path("watched")).unwrap();
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn admin_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.admin)
    }

    /// Starts Traefik with a router's lines. With `throttle`, changes are held back so long.
    pub(crate) fn traefik(self, lines: &str, throttle: &str) -> Watching {
        let (settings, rest) = lines.split_once("# 2. ").unwrap();
        let (routers, first) = rest.split_once("# 3. ").unwrap();
        let (_, first) = first.split_once(":\n").unwrap();
        let quick = "providersThrottleDuration: 0s";
        assert!(settings.contains(quick), "{settings}");
        let settings = settings.replace(quick, &format!("providersThrottleDuration: {throttle}"));
        let (front, admin) = (self.front, self.admin);
        let usual = format!(
            "entryPoints:\n  web: {{ address: \"127.0.0.1:{front}\", asDefault: true }}\n  \
             traefik: {{ address: \"127.0.0.1:{admin}\" }}\n\
             global: {{ checkNewVersion: false, sendAnonymousUsage: false }}\n"
        );
        fs::write(self.path("traefik.yml"), settings + &usual).unwrap();
        fs::write(self.path("watched/shop.yml"), format!("# {routers}")).unwrap();
        fs::write(self.path("watched/live.yml"), first).unwrap();
        let api = "http: { routers: { api: { rule: \"PathPrefix(`/api`)\", \
                   service: \"api@internal\", entryPoints: [traefik] } } }\n";
        fs::write(self.path("watched/api.yml"), api).unwrap();
        self.start("traefik", TRAEFIK)
    }

    /// Starts Envoy with a router's lines.
    pub(crate) fn envoy(self, lines: &str) -> Watching {
        fs::write(self.path("envoy.yaml"), self.bootstrap(lines)).unwrap();
        let (_, first) = lines.split_once("# 3. ").unwrap();
        let (_, first) = first.split_once(":\n").unwrap();
        fs::write(self.path("watched/live.json"), first).unwrap();
        let arguments = ["-c", "envoy.yaml", "--concurrency", "2", "-l", "warn"];
        // The base id keeps those that run side by side apart.
        let own = ["--use-dynamic-base-id"];
        self.start("envoy", &[&arguments[..], &own].concat())
    }

    /// A bootstrap with the lines in it.
    pub(crate) fn bootstrap(&self, lines: &str) -> String {
        let (bootstrap, rest) = lines.split_once("# 2. ").unwrap();
        let (rds, _) = rest.split_once("# 3. ").unwrap();
        let (_, rds) = rds.split_once("\nrds:\n").unwrap();
        let indented = |line: &str| format!("          {line}\n");
        let rds: String = rds.lines().map(indented).collect();
        let front = self.front;
        format!(
            "{bootstrap}  listeners:\n  - name: web\n    address: {{ socket_address: {{ address: \
             127.0.0.1, port_value: {front} }} }}\n    filter_chains:\n    - filters:\n      - name: \
             envoy.filters.network.http_connection_manager\n        typed_config:\n          \
             \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager\n          \
             stat_prefix: web\n          http_filters:\n          - name: envoy.filters.http.router\n            \
             typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}\n          \
             rds:\n{rds}node: {{ id: shop, cluster: shop }}\n"
        )
    }

    fn spawn(&self, program: &str, arguments: &[&str]) -> Child {
        let log = fs::File::create(self.path("log")).unwrap();
        Command::new(tool(program))
            .args(arguments)
            .current_dir(self.directory())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap()
    }

    fn start(self, program: &str, arguments: &[&str]) -> Watching {
        let child = self.spawn(program, arguments);
        let mut watching = Watching {
            place: self,
            http: Http::default(),
            child,
        };
        watching.wait_until_it_answers();
        watching
    }
}

impl Watching {
    /// Ends a Traefik, and starts another with the same files.
    pub(crate) fn begin_anew(&mut self) {
        self.end();
        self.child = self.place.spawn("traefik", TRAEFIK);
        self.wait_until_it_answers();
    }

    fn end(&mut self) {
        let group = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.child.wait();
    }

    fn wait_until_it_answers(&mut self) {
        let began = Instant::now();
        while self
            .get("/")
            .is_none_or(|answer| !answer.starts_with("HTTP/1.1 200"))
        {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && began.elapsed() < START,
                "it does not answer: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What the public port answers, if anything.
    fn get(&self, path: &str) -> Option<String> {
        use std::io::{Read as _, Write as _};
        let mut stream = connect(("127.0.0.1", self.place.front)).ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.place.path("log")).unwrap_or_default()
    }

    pub(crate) fn url(&self) -> Url {
        let front = self.place.front;
        format!("http://127.0.0.1:{front}/").parse().unwrap()
    }

    /// A header of the public port's answer to a client with that cookie.
    pub(crate) async fn header(&self, name: &str, cookie: Option<&str>) -> Option<String> {
        let mut look = Look::at(self.url(), Duration::from_secs(5));
        if let Some(cookie) = cookie {
            let (pair, _) = cookie.split_once(';').unwrap_or((cookie, ""));
            look.headers.insert("cookie", pair.parse().unwrap());
        }
        let answer = self.http.look(&look).await.unwrap();
        answer.header(name).map(str::to_owned)
    }

    /// Asks the public port `times` times, each on a new connection; counts who answered.
    pub(crate) async fn answers(&self, times: usize) -> BTreeMap<String, usize> {
        let look = Look::at(self.url(), Duration::from_secs(5));
        let mut counted = BTreeMap::new();
        for _ in 0..times {
            let answer = self.http.look(&look).await.unwrap();
            let slot = answer.header("x-slot").unwrap_or("nobody").to_owned();
            *counted.entry(slot).or_default() += 1;
        }
        counted
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.end();
    }
}

/// The one of a shop, with a config for it.
pub(super) fn of_shop(way: Way, slots: &Site) -> Watching {
    let place = Place::new();
    let at = place.path("watched");
    let (admin, at) = (place.admin_url(), at.display());
    if way == Way::Traefik {
        let router = json!({ "kind": "traefik", "file": format!("{at}/live.yml"), "api": admin });
        furnish(slots, &router, place.front);
        place.traefik(&router_config(slots), "0s")
    } else {
        let router = json!({ "kind": "envoy", "file": format!("{at}/live.json"), "admin": admin });
        furnish(slots, &router, place.front);
        place.envoy(&router_config(slots))
    }
}

/// A program that `tests/run` got from PyPI.
pub(crate) fn tool(name: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let ours = cache.map(|cache| cache.join("cutover-test-tools/bin").join(name));
    ours.filter(|tool| tool.exists())
        .unwrap_or_else(|| PathBuf::from(name))
}
