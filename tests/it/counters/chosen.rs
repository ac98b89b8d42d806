//! Which source counts: the one that is named, or the first that can; and what is said where
//! there is none.

use cutover::cast::{self, Tools};
use cutover::config::file::{Environment, read};
use cutover::model::slot::Side;
use cutover::platform::http::Http;
use cutover::platform::secret::Vault;
use cutover::rollout::arms::Wanted;
use cutover::rollout::stage::Stage;

/// A stage with these sources and this router.
fn stage(metrics: &str, router: &str) -> Stage {
    let text = format!(
        "version: 1
app: shop
environments:
  production:
    url: http://shop.test
    slots: {{ blue: {{ url: 'http://blue.test' }}, green: {{ url: 'http://green.test' }} }}
    release: {{ kind: header, name: X-Release }}
    metrics: [{metrics}]
    {router}
"
    );
    let vault = Vault::default();
    let config = read(&text, &cast::schema(), &|_| None, &vault).unwrap();
    let environment: &Environment = &config.file.environments["production"];
    let tools = Tools {
        agent: None,
        http: Http::default(),
        directory: "/tmp".into(),
        vault,
        engine: cutover::config::docker_host::Engine::default(),
        say: std::sync::Arc::new(|_| {}),
        cancelled: tokio_util::sync::CancellationToken::new(),
    };
    cast::stage("shop", "production", environment, &tools).unwrap()
}

const PROMETHEUS: &str = "{ kind: prometheus, url: 'http://p.test', queries: { rps: up } }";
const COUNTING: &str = "{ kind: prometheus, url: 'http://p.test', by-slot: { requests: 'a{s=\"{{slot}}\"}', errors: 'b{s=\"{{slot}}\"}' } }";
const PROBER: &str = "{ kind: prober, path: /health }";
const POINTER: &str = "router: { kind: pointer, path: live }";

#[test]
fn the_first_that_can_is_asked() {
    let chosen = |metrics: &[&str], router: &str, source: Option<&str>| {
        let stage = stage(&metrics.join(", "), router);
        let arms = stage
            .arms(source, Side::Second, Wanted::Counts)
            .map(|arms| arms.told().to_owned());
        arms.map_err(|fault| format!("{}\n{}", fault.said, fault.next.unwrap_or_default()))
    };
    assert_eq!(
        chosen(&[PROMETHEUS, PROBER], POINTER, None).unwrap(),
        "prober, 50 a second"
    );
    assert_eq!(
        chosen(&[COUNTING, PROBER], POINTER, None).unwrap(),
        "Prometheus at http://p.test"
    );
    assert_eq!(
        chosen(&[COUNTING, PROBER], POINTER, Some("prober")).unwrap(),
        "prober, 50 a second"
    );

    let said = chosen(&[PROMETHEUS], POINTER, None).unwrap_err();
    assert!(said.starts_with("environments.production.metrics[0] (Prometheus at http://p.test) does not tell the slots apart\ngive it `by-slot:`"), "{said}");
    let said = chosen(&[PROBER, PROMETHEUS], "", Some("prometheus")).unwrap_err();
    assert!(
        said.contains("environments.production.metrics[1]"),
        "{said}"
    );
    let said = chosen(&[], POINTER, None).unwrap_err();
    assert!(
        said.starts_with("environments.production.router (pointer "),
        "{said}"
    );
    assert!(
        said.contains("counts nothing for each slot") && said.contains("kind: prober"),
        "{said}"
    );
    let said = chosen(&[PROBER], POINTER, Some("prometheus")).unwrap_err();
    assert!(
        said.starts_with("environments.production.metrics: ") && said.contains("prober"),
        "{said}"
    );
    let said = chosen(&[PROBER, "{ kind: router }"], POINTER, Some("router")).unwrap_err();
    assert!(
        said.starts_with("environments.production.router (pointer "),
        "{said}"
    );
    let said = chosen(&[], "", Some("router")).unwrap_err();
    assert!(
        said.contains("environments.production.router is missing"),
        "{said}"
    );
    let said = chosen(&[], "", None).unwrap_err();
    assert!(
        said.starts_with("environments.production: nobody counts"),
        "{said}"
    );
}

/// Shares compare two releases, and prove nothing of them.
#[test]
fn shares_will_do_for_a_ratio_alone() {
    const SHARES: &str =
        "{ kind: json, url: 'http://j.test/s', by-slot: { error-rate: '.{{role}}.error_rate' } }";
    let stage = stage(SHARES, "router: { kind: pointer, path: live }");
    let told = |wanted| {
        let arms = stage.arms(None, Side::Second, wanted);
        let arms = arms.map(|arms| arms.told().to_owned());
        arms.map_err(|fault| format!("{}\n{}", fault.said, fault.next.unwrap_or_default()))
    };
    assert!(told(Wanted::SharesToo).unwrap().contains("j.test"));
    let said = told(Wanted::Counts).unwrap_err();
    assert!(
        said.contains("gives shares, and proof needs counts") && said.contains("method: ratio"),
        "{said}"
    );
}
