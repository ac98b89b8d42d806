//! Traffic that goes back by itself, with a real proxy: once, only soon after a deployment, and told.

use cutover::report::vigil::hidden;
use serde_json::Value;

use crate::world::channels::Channel;
use crate::world::github::{Github, TOKEN};
use crate::world::shop::{Ran, Shop, Way};

struct Scene {
    shop: Shop,
    github: Github,
    chat: Channel,
}

impl Scene {
    /// v2 has all traffic, v1 is on the other slot, and the health check fails in two ways.
    async fn set(age: &str) -> Self {
        let (shop, github) = (Shop::open(Way::Flags), Github::start().await);
        let chat = Channel::of("webhook").await;
        let scene = Self { shop, github, chat };
        let good = scene.run("rollout --version=v2", "push", "1").await;
        assert_eq!(good.code, 0, "{}", good.log);
        assert_eq!(scene.shop.answers(), "green v2");
        let health = format!(
            "    health:
      checks:
        - {{ kind: http, path: /release, expect: {{ text: v9 }}, retries: 0 }}
        - {{ kind: file, path: not-there, retries: 0 }}
      clock: {{ rollback-on: critical, younger-than: {age} }}
    notify: [{}]
    strategy:",
            scene.chat.value()
        );
        scene.shop.configure("    strategy:", &health);
        scene
    }

    async fn run(&self, arguments: &str, event: &str, run: &str) -> Ran {
        let mut command = self.shop.command(arguments);
        command
            .env("GITHUB_API_URL", &self.github.api_url)
            .env("GITHUB_REPOSITORY", "shop/storefront")
            .env("GITHUB_SHA", "4f2a9c1d5e6f708192a3b4c5d6e7f8091a2b3c4d")
            .env("GITHUB_RUN_ID", run)
            .env("GITHUB_RUN_ATTEMPT", "1")
            .env("GITHUB_JOB", "watch")
            .env("GITHUB_EVENT_NAME", event)
            .env("INPUT_TOKEN", TOKEN);
        let run = move || Ran::of(command.spawn().unwrap());
        tokio::task::spawn_blocking(run).await.unwrap()
    }

    async fn watch(&self, run: &str) -> Ran {
        self.run("health-check", "schedule", run).await
    }

    fn told(&self) -> Vec<String> {
        let title = |one: &Value| one["title"].as_str().unwrap().to_owned();
        self.chat.heard().iter().map(title).collect()
    }

    /// Whatever is remembered is a quarter of an hour old.
    fn later(&self) {
        for issue in self.github.issues() {
            let body = issue["body"].as_str().unwrap();
            if let Ok(mut memory) = hidden::find(body) {
                let old = hidden::hide(&memory);
                memory.at -= 900;
                let body = body.replace(&old, &hidden::hide(&memory));
                let number = issue["number"].as_u64().unwrap();
                self.github.somebody_edits(number, &body);
            }
        }
    }

    fn comments(&self) -> String {
        let all = self.github.issues();
        let number = |one: &Value| one["number"].as_u64().unwrap();
        let of = |one: &Value| self.github.comments_on(number(one)).concat();
        all.iter().map(of).collect()
    }
}

#[tokio::test]
async fn traffic_goes_back_once_soon_after_a_deployment() {
    let scene = Scene::set("3650d").await;
    let back = scene.watch("2").await;
    assert_eq!(back.code, 20, "{}", back.log);
    assert_eq!(back.output("decision"), "rolled-back");
    assert_eq!(back.output("reason-code"), "unhealthy");
    assert_eq!(scene.shop.answers(), "blue v1");
    let told = [
        "down: storefront, production",
        "rolled back: storefront, production",
    ];
    assert_eq!(scene.told(), told);
    assert!(
        scene.comments().contains("**Traffic.** Rolled back"),
        "{}",
        scene.comments()
    );
    let records = scene.github.deployments();
    let last = records.last().unwrap();
    assert_eq!(last["payload"]["cutover"]["mode"], "rollback");
    let locked = scene.run("lock show", "push", "9").await;
    assert!(locked.log.contains("free"), "{}", locked.log);

    // It is still down. Traffic does not go to and fro.
    scene.later();
    let again = scene.watch("3").await;
    assert_eq!(again.code, 10, "{}", again.log);
    assert_eq!(scene.shop.answers(), "blue v1");
    assert_eq!(scene.told(), told);
    // Nor where nobody remembers the incident: what came last was a rollback.
    for issue in scene.github.issues() {
        let number = issue["number"].as_u64().unwrap();
        scene.github.somebody_edits(number, "gone");
    }
    let anew = scene.watch("4").await;
    assert_eq!(anew.code, 10, "{}", anew.log);
    assert!(
        anew.log.contains("the last change was a rollback"),
        "{}",
        anew.log
    );
    assert_eq!(scene.shop.answers(), "blue v1");
}

#[tokio::test]
async fn traffic_stays_where_the_deployment_is_old_or_others_are_at_work() {
    let scene = Scene::set("1h").await;
    scene.github.deployments_are_of("2020-01-01T00:00:00Z");
    let old = scene.watch("2").await;
    assert_eq!(old.code, 10, "{}", old.log);
    assert!(old.log.contains("and 60 m is the limit"), "{}", old.log);
    assert_eq!(scene.shop.answers(), "green v2");
    assert_eq!(
        scene.told()[1..],
        ["not rolled back: storefront, production"]
    );

    let scene = Scene::set("3650d").await;
    let held = scene.run("lock hold 1h --reason=mine", "push", "7").await;
    assert_eq!(held.code, 0, "{}", held.log);
    let busy = scene.watch("2").await;
    assert_eq!(busy.code, 10, "{}", busy.log);
    assert_eq!(busy.output("reason-code"), "locked");
    assert_eq!(scene.shop.answers(), "green v2");
    assert_eq!(
        scene.told()[1..],
        ["not rolled back: storefront, production"]
    );
}
