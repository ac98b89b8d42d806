//! The contract of targets: a deployment that works is told in a line, one that fails says why,
//! a cancelled one ends soon, and what cannot work is refused before anything is changed. Then
//! what the command does by itself; folders are in `directory`, requests in `targets_http`.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use cutover::config::docker_host::Engine;
use cutover::config::kinds::{Block, build};
use cutover::model::fault::Fault;
use cutover::model::release::Release;
use cutover::platform::http::Http;
use cutover::platform::secret::Vault;
use cutover::targets::{Desk, KINDS, Order, Target, TargetError, Tools};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::{compose, docker, systemd};
use crate::world::app::{App, Reply};
use crate::world::dockerd::Dockerd;
use crate::world::machine::Machine;
use crate::world::patience::within;
use crate::world::registry::import;

pub(crate) fn tools(directory: &Path) -> Tools {
    Tools {
        hosts: cutover::platform::host::Hosts::default(),
        http: Http::default(),
        directory: directory.to_owned(),
        vault: Vault::default(),
        engine: Engine::default(),
    }
}

pub(crate) fn made(options: Value, tools: &Tools) -> Result<Box<dyn Target>, String> {
    let block: Block = serde_json::from_value(options).unwrap();
    build(KINDS, &block, tools)
}

pub(crate) fn order(version: &str) -> Order {
    Order {
        app: "shop".to_owned(),
        environment: "production".to_owned(),
        slot: "blue".to_owned(),
        slot_url: "http://blue.example.com/".parse().unwrap(),
        release: Release::new(version),
        fence: None,
    }
}

/// Deploys without a cancellation; returns the lines that were said, too.
pub(crate) async fn deploy(
    target: &dyn Target,
    order: &Order,
) -> (Result<String, TargetError>, Vec<String>) {
    let lines = Mutex::new(Vec::new());
    let say = |line| lines.lock().unwrap().push(line);
    let desk = Desk {
        say: &say,
        went: &|_| {},
        cancelled: &CancellationToken::new(),
        run: &CancellationToken::new(),
    };
    let outcome = target.deploy(order, &desk).await;
    (outcome, lines.into_inner().unwrap())
}

/// What every kind is held to.
pub(super) struct Case {
    pub(super) good: Value,
    /// Is begun and fails.
    pub(super) failing: Value,
    /// What `prepare` refuses.
    pub(super) hopeless: (Value, Order),
    /// Takes for ever, where the kind can; `timeout` is 200ms.
    pub(super) slow: Option<Value>,
}

struct World {
    app: App,
    dockerd: Dockerd,
    machine: Machine,
    folder: TempDir,
}

impl World {
    async fn start() -> Self {
        let app = App::start().await;
        app.route("/deploy/v1", Reply::with(202, ""));
        app.route("/fail", Reply::with(500, "out of luck"));
        app.route("/hang", Reply::Hang);
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("dist")).unwrap();
        std::fs::write(folder.path().join("dist/index.html"), "v1").unwrap();
        std::fs::create_dir(folder.path().join("odd")).unwrap();
        let pipe = std::process::Command::new("mkfifo")
            .arg(folder.path().join("odd/pipe"))
            .status();
        assert!(pipe.unwrap().success());
        let dockerd = Dockerd::serving();
        import(&dockerd, "shop", "v1", 0);
        Self {
            app,
            dockerd,
            machine: Machine::start(),
            folder,
        }
    }

    fn case(&self, kind: &str) -> Case {
        let http = |path| json!({ "kind": "http", "url": self.app.url.to_string() + path });
        let with = |mut block: Value, key: &str, value: Value| {
            block[key] = value;
            block
        };
        let command = |run| json!({ "kind": "command", "run": run });
        let folder = |from| json!({ "kind": "directory", "from": from, "to": "slots" });
        match kind {
            "command" => Case {
                good: command("echo $VERSION"),
                failing: command("echo out of luck; exit 3"),
                hopeless: (
                    with(command("true"), "directory", json!("gone")),
                    order("v1"),
                ),
                slow: Some(with(command("sleep 1000"), "timeout", json!("200ms"))),
            },
            "directory" => Case {
                good: folder("dist"),
                failing: folder("odd"),
                hopeless: (folder("gone"), order("v1")),
                slow: None,
            },
            "fleet" => {
                let fleet = |two: Value| json!({ "kind": "fleet", "nodes": { "web1": command("true"), "web2": two } });
                Case {
                    good: fleet(command("echo $VERSION")),
                    failing: fleet(command("echo out of luck; exit 3")),
                    hopeless: (
                        fleet(with(command("true"), "directory", json!("gone"))),
                        order("v1"),
                    ),
                    slow: Some(fleet(with(
                        command("sleep 1000"),
                        "timeout",
                        json!("200ms"),
                    ))),
                }
            }
            "compose" => compose::case(&self.dockerd, self.folder.path()),
            "docker" => docker::case(&self.dockerd),
            "systemd" => systemd::case(&self.machine),
            "http" => Case {
                good: http("deploy/{{version}}"),
                failing: http("fail"),
                hopeless: (http("deploy/{{version}}"), order("..")),
                slow: Some(with(http("hang"), "timeout", json!("200ms"))),
            },
            other => panic!("the kind {other} has no case in this suite"),
        }
    }
}

#[tokio::test]
async fn every_kind_keeps_the_contract() {
    let world = World::start().await;
    let tools = Tools {
        hosts: systemd::hosts(&world.machine),
        ..tools(world.folder.path())
    };
    let order = order("v1");
    for kind in KINDS {
        let case = world.case(kind.name);
        let good = made(case.good.clone(), &tools).unwrap();
        assert!(!good.told().is_empty() && !kind.about.is_empty());
        good.prepare(&order).await.unwrap();
        for _ in 0..2 {
            let said = deploy(&*good, &order).await.0.unwrap();
            assert!(!said.is_empty() && !said.contains('\n'), "{said}");
        }

        let mut odd = case.good.clone();
        odd["no-such-key"] = json!(1);
        let said = made(odd, &tools).map(drop).unwrap_err();
        assert!(said.contains("no-such-key"), "{said}");

        let failing = made(case.failing, &tools).unwrap();
        let failed = deploy(&*failing, &order).await.0.unwrap_err();
        assert!(matches!(failed, TargetError::Failed { .. }), "{failed:?}");
        assert!(!failed.to_string().is_empty());

        let (hopeless, odd) = case.hopeless;
        let hopeless = made(hopeless, &tools).unwrap();
        let refused = hopeless.prepare(&odd).await.unwrap_err();
        assert!(matches!(refused, TargetError::OutOfReach(_)), "{refused:?}");

        let cancelled = CancellationToken::new();
        cancelled.cancel();
        let desk = Desk {
            say: &|line| panic!("{line}"),
            went: &|_| {},
            cancelled: &cancelled,
            run: &cancelled,
        };
        let ended = good.deploy(&order, &desk).await;
        assert_eq!(ended, Err(TargetError::Cancelled), "{}", kind.name);

        if let Some(slow) = case.slow {
            a_slow_one_ends(slow, &tools).await;
        }
    }
}

/// By its timeout, and by a cancellation in the middle.
async fn a_slow_one_ends(slow: Value, tools: &Tools) {
    let order = order("v1");
    let target = made(slow.clone(), tools).unwrap();
    let ended = deploy(&*target, &order).await.0.unwrap_err();
    let TargetError::TimedOut { said, after, .. } = ended else {
        panic!("{ended:?}")
    };
    assert_eq!(after, Duration::from_millis(200));
    assert!(said.contains("200 ms"), "{said}");

    // Wherever it stands: a fleet's nodes have it, not the fleet.
    let slow = slow.to_string().replace("200ms", "1h");
    let target = made(serde_json::from_str(&slow).unwrap(), tools).unwrap();
    let cancelled = CancellationToken::new();
    let desk = Desk {
        say: &|_| {},
        went: &|_| {},
        cancelled: &cancelled,
        run: &cancelled,
    };
    let began = Instant::now();
    let later = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        cancelled.cancel();
    };
    let both = async { futures_util::join!(target.deploy(&order, &desk), later) };
    let (ended, ()) = within("it is ended", both).await;
    assert_eq!(ended, Err(TargetError::Cancelled));
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_command_is_told_what_goes_where_and_its_lines_are_heard() {
    let folder = tempfile::tempdir().unwrap();
    let options = json!({
        "kind": "command", "env": { "REGION": "eu 1", "SLOT": "not this" },
        "run": "echo $APP $ENVIRONMENT $SLOT $SLOT_URL $VERSION $REGION; pwd -P; true",
    });
    let target = made(options, &tools(folder.path())).unwrap();
    let (outcome, lines) = deploy(&*target, &order("v1")).await;
    assert_eq!(
        lines[0],
        "shop production blue http://blue.example.com/ v1 eu 1"
    );
    let here = folder.path().canonicalize().unwrap();
    assert_eq!(Path::new(&lines[1]), here);
    assert!(
        outcome.unwrap().ends_with("… ended with 0"),
        "a long command is cut"
    );
}

#[tokio::test]
async fn a_command_that_fails_is_quoted() {
    let run = "echo one\necho two >&2\nexit 3";
    let target = made(
        json!({ "kind": "command", "run": run }),
        &tools(Path::new("/")),
    )
    .unwrap();
    let TargetError::Failed { said, last_words } =
        deploy(&*target, &order("v1")).await.0.unwrap_err()
    else {
        panic!()
    };
    assert!(
        said.starts_with("echo one echo two >&2 exit 3 ended with 3 after ")
            && said.ends_with(", wanted 0"),
        "{said}"
    );
    assert_eq!(last_words, ["one", "two"]);
}

#[tokio::test]
async fn a_secret_in_a_command_is_not_cut_in_half() {
    let tools = tools(Path::new("/"));
    tools.vault.keep("s3cr3t-token");
    let run = format!("true {} s3cr3t-token", "x".repeat(50));
    let target = made(json!({ "kind": "command", "run": run }), &tools).unwrap();
    assert!(!target.told().contains("s3"), "{}", target.told());
}

#[test]
fn options_that_make_no_sense_are_refused() {
    for (options, said) in [
        (json!({ "kind": "command", "run": "" }), "no command"),
        (json!({ "kind": "command" }), "run"),
        (
            json!({ "kind": "directory", "from": "", "to": "x" }),
            "from:",
        ),
        (
            json!({ "kind": "directory", "from": "x", "to": "y", "keep": 0 }),
            "keep:",
        ),
        (json!({ "kind": "http", "url": "ftp://x/" }), "url:"),
        (
            json!({ "kind": "http", "url": "http://x/{{slto}}" }),
            "did you mean \"slot\"?",
        ),
        (
            json!({ "kind": "http", "url": "http://x/", "body": "{{" }),
            "body:",
        ),
        (
            json!({ "kind": "http", "url": "http://x/", "headers": { "a b": "" } }),
            "a b",
        ),
        (
            json!({ "kind": "docker", "image": "x", "container": "shop-$SLOT-$VERSION" }),
            "container: \"shop-$SLOT-$VERSION\" is another one for each version",
        ),
        (
            json!({ "kind": "systemd", "unit": "shop-$VERSION@$SLOT.service" }),
            "unit: \"shop-$VERSION@$SLOT.service\" is another one for each version",
        ),
        (
            json!({ "kind": "compose", "file": "x", "project": "$APP-$$VERSION-$SLOT" }),
            "take $VERSION out of it",
        ),
    ] {
        let refused = made(options, &tools(Path::new("/"))).map(drop).unwrap_err();
        assert!(refused.contains(said), "{refused}");
    }
    // Another word is none of ours.
    let project =
        json!({ "kind": "compose", "file": "x", "project": "$SLOT-$VERSIONS-${VERSION}" });
    assert!(made(project, &tools(Path::new("/"))).is_ok());
}

#[test]
fn of_last_words_the_last_are_in_the_message() {
    let frame = |nth| format!("    at shop.Main.step{nth}(Main.java:{nth}) ~[shop.jar:1.0]");
    let mut last_words: Vec<String> = (1..=18).map(frame).collect();
    last_words.push("caused by: no connection to db".to_owned());
    last_words.push("health: ended with 1: 503".to_owned());
    let said = "shop-blue is unhealthy".to_owned();
    let fault = Fault::from(TargetError::Failed { said, last_words });
    let told = fault.measured.unwrap();
    let begins = "shop-blue is unhealthy; it said: … / at shop.Main.step";
    assert!(told.starts_with(begins), "{told}");
    let ends = "step18(Main.java:18) ~[shop.jar:1.0] / caused by: no connection to db / health: ended with 1: 503";
    assert!(told.ends_with(ends), "{told}");
    // A cell of the summary has room for a thousand, and would lose the end.
    assert!(told.chars().count() <= 750, "{told}");
}
