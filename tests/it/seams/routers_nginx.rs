//! nginx: its fixtures for the contract, its options, and what goes wrong with flags.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use async_trait::async_trait;
use cutover::config::file as config;
use cutover::config::kinds::Kind;
use cutover::config::schema::{Seam, assemble};
use cutover::platform::http::Http;
use cutover::platform::secret::Vault;
use cutover::routers::{KINDS, Router, RouterError, Tools};
use serde_json::{Value, json};

use super::routers::{Fixture, Plug, change, moved, routed, split};
use crate::world::load::Load;
use crate::world::nginx::{Lines, Nginx, Site};
use crate::world::patience::until;

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
pub(super) struct OnNginx {
    pub(super) nginx: Nginx,
    pub(super) block: Value,
}

pub(crate) fn tools(site: &Site) -> Tools {
    Tools {
        hosts: cutover::platform::host::Hosts::default(),
        vault: Vault::default(),
        http: Http::default(),
        app: "shop".to_owned(),
        environment: "test".to_owned(),
        slots: site.slots(),
        directory: site.directory().to_owned(),
    }
}

/// The three parts that the one-time lines have.
pub(crate) fn parts(lines: &str) -> [String; 3] {
    let (http, rest) = lines.split_once("# 2. ").unwrap();
    let (server, rest) = rest.split_once("# 3. ").unwrap();
    [http.to_owned(), format!("# {server}"), format!("# {rest}")]
}

/// Runs a command that was printed for a person.
pub(crate) fn run(command: &str) {
    let ended = Command::new("sh").args(["-c", command]).status();
    assert!(ended.unwrap().success(), "{command}");
}

impl OnNginx {
    pub(super) fn flags() -> Self {
        let block = |_: &Site| json!({ "kind": "nginx", "flags": "flags", "weights": [25, 60] });
        let nginx = Nginx::start(|site| {
            let lines = routed(block(site), &tools(site)).unwrap().one_time_lines();
            let [http, server, host] = parts(&lines);
            let command = host.lines().last().unwrap().trim_start_matches('#');
            run(command);
            // What would make a flag go stale, had the lines not turned it off for their server.
            let cache =
                "open_file_cache max=99; open_file_cache_valid 60s; open_file_cache_errors on;";
            let http = format!("{http}{cache}\n");
            Lines { http, server }
        });
        let block = block(&nginx.site);
        Self { nginx, block }
    }

    /// With an include file, and more lines in `http { }`.
    pub(super) fn include(more: &str) -> Self {
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
async fn no_request_is_lost_while_a_flag_moves() {
    let on = OnNginx::flags();
    let router = on.router();
    let load = Load::on(on.nginx.site.port, 4);
    for percent in [25, 60, 100, 60, 25, 0, 100, 0, 100, 0] {
        let sent = load.sent();
        moved(router.as_ref(), split(percent)).await;
        until("users are served", || load.sent() >= sent + 1000).await;
    }
    let (sent, failed) = load.stop();
    println!("{failed} of {sent} requests failed in 10 switches");
    assert_eq!(failed, 0, "of {sent}");
}

#[test]
fn the_options_fit_the_schema_that_editors_use() {
    let seam = Seam {
        name: "router",
        kinds: KINDS.iter().map(Kind::outline).collect(),
        shared: None,
    };
    let schema = assemble(&[seam]);
    let read = |router: &str| {
        let text = format!(
            "version: 1\napp: shop\nenvironments:\n  test:\n    url: http://shop\n    slots: {{ blue: {{ url: http://b }}, green: {{ url: http://g }} }}\n    release: {{ kind: header, name: X-Release }}\n    router: {router}\n"
        );
        let found = config::read(&text, &schema, &|_| None, &Vault::default());
        found
            .map(|_| ())
            .map_err(|problems| problems[0].to_string())
    };
    for good in [
        "{ kind: nginx, flags: f, weights: [5, 50], split-by: $cookie_user }",
        "{ kind: nginx, include: i, generation-url: http://shop/__slot, error-log: e }",
        "{ kind: pointer, path: p }",
        "{ kind: pointer, path: p, form: symlink }",
    ] {
        assert_eq!(read(good), Ok(()), "{good}");
    }
    for (bad, word) in [
        ("{ kind: nginx, flag: f }", "did you mean \"flags\""),
        ("{ kind: nginx, flags: f, weights: [500] }", "500"),
        (
            "{ kind: nginx, include: i, generation-url: here }",
            "not a URL",
        ),
        ("{ kind: pointer }", "`path` is missing"),
        (
            "{ kind: pointer, path: p, form: link }",
            "unknown word \"link\"",
        ),
    ] {
        let said = read(bad).unwrap_err();
        assert!(said.contains(word), "{said}");
    }
}
