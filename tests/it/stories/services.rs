//! The built program with services that somebody else runs, behind a real nginx under load: units of a
//! real systemd, there over SSH and here, and projects of Docker Compose.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::world::children::output;
use crate::world::dockerd::Dockerd;
use crate::world::load::{Load, Manner};
use crate::world::machine::Machine;
use crate::world::nginx::{Lines, Nginx};
use crate::world::ports;
use crate::world::registry::{PASSWORD, Registry, USER, import};
use crate::world::shop::{Ran, Shop, Way, program};
use crate::world::watchers::tool;

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
    hosts: HOSTS
    target: TARGET
    router: { kind: nginx, flags: flags }
    strategy: { kind: blue-green, wait: 10s, watch: 2s }
    prober: { rate: 50, path: /cgi-bin/page }
    proof: { answers: 5, within: 5s }
    drain: { deadline: 1s, after: stop }
";

/// nginx before two slots, and who deploys to them.
fn shop(slots: [&str; 2], target: &Value, hosts: &Value) -> Nginx {
    Nginx::start(|site| {
        let config = CONFIG
            .replace("URL", site.url("/").as_str())
            .replace("BLUE", slots[0])
            .replace("GREEN", slots[1])
            .replace("TARGET", &target.to_string())
            .replace("HOSTS", &hosts.to_string());
        fs::write(site.path("cutover.yml"), config).unwrap();
        let printed = output(&mut cutover(site.directory(), "router-config"));
        let lines = String::from_utf8(printed.stdout).unwrap();
        let parts = lines
            .split_once("# 2. ")
            .and_then(|(http, rest)| Some((http, rest.split_once("# 3. ")?)));
        let (http, (server, rest)) = parts.unwrap_or_else(|| panic!("{lines}"));
        let command = rest.lines().last().unwrap().trim_start_matches('#');
        let made = Command::new("sh").args(["-c", command]).status().unwrap();
        assert!(made.success(), "{command}");
        Lines {
            http: http.to_owned(),
            server: format!("# {server}"),
        }
    })
}

fn cutover(directory: &Path, arguments: &str) -> Command {
    let mut command = Command::new(program());
    command
        .args(arguments.split_whitespace())
        .current_dir(directory)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("INPUT_CONFIG", "cutover.yml")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

fn run(nginx: &Nginx, arguments: &str) -> Ran {
    Ran::of(cutover(nginx.site.directory(), arguments).spawn().unwrap())
}

/// What a slot serves; nothing where nobody answers.
fn ask(url: &str) -> String {
    let url = format!("{url}/release");
    let answer = Command::new("curl")
        .args(["-s", "-m", "60", &url])
        .output()
        .unwrap();
    String::from_utf8(answer.stdout).unwrap().trim().to_owned()
}

/// From nothing to v1 in blue, then v2 under load, a crash, and one that is ill under traffic.
fn story(nginx: &Nginx, [blue, green]: [&str; 2], bad: [&str; 2], stopped: &str) {
    let flags = nginx.site.path("flags");
    fs::rename(flags.join("w0"), flags.join("w100")).unwrap();
    let ran = run(nginx, "deploy-slot --version=v1");
    assert_eq!(ran.code, 0, "{}", ran.log);
    fs::rename(flags.join("w100"), flags.join("w0")).unwrap();
    assert_eq!(ask(blue), "v1");

    let load = Load::of(Manner::NewConnection, nginx.site.port, 4);
    let ran = run(nginx, "rollout --version=v2");
    assert_eq!(
        (ran.code, ran.output("requests-failed")),
        (0, "0"),
        "{}",
        ran.log
    );
    // The old slot was drained, and stopped by the target that had started it.
    assert!(ran.log.contains(stopped), "{}", ran.log);
    assert_eq!((ask(green), ask(blue)), ("v2".into(), String::new()));

    // One that crashes leaves traffic alone, and the slot stopped, as it was.
    let ran = run(nginx, &format!("rollout --version={}", bad[0]));
    assert_eq!(
        (ran.code, ran.output("active-slot")),
        (10, "green"),
        "{}",
        ran.log
    );
    assert!(
        ran.log.contains("is stopped, as it was before"),
        "{}",
        ran.log
    );
    assert_eq!((ask(green), ask(blue)), ("v2".into(), String::new()));
    let why = load.why();
    let (sent, failed) = load.stop();
    println!("{failed} of {sent} requests failed");
    assert!(
        failed == 0 && sent > 100,
        "{failed} of {sent} requests failed: {why}"
    );

    // One that makes errors is taken back.
    let ran = run(nginx, &format!("rollout --version={}", bad[1]));
    assert_eq!(
        (ran.code, ran.output("decision")),
        (20, "rolled-back"),
        "{}",
        ran.log
    );
    assert_eq!(ask(nginx.site.url("").as_str().trim_end_matches('/')), "v2");
}

#[test]
fn units_on_a_host_are_promoted_under_load_and_stopped_when_they_are_old() {
    let machine = Machine::start();
    let target = json!({
        "kind": "systemd", "unit": "shop@$SLOT.service", "host": "web1", "sudo": true, "wait": "10s", "steady": "1s",
    });
    let (blue, green) = (machine.url("blue"), machine.url("green"));
    let hosts = json!({ "web1": machine.host("deploy") });
    let nginx = shop([&blue, &green], &target, &hosts);
    story(
        &nginx,
        [&blue, &green],
        ["v3-crash", "v3-ill"],
        "shop@blue.service is stopped on web1",
    );
}

#[test]
fn a_unit_is_deployed_on_the_machine_that_the_program_is_on() {
    let machine = Machine::start();
    let target = json!({ "kind": "systemd", "unit": "shop@$SLOT.service", "steady": "500ms" });
    let (blue, green) = (machine.url("blue"), machine.url("green"));
    let config = CONFIG
        .replace("URL", &blue)
        .replace("BLUE", &blue)
        .replace("GREEN", &green)
        .replace("TARGET", &target.to_string())
        .replace("    hosts: HOSTS\n", "");
    fs::write(machine.path("cutover.yml"), config).unwrap();
    fs::create_dir(machine.path("flags")).unwrap();
    fs::write(machine.path("flags/w0"), "").unwrap();
    let config = machine.path("cutover.yml").display().to_string();
    let program = program().display().to_string();
    let deploy = |version: &str| {
        let version = format!("--version={version}");
        let home = machine.path("").display().to_string();
        let there = ["sh", "-c", "cd \"$0\" && exec \"$@\"", &home];
        let words = [
            program.as_str(),
            "deploy-slot",
            "--config",
            &config,
            &version,
        ];
        let mut command = machine.command(&[&there[..], &words[..]].concat());
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .stdout(Stdio::piped());
        Ran::of(command.spawn().unwrap())
    };
    let ran = deploy("v1");
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert_eq!(machine.served("green"), "v1");
    let ran = deploy("v2-crash");
    assert_eq!(ran.code, 10, "{}", ran.log);
    assert!(
        ran.log.contains("the release before runs again")
            && ran.log.contains("cannot read the config"),
        "{}",
        ran.log
    );
    assert_eq!(machine.served("green"), "v1");
}

#[test]
fn projects_are_promoted_under_load_and_stopped_when_they_are_old() {
    let dockerd = Dockerd::serving();
    for release in ["v1", "v2", "v3", "v4"] {
        import(&dockerd, "shop", release, 0);
    }
    let [blue, green] = [(); 2].map(|()| format!("http://127.0.0.1:{}", ports::free()));
    let state = tempfile::tempdir().unwrap();
    let target = json!({
        "kind": "compose", "file": "compose.yml", "command": tool("docker-compose"), "pull": "never", "steady": "4s",
        "env": { "DOCKER_HOST": format!("unix://{}", dockerd.socket().display()), "XDG_STATE_HOME": state.path() },
    });
    let nginx = shop([&blue, &green], &target, &json!({}));
    // v3 crashes and v4 is ill, by what its own files say.
    let file = "services:
  web:
    image: shop:${VERSION}
    restart: always
    env_file: [\"${VERSION}.env\"]
    ports: [\"127.0.0.1:${SLOT_PORT}:8080\"]
";
    fs::write(nginx.site.path("compose.yml"), file).unwrap();
    for (version, mode) in [
        ("v1", "none"),
        ("v2", "none"),
        ("v3", "crash"),
        ("v4", "ill"),
    ] {
        let name = format!("{version}.env");
        fs::write(nginx.site.path(&name), format!("MODE={mode}\n")).unwrap();
    }
    story(
        &nginx,
        [&blue, &green],
        ["v3", "v4"],
        "shop-blue is stopped",
    );
}

#[test]
fn images_are_pulled_each_time_and_one_that_is_not_there_stops_nothing() {
    let (dockerd, builder, registry) = (Dockerd::serving(), Dockerd::serving(), Registry::start());
    let [blue, green] = [(); 2].map(|()| format!("http://127.0.0.1:{}", ports::free()));
    let home = tempfile::tempdir().unwrap();
    // As `docker login` leaves it.
    let login = BASE64.encode(format!("{USER}:{PASSWORD}"));
    let server = registry.name().replace("/shop", "");
    let logins = json!({ "auths": { server: { "auth": login } } });
    fs::write(home.path().join("config.json"), logins.to_string()).unwrap();
    let target = json!({
        "kind": "compose", "file": "compose.yml", "command": tool("docker-compose"), "steady": "500ms",
        "env": {
            "DOCKER_HOST": format!("unix://{}", dockerd.socket().display()),
            "XDG_STATE_HOME": home.path(), "DOCKER_CONFIG": home.path(),
        },
    });
    let nginx = shop([&blue, &green], &target, &json!({}));
    let config = fs::read_to_string(nginx.site.path("cutover.yml")).unwrap();
    let config = config.replace("    drain: { deadline: 1s, after: stop }\n", "");
    fs::write(nginx.site.path("cutover.yml"), config).unwrap();
    let file = format!(
        "services:\n  web:\n    image: {}:${{VERSION}}\n    ports: [\"127.0.0.1:${{SLOT_PORT}}:8080\"]\n",
        registry.name()
    );
    fs::write(nginx.site.path("compose.yml"), file).unwrap();
    let running = || dockerd.container("shop-blue-web-1");

    // The same tag may be another image by now.
    let flags = nginx.site.path("flags");
    fs::rename(flags.join("w0"), flags.join("w100")).unwrap();
    let images = [0, 5].map(|padding| {
        registry.push(&builder, "v1", padding);
        let ran = run(&nginx, "deploy-slot --version=v1");
        assert_eq!((ran.code, ask(&blue).as_str()), (0, "v1"), "{}", ran.log);
        running()["Image"].clone()
    });
    assert_ne!(images[0], images[1]);
    fs::rename(flags.join("w100"), flags.join("w0")).unwrap();

    registry.push(&builder, "v2", 0);
    let ran = run(&nginx, "rollout --version=v2");
    assert_eq!(
        (ran.code, ran.output("decision"), ask(&green).as_str()),
        (0, "promoted", "v2"),
        "{}",
        ran.log
    );

    let before = running();
    let ran = run(&nginx, "rollout --version=v9");
    assert_eq!(
        (ran.code, ran.output("active-slot")),
        (10, "green"),
        "{}",
        ran.log
    );
    assert!(
        ran.log.contains("shop-blue: pull ended with ") && ran.log.contains("/shop:v9"),
        "{}",
        ran.log
    );
    let after = running();
    for part in ["Id", "State"] {
        assert_eq!(after[part], before[part], "{}", ran.log);
    }
    assert_eq!((ask(&blue), ask(&green)), ("v1".into(), "v2".into()));
}

#[test]
fn who_cannot_stop_a_slot_says_so_before_anything_changes() {
    let shop = Shop::open(Way::Flags);
    let check = |wanted: Option<&str>| {
        let ran = shop.cutover("check");
        assert_eq!(
            ran.code,
            if wanted.is_some() { 64 } else { 0 },
            "{}",
            ran.log
        );
        assert!(ran.log.contains(wanted.unwrap_or_default()), "{}", ran.log);
    };
    shop.configure("    smoke:\n", "    drain: { after: stop }\n    smoke:\n");
    check(Some(
        "drain.after: needs `retire`: the command or request that does it, for this target cannot",
    ));
    let unit = "target: { kind: systemd, unit: shop@$SLOT.service }";
    shop.configure("target: { kind: command, run: ./deploy.sh }", unit);
    check(None);
    let both = format!("{unit}\n    failover: {{ to: {{ kind: command, run: x }} }}");
    shop.configure(unit, &both);
    check(Some("drain.after: needs `retire`: with a `failover`"));
    shop.configure(
        "after: stop",
        "after: stop, retire: { kind: command, run: x }",
    );
    check(None);
}
