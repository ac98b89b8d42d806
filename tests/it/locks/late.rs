//! What a run has written and not heard of arrives when it is gone: the lock is nobody's all the same.

use tokio::process::Command;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::world::gate::{Watchman, When, open};
use crate::world::patience::until;

use super::{Ran, Scene, ended, signal};

/// GitHub, behind a gate that holds one question back.
struct Post {
    scene: Scene,
    watchman: Watchman,
    api_url: String,
    _gate: JoinSet<()>,
}

impl Post {
    async fn of(scene: Scene, at: usize) -> Self {
        let (watchman, mut gate) = (Watchman::new(at, When::Late), JoinSet::new());
        let behind = scene.github.api_url.parse().unwrap();
        let port = open("github", &behind, &watchman, &mut gate).await;
        Self {
            api_url: format!("http://127.0.0.1:{port}{}", behind.path()),
            scene,
            watchman,
            _gate: gate,
        }
    }

    /// A step of a workflow run that asks through the gate.
    fn command(&self, mode: &str, version: &str) -> Command {
        let mut command = self.scene.command(&[mode], version);
        command.env("GITHUB_API_URL", &self.api_url);
        command
    }

    /// A rollout that is cancelled when it asks that question, and `then` happens.
    async fn cancelled(&self, version: &str, then: fn(&Watchman)) -> Ran {
        let watchman = self.watchman.clone();
        let (tells, pid) = oneshot::channel::<String>();
        self.watchman.shall(move || {
            Box::pin(async move {
                then(&watchman);
                signal("-INT", &pid.await.unwrap());
            })
        });
        let run = self.command("rollout", version).spawn().unwrap();
        tells.send(run.id().unwrap().to_string()).unwrap();
        let ran = ended(run).await;
        assert_eq!(ran.code, Some(130), "{}", ran.log);
        ran
    }

    /// Lets the question arrive, which was that one.
    async fn arrives(&self, question: &str) {
        let held = self.watchman.asked();
        assert!(held.iter().any(|one| one == question), "{held:?}");
        self.watchman.revive();
        until("it has arrived", || self.watchman.open() == 0).await;
    }

    /// The files that a run has left.
    fn left(&self, version: &str) -> usize {
        let folder = self.scene.home.path().join(version);
        std::fs::read_dir(folder).unwrap().count()
    }
}

const NEW: &str = "github POST /api/v3/repos/shop/storefront/git/refs";
const MOVED: &str = "github PATCH /api/v3/repos/shop/storefront/git/refs/cutover/locks/production";

#[tokio::test]
async fn a_first_claim_that_comes_late_is_refused() {
    let post = Post::of(Scene::set("0s", "").await, 4).await;
    let ran = post.cancelled("v2", |_| ()).await;
    post.arrives(NEW).await;
    assert!(post.scene.github.git(|git| git.is_free()), "{}", ran.log);
    assert_eq!(post.left("v2"), 0, "{}", ran.log);
    let next = post.scene.run(&["rollout"], "v3").await;
    assert_eq!(next.code, Some(0), "{}", next.log);
}

#[tokio::test]
async fn a_claim_after_others_that_comes_late_is_refused() {
    let scene = Scene::set("0s", "").await;
    scene.run(&["rollout"], "v2").await;
    let post = Post::of(scene, 3).await;
    let ran = post.cancelled("v3", |_| ()).await;
    post.arrives(MOVED).await;
    assert!(post.scene.github.git(|git| git.is_free()), "{}", ran.log);
    assert_eq!(post.left("v3"), 0, "{}", ran.log);
    assert_eq!(post.scene.takeovers(), 0);
    let next = post.scene.run(&["rollout"], "v4").await;
    assert_eq!(next.code, Some(0), "{}", next.log);
}

#[tokio::test]
async fn a_place_in_the_queue_that_comes_late_is_refused() {
    let scene = Scene::set("0s", "").await;
    scene.run(&["lock", "hold"], "v2").await;
    let post = Post::of(scene, 4).await;
    let ran = post.cancelled("v3", |_| ()).await;
    post.arrives(MOVED).await;
    let queue = post.scene.github.git(|git| git.queue());
    assert!(queue.is_empty(), "{queue:?}: {}", ran.log);
    assert!(
        !post.scene.github.git(|git| git.is_free()),
        "the hold stays"
    );
    assert_eq!(post.left("v3"), 0, "{}", ran.log);
}

/// A way back that goes on without the lock does not leave it locked.
#[tokio::test]
async fn a_claim_of_a_way_back_that_comes_late_is_refused() {
    let scene = Scene::set("0s", "").await;
    scene.run(&["rollout"], "v2").await;
    let post = Post::of(scene, 3).await;
    let back = ended(post.command("rollback", "v3").spawn().unwrap()).await;
    assert_eq!(back.code, Some(0), "{}", back.log);
    assert!(
        back.log.contains("goes on without the lock"),
        "{}",
        back.log
    );
    assert_eq!(post.scene.yard.served(), "v1");
    post.arrives(MOVED).await;
    assert!(post.scene.github.git(|git| git.is_free()), "{}", back.log);
    assert_eq!(post.left("v3"), 0, "{}", back.log);
}

/// The same where it is killed before it could give the claim up.
#[tokio::test]
async fn a_claim_of_a_killed_way_back_that_comes_late_is_refused() {
    let scene = Scene::set("0s", "").await;
    scene.run(&["rollout"], "v2").await;
    let post = Post::of(scene, 3).await;
    let back = post.command("rollback", "v3").spawn().unwrap();
    let pid = back.id().unwrap().to_string();
    let yard = &post.scene.yard;
    yard.after("weights rollback", move || signal("-KILL", &pid));
    let back = ended(back).await;
    assert_eq!(back.code, None, "{}", back.log);
    let step = post.scene.run(&["finish"], "v3").await;
    assert_eq!(step.code, Some(0), "{}", step.log);
    assert_eq!(yard.served(), "v1", "{}", step.log);
    post.arrives(MOVED).await;
    assert!(post.scene.github.git(|git| git.is_free()), "{}", step.log);
    assert_eq!(post.left("v3"), 0, "{}", step.log);
}

/// Where nobody answers any more, the post step looks again.
#[tokio::test]
async fn a_claim_that_comes_late_while_all_hangs_is_released_by_the_post_step() {
    let post = Post::of(Scene::set("0s", "").await, 4).await;
    let ran = post.cancelled("v2", Watchman::dies).await;
    assert!(
        ran.log.contains("the lock may be held for this run"),
        "{}",
        ran.log
    );
    post.arrives(NEW).await;
    assert!(!post.scene.github.git(|git| git.is_free()), "it came late");
    let step = post.scene.run(&["finish"], "v2").await;
    assert_eq!(step.code, Some(0), "{}", step.log);
    assert!(post.scene.github.git(|git| git.is_free()), "{}", step.log);
    assert_eq!(post.left("v2"), 0, "{}", step.log);
}
