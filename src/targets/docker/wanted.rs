//! The container that an order wants: its names, and the engine's document for it.
//!
//! Two wanted containers are the same if their fingerprints are; what differs from run to run (the
//! fence, who pulled the image) is not in it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::config::units::Size;
use crate::targets::{Order, TargetError};

use super::image::Image;
use super::options::Options;
use super::parts::{Command, Port};
use super::pull::Brought;

/// What is ours carries these labels.
pub(super) const APP: &str = "cutover.app";
pub(super) const ENVIRONMENT: &str = "cutover.environment";
pub(super) const SLOT: &str = "cutover.slot";
const RELEASE: &str = "cutover.release";
pub(super) const CONFIG: &str = "cutover.config";
const FENCE: &str = "cutover.fence";
/// The image, where it was pulled for a container of ours; only such an image is ever removed.
pub(super) const PULLED: &str = "cutover.pulled";
/// When the engine starts it again; a container that stands aside has that taken away.
pub(super) const RESTART: &str = "cutover.restart";

/// The names of an order.
pub(super) struct Names {
    /// The container's.
    pub container: String,
    /// The image, before anybody looked for it.
    pub image: Image,
    /// The networks.
    pub networks: Vec<String>,
    /// The ports of the slot.
    pub ports: Vec<Port>,
}

impl Names {
    /// Fills the order in.
    ///
    /// # Errors
    /// When what comes out cannot be a name.
    pub(super) fn of(options: &Options, order: &Order) -> Result<Self, TargetError> {
        let refused = |said: String| TargetError::OutOfReach(said);
        let container = name(options, order)?;
        let image = Image::read(&order.fill(&options.image), order.release.as_str());
        let ports = match options.ports.get(&order.slot) {
            Some(ports) => ports.all().to_vec(),
            None if options.ports.is_empty() => Vec::new(),
            None => {
                let known: Vec<&str> = options.ports.keys().map(String::as_str).collect();
                return Err(refused(format!(
                    "`ports` says nothing of {}, only of {}",
                    order.slot,
                    known.join(" and ")
                )));
            }
        };
        Ok(Self {
            container,
            image: image.map_err(refused)?,
            networks: options.networks.iter().map(|one| order.fill(one)).collect(),
            ports,
        })
    }
}

/// The container's name. Whoever only stops it needs no more of an order, such as a version.
///
/// # Errors
/// When what comes out cannot be a name.
pub(super) fn name(options: &Options, order: &Order) -> Result<String, TargetError> {
    let name = order.fill(&options.container);
    let letters = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if name.len() < 2 || !begins || !name.chars().all(letters) {
        return Err(TargetError::OutOfReach(format!(
            "\"{name}\" cannot be the name of a container: letters, digits, _, . and - can"
        )));
    }
    Ok(name)
}

/// A container that is not there yet.
pub(super) struct Wanted {
    /// The engine's document for it.
    pub body: Value,
    /// What it is told apart by.
    pub fingerprint: String,
}

/// The container that an order wants.
pub(super) fn wanted(
    options: &Options,
    order: &Order,
    names: &Names,
    brought: &Brought,
    pulled: bool,
) -> Wanted {
    let mut labels: BTreeMap<String, String> = options
        .labels
        .iter()
        .map(|(name, value)| (name.clone(), order.fill(value)))
        .collect();
    let mut ours = |name: &str, value: &str| labels.insert(name.to_owned(), value.to_owned());
    ours(APP, &order.app);
    ours(ENVIRONMENT, &order.environment);
    ours(SLOT, &order.slot);
    ours(RELEASE, order.release.as_str());
    ours(RESTART, options.restart.word());
    let env: Vec<String> = options
        .env
        .and([])
        .into_iter()
        .map(|(name, value)| format!("{name}={}", order.fill(&value)))
        .collect();
    let mut body = json!({
        "Image": brought.named.to_string(),
        "Env": env,
        "StopTimeout": options.stop_timeout.get().as_secs(),
        "HostConfig": host(options, order, names),
    });
    let exposed: Map<String, Value> = names
        .ports
        .iter()
        .map(|port| (port.inside.clone(), json!({})))
        .collect();
    body["ExposedPorts"] = Value::Object(exposed);
    if let Some(health) = &options.health {
        let test = match &health.command {
            Command::Shell(line) => json!(["CMD-SHELL", line]),
            Command::Words(words) => {
                let mut test = vec!["CMD".to_owned()];
                test.extend(words.iter().cloned());
                json!(test)
            }
        };
        let nanos = |span: crate::config::units::Span| span.get().as_nanos() as u64;
        body["Healthcheck"] = json!({
            "Test": test, "Interval": nanos(health.interval), "Timeout": nanos(health.timeout),
            "Retries": health.retries, "StartPeriod": nanos(health.start_period),
        });
    }
    let told = format!("{body}{labels:?}{}{:?}", brought.id, names.networks);
    let digest = Sha256::digest(told.as_bytes());
    let fingerprint: String = digest.iter().take(16).map(|b| format!("{b:02x}")).collect();
    labels.insert(CONFIG.to_owned(), fingerprint.clone());
    if let Some(fence) = &order.fence {
        labels.insert(FENCE.to_owned(), fence.clone());
    }
    if pulled {
        labels.insert(PULLED.to_owned(), brought.named.to_string());
    }
    body["Labels"] = json!(labels);
    Wanted { body, fingerprint }
}

fn host(options: &Options, order: &Order, names: &Names) -> Value {
    let mut bindings = Map::new();
    for port in &names.ports {
        let one = json!({ "HostIp": port.ip, "HostPort": port.host.to_string() });
        match bindings.get_mut(&port.inside).and_then(Value::as_array_mut) {
            Some(all) => all.push(one),
            None => {
                bindings.insert(port.inside.clone(), json!([one]));
            }
        }
    }
    let mounts: Vec<Value> = options
        .mounts
        .iter()
        .map(|mount| {
            json!({
                "Type": mount.kind(), "Source": order.fill(&mount.source),
                "Target": mount.target, "ReadOnly": mount.read_only,
            })
        })
        .collect();
    let limits = &options.limits;
    let mut host = json!({
        "PortBindings": bindings,
        "Mounts": mounts,
        "RestartPolicy": { "Name": options.restart.word() },
        "Memory": limits.memory.map_or(0, Size::bytes),
        "NanoCpus": limits.cpus.map_or(0, |cpus| (cpus * 1e9).round() as i64),
    });
    if let Some(pids) = limits.pids {
        host["PidsLimit"] = json!(pids);
    }
    if let Some(network) = names.networks.first() {
        host["NetworkMode"] = json!(network);
    }
    host
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::release::Release;

    fn order() -> Order {
        Order {
            app: "shop".to_owned(),
            environment: "production".to_owned(),
            slot: "blue".to_owned(),
            slot_url: "http://blue.example.com/".parse().unwrap(),
            release: Release::new("v2"),
            fence: None,
        }
    }

    fn of(options: Value, order: &Order) -> Wanted {
        let options: Options = serde_json::from_value(options).unwrap();
        options.fit_together().unwrap();
        let names = Names::of(&options, order).unwrap();
        let brought = Brought {
            named: names.image.clone(),
            id: "sha256:1".to_owned(),
            is_new: true,
        };
        wanted(&options, order, &names, &brought, true)
    }

    #[test]
    fn only_the_order_s_words_are_filled_in() {
        let told = order().fill("$APP-$SLOT $VERSIONS pa$$word $1 $VERSION.x $");
        assert_eq!(told, "shop-blue $VERSIONS pa$$word $1 v2.x $");
    }

    #[test]
    fn all_that_is_written_reaches_the_engine() {
        let made = of(
            json!({
                "image": "r/shop", "ports": { "blue": ["127.0.0.1:8001:8080", "[::1]:8001:8080"] },
                "env": { "RELEASE": "$VERSION" }, "mounts": ["data-$SLOT:/data:ro"],
                "networks": ["front", "back"], "labels": { "team": "$APP" },
                "health": { "command": ["true"], "retries": 2, "interval": "1s" },
                "limits": { "memory": "512MB", "cpus": 1.5, "pids": 200 }, "restart": "always",
            }),
            &Order {
                fence: Some("7".to_owned()),
                ..order()
            },
        );
        let body = &made.body;
        assert_eq!(body["Image"], "r/shop:v2");
        assert_eq!(body["Env"], json!(["RELEASE=v2"]));
        assert_eq!(body["Healthcheck"]["Test"], json!(["CMD", "true"]));
        assert_eq!(body["Healthcheck"]["Interval"], 1_000_000_000);
        let host = &body["HostConfig"];
        assert_eq!(host["PortBindings"]["8080/tcp"][1]["HostIp"], "::1");
        assert_eq!(host["Mounts"][0]["Source"], "data-blue");
        assert_eq!(
            (&host["Memory"], &host["NanoCpus"]),
            (&json!(512_000_000), &json!(1_500_000_000))
        );
        assert_eq!(
            (&host["PidsLimit"], &host["NetworkMode"]),
            (&json!(200), &json!("front"))
        );
        let labels = &body["Labels"];
        assert_eq!(
            (&labels["team"], &labels["cutover.fence"]),
            (&json!("shop"), &json!("7"))
        );
        assert_eq!(labels["cutover.pulled"], "r/shop:v2");
    }

    #[test]
    fn the_fingerprint_is_of_what_was_written() {
        let of = |options: Value, fence: Option<&str>| {
            let fence = fence.map(ToOwned::to_owned);
            of(options, &Order { fence, ..order() }).fingerprint
        };
        let plain = of(json!({ "image": "r/shop" }), None);
        assert_eq!(plain, of(json!({ "image": "r/shop" }), Some("8")));
        assert_ne!(
            plain,
            of(json!({ "image": "r/shop", "env": { "A": "1" } }), None)
        );
        assert_ne!(
            plain,
            of(json!({ "image": "r/shop", "networks": ["x", "y"] }), None)
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (options, said) in [
            (
                json!({ "image": "x", "container": "shop" }),
                "put $SLOT into it",
            ),
            (
                json!({ "image": "x", "labels": { "cutover.app": "y" } }),
                "labels.cutover.app",
            ),
            (json!({ "image": "x", "digest": "sha256:1" }), "digest:"),
            (json!({ "image": "x", "steady": "2m" }), "steady:"),
            (json!({ "image": "x", "keep": 0 }), "keep:"),
            (
                json!({ "image": "x", "health": { "command": " " } }),
                "health.command",
            ),
            (
                json!({ "image": "x", "ports": { "a": "80:80", "b": "127.0.0.1:80:80" } }),
                "taken by a",
            ),
        ] {
            let options: Options = serde_json::from_value(options).unwrap();
            let refused = options.fit_together().unwrap_err();
            assert!(refused.contains(said), "{refused}");
        }
        let options = json!({ "image": "x", "ports": { "red": "80:80" } });
        let options: Options = serde_json::from_value(options).unwrap();
        let refused = Names::of(&options, &order())
            .map(drop)
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("says nothing of blue, only of red"),
            "{refused}"
        );
    }
}
