//! A GitHub App in the place of the workflow's token: signed with its own key, one token for all
//! of a run, and that token in no text.

use std::process::Command;

use crate::world::github::{Fault, Verb};
use crate::world::scene::{CHECK_RUN, Ran, Scene};

const APP: u64 = 4711;
const INSTALLATION: u64 = 815;
const HOUR: i64 = 3600;

/// A private key in both of its PEM forms, and the public one.
struct Key {
    old: String,
    new: String,
    public: Vec<u8>,
}

impl Key {
    fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let openssl = |arguments: &str| {
            let made = Command::new("openssl")
                .args(arguments.split(' '))
                .current_dir(folder.path())
                .output()
                .unwrap();
            assert!(made.status.success(), "{made:?}");
        };
        openssl("genrsa -traditional -out old.pem 2048");
        openssl("pkcs8 -topk8 -nocrypt -in old.pem -out new.pem");
        openssl("rsa -in old.pem -pubout -out public.pem");
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let (old, new) = (read("old.pem"), read("new.pem"));
        assert!(old.contains("BEGIN RSA PRIVATE KEY") && new.contains("BEGIN PRIVATE KEY"));
        Self {
            old,
            new,
            public: read("public.pem").into_bytes(),
        }
    }
}

async fn scene(key: &str) -> Scene {
    let mut scene = Scene::set("auto").await;
    scene.with("INPUT_APP-ID", "4711");
    scene.with("INPUT_APP-PRIVATE-KEY", key);
    scene.with("RUST_LOG", "trace");
    scene.with("RUNNER_DEBUG", "1");
    scene
}

async fn rollout(scene: &Scene) -> Ran {
    scene.run(CHECK_RUN, "rollout --version=v2").await
}

/// That every secret is masked before it is seen, and is not seen.
fn hides(log: &str, secret: &str) {
    let mask = format!("::add-mask::{secret}");
    let masked = log.lines().position(|line| line == mask);
    assert!(masked.is_some(), "it is not masked");
    let seen = log
        .lines()
        .position(|line| line.contains(secret) && !line.starts_with("::add-mask::"));
    assert_eq!(seen, None);
}

#[tokio::test]
async fn an_app_signs_with_its_key_and_has_one_token_for_a_run() {
    let key = Key::make();
    let in_one_line = key.new.trim().replace('\n', "\\n");
    for pem in [&key.old, &key.new, &in_one_line] {
        let scene = scene(pem).await;
        scene.github.has_app(APP, &key.public, INSTALLATION, HOUR);
        let ran = rollout(&scene).await;
        assert_eq!(ran.code, 0, "{}", ran.log);
        assert!(!ran.log.contains("::warning"), "{}", ran.log);
        assert_eq!(scene.github.asked(Verb::Installation), 1);
        assert_eq!(scene.github.app_tokens().len(), 1);
        assert_eq!(scene.github.states(1), ["in_progress", "success"]);
        assert!(scene.github.git(|git| git.is_free()));
        hides(&ran.log, &scene.github.app_tokens()[0]);
        for line in key.old.lines().chain(key.new.lines()) {
            if !line.starts_with("-----") {
                hides(&format!("::add-mask::{line}\n{}", ran.log), line);
            }
        }
    }
}

#[tokio::test]
async fn a_token_whose_end_is_near_is_made_anew() {
    let key = Key::make();
    let mut scene = scene(&key.old).await;
    scene.with("INPUT_APP-INSTALLATION-ID", "815");
    // A token that is good for a minute more is as good as none.
    scene.github.has_app(APP, &key.public, INSTALLATION, 60);
    let ran = rollout(&scene).await;
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert_eq!(scene.github.asked(Verb::Installation), 0, "it is named");
    let tokens = scene.github.app_tokens();
    assert!(tokens.len() > 5, "{tokens:?}");
    for token in tokens {
        hides(&ran.log, &token);
    }
}

#[tokio::test]
async fn an_app_that_is_not_let_in_changes_nothing_and_says_why() {
    let (key, other) = (Key::make(), Key::make());
    let scene = scene(&other.old).await;
    scene.github.has_app(APP, &key.public, INSTALLATION, HOUR);
    let ran = rollout(&scene).await;
    assert_eq!(ran.code, 69, "{}", ran.log);
    for said in [
        "could not find the installation of GitHub App 4711: GitHub answered 401",
        "see that `app-id` and `app-private-key` are of one App",
    ] {
        assert!(ran.log.contains(said), "{said}: {}", ran.log);
    }
    assert_eq!(scene.served().await, "v1");

    let mut scene = self::scene(&key.old).await;
    scene.with("INPUT_APP-INSTALLATION-ID", "1");
    scene.github.has_app(APP, &key.public, INSTALLATION, HOUR);
    let ran = rollout(&scene).await;
    assert_eq!(ran.code, 69, "{}", ran.log);
    assert!(
        ran.log.contains("install the App on this repository"),
        "{}",
        ran.log
    );
}

#[tokio::test]
async fn a_token_that_could_not_be_made_is_asked_for_again() {
    let key = Key::make();
    for fault in [Fault::Page(502), Fault::HangUp, Fault::LostAfterEffect] {
        let scene = scene(&key.old).await;
        scene.github.has_app(APP, &key.public, INSTALLATION, HOUR);
        scene.github.order(Verb::AppToken, [fault]);
        scene.github.order(Verb::Installation, [fault]);
        let ran = rollout(&scene).await;
        assert_eq!(ran.code, 0, "{fault:?}: {}", ran.log);
        assert_eq!(scene.github.states(1), ["in_progress", "success"]);
    }
}

#[tokio::test]
async fn what_is_no_key_is_refused_before_anything_is_asked() {
    let scene = scene("s3cr3t-but-no-key").await;
    let ran = rollout(&scene).await;
    assert_eq!(ran.code, 64, "{}", ran.log);
    let said = "app-private-key: is not an RSA private key in PEM form";
    assert!(ran.log.contains(said), "{}", ran.log);
    hides(&ran.log, "s3cr3t-but-no-key");
    assert_eq!(scene.github.calls(), 0);

    let mut scene = Scene::set("auto").await;
    scene.with("INPUT_APP-ID", "4711");
    let ran = rollout(&scene).await;
    assert_eq!(ran.code, 64, "{}", ran.log);
    let said = "app-private-key: is missing, and `app-id` needs it";
    assert!(ran.log.contains(said), "{}", ran.log);
}
