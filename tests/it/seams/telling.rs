//! Telling people: all at once, each in time, without a secret; and which of several news go out
//! when, and in how many messages. On a virtual clock.

use std::sync::Arc;
use std::time::Duration;

use cutover::config::preflight::Window;
use cutover::model::news::{Alert, Incident, News, Outcome};
use cutover::model::severity::Severity;
use cutover::notifiers::{Form, NotifyError, Routing};
use serde_json::json;
use tokio::sync::Barrier;
use tokio::time::{Instant, sleep};

use crate::world::loft::{Loft, note, of_run, secs};

fn from(from: Severity) -> Routing {
    Routing {
        from,
        ..Routing::default()
    }
}

/// Quiet at the hour of the tests.
fn quiet(from: &str, to: &str) -> Routing {
    let window = json!({ "from": from, "to": to, "zone": "Europe/Berlin", "days": "sat,sun" });
    let window: Window = serde_json::from_value(window).unwrap();
    Routing {
        quiet: Some(window),
        ..Routing::default()
    }
}

#[tokio::test(start_paused = true)]
async fn all_are_told_at_once_and_no_secret_leaves() {
    let all = Arc::new(Barrier::new(2));
    let refused = NotifyError::Refused("404 hunter22".into());
    let loft = Loft::default()
        .with(Form::Messages, from(Severity::Info), Some(&all), Ok(()))
        .with(
            Form::Messages,
            from(Severity::Warning),
            Some(&all),
            Err(refused),
        )
        .with(Form::Messages, from(Severity::Critical), Some(&all), Ok(()));
    loft.vault.keep("hunter22");
    let secret = || "so hunter22 it is".to_owned();
    let news = News {
        severity: Severity::Warning,
        title: secret(),
        message: secret(),
        decision: Some(secret()),
        facts: vec![(secret(), secret())],
        run_url: Some(secret()),
        outcome: Outcome::Failed,
        app: Some(secret()),
        environment: Some(secret()),
        incident: Some(Incident {
            key: secret(),
            alert: Alert::Trigger,
        }),
        for_those_of: None,
        thread: Some(secret()),
    };
    assert_eq!(loft.tell(&news).await, 1);
    let said = loft.said.lock().unwrap().clone();
    assert_eq!(said, ["warned: pigeon was not told: refused: 404 ***"]);
    let heard = loft.heard.lock().unwrap();
    assert_eq!(heard.len(), 2, "critical only is not for this");
    let said = format!("{heard:?}");
    assert_eq!(said.matches("so *** it is").count(), 20, "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_never_answers_is_a_warning() {
    let never = Arc::new(Barrier::new(9));
    let loft = Loft::default().with(Form::Messages, Routing::default(), Some(&never), Ok(()));
    assert_eq!(loft.tell(&News::default()).await, 0);
    // The runner waits for nobody whose run was cancelled.
    loft.cancelled.cancel();
    let began = Instant::now();
    loft.tell(&News::default()).await;
    assert_eq!(began.elapsed(), secs(2));
    let said = loft.said.lock().unwrap().clone();
    assert_eq!(
        said,
        [
            "warned: pigeon was not told: no answer after 10 s",
            "warned: pigeon was not told: no answer after 2 s",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_word_on_the_way_does_not_hold_up_the_last_one_of_a_cancelled_run() {
    let never = Arc::new(Barrier::new(9));
    let loft = Loft::default().with(Form::Edited, Routing::default(), Some(&never), Ok(()));
    let done = loft
        .deliver(async |outbox| {
            outbox
                .send(of_run(Outcome::Underway, Severity::Info, "underway"))
                .unwrap();
            sleep(secs(5)).await;
            loft.cancelled.cancel();
            outbox
                .send(of_run(Outcome::Cancelled, Severity::Info, "cancelled"))
                .unwrap();
        })
        .await;
    assert_eq!(
        loft.log(),
        "3 s: info: underway\n5 s: info: cancelled\nwarned: pigeon was not told: no answer after 2 s\n"
    );
    assert_eq!(done, secs(7));
}

#[tokio::test(start_paused = true)]
async fn who_was_left_out_is_said() {
    let partly = NotifyError::Partly("1 of 2 recipients refused: a@b.example (550 no)".into());
    let loft = Loft::default().with(Form::Messages, Routing::default(), None, Err(partly));
    assert_eq!(loft.tell(&News::default()).await, 0);
    let said = loft.said.lock().unwrap().clone();
    assert_eq!(
        said,
        ["warned: pigeon: 1 of 2 recipients refused: a@b.example (550 no)"]
    );
}

#[tokio::test(start_paused = true)]
async fn close_news_become_one_message_and_nothing_is_lost() {
    let loft = Loft::one(Form::Messages, Routing::default());
    let done = loft
        .deliver(async |outbox| {
            for (wait, title) in [
                (0, "one"),
                (5, "two"),
                (5, "three"),
                (30, "four"),
                (5, "five"),
            ] {
                sleep(secs(wait)).await;
                let news = News {
                    message: format!("{title} in full"),
                    facts: vec![("app".into(), "shop".into()), ("n".into(), title.into())],
                    decision: Some("failed".into()),
                    ..note(Severity::Info, title)
                };
                outbox.send(news).unwrap();
            }
            sleep(secs(1)).await;
            outbox
                .send(note(Severity::Warning, "the last word"))
                .unwrap();
        })
        .await;
    assert_eq!(
        loft.log(),
        "\
0 s: info: one
  | one in full
30 s: info: two and 1 more
  | info: two
  | two in full
  | decision: failed
  | app: shop
  | n: two
  | 
  | info: three
  | three in full
  | decision: failed
  | app: shop
  | n: three
46 s: warning: the last word and 2 more
  | info: four
  | four in full
  | decision: failed
  | app: shop
  | n: four
  | 
  | info: five
  | five in full
  | decision: failed
  | app: shop
  | n: five
  | 
  | warning: the last word
"
    );
    assert_eq!(done, secs(46), "the run's end is the end");
}

#[tokio::test(start_paused = true)]
async fn nothing_critical_waits_and_what_waits_goes_with_it() {
    let loft = Loft::one(Form::Messages, Routing::default());
    loft.deliver(async |outbox| {
        outbox.send(note(Severity::Info, "one")).unwrap();
        sleep(secs(2)).await;
        outbox.send(note(Severity::Info, "two")).unwrap();
        sleep(secs(2)).await;
        outbox.send(note(Severity::Critical, "fire")).unwrap();
        sleep(secs(60)).await;
    })
    .await;
    assert_eq!(
        loft.log(),
        "0 s: info: one\n4 s: critical: fire and 1 more\n  | info: two\n  | \n  | critical: fire\n"
    );
}

#[tokio::test(start_paused = true)]
async fn more_than_a_message_holds_is_in_the_next() {
    let loft = Loft::one(Form::Messages, Routing::default());
    loft.deliver(async |outbox| {
        outbox.send(note(Severity::Info, "first")).unwrap();
        sleep(secs(1)).await;
        for n in 0..9 {
            let long = News {
                message: format!("{n}").repeat(900),
                ..note(Severity::Info, "long")
            };
            outbox.send(long).unwrap();
        }
    })
    .await;
    let heard = loft.heard.lock().unwrap();
    assert!(heard.iter().all(|(_, news)| news.message.len() < 2600));
    let all: String = heard
        .iter()
        .map(|(_, news)| news.message.as_str())
        .collect();
    for n in 0..9 {
        assert!(all.contains(&format!("{n}").repeat(900)), "{n} is lost");
    }
    assert_eq!(heard.len(), 6);
}

/// What opens and closes incidents is never bundled, and comes in order.
#[tokio::test(start_paused = true)]
async fn incidents_stay_apart() {
    let loft = Loft::one(Form::Incidents, from(Severity::Critical));
    let alert = |severity, alert| News {
        incident: Some(Incident::of("shop", "live", "health", alert)),
        ..note(severity, &format!("{alert:?}"))
    };
    loft.deliver(async |outbox| {
        for news in [
            alert(Severity::Critical, Alert::Trigger),
            alert(Severity::Info, Alert::Acknowledge),
            alert(Severity::Info, Alert::Resolve),
            alert(Severity::Warning, Alert::Trigger),
            note(Severity::Critical, "nothing to an incident"),
            of_run(Outcome::Underway, Severity::Critical, "underway"),
        ] {
            outbox.send(news).unwrap();
        }
    })
    .await;
    assert_eq!(
        loft.log(),
        "0 s: critical: Trigger\n0 s: info: Acknowledge\n0 s: info: Resolve\n"
    );
}

#[tokio::test(start_paused = true)]
async fn a_message_is_edited_now_and_then_and_at_the_end_at_once() {
    let loft = Loft::one(Form::Edited, Routing::default());
    let done = loft
        .deliver(async |outbox| {
            for second in 0..10 {
                sleep(Duration::from_millis(500)).await;
                let title = format!("step {second}");
                outbox
                    .send(of_run(Outcome::Underway, Severity::Info, &title))
                    .unwrap();
                sleep(Duration::from_millis(500)).await;
            }
            outbox
                .send(of_run(Outcome::Good, Severity::Info, "promoted"))
                .unwrap();
        })
        .await;
    assert_eq!(
        loft.log(),
        "3 s: info: step 2\n6 s: info: step 5\n9 s: info: step 8\n10 s: info: promoted\n"
    );
    assert_eq!(done, secs(10));
    // A run that is over soon is told of once, and who wants warnings sees no progress.
    for (routing, log) in [
        (Routing::default(), "1 s: info: promoted\n"),
        (from(Severity::Warning), ""),
    ] {
        let loft = Loft::one(Form::Edited, routing);
        loft.deliver(async |outbox| {
            outbox
                .send(of_run(Outcome::Underway, Severity::Info, "begun"))
                .unwrap();
            sleep(secs(1)).await;
            outbox
                .send(of_run(Outcome::Good, Severity::Info, "promoted"))
                .unwrap();
        })
        .await;
        assert_eq!(loft.log(), log);
    }
}

#[tokio::test(start_paused = true)]
async fn messages_hear_of_the_end_alone() {
    let loft = Loft::one(Form::Messages, Routing::default());
    loft.deliver(async |outbox| {
        outbox
            .send(of_run(Outcome::Underway, Severity::Info, "begun"))
            .unwrap();
        sleep(secs(60)).await;
        outbox
            .send(of_run(Outcome::Cancelled, Severity::Info, "cancelled"))
            .unwrap();
    })
    .await;
    assert_eq!(loft.log(), "60 s: info: cancelled\n");
}

#[tokio::test(start_paused = true)]
async fn quiet_hours_hold_all_but_critical_news_back_and_say_so() {
    let held =
        "noticed: pigeon was not told, its quiet hours are sat,sun 22:00-06:00 Europe/Berlin: ";
    let news = [
        note(Severity::Info, "promoted"),
        note(Severity::Warning, "failed"),
        note(Severity::Critical, "stuck"),
        of_run(Outcome::Underway, Severity::Info, "underway"),
    ];
    let loft = Loft::one(Form::Messages, quiet("22:00", "06:00"));
    for one in &news {
        loft.tell(one).await;
    }
    assert_eq!(
        loft.log(),
        format!("0 s: critical: stuck\n{held}promoted\n{held}failed\n")
    );
    let loft = Loft::one(Form::Messages, quiet("00:00", "23:00"));
    for one in &news {
        loft.tell(one).await;
    }
    assert_eq!(
        loft.log(),
        "0 s: info: promoted\n0 s: warning: failed\n0 s: critical: stuck\n"
    );
    // Whoever was called hears that it is over, at any hour.
    let loft = Loft::one(Form::Incidents, quiet("22:00", "06:00"));
    let resolved = News {
        incident: Some(Incident::of("shop", "live", "health", Alert::Resolve)),
        ..note(Severity::Info, "up again")
    };
    loft.tell(&resolved).await;
    assert_eq!(loft.log(), "0 s: info: up again\n");
}
