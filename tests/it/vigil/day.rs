//! A day of 96 scheduled checks on a virtual clock, from a real service with faults to the issues
//! and messages that come of it, as a log book.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use cutover::app::diary::{IssueDiary, Speaker};
use cutover::cast::{self, Tools};
use cutover::config::docker_host::Engine;
use cutover::config::file::{self, Config};
use cutover::github::Repository;
use cutover::github::access::Access;
use cutover::github::diary::Diary as Issues;
use cutover::judge::vigil::Round;
use cutover::model::event::{Event, Say};
use cutover::model::news::News;
use cutover::modes::health_check;
use cutover::notifiers::{Form, Notifier, NotifyError, Routing};
use cutover::platform::http::Http;
use cutover::platform::secret::{Secret, Vault};
use cutover::report::telling::{Channel, Teller};
use cutover::report::vigil::Place;
use cutover::rollout::stage::Stage;
use cutover::rollout::vigil::{Outcome, moment, remember};
use insta::assert_snapshot;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::world::app::{App, Reply};
use crate::world::github::{Github, TOKEN};

/// Monday, 2 March 2026, midnight.
const MIDNIGHT: i64 = 1_772_409_600;

/// What time it is.
static NOW: AtomicI64 = AtomicI64::new(MIDNIGHT);

fn now() -> Timestamp {
    Timestamp::from_second(NOW.load(Ordering::Relaxed)).unwrap()
}

/// Writes down what it is told.
struct Ear(&'static str, Arc<Mutex<Vec<String>>>);

#[async_trait]
impl Notifier for Ear {
    fn told(&self) -> String {
        self.0.to_owned()
    }

    fn form(&self) -> Form {
        Form::Messages
    }

    async fn tell(&self, news: &News) -> Result<(), NotifyError> {
        let mut lines = vec![format!(
            "{} hears ({}): {}",
            self.0, news.severity, news.title
        )];
        lines.extend(news.message.lines().map(|line| format!("    {line}")));
        self.1.lock().unwrap().push(lines.join("\n"));
        Ok(())
    }
}

fn ear(name: &'static str, book: &Arc<Mutex<Vec<String>>>) -> Channel {
    let routing = Routing {
        kind: name.to_owned(),
        ..Routing::default()
    };
    (routing, Box::new(Ear(name, Arc::clone(book))))
}

/// What is wrong at a minute of the day.
fn weather(app: &App, beat: &Path, minute: i64) {
    let within = |from: i64, to: i64| (from..to).contains(&minute);
    let at = |hour: i64, minute: i64| 60 * hour + minute;
    // One request is lost at two o'clock; from five on every other look is bad.
    let flaps = within(at(5, 0), at(6, 30)) && (minute / 15) % 2 == 0;
    let lost = within(at(2, 0), at(2, 5)) || flaps;
    // Twenty minutes in which nothing works, and an hour in which pages are errors.
    let outage = within(at(8, 13), at(8, 33));
    let broken = within(at(14, 0), at(15, 0));
    let status = if lost || outage || broken { 503 } else { 200 };
    app.route("/health", Reply::with(status, "ok"));
    let _ = std::fs::remove_file(beat);
    if !outage {
        std::fs::write(beat, "beats").unwrap();
    }
    let slow = within(at(18, 0), at(19, 0));
    let p95 = if slow { 900 } else { 184 };
    let gone = within(at(21, 0), at(22, 0));
    let figures = format!("{{ \"p95\": {p95} }}");
    app.route(
        "/figures",
        Reply::with(if gone { 500 } else { 200 }, figures),
    );
}

/// When the run of a slot begins; `None` where it does not come.
fn begins(slot: i64) -> Option<i64> {
    let minute = slot * 15;
    match minute {
        // GitHub is late at eleven, and forgets three at noon and one later.
        660 => Some(minute * 60 + 14 * 60 + 20),
        735 | 750 | 765 | 1035 => None,
        _ => Some(minute * 60 + 20 + slot % 4 * 35),
    }
}

struct Day {
    app: App,
    home: tempfile::TempDir,
    github: Github,
    config: Config,
    stage: Stage,
    book: Arc<Mutex<Vec<String>>>,
    heard: Arc<Mutex<Vec<String>>>,
    say: Say,
}

impl Day {
    async fn begin() -> Self {
        let (app, home) = (App::start().await, tempfile::tempdir().unwrap());
        let text = format!(
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
        - {{ kind: file, path: beat, contains: beats, retries: 0 }}
      thresholds:
        - {{ metric: p95, above: 500ms, severity: warning, on-no-data: fail }}
      clock:
        schedule: '*/15 * * * *'
        late-after: 10m
        escalate-to: [pager]
        weekly: {{ day: mon, at: '09:00', zone: Europe/Berlin }}
    metrics:
      - {{ kind: json, url: '{}', figures: {{ p95: {{ path: .p95, in: milliseconds }} }} }}
    notify: [{{ kind: webhook, name: pager, url: 'https://pager.example.com' }}]
",
            app.url,
            app.at("/figures")
        );
        let vault = Vault::default();
        let config = file::read(&text, &cast::schema(), &|_| None, &vault).unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ear = Arc::clone(&heard);
        let say: Say = Arc::new(move |event| {
            let line = match event {
                Event::Warned(said) => format!("warning: {said}"),
                Event::Noticed(said) => format!("notice: {said}"),
                _ => return,
            };
            ear.lock().unwrap().push(line);
        });
        let tools = Tools {
            agent: None,
            http: Http::default(),
            directory: home.path().to_owned(),
            vault,
            engine: Engine::default(),
            say: say.clone(),
            cancelled: CancellationToken::new(),
        };
        let environment = &config.file.environments["production"];
        let stage = cast::stage("storefront", "production", environment, &tools);
        Self {
            stage: stage.unwrap_or_else(|wrong| panic!("{wrong:?}")),
            github: Github::start().await,
            app,
            home,
            config,
            book: Arc::default(),
            heard,
            say,
        }
    }

    /// One run, as the program does it.
    async fn run(&self, nth: i64, at: i64) {
        NOW.store(at, Ordering::Relaxed);
        let minute = (at - MIDNIGHT) / 60;
        weather(&self.app, &self.home.path().join("beat"), minute);
        let environment = &self.config.file.environments["production"];
        let clock = environment.health.clock.as_ref().unwrap();
        let place = Place {
            app: "storefront".into(),
            environment: "production".into(),
            run: format!("{nth}"),
            schedule: clock.schedule.as_ref().map(ToString::to_string),
            label: clock.label.clone(),
            later: clock.escalate_to.clone(),
            ..Place::default()
        };
        let repository = Repository::of(&self.github.api_url, "shop/storefront").unwrap();
        let access = Access::token(Secret::new(TOKEN));
        let http = Http::default();
        let issues = Issues::new(&http, &access, &repository).unwrap();
        let vault = Vault::default();
        let diary = IssueDiary::new(issues, place.clone(), vault.clone());
        let (soon, later) = ([ear("chat", &self.book)], [ear("pager", &self.book)]);
        let cancelled = CancellationToken::new();
        let teller = |audience| Teller {
            audience,
            vault: &vault,
            say: &self.say,
            cancelled: &cancelled,
            clock: now,
        };
        let speaker = Speaker {
            soon: teller(&soon),
            later: teller(&later),
            place: &place,
            repository_url: "https://github.com/shop/storefront".into(),
            deployments: None,
        };
        self.heard.lock().unwrap().clear();
        let sight = health_check::look(&self.stage, None).await.sight.unwrap();
        // What the look itself says is not what is told here.
        self.heard.lock().unwrap().clear();
        let round = Round {
            at,
            schedule: clock.schedule.as_ref(),
        };
        let before = self.github.calls();
        let outcome = remember(&diary, &speaker, &sight, &round, clock, &self.say).await;
        let Outcome::Judged { verdict, .. } = outcome.unwrap() else {
            panic!("no other run looks");
        };
        let mut lines: Vec<String> = self.heard.lock().unwrap().drain(..).collect();
        lines.retain(|line| !line.ends_with("after its time"));
        if verdict.is_suspect {
            lines.push(format!("seen: {}", sight.said));
        }
        lines.append(&mut self.book.lock().unwrap());
        if lines.is_empty() {
            let calls = self.github.calls() - before;
            assert_eq!(calls, 2, "a healthy look asks GitHub twice");
            return;
        }
        let state = verdict.memory.state.name();
        let mut page = format!("{}  {state}\n", &moment(at)[11..16]);
        for line in lines.join("\n").lines() {
            page.push_str(&format!("       {line}\n"));
        }
        PAGES.lock().unwrap().push(page);
    }
}

static PAGES: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[tokio::test]
async fn a_day_of_checks_reads_like_a_log_book() {
    let day = Day::begin().await;
    for slot in 0..96 {
        if let Some(second) = begins(slot) {
            day.run(slot, MIDNIGHT + second).await;
        }
    }
    let pages = PAGES.lock().unwrap();
    let port = day.app.url.port().unwrap().to_string();
    let book = pages.concat().replace(&port, "[port]");
    let took = regex_lite::Regex::new(r" in [0-9.]+ m?s").unwrap();
    let book = took.replace_all(&book, " in [time]").into_owned();
    assert_snapshot!("log_book", book);
    let mut shelf = String::new();
    for issue in day.github.issues() {
        let number = issue["number"].as_u64().unwrap();
        let text = |key: &str| issue[key].as_str().unwrap().replace(&port, "[port]");
        shelf.push_str(&format!("#{number} {}: {}\n", text("state"), text("title")));
        let hidden = |text: &str| {
            let lines = text.lines().filter(|line| !line.starts_with("<!--"));
            let lines: Vec<&str> = lines.collect();
            took.replace_all(&lines.join("\n"), " in [time]")
                .into_owned()
        };
        for line in hidden(&text("body")).trim().lines() {
            shelf.push_str(&format!("    {line}\n"));
        }
        for comment in day.github.comments_on(number) {
            let comment = hidden(&comment.replace(&port, "[port]"));
            shelf.push_str(&format!("    > {}\n", comment.trim()));
        }
    }
    assert_snapshot!("issues", shelf);
}
