//! A proxy inside a container, switched by routers that know nothing of containers: its files and its
//! socket are in the container alone. Under load, there and back, without a lost request.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::world::children::output;
use crate::world::load::{Load, Manner};
use crate::world::nginx::{Lines, Nginx};
use crate::world::patience::PATIENCE;
use crate::world::ports;
use crate::world::shop::{Ran, program};
use crate::world::vessel::Vessel;

const CONFIG: &str = "\
version: 1
app: shop
environments:
  production:
    url: URL
    slots:
      blue: { url: BLUE }
      green: { url: GREEN }
    release: { kind: text, path: /release }
    hosts:
      proxy: HOST
    router: ROUTER
    proof: { answers: 5, within: 5s }
";

/// Both slots, and where the proxy in front of them will be.
struct Berth {
    slots: Nginx,
    front: u16,
    router: Value,
}

impl Berth {
    fn new(router: Value) -> Self {
        let slots = Nginx::start(|site| {
            for (slot, release) in [("blue", "v1"), ("green", "v2")] {
                fs::create_dir(site.path(slot)).unwrap();
                fs::write(site.path(slot).join("release"), format!("{release}\n")).unwrap();
            }
            Lines {
                http: String::new(),
                server: String::new(),
            }
        });
        let berth = Self {
            slots,
            front: ports::free(),
            router,
        };
        berth.configure(&json!({ "kind": "docker-exec", "container": "edge" }));
        berth
    }

    fn configure(&self, host: &Value) {
        let slots = self.slots.site.slots();
        let config = CONFIG
            .replace("URL", &format!("http://127.0.0.1:{}", self.front))
            .replace("BLUE", slots.first.url.as_str())
            .replace("GREEN", slots.second.url.as_str())
            .replace("HOST", &host.to_string())
            .replace("ROUTER", &self.router.to_string());
        fs::write(self.slots.site.path("cutover.yml"), config).unwrap();
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(program());
        command
            .args(arguments.split_whitespace())
            .current_dir(self.slots.site.directory())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("INPUT_CONFIG", "cutover.yml")
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        command
    }

    /// What the proxy needs once.
    fn lines(&self) -> String {
        let printed = output(&mut self.command("router-config"));
        String::from_utf8(printed.stdout).unwrap()
    }

    fn cutover(&self, arguments: &str) -> Ran {
        Ran::of(self.command(arguments).spawn().unwrap())
    }

    fn serves(&self) -> String {
        let url = format!("http://127.0.0.1:{}/release", self.front);
        let curl = Command::new("curl")
            .args(["-s", "-m", "60", &url])
            .output()
            .unwrap();
        String::from_utf8(curl.stdout).unwrap().trim().to_owned()
    }

    /// There and back again, while users ask.
    fn is_switched(&self, vessel: &Vessel) {
        self.configure(&vessel.block());
        let began = Instant::now();
        while self.serves() != "v1" {
            let log = vessel
                .dockerd
                .api("GET", "/containers/edge/logs?stderr=1&stdout=1", "", &[]);
            assert!(began.elapsed() < PATIENCE, "{log:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        let load = Load::of(Manner::NewConnection, self.front, 2);
        let ran = self.cutover("switch-traffic --to=green");
        assert_eq!(
            (ran.code, self.serves()),
            (0, "v2".to_owned()),
            "{}",
            ran.log
        );
        assert!(ran.log.contains("5 of 5 answers say v2"), "{}", ran.log);
        let ran = self.cutover("rollback");
        assert_eq!(
            (ran.code, self.serves()),
            (0, "v1".to_owned()),
            "{}",
            ran.log
        );
        let why = load.why();
        let (sent, failed) = load.stop();
        assert!(
            failed == 0 && sent > 50,
            "{failed} of {sent} requests failed: {why}"
        );
        // Where it does not run, nothing is changed, and it is said.
        vessel.act("pause", "edge");
        let ran = self.cutover("switch-traffic --to=green");
        assert!(
            ran.code != 0 && ran.log.contains("`docker unpause edge`"),
            "{}",
            ran.log
        );
        vessel.act("unpause", "edge");
        assert_eq!(self.serves(), "v1");
    }
}

fn put(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn nginx_in_a_container_is_switched() {
    let berth = Berth::new(json!({ "kind": "nginx", "host": "proxy", "flags": "/srv/flags" }));
    let lines = berth.lines();
    let (http, rest) = lines.split_once("# 2. ").unwrap();
    let (server, rest) = rest.split_once("# 3. ").unwrap();
    let once = rest.lines().last().unwrap().trim_start_matches('#');
    let temps: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path /srv/{kind};\n"))
        .concat();
    let config = format!(
        "user root; daemon off; pid /srv/nginx.pid;\nevents {{ }}\nhttp {{\naccess_log off;\n{temps}{http}\n\
         server {{ listen 127.0.0.1:{};\n# {server}\n}}\n}}\n",
        berth.front
    );
    let run = format!("{once}; exec nginx -p /srv -e stderr -c /srv/nginx.conf");
    let flock = "/usr/bin/flock";
    let vessel = Vessel::running(&["/usr/sbin/nginx", flock], &run, |root| {
        put(root, "srv/nginx.conf", &config);
        put(root, "etc/passwd", "root:x:0:0::/:/bin/sh\n");
        put(root, "etc/group", "root:x:0:\n");
    });
    berth.is_switched(&vessel);
}

/// Its socket is in the container, and what opens it is there, too.
#[test]
fn haproxy_in_a_container_is_switched() {
    let berth = Berth::new(json!({
        "kind": "haproxy", "host": "proxy", "address": "unix:/srv/admin.sock",
        "map": "/srv/weight.map", "key": "green_weight",
    }));
    let placeholder = "    # your own `bind` lines stay here\n";
    let bind = format!("    bind 127.0.0.1:{}\n", berth.front);
    let lines = berth.lines().replace(placeholder, &bind);
    let usual =
        "defaults\n    timeout connect 1s\n    timeout client 10s\n    timeout server 10s\n";
    let programs = ["/usr/sbin/haproxy", "/usr/bin/socat", "/usr/bin/flock"];
    let run = "exec haproxy -f /srv/usual.cfg -f /srv/haproxy.cfg";
    let vessel = Vessel::running(&programs, run, |root| {
        put(root, "srv/usual.cfg", usual);
        put(root, "srv/haproxy.cfg", &lines);
        put(root, "srv/weight.map", "green_weight 0\n");
    });
    berth.is_switched(&vessel);
}
