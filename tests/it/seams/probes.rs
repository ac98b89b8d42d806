//! The contract of probes: a look returns within its timeout, and says what it measured and
//! what it wanted. Then what each kind does by itself.

use std::time::{Duration, Instant};

use cutover::probes::{Ailment, KINDS, Subject};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::looks::{look, made, subject, tools};
use crate::world::app::{App, Reply};
use crate::world::authority::{Authority, Server};
use crate::world::dns::Dns;
use crate::world::postgres::Cluster;
use crate::world::redis::Redis;
use crate::world::tls::Tls;

/// How much longer than its timeout a look may take on a busy machine.
const SLACK: Duration = Duration::from_millis(700);

/// What every kind is held to. `silent` looks have `timeout` 300ms where the kind has one.
struct Case {
    well: Value,
    ill: Value,
    /// What hangs, or what is not there.
    silent: Vec<Value>,
}

struct World {
    app: App,
    folder: TempDir,
    listener: TcpListener,
    deaf: Deaf,
    postgres: Cluster,
    redis: Redis,
    dns: Dns,
    authority: Authority,
    secure: Server,
}

/// A port whose queue is full: a connection is neither accepted nor refused.
struct Deaf {
    address: String,
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl Deaf {
    async fn start() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        let patience = Duration::from_millis(200);
        while let Ok(stream) = tokio::time::timeout(patience, TcpStream::connect(address)).await {
            waiting.push(stream.unwrap());
            assert!(waiting.len() < 50, "the queue has no end");
        }
        Self {
            address: address.to_string(),
            _listener: listener,
            _waiting: waiting,
        }
    }
}

impl World {
    async fn start() -> Self {
        let app = App::start().await;
        app.route("/health", Reply::with(200, "fine"));
        app.route("/ill", Reply::with(503, "starting"));
        app.route("/hang", Reply::Hang);
        app.route("/reset", Reply::Reset);
        app.route("/half", Reply::HalfBody);
        app.route("/half-hang", Reply::HalfBodyThenHang);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ready"), "ready\n").unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(folder.path().join("pipe"))
            .status();
        assert!(made.unwrap().success());
        let authority = Authority::new();
        authority.issue("good", -1, 60, "IP:127.0.0.1");
        let secure = authority.serve("good", "").await;
        let mut postgres = Cluster::new();
        postgres.start(&[]);
        postgres.wait_until_it_answers();
        Self {
            app,
            folder,
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            deaf: Deaf::start().await,
            postgres,
            redis: Redis::start("requirepass s3cret"),
            dns: Dns::start(&["--address=/shop.test/127.0.0.9"]),
            authority,
            secure,
        }
    }

    fn case(&self, kind: &str) -> Case {
        let http = |path| json!({ "kind": "http", "path": path, "timeout": "300ms" });
        let tcp = |address: &str| json!({ "kind": "tcp", "address": address, "timeout": "300ms" });
        let command = |run| json!({ "kind": "command", "run": run, "timeout": "300ms" });
        // Whoever only listens accepts a connection and is silent.
        let listener = self.listener.local_addr().unwrap().to_string();
        let silent = |kind: &str| {
            [
                &self.deaf.address,
                &listener,
                "no-such-host.invalid:1",
                "127.0.0.1:1",
            ]
            .map(|it| json!({ "kind": kind, "address": it, "timeout": "300ms" }))
        };
        match kind {
            "http" => Case {
                well: http("/health"),
                ill: http("/ill"),
                silent: ["/hang", "/half-hang", "/reset", "/half"].map(http).into(),
            },
            "tcp" => Case {
                well: tcp(&self.listener.local_addr().unwrap().to_string()),
                ill: tcp("127.0.0.1:1"),
                silent: vec![tcp(&self.deaf.address), tcp("no-such-host.invalid:1")],
            },
            "postgres" => Case {
                well: json!({ "kind": kind, "address": self.postgres.address() }),
                ill: json!({ "kind": kind, "address": self.postgres.address(), "user": "nobody" }),
                silent: silent(kind)
                    .into_iter()
                    .chain(silent(kind).map(|mut block| {
                        block["user"] = json!("app");
                        block
                    }))
                    .collect(),
            },
            "redis" => Case {
                well: json!({ "kind": kind, "address": self.redis.address(), "password": "s3cret" }),
                ill: json!({ "kind": kind, "address": self.redis.address() }),
                silent: silent(kind).into(),
            },
            "dns" => Case {
                well: json!({ "kind": kind, "name": "shop.test", "server": self.dns.server }),
                ill: json!({ "kind": kind, "name": "gone.test", "server": self.dns.server }),
                silent: vec![
                    json!({ "kind": kind, "name": "shop.test", "server": "127.0.0.1:1", "timeout": "300ms" }),
                ],
            },
            "tls-expiry" => Case {
                well: json!({ "kind": kind, "address": self.secure.address, "ca": self.authority.ca() }),
                ill: json!({ "kind": kind, "address": self.secure.address }),
                silent: silent(kind).into(),
            },
            "command" => Case {
                well: command("echo well"),
                ill: command("echo ill; exit 3"),
                silent: vec![
                    command("sleep 1000"),
                    command("trap '' TERM; sleep 1000 & wait"),
                ],
            },
            "file" => Case {
                well: json!({ "kind": "file", "path": "ready" }),
                ill: json!({ "kind": "file", "path": "ready", "contains": "steady" }),
                silent: vec![
                    json!({ "kind": "file", "path": "pipe", "contains": "x" }),
                    json!({ "kind": "file", "path": "gone" }),
                ],
            },
            other => panic!("the kind {other} has no case in this suite"),
        }
    }
}

#[tokio::test]
async fn every_kind_keeps_the_contract() {
    let world = World::start().await;
    let tools = tools(world.folder.path());
    let subject = subject(&world.app);
    for kind in KINDS {
        let case = world.case(kind.name);
        let well = made(case.well.clone(), &tools).unwrap();
        assert!(!well.told().is_empty() && !kind.about.is_empty());
        let pulse = well.look(&subject).await.unwrap();
        assert!(!pulse.said.is_empty(), "{}", kind.name);

        let mut odd = case.well;
        odd["no-such-key"] = json!(1);
        let said = made(odd, &tools).map(drop).unwrap_err();
        assert!(said.contains("no-such-key"), "{said}");

        let ill = made(case.ill, &tools).unwrap();
        let ailment = ill.look(&subject).await.unwrap_err();
        holds_measured_and_wanted(&ailment);

        for silent in case.silent {
            let probe = made(silent.clone(), &tools).unwrap();
            let began = Instant::now();
            let ailment = probe.look(&subject).await.unwrap_err();
            let took = began.elapsed();
            assert!(
                took < Duration::from_millis(300) + SLACK,
                "{silent} {took:?}"
            );
            assert!(ailment.silent, "{silent} {ailment:?}");
            holds_measured_and_wanted(&ailment);
        }
    }
}

fn holds_measured_and_wanted(ailment: &Ailment) {
    assert!(!ailment.measured.is_empty() && !ailment.wanted.is_empty());
    let said = ailment.to_string();
    assert!(said.contains(&ailment.measured) && said.contains(&ailment.wanted));
    assert!(!said.contains('\n'), "{said}");
}

#[tokio::test]
async fn an_http_look_says_how_far_it_got() {
    let app = App::start().await;
    app.route("/hang", Reply::Hang);
    let phase = async |options: Value| look(options, &app).await.unwrap_err().measured;
    let said = phase(json!({ "kind": "http", "url": "http://no-such-host.invalid/" })).await;
    assert!(said.starts_with("DNS: "), "{said}");
    let said = phase(json!({ "kind": "http", "url": "http://127.0.0.1:1/" })).await;
    assert!(said.starts_with("TCP: "), "{said}");
    let said = phase(json!({ "kind": "http", "path": "/hang", "timeout": "50ms" })).await;
    assert!(said.starts_with("HTTP: no answer after "), "{said}");
    let said =
        phase(json!({ "kind": "http", "url": app.at("/").replace("http:", "https:") })).await;
    assert!(said.starts_with("TLS: "), "{said}");
}

#[tokio::test]
async fn an_http_look_sends_what_it_is_told_and_wants_what_it_is_told() {
    let app = App::start().await;
    let answer = Reply::with(401, r#"{"status":"healthy","n":1}"#).header("X-Slot", "blue");
    app.route("/me", answer.after(Duration::from_millis(60)));
    let mut options = json!({
        "kind": "http", "path": "/me?x=1", "method": "PUT",
        "headers": { "Authorization": "Bearer s3cr3t" }, "body": "hello",
        "expect": {
            "status": [401, 403], "json": { ".status": "healthy", ".n": 1 }, "text": "health",
            "header": { "x-slot": "blue" }, "under": "4s",
        },
    });
    let pulse = look(options.clone(), &app).await.unwrap();
    assert!(pulse.said.starts_with("401 in "), "{pulse:?}");
    assert!(pulse.took >= Duration::from_millis(60));
    let seen = &app.seen()[0];
    assert_eq!(
        (&*seen.method, &*seen.path, &*seen.body),
        ("PUT", "/me?x=1", "hello")
    );
    assert_eq!(seen.headers["authorization"], "Bearer s3cr3t");

    options["expect"]["under"] = json!("10ms");
    let ailment = look(options.clone(), &app).await.unwrap_err();
    assert_eq!(ailment.wanted, "under 10 ms");
    assert!(!ailment.silent && ailment.measured.starts_with("401 in "));
    options["expect"] = json!({ "json": { ".n": 2 } });
    let ailment = look(options, &app).await.unwrap_err();
    assert_eq!(ailment.wanted, "2xx, .n to be 2");
    assert!(ailment.measured.contains(".n is 1, body \"{"), "{ailment}");
    assert!(!ailment.to_string().contains("s3cr3t"));
}

#[tokio::test]
async fn a_certificate_of_nobody_is_refused_unless_it_may_be() {
    let server = Tls::start().await;
    let app = App::start().await;
    let mut options = json!({ "kind": "http", "url": server.url, "timeout": "5s" });
    let ailment = look(options.clone(), &app).await.unwrap_err();
    assert!(ailment.measured.starts_with("TLS: "), "{ailment}");
    assert!(ailment.silent);
    options["verify-tls"] = json!(false);
    assert!(look(options, &app).await.is_ok());
}

#[tokio::test]
async fn redirects_are_followed_only_on_demand() {
    let app = App::start().await;
    app.route("/old", Reply::with(302, "").header("Location", "/new"));
    app.route("/new", Reply::with(200, "here"));
    let mut options = json!({ "kind": "http", "path": "/old" });
    let ailment = look(options.clone(), &app).await.unwrap_err();
    assert!(ailment.measured.starts_with("302 in "), "{ailment}");
    options["redirects"] = json!(true);
    assert!(look(options, &app).await.is_ok());
}

#[tokio::test]
async fn a_path_is_below_the_subject_s_own() {
    let app = App::start().await;
    app.route("/shop/health", Reply::with(200, ""));
    let probe = made(json!({ "kind": "http", "path": "/health" }), &tools("/")).unwrap();
    let subject = Subject {
        url: app.url.join("shop/?x#y").unwrap(),
        variables: Vec::new(),
    };
    assert!(probe.look(&subject).await.is_ok());
    assert_eq!(probe.told(), "GET /health");
}

#[tokio::test]
async fn options_that_make_no_sense_are_refused() {
    for (options, said) in [
        (json!({ "kind": "http" }), "is missing"),
        (
            json!({ "kind": "http", "path": "/", "url": "http://x/" }),
            "both",
        ),
        (json!({ "kind": "http", "path": "//evil.dev/" }), "path:"),
        (
            json!({ "kind": "http", "path": "/", "method": "get" }),
            "did you mean \"GET\"?",
        ),
        (
            json!({ "kind": "http", "path": "/", "expect": { "status": [] } }),
            "empty",
        ),
        (
            json!({ "kind": "tcp", "address": "localhost" }),
            "host:port",
        ),
        (
            json!({ "kind": "tcp", "address": "localhost:99999" }),
            "host:port",
        ),
        (json!({ "kind": "command", "run": " " }), "no command"),
        (
            json!({ "kind": "command", "run": "x", "env": { "A B": "" } }),
            "A B",
        ),
        (json!({ "kind": "file", "path": "" }), "no path"),
        (json!({ "kind": "htpt" }), "did you mean \"http\"?"),
    ] {
        let refused = made(options, &tools("/")).map(drop).unwrap_err();
        assert!(refused.contains(said), "{refused}");
    }
}

#[tokio::test]
async fn a_command_knows_the_subject_and_its_last_line_is_told() {
    let app = App::start().await;
    let options = json!({
        "kind": "command", "env": { "MORE": "x y" },
        "run": "echo \"$SLOT $MORE $URL\"; echo; [ $SLOT = green ]",
    });
    let ailment = look(options, &app).await.unwrap_err();
    let last = format!(": blue x y {}", app.url);
    assert!(
        ailment.measured.starts_with("it ended with 1 after "),
        "{ailment}"
    );
    assert!(ailment.measured.ends_with(&last), "{ailment}");
    assert!(
        ailment.wanted.ends_with("to end with 0 within 30 s"),
        "{ailment}"
    );
}

#[tokio::test]
async fn a_file_is_fresh_or_it_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("beat");
    std::fs::write(&path, "alive").unwrap();
    let an_hour_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    let app = App::start().await;
    let options = json!({ "kind": "file", "path": path, "newer-than": "1m" });
    assert!(look(options.clone(), &app).await.is_ok());
    file.set_modified(an_hour_ago).unwrap();
    let ailment = look(options, &app).await.unwrap_err();
    assert!(
        ailment.measured.ends_with("was written 60 m ago"),
        "{ailment}"
    );
    assert_eq!(ailment.wanted, "at most 60 s ago");
}
