//! What is each channel's own: the words of its refusals, messages that are edited, incidents.

use cutover::config::kinds::{self, Block};
use cutover::model::news::{Alert, Incident, News, Outcome};
use cutover::model::severity::Severity;
use cutover::notifiers::{KINDS, Notifier, NotifyError, Tools};
use serde_json::{Value, json};

use super::notifiers::news;
use crate::world::channels::{Channel, Fault, SECRET};

fn built(block: &Block) -> Box<dyn Notifier> {
    kinds::build(KINDS, block, &Tools::default()).unwrap()
}

fn with(channel: &Channel, key: &str, value: &str) -> Block {
    let mut block = channel.block();
    block.options.insert(key.into(), value.into());
    block
}

/// News of a run in one thread.
fn of_run(outcome: Outcome, severity: Severity, title: &str) -> News {
    News {
        outcome,
        severity,
        title: title.into(),
        thread: Some("storefront/production".into()),
        ..news()
    }
}

fn titles(channel: &Channel) -> Vec<String> {
    let shown = channel.shown().into_iter();
    let title = |message: Value| match message.get("embeds") {
        Some(embeds) => embeds[0]["title"].as_str().unwrap().to_owned(),
        None => message["blocks"][0]["text"]["text"]
            .as_str()
            .unwrap()
            .to_owned(),
    };
    shown.map(title).collect()
}

#[tokio::test]
async fn one_message_is_edited_as_a_run_goes_on() {
    for kind in ["slack-bot", "discord"] {
        let channel = Channel::of(kind).await;
        let notifier = built(&channel.block());
        for (outcome, title) in [
            (Outcome::Underway, "underway"),
            (Outcome::Underway, "further"),
            (Outcome::Good, "promoted"),
        ] {
            let news = of_run(outcome, Severity::Info, title);
            notifier.tell(&news).await.unwrap();
        }
        assert_eq!(titles(&channel), ["promoted"], "{kind}");
        assert_eq!(channel.heard().len(), 3, "{kind}");
        // The next thread is a message of its own, and so is what has none.
        for thread in [Some("storefront/staging".to_owned()), None, None] {
            let news = News {
                thread,
                ..of_run(Outcome::Good, Severity::Info, "other")
            };
            notifier.tell(&news).await.unwrap();
        }
        let shown = ["promoted", "other", "other", "other"];
        assert_eq!(titles(&channel), shown, "{kind}");
    }
}

#[tokio::test]
async fn a_bad_ending_calls_people_because_an_edit_does_not() {
    for kind in ["slack-bot", "discord"] {
        let channel = Channel::of(kind).await;
        let notifier = built(&channel.block());
        let underway = of_run(Outcome::Underway, Severity::Info, "underway");
        notifier.tell(&underway).await.unwrap();
        let failed = of_run(Outcome::Failed, Severity::Critical, "rolled-back");
        notifier.tell(&failed).await.unwrap();
        assert_eq!(titles(&channel), ["rolled-back", "rolled-back"], "{kind}");
        if kind == "slack-bot" {
            let reply = &channel.shown()[1];
            assert_eq!(reply["thread_ts"], "1700.000001");
            assert_eq!(reply["reply_broadcast"], true);
        }
    }
}

#[tokio::test]
async fn a_message_that_somebody_took_away_is_sent_anew() {
    for kind in ["slack-bot", "discord"] {
        let channel = Channel::of(kind).await;
        let notifier = built(&channel.block());
        let underway = of_run(Outcome::Underway, Severity::Info, "underway");
        notifier.tell(&underway).await.unwrap();
        channel.tidy_up();
        let good = of_run(Outcome::Good, Severity::Info, "promoted");
        notifier.tell(&good).await.unwrap();
        assert_eq!(titles(&channel), ["promoted"], "{kind}");
    }
}

/// A new message is never sent twice, whatever went wrong; an edit and an event with a key are.
#[tokio::test]
async fn only_what_makes_no_second_thing_is_repeated() {
    for kind in [
        "slack",
        "slack-bot",
        "discord",
        "teams",
        "datadog",
        "webhook",
    ] {
        for fault in [Fault::Page(503), Fault::LostAfterEffect] {
            let channel = Channel::of(kind).await;
            channel.order([fault]);
            let told = built(&channel.block()).tell(&news()).await;
            assert!(told.is_err() && channel.asked() == 1, "{kind}: {told:?}");
        }
    }
    for kind in ["slack-bot", "discord"] {
        let channel = Channel::of(kind).await;
        let notifier = built(&channel.block());
        let underway = of_run(Outcome::Underway, Severity::Info, "underway");
        notifier.tell(&underway).await.unwrap();
        channel.order([Fault::LostAfterEffect]);
        let good = of_run(Outcome::Good, Severity::Info, "promoted");
        assert_eq!(notifier.tell(&good).await, Ok(()), "{kind}");
        assert_eq!(titles(&channel), ["promoted"], "{kind}");
    }
    for fault in [Fault::Page(500), Fault::LostAfterEffect, Fault::HangUp] {
        let channel = Channel::of("pagerduty").await;
        channel.order([fault]);
        assert_eq!(built(&channel.block()).tell(&news()).await, Ok(()));
        let keys: Vec<Value> = channel
            .heard()
            .iter()
            .map(|one| one["dedup_key"].clone())
            .collect();
        assert!(
            keys.iter()
                .all(|key| key == "cutover/storefront/production/rollout"),
            "{keys:?}"
        );
    }
    let channel = Channel::of("pagerduty").await;
    channel.order([Fault::Page(500), Fault::Page(500), Fault::HangUp]);
    let told = built(&channel.block()).tell(&news()).await.unwrap_err();
    let said = "refused: 500 with something that is no answer of PagerDuty's";
    assert_eq!(told.to_string(), said);
}

#[tokio::test]
async fn an_incident_has_one_key_from_its_trigger_to_its_end() {
    let channel = Channel::of("pagerduty").await;
    let notifier = built(&channel.block());
    for alert in [Alert::Trigger, Alert::Acknowledge, Alert::Resolve] {
        let incident = Incident::of("storefront", "production", "health", alert);
        let news = News {
            incident: Some(incident),
            ..news()
        };
        notifier.tell(&news).await.unwrap();
    }
    let heard = channel.heard();
    let actions: Vec<&Value> = heard.iter().map(|one| &one["event_action"]).collect();
    assert_eq!(actions, ["trigger", "acknowledge", "resolve"]);
    for one in &heard {
        assert_eq!(one["dedup_key"], "cutover/storefront/production/health");
    }
    let payload = &heard[0]["payload"];
    assert_eq!(payload["severity"], "critical");
    assert_eq!(payload["source"], "production");
    assert_eq!(payload["component"], "storefront");
    assert_eq!(payload["custom_details"]["version"], "4f2a9c1");
    assert_eq!(heard[0]["links"][0]["href"], heard[0]["client_url"]);
    assert!(heard[2].get("payload").is_none());
}

#[tokio::test]
async fn an_event_in_datadog_has_tags_and_a_type() {
    let channel = Channel::of("datadog").await;
    let notifier = built(&channel.block());
    for (severity, outcome, kind, priority) in [
        (Severity::Critical, Outcome::Failed, "error", "normal"),
        (Severity::Warning, Outcome::Failed, "warning", "normal"),
        (Severity::Info, Outcome::Good, "success", "low"),
        (Severity::Info, Outcome::Cancelled, "info", "low"),
    ] {
        let news = News {
            severity,
            outcome,
            ..news()
        };
        notifier.tell(&news).await.unwrap();
        let heard = channel.heard();
        let event = heard.last().unwrap();
        assert_eq!(event["alert_type"], kind);
        assert_eq!(event["priority"], priority);
        let tags = [
            "env:production",
            "version:4f2a9c1",
            "decision:rolled-back",
            "team:shop",
        ];
        assert_eq!(event["tags"], json!(tags));
    }
    // The site is the host, and the key is in a header that no log shows.
    let mut block = channel.block();
    block.options.remove("url");
    for (site, fine) in [
        ("datadoghq.eu", true),
        ("us5.datadoghq.com", true),
        ("datadoghq.example", false),
    ] {
        block.options.insert("site".into(), site.into());
        let made = kinds::build(KINDS, &block, &Tools::default());
        assert_eq!(made.is_ok(), fine, "{site}");
    }
}

/// What a person reads in the log, for each way in which a service says no.
#[tokio::test]
async fn refusals_are_in_the_words_of_the_service() {
    let key = "x".repeat(32);
    for (kind, wrong, said) in [
        (
            "slack-bot",
            ("token", "xoxb-other"),
            "refused: 200 invalid_auth; the token is not valid, or no longer",
        ),
        (
            "slack-bot",
            ("channel", "#elsewhere"),
            "refused: 200 channel_not_found; is it the channel's id, and is the bot in it?",
        ),
        (
            "pagerduty",
            ("routing-key", key.as_str()),
            "refused: 400 Event object is invalid; Invalid routing key",
        ),
        (
            "datadog",
            ("api-key", "other"),
            "refused: 403 Forbidden; is it an API key, and of this site?",
        ),
    ] {
        let channel = Channel::of(kind).await;
        let told = built(&with(&channel, wrong.0, wrong.1)).tell(&news()).await;
        assert_eq!(told.unwrap_err().to_string(), said);
        assert!(channel.heard().is_empty());
    }
    for (kind, fault, said) in [
        (
            "teams",
            Fault::Page(404),
            "refused: 404 with something that is no answer of a workflow; is the workflow there, and turned on?",
        ),
        (
            "teams",
            Fault::Page(401),
            "refused: 401 with something that is no answer of a workflow; may anyone trigger the workflow?",
        ),
        (
            "datadog",
            Fault::TooMany(60.0),
            "refused: 429, and it asks to wait 60 s; 5 s is the longest wait here",
        ),
        (
            "pagerduty",
            Fault::Page(413),
            "refused: 413 with something that is no answer of PagerDuty's",
        ),
    ] {
        let channel = Channel::of(kind).await;
        channel.order([fault]);
        let told = built(&channel.block()).tell(&news()).await;
        assert_eq!(told.unwrap_err().to_string(), said, "{kind}");
    }
    let channel = Channel::of("pagerduty").await;
    let refused = kinds::build(
        KINDS,
        &with(&channel, "routing-key", SECRET),
        &Tools::default(),
    );
    assert_eq!(
        refused.err().unwrap(),
        "routing-key: the secret is not the 32 letters and digits of an integration of kind Events API v2"
    );
}

/// The stand-ins are strict, or the tests above prove nothing.
#[tokio::test]
async fn the_stand_ins_refuse_what_the_services_refuse() {
    let http = cutover::platform::http::Http::default();
    let http = http.client(cutover::platform::http::Manner::API).unwrap();
    let channel = Channel::of("pagerduty").await;
    let good = json!({
        "routing_key": channel.block().options["routing-key"], "event_action": "trigger",
        "dedup_key": "x",
        "payload": { "summary": "s", "source": "live", "severity": "error" },
    });
    let url = format!("{}/v2/enqueue", channel.url);
    for (place, value, status) in [
        ("/payload/severity", json!("error"), 202),
        ("/payload/severity", json!("fatal"), 400),
        ("/payload/summary", json!("x".repeat(1025)), 400),
        ("/payload/source", json!(""), 400),
        ("/event_action", json!("open"), 400),
        ("/dedup_key", json!("x".repeat(256)), 400),
        ("/routing_key", json!("x"), 400),
        ("/payload/summary", json!("x".repeat(600_000)), 413),
    ] {
        let mut event = good.clone();
        *event.pointer_mut(place).unwrap() = value;
        let answer = http.post(&url).json(&event).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{place}");
    }
    let refused = NotifyError::Partly("a@b.example".into());
    assert_eq!(refused.to_string(), "not all: a@b.example");
}
