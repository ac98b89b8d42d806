//! A container application behind a real nginx, put there by a real Docker engine from a real registry:
//! promoted under load without a lost request, and taken back when it is bad.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use insta::assert_snapshot;
use regex_lite::Regex;
use serde_json::json;

use crate::world::children::output;
use crate::world::dockerd::Dockerd;
use crate::world::load::{Load, Manner};
use crate::world::nginx::{Lines, Nginx};
use crate::world::ports;
use crate::world::registry::{PASSWORD, Registry, USER};
use crate::world::shop::{Ran, program};

/// The application, and everything that it needs.
struct Quay {
    nginx: Nginx,
    registry: Registry,
    dockerd: Dockerd,
    slots: [u16; 2],
}

pub(super) const CONFIG: &str = "\
version: 1
app: shop
environments:
  production:
    url: URL
    slots:
      blue: { url: BLUE }
      green: { url: GREEN }
    release: { kind: text, path: /release }
    target: TARGET
    router: { kind: nginx, flags: flags }
    smoke:
      - { kind: http, path: /release, expect: { status: 200 }, retries: 0 }
    strategy: { kind: blue-green, wait: 10s, watch: 2s }
    prober: { rate: 50, path: /cgi-bin/page }
    proof: { answers: 5, within: 5s }
";

impl Quay {
    fn open() -> Self {
        let (dockerd, registry) = (Dockerd::serving(), Registry::start());
        let slots = [ports::free(), ports::free()];
        let at = |port: u16| format!("http://127.0.0.1:{port}");
        let inside = |port: u16| format!("127.0.0.1:{port}:8080");
        let target = json!({
            "kind": "docker", "image": registry.name(), "disk": "1MB", "stop-timeout": "2s", "wait": "20s",
            "registry": { "user": USER, "password": "${REGISTRY_PASSWORD}" },
            "ports": { "blue": inside(slots[0]), "green": inside(slots[1]) },
            "env": { "MODE": "none" }, "keep": 2,
            "health": { "command": "wget -q -O /dev/null http://127.0.0.1:8080/", "interval": "300ms" },
        });
        let nginx = Nginx::start(|site| {
            let config = CONFIG
                .replace("URL", site.url("/").as_str())
                .replace("BLUE", &at(slots[0]))
                .replace("GREEN", &at(slots[1]))
                .replace("TARGET", &target.to_string());
            fs::write(site.path("cutover.yml"), config).unwrap();
            let printed = output(&mut cutover(site.directory(), &dockerd, "router-config"));
            let lines = String::from_utf8(printed.stdout).unwrap();
            let (http, rest) = lines.split_once("# 2. ").unwrap();
            let (server, rest) = rest.split_once("# 3. ").unwrap();
            let command = rest.lines().last().unwrap().trim_start_matches('#');
            let made = Command::new("sh").args(["-c", command]).status().unwrap();
            assert!(made.success(), "{command}");
            Lines {
                http: http.to_owned(),
                server: format!("# {server}"),
            }
        });
        Self {
            nginx,
            registry,
            dockerd,
            slots,
        }
    }

    fn cutover(&self, arguments: &str) -> Ran {
        let mut command = cutover(self.nginx.site.directory(), &self.dockerd, arguments);
        let ran = Ran::of(command.spawn().unwrap());
        assert!(!ran.log.contains(PASSWORD), "{}", ran.log);
        ran
    }

    fn configure(&self, from: &str, to: &str) {
        let path = self.nginx.site.path("cutover.yml");
        let old = fs::read_to_string(&path).unwrap();
        assert!(old.contains(from), "{from} is not in {old}");
        fs::write(&path, old.replace(from, to)).unwrap();
    }

    /// A log without what differs from run to run.
    fn told(&self, log: &str) -> String {
        let mut log = log
            .replace(self.nginx.site.directory().to_str().unwrap(), "/shop")
            .replace(&self.registry.name(), "registry/shop");
        for (pattern, instead) in [
            (r"(?m) {2,}\d[\d.]* (ms|s)$", "   [time]"),
            (r"sha256:[0-9a-f]+", "[digest]"),
            (r"old-[0-9a-f]{12}", "old-[id]"),
            (r"[\d.]+ [KM]B in \d[\d.]* m?s", "[size] in [time]"),
            (r"asked in \d[\d.]* m?s", "asked in [time]"),
            (r"\(\d+ of \d+ requests", "([n] of [n] requests"),
            (r"(after|slowest|p95) \d[\d.]* m?s", "$1 [time]"),
            (r"\d[\d,]* requests?", "[n] requests"),
        ] {
            log = Regex::new(pattern)
                .unwrap()
                .replace_all(&log, instead)
                .into_owned();
        }
        log
    }
}

pub(super) fn cutover(directory: &Path, dockerd: &Dockerd, arguments: &str) -> Command {
    let mut command = Command::new(program());
    command
        .args(arguments.split_whitespace())
        .current_dir(directory)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("INPUT_CONFIG", "cutover.yml")
        .env(
            "DOCKER_HOST",
            format!("unix://{}", dockerd.socket().display()),
        )
        .env("REGISTRY_PASSWORD", PASSWORD)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

#[test]
fn a_container_is_promoted_under_load_and_a_bad_one_is_taken_back() {
    let quay = Quay::open();
    for release in ["v0", "v1", "v2", "v3"] {
        quay.registry.push(&quay.dockerd, release, 100_000);
    }
    // Somebody has put v1 into blue, where traffic is.
    let flags = quay.nginx.site.path("flags");
    fs::rename(flags.join("w0"), flags.join("w100")).unwrap();
    let ran = quay.cutover("deploy-slot --version=v1");
    assert_eq!(ran.code, 0, "{}", ran.log);
    fs::rename(flags.join("w100"), flags.join("w0")).unwrap();
    let [blue, green] = quay
        .slots
        .map(|port| format!("http://127.0.0.1:{port}/release"));
    assert_eq!(
        (ask(&blue), ask(quay.nginx.site.url("/release").as_str())),
        ("v1".into(), "v1".into())
    );

    let load = Load::of(Manner::NewConnection, quay.nginx.site.port, 4);
    let ran = quay.cutover("rollout --version=v2");
    assert_snapshot!(quay.told(&ran.log), @r"
    cutover · rollout · production · shop v2 · blue-green
      traffic    100 % on blue   [time]
    | pulling registry/shop:v2
    | pulled registry/shop:v2: 1 layer, [size] in [time]
      deploy     green <- v2      shop-green runs registry/shop@[digest], healthy after [time]   [time]
      serves     green says v2   [time]
      smoke      1 of 1 on green   [time]
      way back   blue serves v1, restore prepared   [time]
      switch     green 0 % -> 100 %    /shop/flags holds w100   [time]
      proved     5 of 5 answers say v2, none v1   [time]
      watch      2 s   errors 0 % (limit 5 %)   p95 [time]   [time]
      promoted   0 of [n] requests failed, slowest [time]
    ");
    assert_eq!((ran.code, ran.output("requests-failed")), (0, "0"));
    assert_eq!(ask(&green), "v2");
    let why = load.why();
    let (sent, failed) = load.stop();
    println!("{failed} of {sent} requests failed");
    assert!(
        failed == 0 && sent > 100,
        "{failed} of {sent} requests failed: {why}"
    );

    // One that does not even start leaves traffic alone, and blue as it was.
    quay.configure("\"MODE\":\"none\"", "\"MODE\":\"exit\"");
    let ran = quay.cutover("rollout --version=v3");
    let failed = &quay.told(&ran.log);
    assert!(
        failed.contains("shop-blue keeps crashing: it was started "),
        "{failed}"
    );
    assert!(
        failed.contains("; the container before runs again; it said: "),
        "{failed}"
    );
    assert!(failed.contains("cannot read the config"), "{failed}");
    assert_eq!((ran.code, ran.output("active-slot")), (10, "green"));
    assert_eq!(ask(&blue), "v1");

    // One that starts and makes errors is taken back to green.
    quay.configure("\"MODE\":\"exit\"", "\"MODE\":\"ill\"");
    let ran = quay.cutover("rollout --version=v3");
    assert_snapshot!(quay.told(&ran.log), @r"
    cutover · rollout · production · shop v3 · blue-green
      traffic    100 % on green   [time]
    | pulling registry/shop:v3
    | registry/shop:v3 is on the engine as the registry has it, asked in [time]
    | removed the container shop-blue.failed
      deploy     blue <- v3      shop-blue runs registry/shop@[digest], healthy after [time]   [time]
      serves     blue says v3   [time]
      smoke      1 of 1 on blue   [time]
      way back   green serves v2, restore prepared   [time]
      switch     blue 0 % -> 100 %    /shop/flags holds w0   [time]
      proved     5 of 5 answers say v3, none v2   [time]
      watch      errors 100 % ([n] of [n] requests)   [time]
      back       blue 100 % -> 0 %    proved on green (v2)   [time]
    rolled back: the release passed its limits under traffic
      measured   errors 100 % ([n] of [n] requests)
      wanted     errors at most 5 %
      traffic    100 % on green, says the router
      next       the release is in the idle slot again; look at its log there
    ");
    assert_eq!((ran.code, ran.output("decision")), (20, "rolled-back"));
    assert_eq!((ask(&blue), ask(&green)), ("v3".into(), "v2".into()));
    assert_eq!(ask(quay.nginx.site.url("/release").as_str()), "v2");
}

pub(super) fn ask(url: &str) -> String {
    let answer = Command::new("curl")
        .args(["-s", "-m", "60", url])
        .output()
        .unwrap();
    String::from_utf8(answer.stdout).unwrap().trim().to_owned()
}
