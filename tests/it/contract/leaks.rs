//! No secret leaves the program, whatever it is asked to do and whatever goes wrong: not in the
//! log, the runner's files, a message to people or a record on GitHub.
//!
//! Secrets are put everywhere a secret can be, and everybody who is told one says it back.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use cutover::modes::MODES;
use cutover::rehearsal::answers::Answers;
use cutover::rehearsal::world::World;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::doors::unmasked;
use super::program::{Program, REPORT, Ran};
use crate::world::app::{App, Reply};
use crate::world::channels::{Channel, SECRET};
use crate::world::github::environments::Rights;
use crate::world::github::{Github, TOKEN};

/// Secrets by the names of their variables: awkward ones, and one that a URL can carry.
const SECRETS: [(&str, &str); 6] = [
    ("INPUT_TOKEN", TOKEN),
    ("DB_PASSWORD", "d4tab4se/pass+word="),
    ("PLAIN", "Pl4in s3cret/+&=\"'é%x"),
    ("LINES", "f1rst-of-the-lines\n5econd-of-the-lines"),
    ("IN_URL", "1n-a-url~é!s3cret"),
    ("TAME", "t4me.s3cret/of-ours"),
];

/// The channels that hear of everything.
const HOOKS: [&str; 7] = [
    "slack",
    "slack-bot",
    "discord",
    "teams",
    "pagerduty",
    "datadog",
    "webhook",
];

/// Everything that a run has said to anybody but those whom the secret is for.
pub(super) struct Said(Vec<(String, String)>);

impl Said {
    pub(super) fn by(ran: &Ran) -> Self {
        Self(vec![
            ("stdout".to_owned(), unmasked(&ran.stdout)),
            ("stderr".to_owned(), ran.stderr.clone()),
            ("the runner's files".to_owned(), ran.files.clone()),
        ])
    }

    fn and(mut self, place: &str, told: impl IntoIterator<Item = Value>) -> Self {
        let all = told.into_iter().map(|told| told.to_string());
        let all = all.collect::<Vec<_>>().join("\n");
        self.0.push((place.to_owned(), all));
        self
    }

    /// That no form of a secret is in it.
    pub(super) fn holds_no_secret(&self, what: &str) {
        let hooks = [SECRET.to_owned()];
        let secrets = SECRETS.iter().map(|(_, secret)| (*secret).to_owned());
        for secret in secrets.chain(hooks) {
            for form in forms(&secret) {
                for (place, text) in &self.0 {
                    if let Some(at) = text.find(&form) {
                        let from = text.floor_char_boundary(at.saturating_sub(200));
                        let to = text.ceil_char_boundary(at + form.len() + 100);
                        panic!("{what}: {form:?} in {place}: …{}…", &text[from..to]);
                    }
                }
            }
        }
    }
}

/// The forms in which a secret may turn up.
fn forms(secret: &str) -> Vec<String> {
    let mut forms: Vec<String> = secret.lines().map(ToOwned::to_owned).collect();
    forms.push(secret.to_owned());
    forms.push(url::form_urlencoded::byte_serialize(secret.as_bytes()).collect());
    let strictly = |byte: u8| match char::from(byte) {
        c if c.is_ascii_alphanumeric() || "-._~".contains(c) => c.to_string(),
        _ => format!("%{byte:02X}"),
    };
    forms.push(secret.bytes().map(strictly).collect());
    let mut url = url::Url::parse("http://h/").unwrap();
    url.set_path(secret);
    forms.push(url.path()[1..].to_owned());
    url.set_query(Some(secret));
    forms.push(url.query().unwrap().to_owned());
    url.set_password(Some(secret)).unwrap();
    forms.push(url.password().unwrap().to_owned());
    forms.push(STANDARD.encode(secret));
    forms.push(STANDARD_NO_PAD.encode(secret));
    forms.push(URL_SAFE_NO_PAD.encode(secret));
    forms.push(STANDARD_NO_PAD.encode(format!("user:{secret}")));
    forms.push(Value::from(secret).to_string().trim_matches('"').to_owned());
    forms
}

/// A program in a workflow whose every secret is set, and that tells all it can.
pub(super) fn program(config: &Value) -> Program {
    let text = serde_json::to_string_pretty(config).unwrap();
    let mut program = Program::in_a_workflow()
        .config(&text)
        .with("RUST_LOG", "trace")
        .with("RUNNER_DEBUG", "1")
        .with("INPUT_REPORT-FILE", REPORT);
    for (name, secret) in SECRETS {
        program = program.with(name, secret);
    }
    program
}

/// All secrets in one answer.
fn all_at_once() -> String {
    let all: Vec<_> = SECRETS.iter().map(|(_, secret)| *secret).collect();
    format!("denied: {}", all.join(" "))
}

/// A URL with a secret in every part that can hold one.
fn url_with_secrets(base: &url::Url, path: &str) -> String {
    let (host, port) = (base.host_str().unwrap(), base.port().unwrap());
    format!("http://user:${{IN_URL}}@{host}:{port}{path}?key=${{IN_URL}}")
}

/// A config in which everything that can is a secret. `ways` are the addresses of: the public
/// URL, the two slots, the router and the target; `hooks` the channels.
pub(super) fn config(ways: &[url::Url; 5], hooks: &[Channel]) -> Value {
    let url = |nth: usize| url_with_secrets(&ways[nth], ways[nth].path());
    let mut notify: Vec<Value> = hooks.iter().map(Channel::value).collect();
    notify.push(json!({ "kind": "github-comment", "number": "41" }));
    notify.push(json!({
        "kind": "email", "server": "127.0.0.1:1", "sender": "deploy@shop.example",
        "to": ["ops@shop.example"], "user": "${PLAIN}", "password": "${DB_PASSWORD}",
    }));
    let headers = json!({ "Authorization": "Bearer ${PLAIN}", "X-Key": "${DB_PASSWORD}" });
    let look = json!({
        "kind": "http", "path": "/health?key=${IN_URL}", "headers": headers, "retries": 0,
        "body": "${PLAIN} ${LINES} ${TAME}", "timeout": "2s",
    });
    let expecting = json!({
        "kind": "http", "path": "/health", "retries": 0,
        "expect": { "text": "${PLAIN}", "header": { "X-Key": "${DB_PASSWORD}" } },
    });
    let shouting = json!({
        "kind": "command", "run": "echo \"$DB_PASSWORD $PLAIN $LINES\" >&2; env; exit 3", "retries": 0,
    });
    json!({
        "version": 1, "app": "storefront",
        "environments": { "production": {
            "url": url(0),
            "slots": { "blue": { "url": url(1) }, "green": { "url": url(2) } },
            "release": { "kind": "header", "name": "X-Release" },
            "router": { "kind": "http", "url": url(3), "token": "${DB_PASSWORD}" },
            "target": {
                "kind": "http", "url": url(4), "headers": headers,
            },
            "smoke": [look],
            "health": {
                "checks": [look, expecting, shouting],
                "thresholds": [{ "metric": "p95", "above": "2s" }, { "metric": "mine", "above": 1 }],
            },
            "metrics": [
                {
                    "kind": "prometheus", "url": url(0), "token": "${PLAIN}", "headers": { "X-Key": "${DB_PASSWORD}" },
                    "queries": { "p95": "x{key=\"${TAME}\"}" },
                },
                { "kind": "json", "url": url(1), "headers": headers, "figures": { "mine": ".${TAME}" } },
            ],
            "strategy": { "kind": "blue-green", "watch": "100ms", "wait": "500ms" },
            "proof": { "answers": 2, "within": "1s" },
            "protection": { "reviewers": ["octocat"], "wait-timer": "10m", "branches": ["main"] },
            // Where GitHub does not answer or a stuck run has the lock, the next is to say so soon.
            "lock": { "on-conflict": "fail" },
            "notify": notify,
        }},
    })
}

/// How each mode is run; a mode that is not here fails the test.
fn arguments(mode: &str) -> Vec<Vec<&'static str>> {
    match mode {
        "deploy-slot" => vec![vec!["deploy-slot"], vec!["deploy-slot", "--dry-run"]],
        "preflight" => vec![vec!["preflight"]],
        "smoke-test" => vec![vec!["smoke-test"], vec!["smoke-test", "--slot", "blue"]],
        "switch-traffic" => vec![
            vec!["switch-traffic"],
            vec!["switch-traffic", "--weight", "50"],
            vec!["switch-traffic", "--dry-run"],
        ],
        "health-check" => vec![vec!["health-check"], vec!["health-check", "--slot", "blue"]],
        "notify" => vec![vec![
            "notify",
            "--title=the password is d4tab4se/pass+word=",
            "--message=Pl4in s3cret/+&=\"'é%x f1rst-of-the-lines",
        ]],
        "rollout" => vec![
            vec!["rollout"],
            vec!["rollout", "--version=d4tab4se/pass+word="],
        ],
        "rollback" => vec![vec!["rollback"]],
        "environments" => vec![
            vec!["environments"],
            vec!["environments", "--apply"],
            vec!["environments", "--apply", "--dry-run"],
        ],
        "rehearse" => vec![vec!["rehearse", "--fault", "unhealthy"]],
        "finish" => vec![vec!["finish"]],
        other => panic!("how is {other} run? say it here"),
    }
}

/// Addresses where nobody listens.
pub(super) fn nowhere() -> [url::Url; 5] {
    let paths = ["", "blue", "green", "weights", "deploy"];
    paths.map(|path| format!("http://127.0.0.1:1/{path}").parse().unwrap())
}

async fn hooks() -> Vec<Channel> {
    join_all(HOOKS.map(Channel::of)).await
}

/// Runs every mode on a config, and looks for secrets in all that was said.
async fn every_mode(what: &str, config: &Value, hooks: &[Channel]) -> Vec<Ran> {
    let github = Github::start().await;
    github.people(&[("octocat", 11)], &[]);
    github.grant(Rights::Admin);
    github.talk(|comments| comments.issues = vec![41]);
    let mut all = Vec::new();
    let commands = ["check", "router-config"].map(|command| vec![command]);
    let modes = MODES.iter().flat_map(|(mode, _)| arguments(mode));
    for arguments in modes.chain(commands) {
        let program = program(config).with("GITHUB_API_URL", &github.api_url);
        let ran = program.run(&arguments).await;
        let statuses = github.deployments().into_iter();
        let statuses = statuses.flat_map(|one| github.statuses(one["id"].as_u64().unwrap()));
        Said::by(&ran)
            .and("messages", hooks.iter().flat_map(Channel::heard))
            .and("GitHub's comments", github.talk(|it| it.all.clone()))
            .and("GitHub's deployments", github.deployments())
            .and("GitHub's statuses", statuses)
            .holds_no_secret(&format!("{what}, {arguments:?}"));
        assert_ne!(ran.code, 64, "{what}, {arguments:?}: {}", ran.stdout);
        all.push(ran);
    }
    all
}

#[tokio::test]
async fn where_all_goes_well() {
    let mark = serde_json::from_value(json!({ "kind": "header", "name": "X-Release" })).unwrap();
    let names = ["blue".to_owned(), "green".to_owned()];
    let world = World::open(names, Answers::for_checks(mark, []), "91be33d").await;
    let world = world.unwrap();
    let [blue, green] = world.slots.clone();
    let ways = [
        world.public.clone(),
        blue,
        green,
        world.router.clone(),
        world.deploy.clone(),
    ];
    let hooks = hooks().await;
    let mut config = config(&ways, &hooks);
    let production = &mut config["environments"]["production"];
    production["health"]["checks"] = json!([{ "kind": "http", "path": "/health" }]);
    let all = every_mode("all is well", &config, &hooks).await;
    assert!(
        all.iter().any(|ran| ran.stdout.contains("promoted")),
        "{all:#?}"
    );
    assert!(
        hooks.iter().all(|hook| !hook.heard().is_empty()),
        "nobody was told anything"
    );
    let some = all
        .iter()
        .any(|ran| ran.stdout.contains("::add-mask::Pl4in s3cret"));
    assert!(some, "nothing is masked");
}

#[tokio::test]
async fn where_everybody_says_the_secrets_back() {
    let app = App::start().await;
    let echo = || Reply::with(500, all_at_once()).header("X-Release", "d4tab4se/pass+word=");
    for path in ["/", "/health", "/weights", "/deploy"] {
        app.route(path, echo());
    }
    let way = |path: &str| app.url.join(path).unwrap();
    let ways = [
        way("/"),
        way("/blue"),
        way("/green"),
        way("/weights"),
        way("/deploy"),
    ];
    let hooks = hooks().await;
    let mut config = config(&ways, &hooks);
    every_mode("all fail", &config, &hooks).await;
    // Without a router the others are reached, too.
    let production = config["environments"]["production"]
        .as_object_mut()
        .unwrap();
    production.remove("router");
    for target in [
        json!({ "kind": "command", "run": "env; echo \"$PLAIN $LINES ${PLAIN}\"; exit 3", "env": { "MORE": "${LINES}" } }),
        json!({ "kind": "http", "url": way("/deploy"), "body": "{\"key\": \"${DB_PASSWORD}\"}" }),
    ] {
        let mut config = config.clone();
        config["environments"]["production"]["target"] = target;
        for arguments in [
            &["deploy-slot", "--slot", "green"][..],
            &["smoke-test", "--slot", "green"],
        ] {
            let ran = program(&config).run(arguments).await;
            assert_ne!(ran.code, 64, "{ran:#?}");
            Said::by(&ran).holds_no_secret(&format!("{arguments:?}"));
        }
    }
    // Without a config only names and the URL itself tell what is a secret.
    let known = format!("denied: {TOKEN} d4tab4se/pass+word= 1n-a-url~é!s3cret");
    app.route("/health", Reply::with(500, known));
    let url = url_with_secrets(&app.url, "/health").replace("${IN_URL}", "1n-a-url~é!s3cret");
    for mode in ["smoke-test", "health-check"] {
        let ran = program(&config).run(&[mode, "--url", &url]).await;
        assert_eq!(ran.code, 10, "{ran:#?}");
        Said::by(&ran).holds_no_secret(mode);
    }
}

#[tokio::test]
async fn where_nobody_answers() {
    let ways = nowhere();
    let hooks = hooks().await;
    every_mode("nobody is there", &config(&ways, &hooks), &hooks).await;
    let hook = format!("http://127.0.0.1:1/hook/{SECRET}");
    let ran = program(&json!({}))
        .run(&["notify", "--webhook", &hook])
        .await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    Said::by(&ran).holds_no_secret("notify");
}
