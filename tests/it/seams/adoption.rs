//! Deployments that GitHub made for a job: found, adopted, read back behind GitHub's last word;
//! and the records that runs have left open.

use cutover::github::Job;
use cutover::github::deployments::{Deployments, TASK};
use cutover::github::record::{Content, Run, State, Status};
use cutover::github::standing::UnderWay;
use cutover::model::release::Release;
use serde_json::json;

use crate::world::github::{Fault, Github, Verb};

const SHA: &str = "c0ffee";

fn deployments(github: &Github) -> Deployments {
    super::github::deployments(github).adopting(true)
}

fn job(check_run: Option<u64>) -> Job {
    Job {
        check_run,
        run_id: "7".into(),
        sha: SHA.into(),
    }
}

fn content(mode: &str, slot: &str, version: &str) -> Content {
    Content {
        mode: mode.into(),
        slot: slot.into(),
        version: version.into(),
        weight: Some(if mode == "deploy-slot" { 0 } else { 100 }),
        previous: Some(if slot == "blue" { "green" } else { "blue" }.into()),
        canary: None,
        beside: None,
        run: Run::default(),
    }
}

fn run(id: &str, attempt: &str) -> Run {
    Run {
        id: id.into(),
        attempt: attempt.into(),
        job: "deploy".into(),
    }
}

async fn say(ours: &Deployments, id: u64, content: &Content, state: State) {
    let description = format!("{}; so it ended", content.mark().unwrap());
    let status = Status {
        state,
        description: &description,
        environment_url: None,
        log_url: Some("https://github.com/shop/storefront/actions/runs/7/attempts/1"),
    };
    ours.status(id, &status).await.unwrap();
}

#[tokio::test]
async fn it_is_found_by_its_check_run_or_by_its_run() {
    let github = Github::start().await;
    let ours = deployments(&github);
    let environment = "eu/prod ü & more";
    let other = github.job_begins(environment, SHA, 77);
    let wanted = github.job_begins(environment, SHA, 7);
    github.job_begins("staging", SHA, 7);
    github.put(environment, TASK, json!({}), "in_progress");
    let found = async |check_run| {
        ours.made_by_github(environment, &job(check_run), None)
            .await
    };
    assert_eq!(found(Some(wanted + 1000)).await, Ok(Some(wanted)));
    assert_eq!(github.asked(Verb::List), 0, "the check run is exact");
    assert_eq!(found(Some(99)).await, Ok(Some(wanted)), "it is not there");
    github.order(Verb::CheckRun, [Fault::Forbidden]);
    assert_eq!(found(Some(wanted + 1000)).await, Ok(Some(wanted)));
    assert_eq!(found(None).await, Ok(Some(wanted)));
    github.check_run_without_environment(55);
    assert_eq!(found(Some(55)).await, Ok(None), "the check run is exact");
    let elsewhere = ours
        .made_by_github("other", &job(Some(wanted + 1000)), None)
        .await;
    assert_eq!(elsewhere, Ok(None));
    // A job of the same run is over, and another one has the environment now.
    github.job_ends(wanted, "success");
    let next = github.job_begins(environment, SHA, 7);
    assert_eq!(found(None).await, Ok(Some(next)));
    assert!(other < wanted);
    github.order(Verb::List, [Fault::Page(500); 3]);
    assert!(found(None).await.is_err(), "nobody knows");
}

#[tokio::test]
async fn our_word_is_read_behind_the_last_one_of_github() {
    for last in ["success", "failure", "inactive"] {
        let github = Github::start().await;
        let ours = deployments(&github);
        github.put("production", "deploy", json!({}), "success");
        let id = github.job_begins("production", SHA, 7);
        // Three steps of one job, each with its own word on the one Deployment.
        let live = content("switch-traffic", "green", "v2 of today");
        say(
            &ours,
            id,
            &content("deploy-slot", "green", "v2"),
            State::Success,
        )
        .await;
        say(&ours, id, &live, State::InProgress).await;
        say(&ours, id, &live, State::Success).await;
        say(&ours, id, &content("rollout", "blue", "v3"), State::Failure).await;
        github.job_ends(id, last);
        github.job_begins("production", SHA, 8);
        let latest = ours.latest("production").await.unwrap().unwrap();
        assert_eq!((latest.id, latest.content), (id, live), "{last}");
        // Where GitHub's own are never adopted, they are not read either.
        let blind = super::github::deployments(&github);
        assert_eq!(blind.latest("production").await, Ok(None));

        let all = |_: &Content| true;
        ours.retire("production", id + 1, None, all, None)
            .await
            .unwrap();
        assert_eq!(github.states(id).pop().unwrap(), "inactive");
        assert_eq!(ours.latest("production").await, Ok(None), "{last}");
        let said = github.asked(Verb::Say);
        ours.retire("production", id + 1, None, all, None)
            .await
            .unwrap();
        assert_eq!(github.asked(Verb::Say), said, "once is enough");
    }
}

#[tokio::test]
async fn what_a_whole_switch_retired_ends_the_look_back() {
    let github = Github::start().await;
    let ours = deployments(&github);
    let mut ids = Vec::new();
    for _ in 0..20 {
        let id = github.job_begins("production", SHA, 7);
        say(
            &ours,
            id,
            &content("rollout", "green", "v1"),
            State::Success,
        )
        .await;
        ids.push(id);
    }
    let newest = ids.pop().unwrap();
    ours.retire("production", newest, None, |_| true, None)
        .await
        .unwrap();
    for id in ids {
        assert_eq!(github.states(id).pop().unwrap(), "inactive");
    }
    let before = github.asked(Verb::Statuses);
    ours.retire("production", newest, None, |_| true, None)
        .await
        .unwrap();
    assert_eq!(github.asked(Verb::Statuses), before + 1);
}

#[tokio::test]
async fn a_long_list_is_read_page_by_page() {
    let github = Github::start().await;
    let ours = deployments(&github);
    let id = github.job_begins("production", SHA, 7);
    let live = content("rollout", "green", "v1");
    say(&ours, id, &live, State::Success).await;
    for _ in 0..120 {
        // Other tools' Deployments, which are no matter of ours, and other people's words.
        github.put("production", "deploy", json!({ "by": "hand" }), "success");
        github.job_ends(id, "in_progress");
    }
    let latest = ours.latest("production").await.unwrap();
    assert_eq!(latest.map(|latest| latest.content), Some(live));
    assert_eq!(
        (github.asked(Verb::List), github.asked(Verb::Statuses)),
        (2, 2)
    );
}

#[tokio::test]
async fn what_is_left_open_by_a_run_that_is_over_is_closed() {
    let github = Github::start().await;
    let ours = deployments(&github);
    let record = |run: &Run, state: &str| {
        let mut payload = serde_json::to_value(content("rollout", "green", "v2")).unwrap();
        payload["schema_version"] = 1.into();
        payload["run_id"] = run.id.clone().into();
        payload["run_attempt"] = run.attempt.clone().into();
        github.put("production", TASK, json!({ "cutover": payload }), state)
    };
    let old = record(&run("40", "1"), "success");
    let dead = [("41", "in_progress"), ("42", "queued"), ("43", "pending")]
        .map(|(id, state)| record(&run(id, "1"), state));
    let earlier_attempt = record(&run("7", "1"), "in_progress");
    let alive = [("44", "2"), ("45", "1"), ("7", "2"), ("x/../7", "1")]
        .map(|(id, attempt)| record(&run(id, attempt), "in_progress"));
    for id in [41, 42, 43] {
        github.run_is(id, "completed");
    }
    github.run_is(44, "in_progress");
    let survey = ours.survey("production", &job(None)).await.unwrap();
    assert_eq!(survey.latest.map(|latest| latest.id), Some(old));
    assert_eq!(survey.open.len(), 8);
    // Five at a time, the newest first.
    let own = run("7", "2");
    let (closed, outcome) = ours.sweep(&survey.open, &own, None).await;
    assert_eq!(closed, [earlier_attempt]);
    let said = outcome.unwrap_err().told();
    assert!(
        said.contains("run 45") && said.contains("actions: read"),
        "{said}"
    );
    let (closed, outcome) = ours.sweep(&survey.open[5..], &own, None).await;
    assert_eq!((closed.len(), outcome), (3, Ok(())));
    for id in dead {
        assert_eq!(github.states(id).pop().unwrap(), "inactive");
    }
    for id in alive {
        assert_eq!(github.states(id), ["in_progress"]);
    }
}

#[tokio::test]
async fn what_we_said_about_one_that_github_made_counts_before_the_next_deployment() {
    let github = Github::start().await;
    let ours = deployments(&github);
    let id = github.job_begins("staging", SHA, 7);
    let (own, other) = (run("9", "1"), run("7", "1"));
    // Whatever else a job with `environment:` does, nobody deploys in it yet.
    assert_eq!(ours.under_way("staging", &own, None).await, Ok(vec![]));
    let slot = content("deploy-slot", "green", "v2");
    say(&ours, id, &slot, State::InProgress).await;
    let open = ours.under_way("staging", &own, None).await.unwrap();
    let told = |over| UnderWay {
        id,
        run: "7".into(),
        version: "v2".into(),
        over,
    };
    assert_eq!(open, [told(Some(false))]);
    assert_eq!(ours.under_way("staging", &other, None).await, Ok(vec![]));
    github.order(Verb::Run, [Fault::Forbidden]);
    assert_eq!(
        ours.under_way("staging", &own, None).await,
        Ok(vec![told(None)])
    );

    let release = Release::new("v2");
    say(&ours, id, &slot, State::Success).await;
    assert_eq!(ours.went_well("staging", &release).await, Ok(None));
    let rollout = content("rollout", "green", "v2");
    say(&ours, id, &rollout, State::Failure).await;
    assert_eq!(ours.went_well("staging", &release).await, Ok(None));
    say(&ours, id, &rollout, State::Success).await;
    github.job_ends(id, "success");
    assert_eq!(ours.went_well("staging", &release).await, Ok(Some(id)));
    assert_eq!(ours.under_way("staging", &own, None).await, Ok(vec![]));
    let blind = super::github::deployments(&github);
    assert_eq!(blind.went_well("staging", &release).await, Ok(None));
}
