//! A service on a real socket, GitHub and two channels, and the built program as a workflow starts it
//! by its schedule. Time goes by where what is remembered becomes older.

use std::process::Stdio;

use cutover::report::vigil::hidden;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::world::app::{App, Reply};
use crate::world::channels::Channel;
use crate::world::children::output_meanwhile;
use crate::world::github::{Github, TOKEN};
use crate::world::shop::program;

/// A service that is well, a heart that beats beside it, and who is told.
pub(super) struct Scene {
    pub(super) app: App,
    pub(super) github: Github,
    pub(super) home: tempfile::TempDir,
    pub(super) chat: Channel,
    pub(super) pager: Channel,
}

/// What a run came to.
pub(super) struct Ran {
    pub(super) code: i32,
    pub(super) log: String,
}

impl Ran {
    /// What an output says in the table at the runner's own place.
    pub(super) fn says(&self, parts: &[&str]) {
        for part in parts {
            assert!(self.log.contains(part), "{part} is not in {}", self.log);
        }
    }
}

impl Scene {
    pub(super) async fn set(clock: &str) -> Self {
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

    pub(super) fn is_well(&self, well: bool) {
        let status = if well { 200 } else { 503 };
        self.app.route("/health", Reply::with(status, "said"));
        let beat = self.home.path().join("beat");
        if well {
            std::fs::write(beat, "").unwrap();
        } else {
            let _ = std::fs::remove_file(beat);
        }
    }

    pub(super) fn command(&self, run: &str, event: &str) -> Command {
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
    pub(super) async fn run(&self, run: &str, code: i32) -> Ran {
        ran(self.command(run, "schedule"), code).await
    }

    /// What is remembered becomes that much older, as if time had gone by.
    pub(super) fn later(&self, seconds: i64) {
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
    pub(super) fn issue(&self, title: &str) -> Value {
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
    pub(super) fn told(&self) -> Vec<String> {
        let title = |one: &Value| one["title"].as_str().unwrap().to_owned();
        self.chat.heard().iter().map(title).collect()
    }

    /// What became of the incident at the pager.
    pub(super) fn called(&self) -> Vec<Value> {
        let what = |one: &Value| json!([one["event_action"], one["dedup_key"]]);
        self.pager.heard().iter().map(what).collect()
    }
}

pub(super) async fn ran(mut command: Command, code: i32) -> Ran {
    let output = output_meanwhile(&mut command).await;
    let ran = Ran {
        code: output.status.code().unwrap_or(-1),
        log: String::from_utf8_lossy(&output.stdout).into_owned(),
    };
    assert_eq!(ran.code, code, "{}", ran.log);
    ran
}

pub(super) const CLOCK: &str = "clock: { escalate-to: [night] }";
