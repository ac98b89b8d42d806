//! A shop as people run it: two slots, a router in front that was set up with the lines which
//! `cutover router-config` prints, a config, and a script that puts a release into a slot.
//!
//! The program is run as a user runs it, as a process of its own, with an environment of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use regex_lite::Regex;
use serde_json::{Value, json};

use super::caddy::Caddy;
use super::children::{ended, output};
use super::haproxy::{Ground, HaProxy};
use super::nginx::{Lines, Nginx, Site};
use super::patience::connect;
use super::watchers::{self, Watching};

/// Names another build of the program than the one that was built with the tests.
pub(crate) const PROGRAM: &str = "CUTOVER_PROGRAM";

/// How traffic is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// nginx, a flag file, no reload.
    Flags,
    /// nginx, an include file, a reload.
    Include,
    /// HAProxy, an entry of a map.
    Map,
    /// Caddy, a flag file, no reload.
    CaddyFlags,
    /// Caddy, its admin API.
    CaddyHandler,
    /// Traefik, a file that it watches.
    Traefik,
    /// Envoy, a file that it watches.
    Envoy,
}

/// Everything that runs, and the directory where a user would call the program.
pub(crate) struct Shop {
    /// The slots, in an nginx that is never touched; its directory is the user's.
    slots: Nginx,
    proxy: Proxy,
}

/// What is in front of the slots.
enum Proxy {
    Nginx(Nginx),
    HaProxy(HaProxy),
    Caddy(Caddy),
    Watching(Watching),
}

/// What a run of the program came to.
pub(crate) struct Ran {
    pub(crate) code: i32,
    /// The readable log.
    pub(crate) log: String,
    /// The outputs that say something.
    pub(crate) outputs: BTreeMap<String, String>,
}

const CONFIG: &str = "\
version: 1
app: storefront
environments:
  production:
    url: URL
    slots:
      blue: { url: BLUE }
      green: { url: GREEN }
    release: { kind: text, path: /release }
    target: { kind: command, run: ./deploy.sh }
    router: ROUTER
    smoke:
      - { kind: http, path: /, expect: { status: 200 }, retries: 0 }
    strategy: { kind: blue-green, wait: 5s, watch: 0s }
    proof: { answers: 5, within: 2s }
";

/// Tiny, but it is what a deployment is: afterwards the slot serves something else.
const DEPLOY: &str = "#!/bin/sh
set -e
printf '%s\\n' \"$VERSION\" > \"$SLOT/release.new\"
mv \"$SLOT/release.new\" \"$SLOT/release\"
echo \"$SLOT has $VERSION\"
";

impl Shop {
    /// Opens one with v1 on blue, which has all traffic, and v0 on green.
    pub(crate) fn open(way: Way) -> Self {
        let slots = slots();
        let proxy = match way {
            Way::Flags | Way::Include => Proxy::Nginx(nginx(way, &slots.site)),
            Way::Map => Proxy::HaProxy(haproxy(&slots.site)),
            Way::CaddyFlags | Way::CaddyHandler => Proxy::Caddy(caddy(way, &slots.site)),
            Way::Traefik | Way::Envoy => Proxy::Watching(watchers::of_shop(way, &slots.site)),
        };
        Self { slots, proxy }
    }

    /// The directory where the user calls the program.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.slots.site.path(name)
    }

    /// Where users come in.
    pub(crate) fn front(&self) -> u16 {
        match &self.proxy {
            Proxy::Nginx(nginx) => nginx.site.port,
            Proxy::HaProxy(haproxy) => haproxy.ground.front,
            Proxy::Caddy(caddy) => caddy.site.port,
            Proxy::Watching(watching) => watching.place.front,
        }
    }

    /// The directory of the proxy.
    fn proxy(&self) -> &Path {
        match &self.proxy {
            Proxy::Nginx(nginx) => nginx.site.directory(),
            Proxy::HaProxy(haproxy) => haproxy.ground.directory.path(),
            Proxy::Caddy(caddy) => caddy.site.directory(),
            Proxy::Watching(watching) => watching.place.directory(),
        }
    }

    /// Changes a line of the config.
    pub(crate) fn configure(&self, from: &str, to: &str) {
        let path = self.path("cutover.yml");
        let old = fs::read_to_string(&path).unwrap();
        assert!(old.contains(from), "{from} is not in {old}");
        fs::write(&path, old.replace(from, to)).unwrap();
    }

    /// Users come through a cache that keeps for a minute what it was asked for, and was asked.
    pub(crate) fn put_a_cache_in_front(&self) {
        let Proxy::Nginx(nginx) = &self.proxy else {
            panic!("the cache is nginx's");
        };
        let of = |port: u16| format!("    url: http://127.0.0.1:{port}\n");
        self.configure(&of(nginx.site.port), &of(nginx.site.spare));
        assert_eq!(ask(nginx.site.spare, "/release"), "v1");
    }

    /// Who answers a user, past all caches: the slot and its release.
    pub(crate) fn answers(&self) -> String {
        let front = self.front();
        format!("{} {}", ask(front, "/"), ask(front, "/release"))
    }

    /// The files of the slots and the router, by their names.
    pub(crate) fn state(&self) -> BTreeMap<String, String> {
        let mut files = vec![
            self.path("blue/release"),
            self.path("green/release"),
            self.path("live.conf"),
            self.proxy().join("weight.map"),
            self.proxy().join("watched/live.yml"),
            self.proxy().join("watched/live.json"),
        ];
        if let Ok(flags) = fs::read_dir(self.path("flags")) {
            files.extend(flags.map(|flag| flag.unwrap().path()));
        }
        let read =
            |path: &PathBuf| Some((self.told(path.to_str()?), fs::read_to_string(path).ok()?));
        files.iter().filter_map(read).collect()
    }

    /// The program with its arguments, in the shop's directory.
    pub(crate) fn command(&self, arguments: &str) -> Command {
        command(&self.slots.site, arguments)
    }

    /// Runs the program to its end.
    pub(crate) fn cutover(&self, arguments: &str) -> Ran {
        Ran::of(self.command(arguments).spawn().unwrap())
    }

    /// A text without what differs from run to run: ports, places, times and counts.
    pub(crate) fn told(&self, text: &str) -> String {
        let mut text = text
            .replace(self.slots.site.directory().to_str().unwrap(), "/shop")
            .replace(self.proxy().to_str().unwrap(), "/proxy");
        let slots = self.slots.site.slots();
        for (slot, name) in [(slots.first, "blue.shop"), (slots.second, "green.shop")] {
            let url = slot.url.as_str().trim_end_matches('/');
            text = text.replace(url, &format!("http://{name}"));
            // What Caddy dials.
            text = text.replace(&url["http://".len()..], name);
        }
        let mut ports = vec![self.front()];
        if let Proxy::Nginx(nginx) = &self.proxy {
            ports.push(nginx.site.spare);
        }
        for port in ports {
            text = text.replace(&format!("http://127.0.0.1:{port}"), "http://shop");
        }
        for (pattern, instead) in [
            (r"(?m) {2,}\d[\d.]* (ms|s)$", "   [time]"),
            (r"\d[\d,]* requests?", "[n] requests"),
            (r"slowest \d[\d.]* m?s", "slowest [time]"),
            (r"after \d[\d.]* m?s", "after [time]"),
            (r"generation \d+-[0-9a-f]+", "generation [generation]"),
            (r"version cutover-\d+-[0-9a-f]+", "version [version]"),
            (r"p95 \d[\d.]* m?s", "p95 [time]"),
        ] {
            text = Regex::new(pattern)
                .unwrap()
                .replace_all(&text, instead)
                .into_owned();
        }
        text
    }
}

impl Ran {
    /// Waits for the end of a run.
    pub(crate) fn of(child: Child) -> Self {
        let output = ended(child);
        let printed = String::from_utf8(output.stdout).unwrap();
        Self::read(output.status.code(), &printed)
    }

    /// What was printed, and how it ended.
    pub(crate) fn read(code: Option<i32>, printed: &str) -> Self {
        let (log, table) = printed.rsplit_once("\n\n").unwrap_or((printed, ""));
        let row = |row: &str| {
            let (name, value) = row.trim_start().split_once(' ')?;
            Some((name.to_owned(), value.trim().to_owned()))
        };
        Self {
            code: code.unwrap_or(-1),
            log: log.to_owned(),
            outputs: table.lines().filter_map(row).collect(),
        }
    }

    /// An output; empty where it says nothing.
    pub(crate) fn output(&self, name: &str) -> &str {
        self.outputs.get(name).map_or("", String::as_str)
    }

    /// An output that is a number.
    pub(crate) fn number(&self, name: &str) -> f64 {
        let text = self.output(name);
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is {text:?} in {}", self.log))
    }
}

/// The program under test.
pub(crate) fn program() -> PathBuf {
    let other = std::env::var_os(PROGRAM);
    other.map_or_else(|| env!("CARGO_BIN_EXE_cutover").into(), PathBuf::from)
}

/// The slots, by themselves.
pub(crate) fn slots() -> Nginx {
    Nginx::start(|_| Lines {
        http: String::new(),
        server: "return 404;".to_owned(),
    })
}

fn nginx(way: Way, slots: &Site) -> Nginx {
    Nginx::start(|site| {
        let router = match way {
            Way::Flags => json!({ "kind": "nginx", "flags": "flags" }),
            _ => json!({
                "kind": "nginx", "include": "live.conf", "test": site.command("-t -q"),
                "reload": site.command("-s reload"), "generation-url": site.url("/__slot"),
            }),
        };
        furnish(slots, &router, site.port);
        let lines = router_config(slots);
        let (http, rest) = lines.split_once("# 2. ").unwrap();
        let (server, rest) = rest.split_once("# 3. ").unwrap();
        if way == Way::Flags {
            let command = rest.lines().last().unwrap().trim_start_matches('#');
            let made = Command::new("sh").args(["-c", command]).status().unwrap();
            assert!(made.success(), "{command}");
        } else {
            let (_, content) = rest.split_once(":\n").unwrap();
            fs::write(slots.path("live.conf"), content).unwrap();
        }
        Lines {
            http: http.to_owned() + &cache(site),
            server: format!("# {server}"),
        }
    })
}

fn haproxy(slots: &Site) -> HaProxy {
    let ground = Ground::new();
    let map = ground.text_path("weight.map");
    fs::write(&map, "green_weight 0\n").unwrap();
    let router = json!({
        "kind": "haproxy", "address": format!("unix:{}", ground.text_path("admin.sock")),
        "map": map, "key": "green_weight",
    });
    furnish(slots, &router, ground.front);
    ground.start(&router_config(slots))
}

fn caddy(way: Way, slots: &Site) -> Caddy {
    Caddy::start(|site| {
        let admin = format!("http://127.0.0.1:{}", site.admin);
        let router = match way {
            Way::CaddyFlags => json!({ "kind": "caddy", "flags": "flags", "admin": admin }),
            _ => json!({ "kind": "caddy", "handler": "live", "admin": admin }),
        };
        furnish(slots, &router, site.port);
        let lines = router_config(slots);
        let (first, rest) = lines.split_once("# 2. ").unwrap();
        if way == Way::CaddyHandler {
            let json = &first[first.find('{').unwrap()..];
            return site.json(&serde_json::from_str(json).unwrap());
        }
        let command = rest.lines().last().unwrap().trim_start_matches('#');
        let made = Command::new("sh").args(["-c", command]).status().unwrap();
        assert!(made.success(), "{command}");
        site.caddyfile(first)
    })
}

/// The program with its arguments, where a user would call it.
pub(crate) fn command(site: &Site, arguments: &str) -> Command {
    let mut command = Command::new(program());
    command
        .args(arguments.split_whitespace())
        .current_dir(site.directory())
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("INPUT_CONFIG", "cutover.yml")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// Puts everything into the directory that a user has there.
pub(crate) fn furnish(site: &Site, router: &Value, front: u16) {
    let slots = site.slots();
    let config = CONFIG
        .replace("URL", &format!("http://127.0.0.1:{front}"))
        .replace("BLUE", slots.first.url.as_str())
        .replace("GREEN", slots.second.url.as_str())
        .replace("ROUTER", &router.to_string());
    fs::write(site.path("cutover.yml"), config).unwrap();
    fs::write(site.path("deploy.sh"), DEPLOY).unwrap();
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(site.path("deploy.sh"), executable).unwrap();
    for (slot, release) in [("blue", "v1"), ("green", "v0")] {
        fs::create_dir_all(site.path(slot)).unwrap();
        put(site, slot, release);
    }
}

/// Puts a release into a slot.
pub(crate) fn put(site: &Site, slot: &str, release: &str) {
    fs::write(site.path(slot).join("release"), format!("{release}\n")).unwrap();
}

/// The lines that the router needs once, as the program prints them.
pub(crate) fn router_config(site: &Site) -> String {
    let printed = output(&mut command(site, "router-config"));
    assert!(printed.status.success(), "{printed:?}");
    String::from_utf8(printed.stdout).unwrap()
}

/// A cache on the spare port, for whoever goes there.
fn cache(site: &Site) -> String {
    let (at, spare, port) = (site.directory().display(), site.spare, site.port);
    format!(
        "proxy_cache_path {at}/cache keys_zone=cache:1m;\n\
         server {{ listen 127.0.0.1:{spare}; location / {{ proxy_pass http://127.0.0.1:{port}; \
         proxy_cache cache; proxy_cache_valid 1m; }} }}\n"
    )
}

/// The release that a user gets there, on a new connection.
pub(crate) fn release_at(port: u16) -> String {
    ask(port, "/release")
}

/// What a user gets, on a new connection.
fn ask(port: u16, path: &str) -> String {
    let mut stream = connect(("127.0.0.1", port)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    body.trim().to_owned()
}
