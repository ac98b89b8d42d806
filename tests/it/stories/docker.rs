//! The Docker engine, asked at its own API, and Compose, asked by the command that would call it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

use insta::assert_snapshot;

use super::preflight::{shop, told, with};
use crate::world::app::{App, Reply};
use crate::world::dockerd::Dockerd;
use crate::world::nobody::as_nobody;
use crate::world::shop::{Ran, Shop};

fn docker_shop() -> Shop {
    shop("preflight: { cpu: 100%, memory: 100%, disk: 1MB, docker: true }")
}

/// A `docker` command of the tests; without a script there is none at all.
fn path_with(shop: &Shop, script: Option<&str>) -> String {
    let tools = shop.path("tools");
    fs::create_dir_all(&tools).unwrap();
    let Some(script) = script else {
        return tools.display().to_string();
    };
    let path = tools.join("docker");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:/usr/bin:/bin", tools.display())
}

const COMPOSE: &str = "test \"$1 $2\" = 'compose version' && echo 2.29.7";

/// A preflight with `DOCKER_HOST` and a `docker` command that knows Compose.
fn at(shop: &Shop, host: &str) -> Ran {
    let path = path_with(shop, Some(COMPOSE));
    let variables = [("DOCKER_HOST", host), ("PATH", &path)];
    with(shop, "preflight --version=v2", &variables)
}

/// The rows about Docker.
fn rows(shop: &Shop, ran: &Ran) -> String {
    let told = told(shop, ran);
    let about = |row: &&str| row.starts_with("  docker") || row.contains("compose:");
    told.lines().filter(about).collect::<Vec<_>>().join("\n")
}

/// Root needs no permission, so the program runs as somebody else.
fn at_as_nobody(shop: &Shop, host: &str) -> Ran {
    let mut command = shop.command("preflight --version=v2");
    command
        .env("DOCKER_HOST", host)
        .env("PATH", path_with(shop, Some(COMPOSE)));
    Ran::of(as_nobody(&command).spawn().unwrap())
}

#[test]
fn a_real_engine_is_asked_at_its_socket_and_at_its_port() {
    let shop = docker_shop();
    let mut dockerd = Dockerd::start();
    let socket = format!("unix://{}", dockerd.socket().display());
    let ran = at(&shop, &socket);
    assert_eq!(ran.code, 0, "{}", ran.log);
    let ran = at(&shop, &format!("tcp://127.0.0.1:{}", dockerd.port));
    assert_eq!(ran.code, 0, "{}", ran.log);

    let root = rustix::process::geteuid().is_root();
    if root {
        let ran = at_as_nobody(&shop, &socket);
        let place = dockerd.socket().display().to_string();
        let group = regex_lite::Regex::new(r"group \d+").unwrap();
        let rows = rows(&shop, &ran).replace(&place, "/run/docker.sock");
        let rows = group.replace(&rows, "group [docker]").into_owned();
        assert_snapshot!(rows, @r"  docker     engine: this job may not open /run/docker.sock: it runs as user 65534, and it is for user 0 and group [docker], mode 660; wanted an engine that answers; next: add that user to the socket's group (`sudo usermod -aG docker USER`) and start the runner anew, or name an engine that it may ask with DOCKER_HOST; whoever may ask is root on that machine");
    }

    dockerd.stop();
    let ran = at(&shop, &socket);
    let place = dockerd.socket().display().to_string();
    assert_snapshot!(rows(&shop, &ran).replace(&place, "/run/docker.sock"), @r"  docker     engine: nothing is at /run/docker.sock; wanted an engine that answers; next: start the Docker engine; inside of a container mount its socket, or name it with DOCKER_HOST");
    assert_eq!(ran.code, 2);
}

/// In the action's image there is no `docker` command, and the engine is asked all the same.
#[test]
fn without_the_command_compose_is_not_asked_and_that_is_said() {
    let shop = docker_shop();
    let dockerd = Dockerd::start();
    let host = format!("unix://{}", dockerd.socket().display());
    let path = path_with(&shop, None);
    fs::create_dir_all(&path).unwrap();
    std::os::unix::fs::symlink("/bin/sh", shop.path("tools/sh")).unwrap();
    let variables = [("DOCKER_HOST", host.as_str()), ("PATH", &path)];
    let ran = with(&shop, "preflight --version=v2", &variables);
    assert_snapshot!(rows(&shop, &ran), @r"  skipped    compose: there is no `docker` command here, and nobody else can say; what is deployed over the network does not need it");
    assert_eq!(ran.code, 0, "{}", ran.log);
}

#[test]
fn a_socket_without_an_engine_is_2() {
    let shop = docker_shop();
    let socket = shop.path("docker.sock");
    drop(UnixListener::bind(&socket).unwrap());
    let ran = at(&shop, &format!("unix://{}", socket.display()));
    assert_snapshot!(rows(&shop, &ran), @r"  docker     engine: /shop/docker.sock is a socket that nobody listens at; wanted an engine that answers; next: start the Docker engine (`sudo systemctl start docker`)");
    assert_eq!(ran.code, 2);
    let ran = at(&shop, "tpc://h:2375");
    assert_snapshot!(rows(&shop, &ran), @r"  docker     engine: DOCKER_HOST is no address of an engine; write it as unix:///var/run/docker.sock or tcp://host:2375; wanted an engine that answers; next: correct DOCKER_HOST, or leave it out");
    assert_eq!(ran.code, 2);
}

#[tokio::test]
async fn what_is_no_engine_is_2() {
    let (shop, other) = (docker_shop(), App::start().await);
    other.route("/_ping", Reply::with(200, "OK"));
    other.route("/version", Reply::with(500, "the store is broken"));
    let port = other.url.port().unwrap();
    let ask = async |shop: &Shop| {
        let command = {
            let mut command = shop.command("preflight --version=v2");
            command.env("DOCKER_HOST", format!("tcp://127.0.0.1:{port}"));
            command.env("PATH", path_with(shop, Some(COMPOSE)));
            command
        };
        let mut command = command;
        let run = move || Ran::of(command.spawn().unwrap());
        let ran = tokio::task::spawn_blocking(run).await.unwrap();
        assert_eq!(ran.code, 2, "{}", ran.log);
        rows(shop, &ran).replace(&port.to_string(), "2375")
    };
    assert_snapshot!(ask(&shop).await, @r"  docker     engine: 127.0.0.1:2375 answered /version with 500 the store is broken; wanted an engine that answers; next: is that a Docker engine? Its log says more");
    other.route("/_ping", Reply::with(404, "nothing here"));
    assert_snapshot!(ask(&shop).await, @r"  docker     engine: 127.0.0.1:2375 answered /_ping with 404 nothing here; wanted an engine that answers; next: is that a Docker engine? Its log says more");
}

#[test]
fn docker_without_compose_is_2() {
    let shop = docker_shop();
    let dockerd = Dockerd::start();
    let host = format!("unix://{}", dockerd.socket().display());
    let path = path_with(
        &shop,
        Some("echo \"docker: 'compose' is not a docker command.\"; exit 1"),
    );
    let variables = [("DOCKER_HOST", host.as_str()), ("PATH", &path)];
    let ran = with(&shop, "preflight --version=v2", &variables);
    assert_snapshot!(told(&shop, &ran), @r"
      docker     compose: `docker compose version --short` ended with 1; it said: docker: 'compose' is not a docker command.; wanted its version; next: install the Compose plug-in where this job runs (the package docker-compose-plugin or docker-compose-v2)
      preflight  10 of 11 checks passed, 1 skipped   [time]
    failed: 1 check says no: compose
      measured   compose: `docker compose version --short` ended with 1; it said: docker: 'compose' is not a docker command.
      wanted     its version
      traffic    100 % on blue, says the router
      next       install the Compose plug-in where this job runs (the package docker-compose-plugin or docker-compose-v2)
    ");
    assert_eq!(
        (ran.code, ran.output("reason-code")),
        (2, "preflight-docker")
    );
}

/// ssh, TLS and contexts are known to the `docker` command alone, which is asked there.
#[test]
fn what_only_the_command_knows_it_is_asked() {
    let shop = docker_shop();
    let path = path_with(
        &shop,
        Some(&format!(
            "{COMPOSE} || {{ test $1 = version && echo 27.3.1; }}"
        )),
    );
    let run = |variables: &[(&str, &str)]| with(&shop, "preflight --version=v2", variables);
    let ssh = run(&[("DOCKER_HOST", "ssh://deploy@web-1"), ("PATH", &path)]);
    assert_eq!(ssh.code, 0, "{}", ssh.log);
    let settings = shop.path("config.json");
    fs::write(&settings, r#"{ "currentContext": "rootless" }"#).unwrap();
    let settings = shop.path("").display().to_string();
    let none = path_with(
        &shop,
        Some("echo Cannot connect to the Docker daemon; exit 1"),
    );
    let context = run(&[("DOCKER_CONFIG", settings.as_str()), ("PATH", &none)]);
    assert_snapshot!(rows(&shop, &context), @r"
    docker     engine: `docker version --format '{{.Server.Version}}'` ended with 1; it said: Cannot connect to the Docker daemon; wanted an engine that answers; next: see that the engine runs behind the context rootless
    docker     compose: `docker compose version --short` ended with 1; it said: Cannot connect to the Docker daemon; wanted its version; next: install the Compose plug-in where this job runs (the package docker-compose-plugin or docker-compose-v2)
    ");
    fs::remove_file(shop.path("tools/docker")).unwrap();
    std::os::unix::fs::symlink("/bin/sh", shop.path("tools/sh")).unwrap();
    let tools = path_with(&shop, None);
    let nothing = run(&[("DOCKER_HOST", "ssh://deploy@web-1"), ("PATH", &tools)]);
    assert_snapshot!(rows(&shop, &nothing), @r"
    docker     engine: DOCKER_HOST by ssh is set, which only the `docker` command knows, and it is not here; wanted an engine that answers; next: install that command where this job runs, or name a socket or a plain port with DOCKER_HOST
    skipped    compose: there is no `docker` command here, and nobody else can say; what is deployed over the network does not need it
    ");
}
