//! The built program where the primary is a unit of a real systemd that is late: the secondary begins
//! when systemd has put back what ran, and not while it is at that.

use std::fs;

use serde_json::json;

use super::failover::{behind, followed};
use crate::world::machine::Machine;

/// It never gets ready, and takes all the time that it has to end.
const SLOW: &str = "v2-never-stays";

#[tokio::test]
async fn a_unit_that_is_late_is_put_back_before_the_secondary_begins() {
    let machine = Machine::start();
    let started = machine.run(&["systemctl", "start", "shop@green"]);
    assert!(started.status.success(), "{started:?}");
    let unit = json!({
        "kind": "systemd", "unit": "shop@$SLOT.service", "host": "web1", "env": { "VERSION": SLOW },
        "wait": "10m", "steady": "500ms",
    });
    let scene = behind(&unit.to_string(), ", deadline: 5s").await;
    // The secondary looks what systemd is at before it does anything.
    let look = "systemctl show -P ActiveState -P Job shop@green > SEEN";
    let order = r#"curl -sf --data "{\"slot\":\"$SLOT\",\"version\":\"$VERSION\"}" "$API""#;
    let seen = machine.path("seen");
    let run = format!("{look}; {order}").replace("SEEN", seen.to_str().unwrap());
    let path = scene.home.path().join("cutover.yml");
    let config = fs::read_to_string(&path).unwrap();
    let (before, rest) = config.split_once("to: { kind: http, url: '").unwrap();
    let (api, after) = rest.split_once("' }").unwrap();
    let to = json!({ "kind": "command", "run": run, "host": "web1", "env": { "API": api } });
    let hosts = json!({ "web1": machine.host("root") });
    fs::write(
        &path,
        format!("{before}to: {to}{after}    hosts: {hosts}\n"),
    )
    .unwrap();

    let ran = scene.run(&["rollout"], "v2").await;
    followed(&scene, &ran, "primary_timeout");
    let said = "was ended after the failover's deadline of 5 s";
    assert!(ran.log.contains(said), "{}", ran.log);
    let seen = fs::read_to_string(seen).unwrap_or_default();
    assert_eq!(seen.trim(), "active", "{}", ran.log);
    assert_eq!(machine.served("green"), "none");
}
