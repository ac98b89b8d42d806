//! The record of a run on GitHub: opened in time, always closed, and never in the way.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cutover::config::records::Records;
use cutover::github::deployments::Deployments;
use cutover::github::record::Run;
use cutover::model::ending::{Decision, Ending, Reason};
use cutover::model::event::{Event, Fact, Headline, Say};
use cutover::model::figures::Summary;
use cutover::model::receipt::Receipt;
use cutover::platform::secret::Vault;
use cutover::report::deployment::{RunInfo, recorder};
use cutover::report::{Journal, Listener};
use tokio::sync::oneshot;

use super::github::deployments;
use crate::world::github::{Fault, Github, Verb};
use crate::world::patience::{until, within};

/// Hears everything, as the log does.
#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Vec<Event>>>);

impl Listener for Ear {
    fn hear(&mut self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

impl Ear {
    fn said(&self, pick: impl Fn(&Event) -> Option<String>) -> Vec<String> {
        self.0.lock().unwrap().iter().filter_map(pick).collect()
    }

    fn warnings(&self) -> Vec<String> {
        self.said(|event| match event {
            Event::Warned(said) => Some(said.clone()),
            _ => None,
        })
    }

    fn notices(&self) -> Vec<String> {
        self.said(|event| match event {
            Event::Noticed(said) => Some(said.clone()),
            _ => None,
        })
    }

    fn deployment_id(&self) -> Option<u64> {
        let ids = self.said(|event| match event {
            Event::Learned(Fact::DeploymentId(id)) => Some(id.to_string()),
            _ => None,
        });
        assert!(ids.len() <= 1, "{ids:?}");
        ids.first().map(|id| id.parse().unwrap())
    }
}

fn info() -> RunInfo {
    RunInfo {
        sha: "c0ffee".into(),
        run_url: Some("https://github.com/shop/storefront/actions/runs/7".into()),
        run: Run {
            id: "7".into(),
            attempt: "1".into(),
            job: "deploy".into(),
        },
        check_run: None,
        records: Records::Create,
    }
}

fn begin(say: &Say, mode: &'static str) {
    say(Event::Began(Headline {
        mode,
        environment: Some("production".into()),
        release: Some("v2".into()),
        ..Headline::default()
    }));
    say(Event::Learned(Fact::EnvironmentUrl(
        "https://shop.example.com".into(),
    )));
}

fn know(say: &Say, slot: &str) {
    say(Event::Learned(Fact::Slot(slot.into())));
    say(Event::Learned(Fact::PreviousSlot("blue".into())));
    say(Event::Learned(Fact::IntendedWeight(100)));
    say(Event::Working {
        step: "deploy",
        said: "./deploy.sh".into(),
    });
}

fn end(say: &Say, decision: Decision, reason: Reason) {
    say(Event::Ended(Ending::good(decision, reason, "so it ended")));
}

/// Runs a story with a recorder beside it, and returns what was said.
async fn run_with(
    deployments: Option<Deployments>,
    vault: Vault,
    story: impl AsyncFnOnce(&Say),
) -> Ear {
    let (journal, ear) = (Journal::default(), Ear::default());
    journal.add(ear.clone());
    let say = journal.say();
    let nothing_open = oneshot::channel().1;
    let deployments = deployments.map(Arc::new);
    let (listener, work) = recorder(deployments, info(), vault, say.clone(), nothing_open);
    journal.add(listener);
    let both = async { tokio::join!(work, story(&say)) };
    let ended = within("it is recorded", both).await;
    // What is left goes to the post step.
    let is_left = (ear.warnings().iter()).any(|said| said.contains("not closed"));
    assert_eq!(ended.0, !is_left);
    ear
}

async fn run(github: &Github, story: impl AsyncFnOnce(&Say)) -> Ear {
    run_with(Some(deployments(github)), Vault::default(), story).await
}

#[tokio::test]
async fn a_rollout_is_recorded_while_it_runs_and_replaces_the_last_one() {
    let github = Github::start().await;
    let first = run(&github, async |say: &Say| {
        begin(say, "rollout");
        know(say, "blue");
        end(say, Decision::Promoted, Reason::Done);
    })
    .await;
    let first = first.deployment_id().unwrap();
    assert_eq!(github.states(first), ["in_progress", "success"]);

    let ear = run(&github, async |say: &Say| {
        begin(say, "rollout");
        assert_eq!(github.asked(Verb::Create), 1, "the slot is not known yet");
        know(say, "green");
        until("GitHub is told", || github.asked(Verb::Say) == 3).await;
        say(Event::Measured(Receipt {
            slot: "green".into(),
            weight_before: 0,
            weight_after: 100,
            release_before: None,
            release_after: Some("v2".into()),
            switch_ms: 2.0,
            proved_ms: None,
            last_old_ms: None,
            felt: Some(Summary {
                requests_sent: 3012,
                ..Summary::default()
            }),
            known_loss: None,
        }));
        end(say, Decision::Promoted, Reason::Done);
    })
    .await;
    let id = ear.deployment_id().unwrap();
    assert_eq!(ear.warnings(), [""; 0]);
    assert_eq!(github.states(id), ["in_progress", "success"]);
    assert_eq!(github.states(first), ["in_progress", "success", "inactive"]);
    let deployment = &github.deployments()[1];
    assert_eq!(deployment["ref"], "c0ffee");
    assert_eq!(deployment["task"], "deploy:cutover");
    let payload = &deployment["payload"]["cutover"];
    for (key, value) in [
        ("mode", "rollout"),
        ("slot", "green"),
        ("version", "v2"),
        ("previous", "blue"),
        ("run_id", "7"),
        ("run_attempt", "1"),
        ("job", "deploy"),
    ] {
        assert_eq!(payload[key], value, "{key}");
    }
    assert_eq!(payload["weight"], 100);
    let success = &github.statuses(id)[1];
    assert_eq!(
        success["description"],
        "so it ended; switched in 2.0 ms, requests: 0 of 3,012 failed"
    );
    assert_eq!(success["environment_url"], "https://shop.example.com");
    assert_eq!(success["log_url"], info().run_url.unwrap());
    let latest = deployments(&github).latest("production").await.unwrap();
    assert_eq!(latest.unwrap().id, id);
}

#[tokio::test]
async fn every_ending_closes_the_record() {
    for (decision, reason, state) in [
        (Decision::Passed, Reason::Done, "success"),
        (Decision::Promoted, Reason::Done, "success"),
        (Decision::Failed, Reason::SmokeFailed, "failure"),
        (Decision::Failed, Reason::Bug, "error"),
        (Decision::Failed, Reason::Cancelled, "inactive"),
        (Decision::RolledBack, Reason::NotProved, "failure"),
        (Decision::RolledBack, Reason::Cancelled, "inactive"),
        (Decision::Held, Reason::Cancelled, "failure"),
        (Decision::Stuck, Reason::Cancelled, "failure"),
        (Decision::Skipped, Reason::AlreadyThere, "inactive"),
        (Decision::Planned, Reason::DryRun, "inactive"),
    ] {
        let github = Github::start().await;
        let ear = run(&github, async |say: &Say| {
            begin(say, "switch-traffic");
            know(say, "green");
            end(say, decision, reason);
        })
        .await;
        let id = ear.deployment_id().unwrap();
        let states = github.states(id);
        assert_eq!(states, ["in_progress", state], "{decision} {reason}");
    }
}

#[tokio::test]
async fn only_a_release_with_all_traffic_replaces_the_last_one() {
    for (mode, weight, decision, replaced) in [
        ("switch-traffic", 100, Decision::Promoted, true),
        ("switch-traffic", 10, Decision::Promoted, false),
        ("deploy-slot", 100, Decision::Passed, false),
        ("rollback", 0, Decision::Promoted, true),
        ("rollout", 0, Decision::RolledBack, false),
        ("rollout", 0, Decision::Stuck, false),
        ("rollout", 0, Decision::Held, true),
    ] {
        let github = Github::start().await;
        let story = async |say: &Say, mode, weight, decision| {
            begin(say, mode);
            say(Event::Learned(Fact::Slot("green".into())));
            say(Event::Learned(Fact::IntendedWeight(weight)));
            end(say, decision, Reason::Done);
        };
        let before = run(&github, async |say: &Say| {
            story(say, "rollout", 100, Decision::Promoted).await;
        })
        .await;
        run(&github, async |say: &Say| {
            story(say, mode, weight, decision).await;
        })
        .await;
        let states = github.states(before.deployment_id().unwrap());
        let last = states.last().unwrap();
        assert_eq!(last == "inactive", replaced, "{mode} {weight} {decision}");
    }
}

#[tokio::test]
async fn what_never_began_leaves_no_record() {
    let github = Github::start().await;
    run(&github, async |say: &Say| {
        begin(say, "rollout");
        say(Event::Failed {
            step: "preflight",
            said: "the router is out of reach".into(),
            took: Duration::ZERO,
        });
        end(say, Decision::Failed, Reason::OutOfReach);
    })
    .await;
    run(&github, async |say: &Say| {
        begin(say, "switch-traffic");
        say(Event::Learned(Fact::Slot("green".into())));
        end(say, Decision::Skipped, Reason::AlreadyThere);
    })
    .await;
    run(&github, async |say: &Say| {
        begin(say, "health-check");
        know(say, "green");
        end(say, Decision::Passed, Reason::Done);
    })
    .await;
    assert_eq!(github.asked(Verb::Create), 0);
}

#[tokio::test]
async fn a_run_that_stops_without_a_word_is_closed_too() {
    let github = Github::start().await;
    let (journal, elsewhere) = (Journal::default(), Journal::default());
    let deployments = Some(Arc::new(deployments(&github)));
    let open = oneshot::channel().1;
    let (listener, work) = recorder(deployments, info(), Vault::default(), elsewhere.say(), open);
    journal.add(listener);
    let story = async {
        let say = journal.say();
        begin(&say, "rollout");
        know(&say, "green");
        until("GitHub is told", || github.asked(Verb::Say) == 1).await;
        drop((say, journal));
    };
    within("it is recorded", async { tokio::join!(work, story) }).await;
    assert_eq!(github.states(1), ["in_progress", "error"]);
}

#[tokio::test]
async fn without_a_token_there_is_one_notice() {
    let ear = run_with(None, Vault::default(), async |say: &Say| {
        begin(say, "rollout");
        know(say, "green");
        end(say, Decision::Promoted, Reason::Done);
    })
    .await;
    assert_eq!(ear.notices().len(), 1);
    assert!(ear.notices()[0].starts_with("no token:"));
    assert_eq!(ear.warnings(), [""; 0]);
    let ear = run_with(None, Vault::default(), async |say: &Say| {
        begin(say, "notify");
        end(say, Decision::Passed, Reason::Done);
    })
    .await;
    assert_eq!(ear.notices(), [""; 0], "it would leave no record anyway");
}

#[tokio::test]
async fn a_refusal_is_one_warning_and_the_run_goes_on() {
    let github = Github::start().await;
    github.order(Verb::Create, [Fault::Forbidden]);
    let ear = run(&github, async |say: &Say| {
        begin(say, "rollout");
        know(say, "green");
        end(say, Decision::Promoted, Reason::Done);
    })
    .await;
    let [warning] = ear.warnings().try_into().unwrap();
    assert!(warning.contains("deployments: write"), "{warning}");
    assert_eq!(ear.deployment_id(), None);
}

#[tokio::test]
async fn a_record_that_was_made_unheard_is_closed_all_the_same() {
    let github = Github::start().await;
    github.order(Verb::Create, [Fault::LostAfterEffect]);
    github.order(Verb::List, [Fault::Page(500), Fault::Page(500)]);
    run(&github, async |say: &Say| {
        begin(say, "rollout");
        know(say, "green");
        end(say, Decision::Failed, Reason::SmokeFailed);
    })
    .await;
    assert_eq!(github.deployments().len(), 1);
    assert_eq!(github.states(1), ["failure"]);
}

#[tokio::test]
async fn github_cannot_hold_up_the_end() {
    let github = Github::start().await;
    github.order(Verb::Create, [Fault::Silence; 3]);
    github.order(Verb::List, [Fault::Silence; 9]);
    let began = Instant::now();
    let ear = run(&github, async |say: &Say| {
        begin(say, "rollout");
        know(say, "green");
        end(say, Decision::Promoted, Reason::Done);
    })
    .await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(16), "{took:?}");
    let warnings = ear.warnings();
    assert!(warnings[0].contains("out of reach"), "{warnings:?}");
    assert!(
        warnings[1].contains("not closed within 15 s"),
        "{warnings:?}"
    );
}

#[tokio::test]
async fn no_secret_reaches_a_record() {
    let github = Github::start().await;
    let vault = Vault::default();
    vault.keep("hunter22");
    run_with(Some(deployments(&github)), vault, async |say: &Say| {
        begin(say, "rollout");
        say(Event::Learned(Fact::EnvironmentUrl(
            "https://me:hunter22@shop.example.com".into(),
        )));
        know(say, "green");
        say(Event::Ended(Ending::good(
            Decision::Failed,
            Reason::DeployFailed,
            "deploy.sh said: no such user hunter22",
        )));
    })
    .await;
    let said = format!("{:?}{:?}", github.deployments(), github.statuses(1));
    assert!(said.contains("no such user ***"), "{said}");
    assert!(!said.contains("hunter22"), "{said}");
}
