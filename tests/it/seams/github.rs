//! Records on GitHub: made once, whatever gets lost, and never a word of the token.

use std::time::{Duration, Instant};

use cutover::github::access::Access;
use cutover::github::deployments::{Deployments, TASK};
use cutover::github::record::{Content, New, Run, State, Status};
use cutover::github::{GithubError, Repository};
use cutover::platform::http::Http;
use cutover::platform::secret::Secret;
use serde_json::json;

use crate::world::github::{Fault, Github, TOKEN, Verb};

pub(super) fn deployments(github: &Github) -> Deployments {
    with_token(github, TOKEN).unwrap()
}

fn with_token(github: &Github, token: &str) -> Result<Deployments, GithubError> {
    let repository = Repository::of(&github.api_url, "shop/storefront").unwrap();
    Deployments::new(&Http::default(), &access(token), &repository)
}

pub(super) fn access(token: &str) -> Access {
    Access::token(Secret::new(token))
}

fn content(slot: &str, version: &str) -> Content {
    Content {
        mode: "rollout".into(),
        slot: slot.into(),
        version: version.into(),
        weight: Some(100),
        previous: Some("blue".into()),
        canary: None,
        beside: None,
        run: Run {
            id: "7".into(),
            attempt: "1".into(),
            job: "deploy".into(),
        },
    }
}

fn new(environment: &str) -> New {
    New::at("c0ffee", environment, content("green", "v2"))
}

const fn status(state: State) -> Status<'static> {
    Status {
        state,
        description: "",
        environment_url: None,
        log_url: None,
    }
}

#[tokio::test]
async fn a_record_is_made_once_though_the_reply_is_lost() {
    let faults: [&[Fault]; 5] = [
        &[],
        &[Fault::LostAfterEffect],
        &[Fault::HangUp],
        &[Fault::Page(502), Fault::LostAfterEffect],
        &[Fault::NoJson],
    ];
    for faults in faults {
        let github = Github::start().await;
        // One of the same run, slot and version that is not the one.
        let ours = deployments(&github);
        let other = ours.open(&new("production")).await.unwrap();
        github.order(Verb::Create, faults.iter().copied());
        let id = ours.open(&new("production")).await.unwrap();
        assert_ne!(id, other, "{faults:?}");
        assert_eq!(github.deployments().len(), 2, "{faults:?}");
    }
}

#[tokio::test]
async fn a_creation_that_cannot_be_looked_up_is_not_repeated() {
    let github = Github::start().await;
    github.order(Verb::Create, [Fault::LostAfterEffect]);
    github.order(Verb::List, [Fault::Page(500), Fault::Page(500)]);
    let new = new("production");
    let failed = deployments(&github).open(&new).await.unwrap_err();
    assert!(failed.is_unclear(), "{failed}");
    assert_eq!(github.asked(Verb::Create), 1);
    let found = deployments(&github).find(&new).await.unwrap();
    assert_eq!(found, github.deployments()[0]["id"].as_u64());
}

#[tokio::test]
async fn a_merge_instead_of_a_deployment_is_an_error() {
    let github = Github::start().await;
    github.order(Verb::Create, [Fault::Merged]);
    let failed = deployments(&github)
        .open(&new("production"))
        .await
        .unwrap_err();
    assert!(
        failed.to_string().contains("202 Auto-merged main"),
        "{failed}"
    );
    assert_eq!(github.asked(Verb::Create), 1);
}

#[tokio::test]
async fn the_latest_is_the_newest_of_ours_that_went_well() {
    for as_text in [false, true] {
        let github = Github::start().await;
        let ours = deployments(&github);
        let environment = "eu/prod ü & more";
        assert_eq!(ours.latest(environment).await.unwrap(), None);
        if as_text {
            github.payload_as_text();
        }
        let open = async |environment, slot, state| {
            let new = New::at("c0ffee", environment, content(slot, "v1"));
            let id = ours.open(&new).await.unwrap();
            ours.status(id, &status(State::InProgress)).await.unwrap();
            ours.status(id, &status(state)).await.unwrap();
            id
        };
        open(environment, "blue", State::Success).await;
        let wanted = open(environment, "green", State::Success).await;
        open(environment, "blue", State::Failure).await;
        open(environment, "blue", State::Inactive).await;
        open("staging", "blue", State::Success).await;
        let mut into_a_slot = content("blue", "v3");
        into_a_slot.mode = "deploy-slot".into();
        let payload = |content| json!({ "cutover": content });
        let mut marked = serde_json::to_value(&into_a_slot).unwrap();
        marked["schema_version"] = 1.into();
        github.put(environment, TASK, payload(marked.clone()), "success");
        marked["mode"] = "rollout".into();
        github.put(environment, TASK, payload(marked.clone()), "waiting");
        github.put(environment, "deploy", payload(marked.clone()), "success");
        marked["schema_version"] = 2.into();
        github.put(environment, TASK, payload(marked), "success");
        github.put(environment, TASK, json!({ "by": "hand" }), "success");
        let latest = ours.latest(environment).await.unwrap().unwrap();
        assert_eq!(latest.id, wanted);
        assert_eq!(latest.content, content("green", "v1"));
        assert_eq!(latest.at, "2026-11-21T08:00:00Z");
    }
}

#[tokio::test]
async fn what_may_be_repeated_is_repeated_a_little() {
    let github = Github::start().await;
    let ours = deployments(&github);
    github.order(Verb::List, [Fault::Page(500), Fault::HangUp]);
    assert_eq!(ours.latest("production").await, Ok(None));
    assert_eq!(github.asked(Verb::List), 3);
    github.order(Verb::List, [Fault::TooMany(1)]);
    let began = Instant::now();
    assert_eq!(ours.latest("production").await, Ok(None));
    assert!(began.elapsed() >= Duration::from_secs(1));
    github.order(Verb::List, [Fault::TooMany(3600)]);
    let began = Instant::now();
    let failed = ours.latest("production").await.unwrap_err();
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "an hour is not waited"
    );
    assert_eq!(failed.hint(), None, "a limit is no lack of permission");
    github.order(Verb::List, [Fault::Silence]);
    assert_eq!(ours.latest("production").await, Ok(None));
}

#[tokio::test]
async fn a_token_that_may_not_is_told_what_it_lacks() {
    let github = Github::start().await;
    github.order(Verb::Create, [Fault::Forbidden]);
    let failed = deployments(&github)
        .open(&new("production"))
        .await
        .unwrap_err();
    assert_eq!(github.asked(Verb::Create), 1, "no is no");
    assert!(!failed.is_unclear());
    let said = failed.told();
    assert!(
        said.contains("`permissions: { deployments: write }`"),
        "{said}"
    );
    let failed = with_token(&github, "ghs_another").unwrap();
    let failed = failed.latest("production").await.unwrap_err();
    assert!(failed.told().contains("token is not valid"), "{failed}");
}

#[tokio::test]
async fn the_token_is_in_no_error() {
    let github = Github::start().await;
    let ours = deployments(&github);
    let mut errors = Vec::new();
    for fault in [
        Fault::Page(503),
        Fault::Page(404),
        Fault::Forbidden,
        Fault::NoJson,
        Fault::HangUp,
        Fault::TooMany(99),
    ] {
        github.order(Verb::Say, [fault; 3]);
        let id = github.put("production", TASK, json!({}), "pending");
        errors.push(ours.status(id, &status(State::Success)).await.err());
        github.forget_faults();
    }
    let nobody = Repository::of("http://127.0.0.1:1", "shop/storefront").unwrap();
    let alone = Deployments::new(&Http::default(), &access(TOKEN), &nobody).unwrap();
    errors.push(alone.latest("production").await.err());
    for wrong in ["", "ghs_s3cr3tTokenOfTheTests\nX-More: 1"] {
        errors.push(with_token(&github, wrong).err());
    }
    for error in errors {
        let error = error.unwrap();
        for said in [error.told(), format!("{error:?}")] {
            assert!(!said.contains(TOKEN), "{said}");
            assert!(said.len() < 600, "a page is cut: {said}");
        }
    }
}

#[tokio::test]
async fn what_a_killed_run_left_open_is_found() {
    let github = Github::start().await;
    let ours = deployments(&github);
    let silent = ours.open(&new("production")).await.unwrap();
    let working = ours.open(&new("staging")).await.unwrap();
    ours.status(working, &status(State::InProgress))
        .await
        .unwrap();
    let closed = ours.open(&new("production")).await.unwrap();
    ours.status(closed, &status(State::Failure)).await.unwrap();
    let mut other = content("green", "v2");
    other.run.attempt = "2".into();
    ours.open(&New::at("c0ffee", "production", other.clone()))
        .await
        .unwrap();
    let run = content("green", "v2").run;
    assert_eq!(ours.left_open(&run).await, Ok(vec![working, silent]));
}

#[tokio::test]
async fn descriptions_are_cut_to_what_github_takes() {
    let github = Github::start().await;
    let ours = deployments(&github);
    let long = New::at("c0ffee", "production", content("green", &"ü".repeat(300)));
    let id = ours.open(&long).await.unwrap();
    let said = "🚀 ".repeat(200);
    let status = Status {
        description: &said,
        ..status(State::Success)
    };
    ours.status(id, &status).await.unwrap();
    let description = github.statuses(id)[0]["description"].clone();
    assert_eq!(description.as_str().unwrap().chars().count(), 140);
}
