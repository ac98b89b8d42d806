//! A crew: three members behind a real HAProxy or nginx that was set up with the lines which
//! `cutover router-config` prints, a config, and a script that puts a release into a member.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use regex_lite::Regex;
use serde_json::{Value, json};

use super::children::output;
use super::haproxy::{Ground, HaProxy};
use super::member::Member;
use super::nginx::{Lines, Nginx};
use super::shop::{Ran, program};

/// What is in front of the members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Front {
    HaProxy,
    Nginx,
}

/// The members of a crew of three.
pub(crate) const NAMES: [&str; 3] = ["web1", "web2", "web3"];

/// As many as there can be.
const ALL: [&str; 4] = ["web1", "web2", "web3", "web4"];

/// Everything that runs, and the directory where a user would call the program.
pub(crate) struct Crew {
    home: tempfile::TempDir,
    members: Vec<Member>,
    proxy: Proxy,
}

enum Proxy {
    HaProxy(HaProxy),
    Nginx(Nginx),
}

const CONFIG: &str = "\
version: 1
app: storefront
environments:
  production:
    url: URL
    members: MEMBERS
    release: { kind: text, path: /release }
    target: { kind: command, run: ./deploy.sh }
    router: ROUTER
    smoke:
      - { kind: http, path: /health, expect: { status: 200 }, retries: 0 }
    strategy: { kind: rolling, pause: 1s, drain: 5s, wait: 3s, watch: 1s, min-requests: 5 }
    proof: { answers: 5, within: 5s }
    prober: { rate: 50, path: / }
";

/// A member is down while this works, and `lost` is a release with which it does not come up.
const DEPLOY: &str = "#!/bin/sh
set -e
touch \"$MEMBER/down\"
sleep 0.2
case \"$VERSION\" in
  lost) exit 3 ;;
  refused) rm \"$MEMBER/down\"; exit 4 ;;
  stuck) sleep 15 ;;
esac
printf '%s\\n' \"$VERSION\" > \"$MEMBER/release.new\"
mv \"$MEMBER/release.new\" \"$MEMBER/release\"
rm \"$MEMBER/down\"
echo \"$MEMBER has $VERSION\"
";

impl Crew {
    /// Opens one with v1 on all members, all of which have traffic.
    pub(crate) fn open(front: Front) -> Self {
        Self::of(front, NAMES.len())
    }

    /// The same with so many members.
    pub(crate) fn of(front: Front, number: usize) -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let names = ALL.iter().take(number);
        let members: Vec<Member> = names
            .map(|name| Member::start(home.path().join(name)))
            .collect();
        let proxy = match front {
            Front::HaProxy => Proxy::HaProxy(haproxy(home.path(), &members)),
            Front::Nginx => Proxy::Nginx(nginx(home.path(), &members)),
        };
        Self {
            home,
            members,
            proxy,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Where users come in.
    pub(crate) fn front(&self) -> u16 {
        match &self.proxy {
            Proxy::HaProxy(haproxy) => haproxy.ground.front,
            Proxy::Nginx(nginx) => nginx.site.port,
        }
    }

    pub(crate) fn haproxy(&self) -> &HaProxy {
        match &self.proxy {
            Proxy::HaProxy(haproxy) => haproxy,
            Proxy::Nginx(_) => panic!("this crew is behind nginx"),
        }
    }

    /// Changes a line of the config.
    pub(crate) fn configure(&self, from: &str, to: &str) {
        let path = self.path("cutover.yml");
        let old = fs::read_to_string(&path).unwrap();
        assert!(old.contains(from), "{from} is not in {old}");
        fs::write(&path, old.replace(from, to)).unwrap();
    }

    /// Changes a line of the script that deploys.
    pub(crate) fn deploy_by(&self, from: &str, to: &str) {
        let path = self.path("deploy.sh");
        let old = fs::read_to_string(&path).unwrap();
        assert!(old.contains(from), "{from} is not in {old}");
        fs::write(&path, old.replace(from, to)).unwrap();
    }

    /// Has nginx's test run by a script, which goes on to the real one where it ends well.
    pub(crate) fn test_by(&self, script: &str) {
        let Proxy::Nginx(nginx) = &self.proxy else {
            panic!("this crew is not behind nginx");
        };
        let (real, live) = (nginx.site.command("-t -q"), nginx.site.path("live.conf"));
        let path = self.path("test.sh");
        let head = format!("#!/bin/sh\nLIVE={}\n", live.display());
        fs::write(&path, format!("{head}{script}\nexec {real}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self.configure(&real, "./test.sh");
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        ALL.into_iter().take(self.members.len())
    }

    /// The release that each member has.
    pub(crate) fn releases(&self) -> Vec<String> {
        let release = |name| fs::read_to_string(self.path(name).join("release")).unwrap();
        let all = self.names().map(release);
        all.map(|release| release.trim().to_owned()).collect()
    }

    /// Puts a release into a member, past the program.
    pub(crate) fn put(&self, name: &str, release: &str) {
        fs::write(self.path(name).join("release"), release).unwrap();
    }

    /// Whether a member answers nobody.
    pub(crate) fn is_down(&self, name: &str) -> bool {
        self.path(name).join("down").exists()
    }

    /// Brings a member up that was left down.
    pub(crate) fn revive(&self, name: &str) {
        let _ = fs::remove_file(self.path(name).join("down"));
    }

    /// Those that get traffic, as the router has it.
    pub(crate) fn in_rotation(&self) -> Vec<&'static str> {
        let is_in = |name: &str| match &self.proxy {
            Proxy::HaProxy(haproxy) => {
                let table = haproxy.cli("show stat shop 4 -1");
                let row = table
                    .lines()
                    .find(|row| row.starts_with(&format!("shop,{name},")));
                let row: Vec<&str> = row.unwrap().split(',').collect();
                row[17].starts_with("UP")
            }
            Proxy::Nginx(nginx) => {
                let file = fs::read_to_string(nginx.site.path("live.conf")).unwrap();
                let at = ALL.iter().position(|one| *one == name).unwrap();
                let server = format!("server 127.0.0.1:{};", self.members[at].port);
                file.contains(&server)
            }
        };
        self.names().filter(|name| is_in(name)).collect()
    }

    /// How many requests each member has had.
    pub(crate) fn had(&self) -> Vec<u64> {
        self.members.iter().map(Member::had).collect()
    }

    /// The program with its arguments, in the user's directory.
    pub(crate) fn command(&self, arguments: &str) -> Command {
        command(self.home.path(), arguments)
    }

    /// Runs the program to its end.
    pub(crate) fn cutover(&self, arguments: &str) -> Ran {
        Ran::of(self.command(arguments).spawn().unwrap())
    }

    /// A text without what differs from run to run: ports, places, times and counts.
    pub(crate) fn told(&self, text: &str) -> String {
        let mut text = text.replace(self.home.path().to_str().unwrap(), "/crew");
        if let Proxy::Nginx(nginx) = &self.proxy {
            text = text.replace(nginx.site.directory().to_str().unwrap(), "/proxy");
        }
        text = text.replace(&format!("http://127.0.0.1:{}", self.front()), "http://shop");
        for (name, member) in ALL.iter().zip(&self.members) {
            text = text.replace(
                &format!("http://127.0.0.1:{}", member.port),
                &format!("http://{name}"),
            );
        }
        for (pattern, instead) in [
            (r"(?m) {2,}\d[\d.]* (ms|s)$", "   [time]"),
            (r"\d[\d,]* requests?", "[n] requests"),
            (r"slowest \d[\d.]* m?s", "slowest [time]"),
            (r"after \d[\d.]* m?s", "after [time]"),
            (r"by answer \d+", "by answer [n]"),
            (r"errors \d[\d.]* % \(\d+ of", "errors [many] % ([n] of"),
            (r"generation \d+-[0-9a-f]+", "generation [generation]"),
            (r"p95 \d[\d.]* m?s", "p95 [time]"),
        ] {
            let pattern = Regex::new(pattern).unwrap();
            text = pattern.replace_all(&text, instead).into_owned();
        }
        text
    }
}

fn haproxy(home: &Path, members: &[Member]) -> HaProxy {
    let ground = Ground::new();
    let router = json!({
        "kind": "haproxy", "address": format!("unix:{}", ground.text_path("admin.sock")),
        "backend": "shop", "state-file": ground.text_path("server-state"),
    });
    furnish(home, members, &router, ground.front);
    // Checked four times a second, so that a test need not wait for seconds.
    let lines = router_config(home).replace(" check\n", " check inter 250ms\n");
    ground.start(&lines)
}

fn nginx(home: &Path, members: &[Member]) -> Nginx {
    Nginx::start(|site| {
        let router = json!({
            "kind": "nginx", "include": site.path("live.conf"), "upstream": "shop",
            "test": site.command("-t -q"), "reload": site.command("-s reload"),
            "generation-url": site.url("/__slot"),
        });
        furnish(home, members, &router, site.port);
        let lines = router_config(home);
        let (http, rest) = lines.split_once("# 2. ").unwrap();
        let (server, rest) = rest.split_once("# 3. ").unwrap();
        let (_, content) = rest.split_once(":\n").unwrap();
        fs::write(site.path("live.conf"), content).unwrap();
        // A request that fails is not made again elsewhere: it would hide what a turn costs.
        Lines {
            http: http.to_owned(),
            server: format!("proxy_next_upstream off;\n# {server}"),
        }
    })
}

fn command(home: &Path, arguments: &str) -> Command {
    let mut command = Command::new(program());
    command
        .args(arguments.split_whitespace())
        .current_dir(home)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        // Ledgers of tests that run at the same time must not meet.
        .env("TMPDIR", home)
        .env("INPUT_CONFIG", "cutover.yml")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// Puts everything into the directory that a user has there.
fn furnish(home: &Path, members: &[Member], router: &Value, front: u16) {
    let of_members: BTreeMap<&str, Value> = ALL
        .into_iter()
        .zip(members)
        .map(|(name, it)| {
            (
                name,
                json!({ "url": format!("http://127.0.0.1:{}", it.port) }),
            )
        })
        .collect();
    let config = CONFIG
        .replace("URL", &format!("http://127.0.0.1:{front}"))
        .replace("MEMBERS", &json!(of_members).to_string())
        .replace("ROUTER", &router.to_string());
    fs::write(home.join("cutover.yml"), config).unwrap();
    fs::write(home.join("deploy.sh"), DEPLOY).unwrap();
    fs::set_permissions(home.join("deploy.sh"), fs::Permissions::from_mode(0o755)).unwrap();
}

fn router_config(home: &Path) -> String {
    let printed = output(&mut command(home, "router-config"));
    assert!(printed.status.success(), "{printed:?}");
    String::from_utf8(printed.stdout).unwrap()
}
