//! Every kind of notifier keeps the same promises: it is heard, whatever the news look like; it
//! waits when asked to; and its URL is a secret.

use std::time::{Duration, Instant};

use cutover::config::kinds::{self, Block, Kind};
use cutover::model::news::{Alert, Incident, News, Outcome};
use cutover::model::severity::Severity;
use cutover::notifiers::{KINDS, Notifier, NotifyError, Tools, for_webhook};
use cutover::platform::http::Http;
use cutover::platform::secret::Secret;
use serde_json::{Value, json};

use crate::world::channels::{Channel, Fault, SECRET, block_at};

fn tools() -> Tools {
    Tools::default()
}

/// The kinds that speak HTTP by themselves. Mail has a suite of its own, and so have comments.
fn kinds() -> impl Iterator<Item = &'static Kind<dyn Notifier, Tools>> {
    let others = ["email", "github-comment"];
    KINDS
        .iter()
        .filter(move |kind| !others.contains(&kind.name))
}

/// Whether a kind's URL is itself its secret; the others have a key.
fn is_hook(kind: &str) -> bool {
    !matches!(kind, "slack-bot" | "pagerduty" | "datadog")
}

fn built(_: &str, channel: &Channel) -> Box<dyn Notifier> {
    kinds::build(KINDS, &channel.block(), &tools()).unwrap()
}

pub(super) fn news() -> News {
    News {
        severity: Severity::Critical,
        title: "rolled back: the public URL kept answering with the old release".into(),
        message: "measured: 3 of 5 say 91be33d\nnext: look at the cache".into(),
        decision: Some("rolled-back".into()),
        facts: vec![
            ("environment".into(), "production".into()),
            ("version".into(), "4f2a9c1".into()),
        ],
        run_url: Some("https://github.com/shop/storefront/actions/runs/7".into()),
        outcome: Outcome::Failed,
        app: Some("storefront".into()),
        environment: Some("production".into()),
        incident: Some(Incident::of(
            "storefront",
            "production",
            "rollout",
            Alert::Trigger,
        )),
        for_those_of: None,
        thread: None,
    }
}

#[tokio::test]
async fn what_happened_is_heard() {
    for kind in kinds() {
        let channel = Channel::of(kind.name).await;
        built(kind.name, &channel).tell(&news()).await.unwrap();
        let heard = channel.heard();
        assert_eq!(heard.len(), 1, "{}", kind.name);
        let said = heard[0].to_string();
        for word in [
            "rolled back: the public URL",
            "3 of 5 say 91be33d",
            "rolled-back",
            "environment",
            "production",
            "4f2a9c1",
            "https://github.com/shop/storefront/actions/runs/7",
        ] {
            assert!(said.contains(word), "{}: {word} in {said}", kind.name);
        }
    }
}

#[tokio::test]
async fn news_of_any_shape_are_taken() {
    let long = "<!channel> & @everyone 🚀 `*_~|>".repeat(400);
    let plain = "x".repeat(9000);
    let shapes = [
        News::default(),
        News {
            title: plain.clone(),
            message: plain.clone(),
            facts: vec![(plain.clone(), plain)],
            ..news()
        },
        News {
            title: long.clone(),
            message: long.clone(),
            decision: Some(long.clone()),
            facts: vec![(long.clone(), long.clone()); 60],
            ..news()
        },
        News {
            title: "\n\t\0".into(),
            facts: vec![
                (String::new(), String::new()),
                (
                    "link".into(),
                    "https://shop.example.com/?a=1&b=<2>|3".into(),
                ),
            ],
            run_url: Some("not a link".into()),
            ..news()
        },
    ];
    for kind in kinds() {
        let channel = Channel::of(kind.name).await;
        let notifier = built(kind.name, &channel);
        for (i, news) in shapes.iter().enumerate() {
            let told = notifier.tell(news).await;
            assert_eq!(told, Ok(()), "{} with shape {i}", kind.name);
        }
        assert_eq!(channel.heard().len(), shapes.len());
    }
}

#[tokio::test]
async fn a_short_wait_is_waited_once() {
    for kind in kinds() {
        let channel = Channel::of(kind.name).await;
        channel.order([Fault::TooMany(0.7)]);
        let began = Instant::now();
        let told = built(kind.name, &channel).tell(&news()).await;
        assert_eq!(told, Ok(()), "{}", kind.name);
        assert!(began.elapsed() >= Duration::from_millis(700));
        assert_eq!(channel.heard().len(), 1);

        channel.order([Fault::TooMany(0.1), Fault::TooMany(0.1), Fault::HangUp]);
        let told = built(kind.name, &channel).tell(&news()).await;
        let Err(NotifyError::Refused(said)) = told else {
            panic!("{}: {told:?}", kind.name);
        };
        assert!(said.starts_with("429"), "{}: {said}", kind.name);
    }
}

#[tokio::test]
async fn a_long_wait_is_not_waited() {
    for kind in kinds() {
        let channel = Channel::of(kind.name).await;
        channel.order([Fault::TooMany(60.0)]);
        let began = Instant::now();
        let told = built(kind.name, &channel).tell(&news()).await;
        assert!(began.elapsed() < Duration::from_secs(4));
        let said = told.unwrap_err().to_string();
        assert!(said.contains("429") && said.contains("60 s"), "{said}");
        assert!(channel.heard().is_empty());
    }
}

#[tokio::test]
async fn no_secret_is_in_an_error() {
    for kind in kinds() {
        let channel = Channel::of(kind.name).await;
        let path = url::Url::parse(&channel.url).unwrap().path().to_owned();
        let nobody = {
            let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            format!("http://{}{path}", closed.local_addr().unwrap())
        };
        let notifier = built(kind.name, &channel);
        let mut errors = Vec::new();
        for fault in [Fault::Page(404), Fault::Page(503), Fault::HangUp] {
            // Some ask twice.
            channel.order([fault, fault]);
            errors.push(notifier.tell(&news()).await.unwrap_err());
            channel.forget_faults();
        }
        assert!(matches!(errors[0], NotifyError::Refused(_)), "{errors:?}");
        assert!(matches!(errors[1], NotifyError::Refused(_)), "{errors:?}");
        assert!(
            matches!(errors[2], NotifyError::OutOfReach(_)),
            "{errors:?}"
        );
        let alone = kinds::build(KINDS, &block_at(kind.name, &nobody), &tools()).unwrap();
        errors.push(alone.tell(&news()).await.unwrap_err());
        for error in &errors {
            for said in [error.to_string(), format!("{error:?}")] {
                assert!(!said.contains(SECRET), "{}: {said}", kind.name);
                let quoted = is_hook(kind.name) && said.contains(&path);
                assert!(!quoted, "{}: {said}", kind.name);
            }
        }
        assert!(!notifier.told().contains(SECRET));
    }
}

#[test]
fn wrong_options_are_refused_without_the_secret() {
    for kind in kinds() {
        let refused = |block: &Block| kinds::build(KINDS, block, &tools()).err().unwrap();
        let said = refused(&block_at(kind.name, "ftp://x/s3cr3tPartOfTheUrl"));
        assert!(!said.contains(SECRET) && said.contains("http"), "{said}");
        let mut more = block_at(kind.name, "https://hooks.example.com/x");
        more.options.insert("chanel".into(), json!("#ops"));
        let said = refused(&more);
        assert!(said.contains("chanel"), "{}: {said}", kind.name);
        let none = serde_json::from_value(json!({ "kind": kind.name })).unwrap();
        let said = refused(&none);
        let schema = (kind.schema)();
        let key = schema["required"][0].as_str().unwrap();
        assert!(said.contains(key), "{}: {said}", kind.name);
    }
}

#[tokio::test]
async fn slack_refuses_in_its_own_words() {
    let channel = Channel::of("slack").await;
    let elsewhere = format!("{}x", channel.url);
    let slack = kinds::build(KINDS, &block_at("slack", &elsewhere), &tools()).unwrap();
    let told = slack.tell(&news()).await;
    assert_eq!(told, Err(NotifyError::Refused("404 no_service".into())));
}

#[tokio::test]
async fn a_webhook_carries_its_headers_and_the_news_as_they_are() {
    let channel = Channel::of("webhook").await;
    let with = |value: &str| -> Block {
        let options = json!({
            "kind": "webhook", "url": channel.url, "headers": { "Authorization": value },
        });
        serde_json::from_value(options).unwrap()
    };
    let notifier = kinds::build(KINDS, &with("Bearer t0ps3cret"), &tools()).unwrap();
    notifier.tell(&news()).await.unwrap();
    assert_eq!(
        channel.header("authorization").as_deref(),
        Some("Bearer t0ps3cret")
    );
    let heard = channel.heard();
    let mut expected = serde_json::to_value(news()).unwrap();
    expected["schema_version"] = 1.into();
    expected["app"] = heard[0]["app"].clone();
    assert_eq!(heard[0], expected);
    let said = kinds::build(KINDS, &with("t0ps3cret\nX: y"), &tools())
        .err()
        .unwrap();
    assert!(
        said.contains("headers.Authorization") && !said.contains("t0ps3cret"),
        "{said}"
    );
}

#[tokio::test]
async fn a_bare_webhook_needs_no_config() {
    let channel = Channel::of("webhook").await;
    let notifier = for_webhook(&Secret::new(channel.url.clone()), &tools()).unwrap();
    assert_eq!(notifier.told(), "webhook");
    notifier.tell(&news()).await.unwrap();
    assert_eq!(channel.heard().len(), 1);
    let slack = Secret::new("https://hooks.slack.com/services/T0/B0/x");
    assert_eq!(for_webhook(&slack, &tools()).unwrap().told(), "slack");
    let wrong = Secret::new("s3cr3tPartOfTheUrl");
    let said = for_webhook(&wrong, &tools()).err().unwrap();
    assert!(!said.contains(SECRET), "{said}");
}

/// The stand-ins are strict, or the suite above proves nothing.
#[tokio::test]
async fn the_stand_ins_refuse_what_the_real_ones_refuse() {
    let http = Http::default()
        .client(cutover::platform::http::Manner::API)
        .unwrap();
    let long = "x".repeat(151);
    let header = |text: &str| {
        json!({ "text": "t", "blocks": [
            { "type": "header", "text": { "type": "plain_text", "text": text } }
        ]})
    };
    let embed = |embed: Value| json!({ "embeds": [embed], "allowed_mentions": { "parse": [] } });
    for (kind, body, status) in [
        ("slack", json!({ "text": "" }), 400),
        ("slack", json!({ "text": "t", "colour": 1 }), 400),
        ("slack", header(&long), 400),
        ("slack", header("a < b"), 400),
        ("slack", header("fine"), 200),
        ("discord", json!({ "content": "@everyone" }), 400),
        (
            "discord",
            embed(json!({ "title": "x".repeat(257), "color": 1 })),
            400,
        ),
        (
            "discord",
            embed(json!({ "title": "fine", "color": 1 })),
            204,
        ),
        ("teams", json!({ "text": "as a connector took it" }), 400),
        ("teams", json!({ "type": "x".repeat(29_000) }), 413),
        ("webhook", json!({ "title": "no version" }), 422),
    ] {
        let channel = Channel::of(kind).await;
        let answer = http.post(&channel.url).json(&body).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{kind}: {body}");
    }
}
