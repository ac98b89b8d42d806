//! The contract of hooks: one that works is told in a line, one that fails says why, a slow one
//! and a cancelled one end, and all are told what the run is about.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use cutover::config::kinds::{Block, build};
use cutover::hooks::{Call, Desk, Hook, HookError, KINDS, Tools};
use cutover::platform::host::Hosts;
use cutover::platform::http::Http;
use cutover::platform::secret::Vault;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::hosts::built;
use crate::world::app::{App, Reply};
use crate::world::patience::within;
use crate::world::sshd::Sshd;

fn made(options: &Value, vault: &Vault, directory: &Path) -> Result<Box<dyn Hook>, String> {
    made_with(options, vault, directory, Hosts::default())
}

fn made_with(
    options: &Value,
    vault: &Vault,
    directory: &Path,
    hosts: Hosts,
) -> Result<Box<dyn Hook>, String> {
    let block: Block = serde_json::from_value(options.clone()).unwrap();
    let tools = Tools {
        http: Http::default(),
        directory: directory.to_owned(),
        vault: vault.clone(),
        hosts,
    };
    build(KINDS, &block, &tools)
}

fn call() -> Call {
    Call {
        hook: "on-rollback".to_owned(),
        app: "shop".to_owned(),
        environment: "production".to_owned(),
        slot: "green".to_owned(),
        slot_url: "http://green.example.com/".to_owned(),
        version: "v 2".to_owned(),
        previous_version: "v1".to_owned(),
        fence: "7".to_owned(),
        decision: "rolled-back".to_owned(),
        reason: "not-proved".to_owned(),
    }
}

async fn run(
    hook: &dyn Hook,
    cancelled: &CancellationToken,
) -> (Result<String, HookError>, Vec<String>) {
    let lines = Mutex::new(Vec::new());
    let say = |line| lines.lock().unwrap().push(line);
    let desk = Desk {
        say: &say,
        cancelled,
    };
    let ran = hook.run(&call(), &desk).await;
    (ran, lines.into_inner().unwrap())
}

/// One that works, one that fails, one that cannot begin, and one that takes for ever.
fn cases(kind: &str, app: &App) -> [Value; 4] {
    let command = |run: &str| json!({ "kind": "command", "run": run });
    let http = |path: &str| json!({ "kind": "http", "url": app.at(path) });
    match kind {
        "command" => [
            command("echo done"),
            command("echo out of luck; exit 3"),
            json!({ "kind": "command", "run": "true", "directory": "gone" }),
            command("sleep 1000"),
        ],
        "http" => [
            http("/good"),
            http("/bad"),
            json!({ "kind": "http", "url": "http://127.0.0.1:1/" }),
            http("/hang"),
        ],
        other => panic!("the kind {other} has no case in this suite"),
    }
}

#[tokio::test]
async fn every_kind_keeps_the_contract() {
    let app = App::start().await;
    app.route("/good", Reply::with(202, ""));
    app.route("/bad", Reply::with(500, "out of luck"));
    app.route("/hang", Reply::Hang);
    let folder = tempfile::tempdir().unwrap();
    let build = |options: &Value| made(options, &Vault::default(), folder.path());
    for kind in KINDS {
        let [good, bad, gone, mut slow] = cases(kind.name, &app);
        let live = CancellationToken::new();
        let hook = build(&good).unwrap();
        assert!(!hook.told().is_empty() && !kind.about.is_empty());
        let said = run(&*hook, &live).await.0.unwrap();
        assert!(said.starts_with(&hook.told()), "{said}");

        let mut odd = good.clone();
        odd["no-such-key"] = json!(1);
        let said = build(&odd).map(drop).unwrap_err();
        assert!(said.contains("no-such-key"), "{said}");

        let failed = run(&*build(&bad).unwrap(), &live).await.0.unwrap_err();
        assert!(matches!(failed, HookError::Failed { .. }), "{failed:?}");
        assert!(format!("{failed:?}").contains("out of luck"), "{failed:?}");

        let failed = run(&*build(&gone).unwrap(), &live).await.0.unwrap_err();
        assert!(matches!(failed, HookError::OutOfReach(_)), "{failed:?}");

        let ended = CancellationToken::new();
        ended.cancel();
        assert_eq!(run(&*hook, &ended).await.0, Err(HookError::Cancelled));

        slow["timeout"] = json!("200ms");
        let hook = build(&slow).unwrap();
        assert_eq!(hook.timeout(), Duration::from_millis(200));
        let failed = run(&*hook, &live).await.0.unwrap_err();
        assert!(matches!(failed, HookError::Failed { .. }), "{failed:?}");
        assert!(failed.to_string().contains("200"), "{failed}");

        slow["timeout"] = json!("1h");
        let (hook, began) = (build(&slow).unwrap(), Instant::now());
        let later = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            live.cancel();
        };
        let both = async { futures_util::join!(run(&*hook, &live), later) };
        let ((ran, _), ()) = within("it is ended", both).await;
        assert_eq!(ran, Err(HookError::Cancelled));
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn a_command_is_told_everything() {
    let options = json!({
        "kind": "command", "env": { "REGION": "eu 1", "SLOT": "not this" },
        "run": "echo \"$HOOK|$APP|$ENVIRONMENT|$SLOT|$SLOT_URL|$VERSION|$PREVIOUS_VERSION|$FENCE|$DECISION|$REASON|$REGION\"",
    });
    let hook = made(&options, &Vault::default(), Path::new("/")).unwrap();
    let (ran, lines) = run(&*hook, &CancellationToken::new()).await;
    ran.unwrap();
    assert_eq!(
        lines,
        [
            "on-rollback|shop|production|green|http://green.example.com/|v 2|v1|7|rolled-back|not-proved|eu 1"
        ]
    );
}

#[tokio::test]
async fn a_request_is_filled_in_made_once_and_held_to_what_is_expected() {
    let app = App::start().await;
    let body = r#"{"ok": true, "echo": "s3cr3t-token"}"#;
    app.route("/v%202/purge", Reply::with(200, body));
    let vault = Vault::default();
    vault.keep("s3cr3t-token");
    let mut options = json!({
        "kind": "http", "url": app.at("/").replace("http://", "http://me:pass@") + "{{version}}/purge?was={{previous-version}}",
        "method": "PUT", "headers": { "X-Token": "s3cr3t-token" },
        "body": r#"{"why": "{{decision}} {{reason}}", "of": "{{hook}}"}"#,
        "expect": { "status": 200, "json": { ".ok": true } },
    });
    let hook = made(&options, &vault, Path::new("/")).unwrap();
    let told = hook.told();
    assert!(!told.contains("pass") && !told.contains("was="), "{told}");
    run(&*hook, &CancellationToken::new()).await.0.unwrap();
    let seen = app.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(
        (seen[0].method.as_str(), seen[0].path.as_str()),
        ("PUT", "/v%202/purge?was=v1")
    );
    assert_eq!(seen[0].headers["x-token"], "s3cr3t-token");
    assert_eq!(
        seen[0].body,
        r#"{"why": "rolled-back not-proved", "of": "on-rollback"}"#
    );

    options["expect"] = json!({ "json": { ".ok": "yes" } });
    let hook = made(&options, &vault, Path::new("/")).unwrap();
    let failed = run(&*hook, &CancellationToken::new()).await.0.unwrap_err();
    let said = failed.to_string();
    assert!(
        said.contains(".ok is true") && said.contains("wanted .ok to be"),
        "{said}"
    );
    assert!(!said.contains("s3cr3t"), "{said}");
}

#[tokio::test]
async fn a_path_is_one_of_the_slot() {
    let app = App::start().await;
    app.route("/warm", Reply::with(200, ""));
    let options = json!({ "kind": "http", "path": "/warm?as={{version}}", "method": "GET" });
    let hook = made(&options, &Vault::default(), Path::new("/")).unwrap();
    let live = CancellationToken::new();
    let desk = Desk {
        say: &|_| {},
        cancelled: &live,
    };
    let mut call = call();
    call.slot_url = app.at("/");
    assert_eq!(
        hook.run(&call, &desk).await.unwrap(),
        "GET /warm answered 200"
    );
    assert_eq!(app.seen()[0].path, "/warm?as=v%202");
    call.slot_url.clear();
    let failed = hook.run(&call, &desk).await.unwrap_err();
    assert!(failed.to_string().contains("not known yet"), "{failed}");
    for odd in [
        json!({ "kind": "http" }),
        json!({ "kind": "http", "path": "warm" }),
        json!({ "kind": "http", "path": "/x", "url": "http://x.dev" }),
    ] {
        assert!(
            made(&odd, &Vault::default(), Path::new("/")).is_err(),
            "{odd}"
        );
    }
}

#[tokio::test]
async fn a_command_runs_on_its_host_and_ends_there() {
    let mut sshd = Sshd::start_with("SetEnv NODE=web1");
    let block = json!({
        "address": sshd.address(), "key": sshd.path("deploy"), "host-key": sshd.fingerprint(),
    });
    let (hosts, wrong) = built(&[("web1", block)], None);
    assert_eq!(wrong, []);
    let vault = Vault::default();
    let folder = tempfile::tempdir().unwrap();
    let on_host = |run: &str, more: &[(&str, Value)]| {
        let mut options = json!({
            "kind": "command", "host": "web1", "run": run, "directory": folder.path(),
        });
        for (key, value) in more {
            options[*key] = value.clone();
        }
        made_with(&options, &vault, Path::new("/"), hosts.clone())
    };
    let live = CancellationToken::new();

    let secret = "s3cr3t-t0ken";
    vault.keep(secret);
    let seen = "echo $NODE $(pwd) $SLOT $DECISION; echo ${#TOKEN}; env | grep -c ^TOKEN";
    let hook = on_host(seen, &[("env", json!({ "TOKEN": secret }))]).unwrap();
    let (_, lines) = run(&*hook, &live).await;
    let place = folder.path().display();
    // A secret is a variable of the shell alone.
    let told = [
        format!("web1 {place} green rolled-back"),
        "12".to_owned(),
        "0".to_owned(),
    ];
    assert_eq!(lines, told);
    let (done, _) = run(&*on_host("true", &[]).unwrap(), &live).await;
    assert_eq!(done.unwrap(), "true on web1 ended with 0");
    let (failed, _) = run(&*on_host("echo no room; exit 3", &[]).unwrap(), &live).await;
    let Err(HookError::Failed { said, last_words }) = failed else {
        panic!("{failed:?}");
    };
    assert!(said.contains("on web1 ended with 3"), "{said}");
    assert_eq!(last_words, ["no room"]);
    let gone = on_host("true", &[("directory", json!("/nowhere"))]).unwrap();
    let (failed, _) = run(&*gone, &live).await;
    assert!(
        matches!(failed, Err(HookError::OutOfReach(_))),
        "{failed:?}"
    );

    // Nothing of it is left there.
    let endless = "echo $$ > pid; sleep 600";
    let pid = folder.path().join("pid");
    let begun = async {
        loop {
            match std::fs::read_to_string(&pid) {
                Ok(number) if number.ends_with('\n') => break number.trim().to_owned(),
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let ended = CancellationToken::new();
    let hook = on_host(endless, &[]).unwrap();
    let ending = async {
        let number = begun.await;
        ended.cancel();
        number
    };
    let both = async { futures_util::join!(run(&*hook, &ended), ending) };
    let ((outcome, _), number) = within("it is ended", both).await;
    assert_eq!(outcome, Err(HookError::Cancelled));
    assert!(!Path::new("/proc").join(number).exists());

    sshd.vanish();
    let (away, _) = run(&*on_host("true", &[]).unwrap(), &live).await;
    assert!(matches!(away, Err(HookError::OutOfReach(_))), "{away:?}");
    let said = made_with(
        &json!({ "kind": "command", "run": "true", "host": "web2" }),
        &vault,
        Path::new("/"),
        hosts.clone(),
    );
    let said = said.map(drop).unwrap_err();
    assert!(said.contains("unknown host \"web2\""), "{said}");
}

#[test]
fn an_unknown_placeholder_is_refused_with_the_right_one() {
    let options = json!({ "kind": "http", "url": "http://x.dev/{{previous}}" });
    let said = made(&options, &Vault::default(), Path::new("/"))
        .map(drop)
        .unwrap_err();
    assert!(
        said.starts_with("url: ") && said.contains("previous-version"),
        "{said}"
    );
}
