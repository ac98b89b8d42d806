//! Comments on GitHub: one for a thread, however often it is left and whatever gets lost.

use cutover::github::comments::Comments;
use cutover::github::{GithubError, Repository};
use cutover::platform::http::Http;

use crate::world::github::{Fault, Github, TOKEN};

const MARKER: &str = "<!-- cutover:storefront/production -->";

async fn comments() -> (Github, Comments) {
    let github = Github::start().await;
    github.talk(|comments| comments.issues = vec![41]);
    let repository = Repository::of(&github.api_url, "shop/storefront").unwrap();
    let comments =
        Comments::new(&Http::default(), &super::github::access(TOKEN), &repository).unwrap();
    (github, comments)
}

fn with_marker(text: &str) -> String {
    format!("{MARKER}\n{text}")
}

#[tokio::test]
async fn a_comment_is_edited_by_the_run_and_by_the_next_one() {
    let (github, first) = comments().await;
    for text in ["underway", "further", "promoted"] {
        first
            .leave(41, Some(MARKER), &with_marker(text))
            .await
            .unwrap();
    }
    // The list is asked once a run.
    let asked = github.talk(|comments| comments.asked.clone());
    assert_eq!(asked, ["GET", "POST", "PATCH", "PATCH"]);
    let repository = Repository::of(&github.api_url, "shop/storefront").unwrap();
    let next = Comments::new(&Http::default(), &super::github::access(TOKEN), &repository).unwrap();
    next.leave(41, Some(MARKER), &with_marker("rolled back"))
        .await
        .unwrap();
    next.leave(41, None, "by itself").await.unwrap();
    let bodies = github.talk(|comments| comments.bodies());
    assert_eq!(bodies, [with_marker("rolled back"), "by itself".to_owned()]);
}

#[tokio::test]
async fn only_our_own_is_edited() {
    let (github, ours) = comments().await;
    github.talk(|comments| {
        comments.put(41, &with_marker("a stranger's"), "User", "NONE");
        comments.put(41, &format!("see {MARKER}"), "Bot", "NONE");
        for n in 0..150 {
            comments.put(41, &format!("talk {n}"), "User", "CONTRIBUTOR");
        }
        comments.put(
            41,
            &with_marker("ours, on the second page"),
            "User",
            "MEMBER",
        );
    });
    ours.leave(41, Some(MARKER), &with_marker("promoted"))
        .await
        .unwrap();
    let bodies = github.talk(|comments| comments.bodies());
    assert_eq!(bodies.len(), 153);
    assert_eq!(bodies[0], with_marker("a stranger's"));
    assert_eq!(bodies[152], with_marker("promoted"));
}

#[tokio::test]
async fn no_lost_answer_makes_a_second_one() {
    for fault in [Fault::LostAfterEffect, Fault::HangUp, Fault::Page(502)] {
        for method in ["GET", "POST"] {
            let (github, ours) = comments().await;
            github.talk(|comments| {
                comments.faults.entry(method).or_default().push_back(fault);
            });
            let body = with_marker("promoted");
            ours.leave(41, Some(MARKER), &body).await.unwrap();
            let bodies = github.talk(|comments| comments.bodies());
            assert_eq!(bodies, [body], "{fault:?} of {method}");
        }
    }
    // Without a marker nobody could tell, so it is not tried again.
    let (github, ours) = comments().await;
    github.talk(|comments| {
        comments
            .faults
            .entry("POST")
            .or_default()
            .push_back(Fault::LostAfterEffect);
    });
    let told = ours.leave(41, None, "by itself").await;
    assert!(
        matches!(told, Err(GithubError::OutOfReach { .. })),
        "{told:?}"
    );
    assert_eq!(github.talk(|comments| comments.all.len()), 1);
}

#[tokio::test]
async fn one_that_was_taken_away_is_left_anew() {
    let (github, ours) = comments().await;
    ours.leave(41, Some(MARKER), &with_marker("underway"))
        .await
        .unwrap();
    github.talk(|comments| comments.all.clear());
    ours.leave(41, Some(MARKER), &with_marker("promoted"))
        .await
        .unwrap();
    let bodies = github.talk(|comments| comments.bodies());
    assert_eq!(bodies, [with_marker("promoted")]);
}

#[tokio::test]
async fn a_commit_belongs_to_its_newest_open_pull_request() {
    let (github, ours) = comments().await;
    github.talk(|comments| {
        let pulls = vec![(7, "closed"), (5, "open"), (4, "open"), (9, "closed")];
        comments.pulls.insert("4f2a9c1".into(), pulls);
    });
    assert_eq!(ours.pull_request_of("4f2a9c1").await, Ok(Some(5)));
    assert_eq!(ours.pull_request_of("0000000").await, Ok(None));
}
