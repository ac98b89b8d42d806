//! The built program as a workflow starts it by its schedule: which issues there are afterwards,
//! and who was told what.

use std::process::Stdio;

use cutover::report::vigil::hidden;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::world::app::{App, Reply};
use crate::world::channels::Channel;
use crate::world::github::{Fault, Github, TOKEN, Verb};
use crate::world::shop::program;

/// A service that is well, a heart that beats beside it, and who is told.
struct Scene {
    app: App,
    github: Github,
    home: tempfile::TempDir,
    chat: Channel,
    pager: Channel,
}

/// What a run came to.
struct Ran {
    code: i32,
    log: String,
}

impl Ran {
    /// What an output says in the table at the runner's own place.
    fn says(&self, parts: &[&str]) {
        for part in parts {
            assert!(self.log.contains(part), "{part} is not in {}", self.log);
        }
    }
}

impl Scene {
    async fn set(clock: &str) -> Self {
        let (app, home) = (App::start().await, tempfile::tempdir().unwrap());
        let (chat, pager) = (Channel::of("webhook").await, Channel::of("pagerduty").await);
        let mut later = pager.value();
        later["name"] = "night".into();
        let config = format!(
            "version: 1
app: storefront
environments:
  production:
    url: {}
    slots: {{ blue: {{ url: 'http://127.0.0.1:1' }}, green: {{ url: 'http://127.0.0.1:2' }} }}
    release: {{ kind: header, name: X-Release }}
    health:
      checks:
        - {{ kind: http, path: /health, retries: 0 }}
        - {{ kind: file, path: beat, retries: 0 }}
      {clock}
    notify: [{}, {later}]
",
            app.url,
            chat.value()
        );
        std::fs::write(home.path().join("cutover.yml"), config).unwrap();
        let event = json!({ "schedule": "*/15 * * * *" }).to_string();
        std::fs::write(home.path().join("event.json"), event).unwrap();
        let scene = Self {
            app,
            github: Github::start().await,
            home,
            chat,
            pager,
        };
        scene.is_well(true);
        scene
    }

    fn is_well(&self, well: bool) {
        let status = if well { 200 } else { 503 };
        self.app.route("/health", Reply::with(status, "said"));
        let beat = self.home.path().join("beat");
        if well {
            std::fs::write(beat, "").unwrap();
        } else {
            let _ = std::fs::remove_file(beat);
        }
    }

    fn command(&self, run: &str, event: &str) -> Command {
        let mut command = Command::new(program());
        command
            .arg("health-check")
            .env_clear()
            .env("GITHUB_ACTIONS", "true")
            .env("GITHUB_API_URL", &self.github.api_url)
            .env("GITHUB_REPOSITORY", "shop/storefront")
            .env("GITHUB_RUN_ID", run)
            .env("GITHUB_RUN_ATTEMPT", "1")
            .env("GITHUB_JOB", "watch")
            .env("GITHUB_EVENT_NAME", event)
            .env("GITHUB_EVENT_PATH", self.home.path().join("event.json"))
            .env("GITHUB_WORKSPACE", self.home.path())
            .env("RUNNER_TEMP", self.home.path())
            .env("INPUT_CONFIG", "cutover.yml")
            .env("INPUT_TOKEN", TOKEN)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// A run of the schedule, which ends with that code.
    async fn run(&self, run: &str, code: i32) -> Ran {
        ran(self.command(run, "schedule"), code).await
    }

    /// What is remembered becomes that much older, as if time had gone by.
    fn later(&self, seconds: i64) {
        let issue = self.issue("Health of");
        let body = issue["body"].as_str().unwrap();
        let mut memory = hidden::find(body).unwrap();
        let old = hidden::hide(&memory);
        for time in [
            &mut memory.begun,
            &mut memory.at,
            &mut memory.since,
            &mut memory.week.from,
        ] {
            *time -= seconds;
        }
        for time in [
            &mut memory.slot,
            &mut memory.first_ill,
            &mut memory.first_well,
        ]
        .into_iter()
        .flatten()
        {
            *time -= seconds;
        }
        if let Some(incident) = &mut memory.incident {
            incident.began -= seconds;
        }
        let body = body.replace(&old, &hidden::hide(&memory));
        self.github
            .somebody_edits(issue["number"].as_u64().unwrap(), &body);
    }

    /// The one issue whose title has that.
    fn issue(&self, title: &str) -> Value {
        let all = self.github.issues();
        let mut found = all
            .iter()
            .filter(|one| one["title"].as_str().unwrap().contains(title));
        let one = found
            .next()
            .unwrap_or_else(|| panic!("no {title} in {all:?}"));
        assert!(found.next().is_none(), "{title} is there twice");
        one.clone()
    }

    /// The titles that the channel for everybody heard.
    fn told(&self) -> Vec<String> {
        let title = |one: &Value| one["title"].as_str().unwrap().to_owned();
        self.chat.heard().iter().map(title).collect()
    }

    /// What became of the incident at the pager.
    fn called(&self) -> Vec<Value> {
        let what = |one: &Value| json!([one["event_action"], one["dedup_key"]]);
        self.pager.heard().iter().map(what).collect()
    }
}

async fn ran(mut command: Command, code: i32) -> Ran {
    let output = command.output().await.unwrap();
    let ran = Ran {
        code: output.status.code().unwrap_or(-1),
        log: String::from_utf8_lossy(&output.stdout).into_owned(),
    };
    assert_eq!(ran.code, code, "{}", ran.log);
    ran
}

const CLOCK: &str = "clock: { escalate-to: [night] }";

#[tokio::test]
async fn an_outage_is_told_once_escalated_once_and_closed_with_its_length() {
    let scene = Scene::set(CLOCK).await;
    scene.run("1", 0).await.says(&["nothing is remembered yet"]);
    let memory = scene.issue("Health of storefront, production");
    assert_eq!(
        memory["state"], "closed",
        "there is nothing to be done in it"
    );
    assert_eq!(memory["labels"][0]["name"], "cutover-health-memory");
    scene.later(900);
    let calls = scene.github.calls();
    let healthy = scene.run("2", 0).await;
    healthy.says(&["memory     up since", "after its time"]);
    assert_eq!(scene.github.calls() - calls, 2, "a healthy look");
    assert_eq!(scene.told(), [""; 0]);

    scene.later(900);
    scene.is_well(false);
    scene
        .run("3", 10)
        .await
        .says(&["down since", "2 of 2 checks failed"]);
    assert_eq!(scene.told(), ["down: storefront, production"]);
    let incident = scene.issue("production is down: storefront");
    let number = incident["number"].as_u64().unwrap();
    assert_eq!(incident["labels"][0]["name"], "cutover-health");
    let body = incident["body"].as_str().unwrap();
    assert!(body.contains("| evidence | http, file |"), "{body}");
    assert!(body.contains("503"), "{body}");
    scene.later(900);
    scene.run("4", 10).await;
    assert_eq!(scene.told().len(), 1, "it is as before");
    assert!(scene.called().is_empty(), "not yet");
    scene.later(900);
    scene.run("5", 10).await;
    let key = "cutover/storefront/production/health";
    assert_eq!(scene.called(), [json!(["trigger", key])]);
    scene.later(900);
    scene.run("6", 10).await;

    scene.is_well(true);
    scene.later(900);
    scene
        .run("7", 10)
        .await
        .says(&["this look is good, 1 of 2"]);
    scene.later(900);
    scene.run("8", 0).await;
    assert_eq!(
        scene.told(),
        ["down: storefront, production", "up: storefront, production"]
    );
    assert_eq!(
        scene.called(),
        [json!(["trigger", key]), json!(["resolve", key])]
    );
    let closed = scene.issue("production was down for");
    assert_eq!(
        (closed["number"].as_u64(), &closed["state"]),
        (Some(number), &json!("closed"))
    );
    assert_eq!(closed["title"], "production was down for 1 h: storefront");
    let comments = scene.github.comments_on(number);
    assert_eq!(comments.len(), 2, "{comments:?}");
    assert!(
        comments[0].contains("**Still down after 30 m.** Called now: night."),
        "{comments:?}"
    );
    assert!(comments[1].contains("**Up again.**"), "{comments:?}");
}

#[tokio::test]
async fn who_cannot_remember_tells_what_it_sees() {
    let scene = Scene::set(CLOCK).await;
    scene.is_well(false);
    let mut command = scene.command("1", "schedule");
    command.env_remove("INPUT_TOKEN");
    ran(command, 10)
        .await
        .says(&["it has no memory", "there is no token"]);
    scene.github.order(Verb::ListIssues, [Fault::Forbidden]);
    let refused = scene.run("2", 10).await;
    refused.says(&["it has no memory", "permissions: { issues: write }"]);
    let told = "failed: health-check of storefront, production";
    assert_eq!(scene.told(), [told, told]);
    assert_eq!(scene.called().len(), 2, "nobody can be called later");
    assert!(scene.github.issues().is_empty());

    // It may read, and not write: nothing is remembered, and it is told all the same.
    scene
        .github
        .order(Verb::OpenIssue, [Fault::Forbidden, Fault::Forbidden]);
    let refused = scene.run("3", 10).await;
    refused.says(&[
        "the look is not remembered",
        "permissions: { issues: write }",
    ]);
    assert_eq!(scene.told().len(), 3);
    assert_eq!(scene.told()[2], "down: storefront, production");
}

#[tokio::test]
async fn what_somebody_spoiled_begins_anew_and_nobody_is_called_twice() {
    let scene = Scene::set(CLOCK).await;
    // A stranger cannot set a label, and is not believed.
    let mark = hidden::mark("memory", "storefront", "production");
    scene.github.somebody_opens(
        "eve",
        "mine",
        &format!("{mark}\n<!-- cutover memory {{}} -->"),
    );
    scene.is_well(false);
    scene.run("1", 10).await;
    assert_eq!(scene.told(), ["down: storefront, production"]);
    let number = scene.issue("Health of")["number"].as_u64().unwrap();
    let good = scene.issue("Health of")["body"]
        .as_str()
        .unwrap()
        .to_owned();
    for (spoiled, why) in [
        ("hello".to_owned() + &mark, "it is not there any more"),
        (
            good.replace("\"down\"", "\"up\""),
            "it says up, and has an incident",
        ),
        (
            good.replace("\"version\":1", "\"version\":2"),
            "it has form 2",
        ),
        (good.replace("\"at\":1", "\"at\":9"), "still to come"),
    ] {
        scene.github.somebody_edits(number, &spoiled);
        let ran = scene.run("2", 10).await;
        ran.says(&[
            "what was remembered is not usable",
            why,
            "it is down still, by its issue",
        ]);
        assert_eq!(scene.told().len(), 1, "{why}");
    }
    scene.is_well(true);
    for code in [10, 0] {
        scene.later(900);
        scene.run("3", code).await;
    }
    assert_eq!(scene.told()[1..], ["up: storefront, production"]);
    assert_eq!(scene.issue("production was down for")["state"], "closed");
}

#[tokio::test]
async fn two_runs_at_once_tell_once() {
    let scene = Scene::set(CLOCK).await;
    scene.run("1", 0).await;
    scene.later(900);
    scene.is_well(false);
    // Long enough that both have read what is remembered before either writes.
    scene
        .github
        .take_your_time(std::time::Duration::from_millis(300));
    tokio::join!(scene.run("2", 10), scene.run("3", 10));
    assert_eq!(scene.told(), ["down: storefront, production"]);
    let all = scene.github.issues();
    let open: Vec<&Value> = all.iter().filter(|one| one["state"] == "open").collect();
    assert_eq!(open.len(), 1, "{all:?}");
    scene.is_well(true);
    for _ in 0..2 {
        scene.later(900);
        let one = scene.command("4", "schedule").output();
        let other = scene.command("5", "schedule").output();
        let (one, other) = tokio::join!(one, other);
        assert!(one.is_ok() && other.is_ok());
    }
    assert_eq!(scene.told()[1..], ["up: storefront, production"]);
    assert!(
        scene
            .github
            .issues()
            .iter()
            .all(|one| one["state"] == "closed")
    );
}

#[tokio::test]
async fn the_week_is_summed_up_with_what_was_deployed() {
    let scene = Scene::set("clock: { weekly: { day: daily, at: '00:00' } }").await;
    scene.run("1", 0).await;
    scene.later(86_400);
    let issue = scene.issue("Health of");
    let body = issue["body"].as_str().unwrap();
    let mut memory = hidden::find(body).unwrap();
    let old = hidden::hide(&memory);
    memory.weekly = memory.weekly.map(|at| at - 86_400);
    let body = body.replace(&old, &hidden::hide(&memory));
    scene
        .github
        .somebody_edits(issue["number"].as_u64().unwrap(), &body);
    for state in ["success", "failure", "success"] {
        let payload = json!({ "cutover": {
            "schema_version": 1, "mode": "rollout", "slot": "blue", "version": "v2", "weight": 100,
            "previous": "green", "run_id": "7", "run_attempt": "1", "job": "deploy",
        }});
        scene
            .github
            .put("production", "deploy:cutover", payload, state);
    }
    let now = jiff::Timestamp::now().to_string();
    scene.github.deployments_are_of(&now);
    scene.run("2", 0).await;
    assert_eq!(
        scene.told(),
        ["the week of storefront, production: 100 % available"]
    );
    let message = scene.chat.heard()[0]["message"].to_string();
    assert!(
        message.contains("deployments: 2 went well, 1 did not"),
        "{message}"
    );
    assert!(message.contains("100 % of 2 looks passed"), "{message}");
}

#[tokio::test]
async fn a_gate_is_a_look_by_itself() {
    let scene = Scene::set(CLOCK).await;
    scene.is_well(false);
    ran(scene.command("1", "push"), 10).await;
    assert_eq!(
        scene.told(),
        ["failed: health-check of storefront, production"]
    );
    assert!(scene.github.issues().is_empty());
    assert_eq!(scene.github.calls(), 0);
}

#[tokio::test]
async fn a_warning_is_told_as_degraded() {
    let scene = Scene::set("thresholds: [{ metric: p95, above: 500ms, severity: warning }]").await;
    let path = scene.home.path().join("cutover.yml");
    let config = std::fs::read_to_string(&path).unwrap();
    let metrics = format!(
        "    metrics: [{{ kind: json, url: '{}', figures: {{ p95: {{ path: .p95, in: milliseconds }} }} }}]\n",
        scene.app.at("/figures")
    );
    std::fs::write(&path, config + &metrics).unwrap();
    scene
        .app
        .route("/figures", Reply::with(200, "{\"p95\": 900}"));
    ran(scene.command("1", "push"), 0).await;
    assert_eq!(
        scene.told(),
        ["degraded: health-check of storefront, production"]
    );
    assert_eq!(scene.chat.heard()[0]["severity"], "warning");
}

#[tokio::test]
async fn a_clock_that_makes_no_sense_is_refused_with_its_lines() {
    let scene = Scene::set(
        "clock:
        schedule: '* * * * *'
        rise: 0
        all-good: often
        weekly: { day: monday, at: '09:00' }
        rollback-on: critical
        label: 'a,b'",
    )
    .await;
    let refused = ran(scene.command("1", "schedule"), 64).await;
    refused.says(&[
        "every 1 m at its closest",
        "0 is out of range",
        "the words are: daily, hourly, off",
        "is not days of the week",
    ]);
    let scene =
        Scene::set("clock: { rollback-on: critical, escalate-to: [nigth, pigeons], label: 'a,b' }")
            .await;
    let refused = ran(scene.command("1", "schedule"), 64).await;
    refused.says(&[
        "nothing can put traffic back: the environment has no `router`",
        "no entry of `notify` is \"nigth\", did you mean \"night\"?",
        "by name and kind there are: webhook, night, pagerduty",
        "a label has 1 to 43 characters and no comma",
    ]);
    let scene = Scene::set("clock: { younger-than: 1h }").await;
    let refused = ran(scene.command("1", "schedule"), 64).await;
    refused.says(&["goes with `rollback-on: critical`"]);
}
