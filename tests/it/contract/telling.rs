//! Telling people, by the built program: which channels hear of what, and what a person reads in
//! the log where one does not.

use std::time::Duration;

use cutover::rehearsal::answers::Answers;
use cutover::rehearsal::world::World;
use serde_json::{Value, json};

use super::doors::unmasked;
use super::program::{Program, Ran};
use crate::world::channels::Channel;
use crate::world::github::{Fault, Github, TOKEN};
use crate::world::mail::{MailServer, PASSWORD};
use crate::world::patience::PATIENCE;

/// A program whose environment has one channel, and nothing else that answers.
fn with_channel(block: &str) -> Program {
    let slot = |port: u16| format!("{{ url: \"http://127.0.0.1:{port}\" }}");
    Program::in_a_workflow().config(&format!(
        "version: 1
app: storefront
environments:
  production:
    url: https://shop.example.com
    slots: {{ blue: {}, green: {} }}
    release: {{ kind: header, name: X-Release }}
    notify:
      - {block}
",
        slot(1),
        slot(2),
    ))
}

/// An environment in which a rollout of `bad` fails its smoke test, and all that is told.
struct Shop {
    _world: World,
    config: Value,
}

impl Shop {
    async fn open(watch: &str, notify: Vec<Value>) -> Self {
        let mark = json!({ "kind": "header", "name": "X-Release" });
        let mark = serde_json::from_value(mark).unwrap();
        let names = ["blue".to_owned(), "green".to_owned()];
        let world = World::open(names, Answers::for_checks(mark, []), "91be33d").await;
        let world = world.unwrap();
        let smoke = json!({ "kind": "command", "run": "[ \"$VERSION\" != bad ]", "retries": 0 });
        let config = json!({ "version": 1, "app": "storefront", "environments": { "production": {
            "url": world.public, "slots": {
                "blue": { "url": world.slots[0] }, "green": { "url": world.slots[1] },
            },
            "release": { "kind": "header", "name": "X-Release" },
            "router": { "kind": "http", "url": world.router },
            "target": { "kind": "http", "url": world.deploy },
            "smoke": [smoke],
            "strategy": { "kind": "blue-green", "watch": watch, "wait": "2s" },
            "notify": notify,
        }}});
        Self {
            _world: world,
            config,
        }
    }

    fn program(&self) -> Program {
        Program::in_a_workflow().config(&self.config.to_string())
    }

    async fn rollout(&self, version: &str) -> Ran {
        self.program().run(&["rollout", "--version", version]).await
    }
}

#[tokio::test]
async fn each_channel_makes_its_own_of_a_rollout() {
    let kinds = [
        "slack-bot",
        "discord",
        "pagerduty",
        "datadog",
        "teams",
        "webhook",
    ];
    let mut channels = Vec::new();
    for kind in kinds {
        channels.push(Channel::of(kind).await);
    }
    let [slack, discord, pagerduty, datadog, teams, webhook] = channels.as_slice() else {
        panic!("six channels");
    };
    let shop = Shop::open("5s", channels.iter().map(Channel::value).collect()).await;
    let good = shop.rollout("4f2a9c1").await;
    good.ends(0, "promoted", "done");
    assert!(!good.stdout.contains("was not told"), "{}", good.stdout);
    for edited in [slack, discord] {
        let said: Vec<String> = edited.heard().iter().map(Value::to_string).collect();
        assert!(
            said.len() > 1,
            "nothing was said while it went on: {said:?}"
        );
        assert!(
            said[0].contains("underway: rollout of storefront 4f2a9c1, production"),
            "{said:?}"
        );
        assert!(said[0].contains("deploy: "), "{said:?}");
        assert_eq!(edited.shown().len(), 1, "{said:?}");
        let last = edited.shown()[0].to_string();
        assert!(
            last.contains("promoted: rollout of storefront 4f2a9c1, production"),
            "{last}"
        );
    }
    for told_once in [datadog, teams, webhook] {
        assert_eq!(told_once.heard().len(), 1);
    }
    assert_eq!(webhook.heard()[0]["outcome"], "good");
    // Another one fails, and the one after it is the end of that.
    shop.rollout("bad").await.ends(10, "failed", "smoke-failed");
    shop.rollout("4f2a9c2").await.ends(0, "promoted", "done");
    let events = pagerduty.heard();
    let events: Vec<(&Value, &Value)> = events
        .iter()
        .map(|one| (&one["event_action"], &one["dedup_key"]))
        .collect();
    let key = json!("cutover/storefront/production/rollout");
    let (trigger, resolve) = (json!("trigger"), json!("resolve"));
    assert_eq!(
        events,
        [(&resolve, &key), (&trigger, &key), (&resolve, &key)]
    );
    assert_eq!(pagerduty.heard()[1]["payload"]["severity"], "error");
    assert_eq!(datadog.heard()[1]["alert_type"], "warning");
    assert_eq!(webhook.heard()[1]["outcome"], "failed");
}

#[tokio::test]
async fn a_cancelled_run_is_no_failure() {
    let channels = [Channel::of("pagerduty").await, Channel::of("webhook").await];
    let shop = Shop::open("60s", channels.iter().map(Channel::value).collect()).await;
    let program = shop.program();
    let running = program
        .command(&["rollout", "--version", "4f2a9c1"])
        .spawn()
        .unwrap();
    let pid = running.id().unwrap().to_string();
    // The release has the traffic: now somebody presses the button.
    let http = cutover::platform::http::Http::default();
    let look =
        cutover::platform::http::Look::at(shop._world.public.clone(), Duration::from_secs(5));
    let moved = async {
        while http.look(&look).await.unwrap().header("x-release") != Some("4f2a9c1") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, moved).await.unwrap();
    let sent = std::process::Command::new("kill")
        .args(["-INT", &pid])
        .status();
    assert!(sent.unwrap().success());
    let ended = tokio::time::timeout(Duration::from_secs(20), running.wait_with_output()).await;
    let ended = ended.unwrap().unwrap();
    assert_eq!(ended.status.code(), Some(130), "{ended:?}");
    assert!(channels[0].heard().is_empty(), "nobody is called for it");
    let heard = channels[1].heard();
    assert_eq!(heard.len(), 1);
    let title = "cancelled, rolled-back: rollout of storefront 4f2a9c1, production";
    assert_eq!(heard[0]["title"], title);
    assert_eq!(heard[0]["outcome"], "cancelled");
    assert_eq!(heard[0]["incident"], Value::Null);
}

#[tokio::test]
async fn a_message_can_open_and_close_an_incident() {
    let channel = Channel::of("pagerduty").await;
    let block = channel.value().to_string();
    for (arguments, said) in [
        (&["--severity=critical"][..], "1 of 1 channel heard of it"),
        (&["--alert=acknowledge"], "1 of 1 channel heard of it"),
        (&["--alert=resolve"], "1 of 1 channel heard of it"),
        // Good to know is nothing to be called for.
        (&[], "0 of 0 channels heard of it"),
    ] {
        let all = [&["notify", "--title=the shop is slow"], arguments].concat();
        let ran = with_channel(&block).run(&all).await;
        assert_eq!(ran.code, 0, "{ran:#?}");
        ran.says(&[said]);
    }
    let heard = channel.heard();
    let actions: Vec<&Value> = heard.iter().map(|one| &one["event_action"]).collect();
    assert_eq!(actions, ["trigger", "acknowledge", "resolve"]);
    assert!(
        heard
            .iter()
            .all(|one| one["dedup_key"] == "cutover/storefront/production/notify")
    );
    let ran = with_channel(&block).run(&["notify", "--alert=open"]).await;
    assert_eq!(ran.code, 64);
    ran.says(&["alert", "must be one of trigger, acknowledge, resolve"]);
}

#[tokio::test]
async fn mail_goes_out_by_a_server_that_the_system_vouches_for() {
    let mut server = MailServer::start("starttls").await;
    let block = format!(
        "{{ kind: email, server: \"localhost:{}\", user: deploy, password: \"${{MAIL_PASSWORD}}\", sender: deploy@shop.example, to: [ops@shop.example, nobody@shop.example] }}",
        server.port
    );
    let arguments = ["notify", "--title=live", "--severity=warning"];
    let program = || with_channel(&block).with("MAIL_PASSWORD", PASSWORD);
    let ran = program()
        .with("SSL_CERT_FILE", server.ca())
        .run(&arguments)
        .await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    ran.says(&[
        "email: 1 of 2 recipients refused: nobody@shop.example (550 5.1.1 no such user here)",
        "0 of 1 channel heard of it",
    ]);
    assert_eq!(server.next().await["to"], json!(["ops@shop.example"]));
    // Without that certificate it is a stranger, and gets neither password nor mail.
    let ran = program().run(&arguments).await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    ran.says(&[
        "email was not told: no answer: localhost:",
        "while asking for STARTTLS: ",
        "certificate",
    ]);
    let ran = with_channel(&block)
        .with("MAIL_PASSWORD", "wr0ng-p4ssword")
        .with("SSL_CERT_FILE", server.ca())
        .run(&arguments)
        .await;
    ran.says(&["while logging in: 535 5.7.8 wrong password ***"]);
    assert!(
        !unmasked(&ran.stdout).contains("wr0ng-p4ssword"),
        "{}",
        ran.stdout
    );
}

#[tokio::test]
async fn quiet_hours_are_held_against_the_calendar_and_said() {
    let channel = Channel::of("webhook").await;
    let quiet = |hours: &str| {
        format!(
            "{{ kind: webhook, url: \"{}\", quiet: {hours} }}",
            channel.url
        )
    };
    let all_day = quiet("{ from: \"00:00\", to: \"24:00\" }");
    let ran = with_channel(&all_day)
        .run(&["notify", "--title=live"])
        .await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    ran.says(&["webhook was not told, its quiet hours are daily 00:00-24:00 UTC: live"]);
    assert!(channel.heard().is_empty());
    let critical = ["notify", "--title=stuck", "--severity=critical"];
    with_channel(&all_day).run(&critical).await;
    assert_eq!(channel.heard().len(), 1);
    for (hours, said) in [
        (
            "{ from: \"22:00\", to: \"22:00\" }",
            "quiet.to: the window has no length",
        ),
        (
            "{ from: \"24:00\", to: \"06:00\" }",
            "quiet.from: a window does not begin at 24:00",
        ),
        (
            "{ from: \"22:00\", to: \"06:00\", zone: Berlin }",
            "\"Berlin\" is not a time zone",
        ),
        ("{ from: \"22:00\" }", "`to` is missing"),
        (
            "{ from: \"22:00\", to: \"06:00\", day: mon }",
            "did you mean \"days\"?",
        ),
    ] {
        let ran = with_channel(&quiet(hours)).run(&["check"]).await;
        assert_eq!(ran.code, 64, "{hours}: {ran:#?}");
        ran.says(&[said]);
    }
}

/// Through the whole program: where the number comes from, and what is said where it fails.
#[tokio::test]
async fn the_program_finds_where_to_comment() {
    let github = Github::start().await;
    github.talk(|comments| {
        comments.issues = vec![3, 4, 5, 6];
        comments.pulls.insert(
            "4f2a9c1d5e6f708192a3b4c5d6e7f8091a2b3c4d".into(),
            vec![(6, "open")],
        );
    });
    let folder = tempfile::tempdir().unwrap();
    let event = folder.path().join("event.json");
    std::fs::write(&event, json!({ "issue": { "number": 4 } }).to_string()).unwrap();
    let event = event.to_str().unwrap();
    let notify = |block: &str| with_channel(block).with("GITHUB_API_URL", &github.api_url);
    let plain = "{ kind: github-comment }";
    let config = "{ kind: github-comment, number: 3 }";
    let arguments = ["notify", "--title", "live"];
    for (n, (program, arguments)) in [
        (
            notify(plain),
            &[&arguments[..], &["--issue", "3"]].concat()[..],
        ),
        (
            notify(config).with("GITHUB_REF", "refs/pull/5/merge"),
            &arguments[..],
        ),
        (notify(plain).with("GITHUB_EVENT_PATH", event), &arguments),
        (
            notify(plain).with("GITHUB_REF", "refs/pull/5/merge"),
            &arguments,
        ),
        (notify(plain), &arguments),
    ]
    .into_iter()
    .enumerate()
    {
        let ran = program.with("INPUT_TOKEN", TOKEN).run(arguments).await;
        assert_eq!(ran.code, 0, "{ran:#?}");
        let newest = github.talk(|comments| {
            let one = comments.all.last().unwrap();
            (comments.all.len(), one["issue"].as_u64().unwrap())
        });
        let wanted = [(1, 3), (1, 3), (2, 4), (3, 5), (4, 6)][n];
        assert_eq!(newest, wanted, "{n}: {ran:#?}");
    }
    let body = github.talk(|comments| comments.bodies()[3].clone());
    assert!(
        body.starts_with("<!-- cutover:storefront/production/notify -->\n> [!NOTE]\n> **live**\n"),
        "{body}"
    );

    // What a person reads where it does not work.
    github.talk(|comments| {
        let faults = comments.faults.entry("GET").or_default();
        faults.push_back(Fault::Forbidden);
    });
    for (program, said) in [
        (
            notify(plain).with("INPUT_TOKEN", TOKEN),
            "github-comment was not told: refused: could not list the comments: GitHub answered 403 Resource not accessible by integration; give the job `permissions: { pull-requests: write }`, or `issues: write` for an issue; the workflow of a fork's pull request cannot have it",
        ),
        (
            notify(plain),
            "github-comment was not told: no answer: there is no `token`, or no GITHUB_REPOSITORY",
        ),
        (
            notify(plain)
                .with("INPUT_TOKEN", TOKEN)
                .with("GITHUB_SHA", "0".repeat(40)),
            "github-comment was not told: refused: neither the event nor the commit belongs to a pull request; set `number`, or the input `issue`",
        ),
        (
            notify("{ kind: github-comment, number: 77 }").with("INPUT_TOKEN", TOKEN),
            "github-comment was not told: refused: could not list the comments: GitHub answered 404 Not Found",
        ),
    ] {
        let ran = program.run(&arguments).await;
        assert_eq!(ran.code, 0, "{ran:#?}");
        assert!(ran.stdout.contains(said), "{}", ran.stdout);
    }
    let ran = notify("{ kind: github-comment, number: x }")
        .run(&arguments)
        .await;
    assert_eq!(ran.code, 64);
    let said = "number: this is not the number of a pull request or an issue";
    assert!(ran.stdout.contains(said), "{}", ran.stdout);
}
