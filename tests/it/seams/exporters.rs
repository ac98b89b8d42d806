//! Figures that go on over many runs: at a real Pushgateway, in a file that promtool reads, at a
//! collector.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use cutover::config::kinds::{Block, build};
use cutover::exporters::{Exporter, KINDS, Tools};
use cutover::model::measure::{DEPLOYED, Labels, Measure, NOT_DEPLOYED, QUEUED, SWITCHED, TOOK};
use cutover::platform::http::Http;
use cutover::platform::secret::Vault;
use serde_json::{Value, json};

use crate::world::collector::Collector;
use crate::world::patience::within;
use crate::world::pushgateway::Pushgateway;
use crate::world::stand_in::Reply;

fn built(block: Value, directory: &Path) -> Result<Box<dyn Exporter>, String> {
    let tools = Tools {
        http: Http::default(),
        directory: directory.to_owned(),
        vault: Vault::default(),
        app: "storefront".to_owned(),
        environment: "production".to_owned(),
    };
    let block: Block = serde_json::from_value(block).unwrap();
    build(KINDS, &block, &tools)
}

fn exporter(block: Value) -> Box<dyn Exporter> {
    built(block, Path::new("/")).unwrap()
}

fn labels() -> Labels {
    vec![("environment".to_owned(), "production".to_owned())]
}

fn a_run() -> Vec<Measure> {
    vec![
        Measure::of(&DEPLOYED, 1.0),
        Measure::of(&TOOK, 42.0),
        Measure::one(&NOT_DEPLOYED, "not-proved"),
        Measure::of(&QUEUED, 2.0),
        Measure::of(&SWITCHED, 0.0004),
    ]
}

#[tokio::test]
async fn two_runs_push_at_once_and_nothing_is_lost() {
    let gateway = Pushgateway::start().await;
    let one = || exporter(json!({ "kind": "pushgateway", "url": gateway.url }));
    let (one, other) = (one(), one());
    for _ in 0..200 {
        let (run, labels) = (a_run(), labels());
        let both = async { tokio::join!(one.export(&run, &labels), other.export(&run, &labels)) };
        let (one, other) = within("both are told", both).await;
        one.unwrap();
        other.unwrap();
    }
    let group = r#"environment="production",instance="storefront/production",job="cutover""#;
    assert_eq!(
        gateway.lines("deployment_success_total").await,
        [format!("deployment_success_total{{{group}}} 400")]
    );
    assert_eq!(
        gateway.lines("deployment_duration_seconds_count").await,
        [format!("deployment_duration_seconds_count{{{group}}} 400")]
    );
    assert_eq!(
        gateway.lines("deployment_queue_depth").await,
        [format!("deployment_queue_depth{{{group}}} 2")]
    );
    assert!(gateway.lines("cutover_push_ticket").await.is_empty());
}

#[tokio::test]
async fn ten_runs_push_at_once() {
    let gateway = Pushgateway::start().await;
    let exports = (0..10).map(|_| async {
        let exporter = exporter(json!({ "kind": "pushgateway", "url": gateway.url }));
        exporter.export(&a_run(), &labels()).await.unwrap();
    });
    futures_util::future::join_all(exports).await;
    let lines = gateway.lines("deployment_success_total").await;
    assert!(lines.len() == 1 && lines[0].ends_with(" 10"), "{lines:?}");
}

#[tokio::test]
async fn what_others_pushed_stays() {
    let gateway = Pushgateway::start().await;
    let theirs = "# TYPE backup_seconds gauge\nbackup_seconds 3\n# TYPE deployment_success_total counter\ndeployment_success_total{environment=\"production\"} 7\n";
    gateway.push("/metrics/job/backup", theirs).await;
    gateway.push("/metrics/job/mine/instance/a", theirs).await;
    let block =
        json!({ "kind": "pushgateway", "url": gateway.url, "job": "mine", "instance": "a" });
    exporter(block).export(&a_run(), &labels()).await.unwrap();
    assert_eq!(
        gateway.lines("backup_seconds").await.len(),
        2,
        "also in the group that we push to"
    );
    let counted = gateway.lines("deployment_success_total").await;
    assert_eq!(counted.len(), 2);
    assert!(counted[0].ends_with("job=\"backup\"} 7"), "{counted:?}");
    assert!(counted[1].ends_with("job=\"mine\"} 8"), "{counted:?}");
}

#[tokio::test]
async fn a_gateway_that_refuses_or_is_not_there() {
    let gateway = Pushgateway::start().await;
    let theirs = "# TYPE deployment_success_total gauge\ndeployment_success_total 1\n";
    gateway.push("/metrics/job/other", theirs).await;
    let one = exporter(json!({ "kind": "pushgateway", "url": gateway.url }));
    let failed = one
        .export(&a_run(), &labels())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        failed.contains("400") && failed.contains("deployment_success_total"),
        "{failed}"
    );
    assert!(gateway.lines("cutover_push_ticket").await.is_empty());

    let none =
        exporter(json!({ "kind": "pushgateway", "url": "http://me:s3cr3t@127.0.0.1:1/push" }));
    assert_eq!(none.told(), "the Pushgateway at http://127.0.0.1:1/push");
    let failed = none
        .export(&a_run(), &labels())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        failed.contains("refused") && !failed.contains("s3cr3t"),
        "{failed}"
    );
}

#[tokio::test]
async fn a_file_goes_on_and_promtool_has_nothing_to_say() {
    let directory = tempfile::tempdir().unwrap();
    let block = json!({ "kind": "textfile", "path": "cutover.prom" });
    let exports = (0..20).map(|_| async {
        let exporter = built(block.clone(), directory.path()).unwrap();
        exporter.export(&a_run(), &labels()).await.unwrap();
    });
    futures_util::future::join_all(exports).await;
    let path = directory.path().join("cutover.prom");
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        text.contains("deployment_success_total{environment=\"production\"} 20\n"),
        "{text}"
    );
    assert!(
        text.contains("switch_seconds_bucket{environment=\"production\",le=\"0.001\"} 20\n"),
        "{text}"
    );
    let checked = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::from(fs::File::open(&path).unwrap()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && said.is_empty(), "{said}");
}

#[tokio::test]
async fn a_file_of_somebody_elses_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("node.prom");
    let exporter = built(
        json!({ "kind": "textfile", "path": "node.prom" }),
        directory.path(),
    )
    .unwrap();
    for (text, wanted) in [
        (
            "backup_seconds 3\n",
            "it holds backup_seconds, which is not written here; give Cutover a file of its own",
        ),
        (
            "half a lin",
            "line 1 is not a sample: half a lin; move the file away, and counters begin anew",
        ),
    ] {
        fs::write(&path, text).unwrap();
        let failed = exporter.export(&a_run(), &labels()).await.unwrap_err();
        assert_eq!(failed.to_string(), wanted);
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    let wrong = built(
        json!({ "kind": "textfile", "path": "cutover.txt" }),
        directory.path(),
    )
    .err();
    assert_eq!(
        wrong.as_deref(),
        Some("path: cutover.txt does not end in .prom, and the collector reads no other files")
    );
}

#[tokio::test]
async fn a_collector_gets_deltas() {
    let collector = Collector::start(vec![Reply::of(503, "busy").with("retry-after", 0)]).await;
    let one = exporter(json!({ "kind": "otlp", "url": collector.url }));
    one.export(&a_run(), &labels()).await.unwrap();
    let metrics = collector.metrics();
    let names: Vec<_> = metrics
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "deployment_success_total",
            "deployment_failure_total",
            "deployment_duration_seconds",
            "deployment_queue_depth",
            "switch_seconds"
        ]
    );
    assert_eq!(metrics[0]["sum"]["aggregationTemporality"], 1);
    assert_eq!(metrics[0]["sum"]["dataPoints"][0]["asDouble"], 1.0);
    let took = &metrics[2]["histogram"]["dataPoints"][0];
    assert_eq!(took["bucketCounts"], json!(["1", "0", "0", "0", "0", "0"]));
    assert_eq!(took["sum"], 42.0);
    assert_eq!(metrics[2]["unit"], "s");
}

#[tokio::test]
async fn a_collector_says_no() {
    let partly =
        json!({ "partialSuccess": { "rejectedDataPoints": "2", "errorMessage": "too old" } });
    for (reply, wanted) in [
        (
            Reply::of(200, partly.to_string()),
            "2 of the figures were rejected: too old",
        ),
        (Reply::of(401, "who are you?"), "401 who are you?"),
    ] {
        let collector = Collector::start(vec![reply]).await;
        let one =
            exporter(json!({ "kind": "otlp", "url": format!("{}/v1/metrics", collector.url) }));
        let failed = one.export(&a_run(), &labels()).await.unwrap_err();
        assert_eq!(failed.to_string(), wanted);
    }
}
