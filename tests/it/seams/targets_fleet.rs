//! The `fleet` target: several machines, one release.

use serde_json::{Value, json};

use cutover::targets::TargetError;

use super::targets::{deploy, made, order, tools};

fn fleet(at_once: u16, runs: [&str; 3]) -> Value {
    let one = |run: &str| json!({ "kind": "command", "run": run });
    let [web1, web2, web3] = runs.map(one);
    json!({ "kind": "fleet", "at-once": at_once, "nodes": { "web1": web1, "web2": web2, "web3": web3 } })
}

#[tokio::test]
async fn each_machine_says_how_it_went() {
    let folder = tempfile::tempdir().unwrap();
    // Each waits for the others, so that they must be at work at the same time.
    let meet = "touch $0.$$; for i in 1 2 3; do while [ $(ls | wc -l) -lt 3 ]; do sleep 0.01; done; done; echo here";
    let target = made(fleet(3, [meet; 3]), &tools(folder.path())).unwrap();
    let (outcome, lines) = deploy(&*target, &order("v1")).await;
    let said = outcome.unwrap();
    assert!(
        said.starts_with("3 of 3: ") && said.contains("slowest"),
        "{said}"
    );
    for name in ["web1", "web2", "web3"] {
        assert!(lines.contains(&format!("{name}: here")), "{lines:?}");
    }
}

#[tokio::test]
async fn after_a_failure_no_further_one_begins() {
    let folder = tempfile::tempdir().unwrap();
    let runs = ["touch one", "echo disk full; exit 3", "touch three"];
    let target = made(fleet(1, runs), &tools(folder.path())).unwrap();
    let Err(TargetError::Failed { said, last_words }) = deploy(&*target, &order("v1")).await.0
    else {
        panic!("it went well");
    };
    assert!(
        said.contains("web2: ") && said.ends_with("1 of 3 went well; 1 not begun"),
        "{said}"
    );
    assert_eq!(last_words, ["web2: disk full"]);
    assert!(folder.path().join("one").exists() && !folder.path().join("three").exists());
}

#[tokio::test]
async fn nobody_is_deployed_to_where_one_could_not_be() {
    let folder = tempfile::tempdir().unwrap();
    let mut block = fleet(3, ["touch one", "true", "true"]);
    block["nodes"]["web2"]["directory"] = json!("gone");
    let target = made(block, &tools(folder.path())).unwrap();
    let failed = deploy(&*target, &order("v1")).await.0.unwrap_err();
    assert!(matches!(failed, TargetError::OutOfReach(_)), "{failed}");
    assert!(
        failed.to_string().contains("web2: ") && failed.to_string().contains("no machine"),
        "{failed}"
    );
    assert!(!folder.path().join("one").exists());
}
