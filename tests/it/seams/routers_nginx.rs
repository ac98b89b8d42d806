//! nginx: its fixtures for the contract, and what goes wrong with it and with nobody else.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::process::Command;

use async_trait::async_trait;
use cutover::platform::http::Http;
use cutover::routers::{Confirmed, Router, RouterError, Tools};
use serde_json::{Value, json};

use super::routers::{Fixture, Plug, change, moved, routed, split};
use crate::world::nginx::{Lines, Nginx, Site};

pub(super) fn plugs() -> Vec<Plug> {
    vec![
        Plug {
            kind: "nginx",
            form: "flags",
            set_up: || Box::pin(async { Box::new(OnNginx::flags()) as Box<dyn Fixture> }),
        },
        Plug {
            kind: "nginx",
            form: "include",
            set_up: || Box::pin(async { Box::new(OnNginx::include("")) as Box<dyn Fixture> }),
        },
    ]
}

/// A router on a real nginx that was configured with the lines it prints.
struct OnNginx {
    nginx: Nginx,
    block: Value,
}

fn tools(site: &Site) -> Tools {
    Tools {
        http: Http::default(),
        app: "shop".to_owned(),
        environment: "test".to_owned(),
        slots: site.slots(),
        directory: site.directory().to_owned(),
    }
}

/// The three parts that the one-time lines have.
fn parts(lines: &str) -> [String; 3] {
    let (http, rest) = lines.split_once("# 2. ").unwrap();
    let (server, rest) = rest.split_once("# 3. ").unwrap();
    [http.to_owned(), format!("# {server}"), format!("# {rest}")]
}

/// Runs a command that was printed for a person.
fn run(command: &str) {
    let ended = Command::new("sh").args(["-c", command]).status();
    assert!(ended.unwrap().success(), "{command}");
}

impl OnNginx {
    fn flags() -> Self {
        let block = |_: &Site| json!({ "kind": "nginx", "flags": "flags", "weights": [25, 60] });
        let nginx = Nginx::start(|site| {
            let lines = routed(block(site), &tools(site)).unwrap().one_time_lines();
            let [http, server, host] = parts(&lines);
            let command = host.lines().last().unwrap().trim_start_matches('#');
            run(command);
            Lines { http, server }
        });
        let block = block(&nginx.site);
        Self { nginx, block }
    }

    fn include(more: &str) -> Self {
        let block = |site: &Site| {
            json!({
                "kind": "nginx",
                "include": "live.conf",
                "test": site.command("-t -q"),
                "reload": site.command("-s reload"),
                "generation-url": site.url("/__slot"),
                "error-log": "error.log",
            })
        };
        let nginx = Nginx::start(|site| {
            let lines = routed(block(site), &tools(site)).unwrap().one_time_lines();
            let [http, server, file] = parts(&lines);
            let (_, content) = file.split_once(":\n").unwrap();
            fs::write(site.path("live.conf"), content).unwrap();
            let http = format!("{http}{more}\n");
            Lines { http, server }
        });
        let block = block(&nginx.site);
        Self { nginx, block }
    }
}

#[async_trait]
impl Fixture for OnNginx {
    fn router(&self) -> Box<dyn Router> {
        routed(self.block.clone(), &tools(&self.nginx.site)).unwrap()
    }

    fn state(&self) -> String {
        if self.block.get("flags").is_none() {
            return fs::read_to_string(self.nginx.site.path("live.conf")).unwrap();
        }
        let entries = fs::read_dir(self.nginx.site.path("flags")).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name()).collect();
        names.sort();
        format!("{names:?}")
    }

    fn between(&self) -> Vec<u8> {
        vec![25, 60]
    }

    fn impossible(&self) -> Option<u8> {
        self.block.get("flags").map(|_| 10)
    }

    async fn answers(&self, times: usize) -> Option<BTreeMap<String, usize>> {
        Some(self.nginx.answers(times).await)
    }
}

#[test]
fn mixtures_and_halves_are_refused_with_what_to_do() {
    let nginx = OnNginx::flags();
    let refused = |block: Value| routed(block, &tools(&nginx.nginx.site)).err().unwrap();
    for (block, word) in [
        (json!({}), "is missing"),
        (json!({ "flags": "f", "include": "i" }), "keep one"),
        (
            json!({ "flags": "f", "reload": "true" }),
            "`reload` goes with `include`",
        ),
        (
            json!({ "include": "i", "weights": [5] }),
            "`weights` goes with `flags`",
        ),
        (json!({ "include": "i" }), "`generation-url` is missing"),
        (
            json!({ "flags": "f", "weights": [101] }),
            "101 is not a weight",
        ),
        (json!({ "flags": "f$1" }), "choose one without"),
        (json!({ "flags": "f", "split-by": "x; }" }), "$request_id"),
    ] {
        let mut block = block;
        block["kind"] = "nginx".into();
        let said = refused(block);
        assert!(said.contains(word), "{said}");
    }
}

#[tokio::test]
async fn what_is_no_flag_is_refused_and_what_is_none_or_two_comes_with_a_repair() {
    let on = OnNginx::flags();
    let (router, flags) = (on.router(), on.nginx.site.path("flags"));
    for name in ["w101", "w-1", "w007", "wx", "w"] {
        fs::write(flags.join(name), "").unwrap();
        let refused = router.read().await.unwrap_err();
        assert!(
            matches!(&refused, RouterError::Refused(said) if said.contains(name)),
            "{refused:?}"
        );
        fs::remove_file(flags.join(name)).unwrap();
    }
    fs::write(flags.join("README"), "not ours").unwrap();
    router.read().await.unwrap();

    // Each state, what nginx makes of it, and that the repair leaves just that.
    for (there, green, after) in [
        (&[][..], 0, 0),
        (&["w0", "w100"], 20, 100),
        (&["w10"], 0, 0),
        (&["w0", "w10", "w100"], 20, 100),
    ] {
        for entry in fs::read_dir(&flags).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        for name in there {
            fs::write(flags.join(name), "").unwrap();
        }
        let answers = on.nginx.answers(20).await;
        assert_eq!(answers.get("green").copied().unwrap_or(0), green);
        let RouterError::Drifted { repair, .. } = router.read().await.unwrap_err() else {
            unreachable!("{there:?} was taken for a flag");
        };
        run(&repair);
        assert_eq!(router.read().await.unwrap().split, split(after));
    }
}

#[tokio::test]
async fn a_way_back_works_from_a_heap_of_flags_and_from_none() {
    let on = OnNginx::flags();
    let (router, flags) = (on.router(), on.nginx.site.path("flags"));
    let saved = router.read().await.unwrap();
    for heap in [
        &["w100"][..],
        &["w0", "w100"],
        &["w25", "w60", "w100"],
        &["w0", "w1", "w99"],
        &[],
    ] {
        for entry in fs::read_dir(&flags).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        for name in heap {
            fs::write(flags.join(name), "").unwrap();
        }
        router.restore(&saved).await.unwrap();
        assert_eq!(on.state(), r#"["w0"]"#, "from {heap:?}");
    }
    let mut wrong = saved;
    wrong.saved = "../../etc/passwd".to_owned();
    assert!(router.restore(&wrong).await.is_err());
    assert_eq!(on.state(), r#"["w0"]"#);
}

#[tokio::test]
async fn a_flag_that_somebody_else_moved_is_a_conflict_that_names_both() {
    let on = OnNginx::flags();
    let (router, flags) = (on.router(), on.nginx.site.path("flags"));
    let from = router.read().await.unwrap();
    fs::rename(flags.join("w0"), flags.join("w60")).unwrap();
    let conflict = RouterError::Conflict {
        expected: "w0".to_owned(),
        found: "w60".to_owned(),
    };
    let to = change(&from, split(100));
    assert_eq!(router.prepare(&to).await, Err(conflict.clone()));
    assert_eq!(router.apply(&to).await, Err(conflict));
    assert_eq!(on.state(), r#"["w60"]"#);
}

#[tokio::test]
async fn an_include_is_confirmed_by_the_workers_and_its_price_is_told() {
    let on = OnNginx::include("");
    let router = on.router();
    moved(router.as_ref(), split(25)).await;
    let confirmed = router.confirm(split(25)).await.unwrap();
    assert!(matches!(confirmed, Confirmed::ByDataPlane(_)));
    assert!(
        router
            .known_loss()
            .unwrap()
            .contains("keepalive_min_timeout")
    );
    assert_eq!(OnNginx::flags().router().known_loss(), None);
}

#[tokio::test]
async fn a_file_that_was_written_and_not_loaded_is_drift() {
    let on = OnNginx::include("");
    let router = on.router();
    let saved = router.read().await.unwrap();
    let path = on.nginx.site.path("live.conf");
    fs::write(&path, saved.saved.replace("\"0\"", "\"9\"")).unwrap();
    let RouterError::Drifted { said, repair } = router.read().await.unwrap_err() else {
        unreachable!("the file and nginx differ");
    };
    assert!(
        said.contains("generation 9") && said.contains("answered \"0\""),
        "{said}"
    );
    assert!(repair.contains("-s reload"), "{repair}");
    router.restore(&saved).await.unwrap();
    assert_eq!(router.read().await.unwrap(), saved);
}

#[tokio::test]
async fn a_configuration_that_fails_the_test_is_not_loaded() {
    let on = OnNginx::include("");
    let router = on.router();
    let (before, from) = (on.state(), router.read().await.unwrap());
    on.nginx
        .edit("access_log off;", "access_log off; no_such_thing on;");
    let to = change(&from, split(100));
    let said = router.prepare(&to).await.unwrap_err().to_string();
    assert!(said.contains("no_such_thing"), "{said}");
    let refused = router.apply(&to).await.unwrap_err();
    assert!(
        matches!(&refused, RouterError::Refused(said) if said.contains("no_such_thing")),
        "{refused:?}"
    );
    assert_eq!(on.state(), before);
    assert_eq!(router.read().await.unwrap(), from);
}

#[tokio::test]
async fn a_reload_that_reaches_nobody_is_taken_back() {
    let mut on = OnNginx::include("");
    on.block["reload"] = "echo no such process >&2; exit 1".into();
    let router = on.router();
    let (before, from) = (on.state(), router.read().await.unwrap());
    let refused = router.apply(&change(&from, split(100))).await.unwrap_err();
    assert!(
        matches!(&refused, RouterError::Refused(said) if said.contains("no such process")),
        "{refused:?}"
    );
    assert_eq!(on.state(), before);
    assert_eq!(router.read().await.unwrap(), from);
}

/// Makes a change that nginx refuses in silence; the old state must be in force afterwards.
async fn refused_in_silence(on: &OnNginx, emerg: &str) {
    let router = on.router();
    let (before, from) = (on.state(), router.read().await.unwrap());
    let to = change(&from, split(100));
    router.prepare(&to).await.unwrap();
    let refused = router.apply(&to).await.unwrap_err();
    println!("{refused}");
    assert!(
        matches!(&refused, RouterError::NotTaken(said) if said.contains(emerg)),
        "{refused:?}"
    );
    assert_eq!(on.state(), before);
    assert_eq!(router.read().await.unwrap(), from);
    assert_eq!(on.nginx.answers(20).await.get("blue"), Some(&20));
}

#[tokio::test]
async fn a_port_that_another_process_holds_is_noticed_and_taken_back() {
    let on = OnNginx::include("");
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port();
    let server = format!("access_log off; server {{ listen 127.0.0.1:{port}; }}");
    on.nginx.edit("access_log off;", &server);
    refused_in_silence(&on, "[emerg]").await;
    // With the cause gone the same change is taken.
    drop(held);
    moved(on.router().as_ref(), split(100)).await;
    assert_eq!(on.nginx.answers(20).await.get("green"), Some(&20));
}

#[tokio::test]
async fn a_zone_whose_key_changed_is_noticed_and_taken_back() {
    let zone = "limit_req_zone $binary_remote_addr zone=z1:64k rate=9000r/s; limit_req zone=z1 burst=9000 nodelay;";
    let on = OnNginx::include(zone);
    on.nginx
        .edit("limit_req_zone $binary_remote_addr", "limit_req_zone $uri");
    refused_in_silence(&on, "limit_req \"z1\"").await;
}
