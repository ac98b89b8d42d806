//! Which hosts and ports an environment's config names: what must be reachable before anything
//! is changed. Read from the blocks as they are written, whatever their kind; nobody is asked.

use serde_json::Value;
use url::Url;

use super::address::Address;
use super::file::Environment;
use super::kinds::Block;
use crate::model::hook::Moment;

/// A host and a port, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `host:port`.
    pub address: String,
    /// What is there: `router`, `slot blue and health check`.
    pub what: Vec<String>,
    /// The slot whose own address it is, where it is nothing else.
    pub slot: Option<String>,
    /// The host that reaches it for us, where this machine need not.
    pub over: Option<String>,
    /// Whether requests there go through the proxy of `HTTPS_PROXY`, where there is one.
    pub by_proxy: bool,
    /// Whether a run goes on without it: only hooks go there that are not required.
    pub optional: bool,
}

/// All endpoints that an environment names, each once.
pub fn endpoints(environment: &Environment) -> Vec<Endpoint> {
    let mut found = Vec::new();
    let mut add =
        |address: Option<String>, what: String, slot: Option<&str>, by_proxy, optional| {
            let Some(address) = address else { return };
            let there = found
                .iter_mut()
                .find(|one: &&mut Endpoint| one.address == address);
            match there {
                Some(one) => {
                    if !one.what.contains(&what) {
                        one.what.push(what);
                    }
                    if one.slot.as_deref() != slot {
                        one.slot = None;
                    }
                    one.by_proxy &= by_proxy;
                    one.optional &= optional;
                }
                None => found.push(Endpoint {
                    address,
                    what: vec![what],
                    slot: slot.map(ToOwned::to_owned),
                    over: None,
                    by_proxy,
                    optional,
                }),
            }
        };
    let url = environment.url.get();
    add(of_url(url), "public URL".to_owned(), None, false, false);
    for (name, slot) in &environment.slots {
        let address = of_url(slot.url.get());
        add(address, format!("slot {name}"), Some(name), false, false);
    }
    for (name, member) in &environment.members {
        let address = of_url(member.url.get());
        add(address, format!("member {name}"), None, false, false);
    }
    let router = environment.router.iter().map(|it| (&it.0, "router", true));
    let target = environment.target.iter().map(|it| (&it.0, "target", true));
    let smoke = environment
        .smoke
        .iter()
        .map(|it| (&it.0, "smoke check", false));
    let health = environment.health.checks.iter();
    let health = health.map(|it| (&it.0, "health check", false));
    for (block, what, by_proxy) in router.chain(target).chain(smoke).chain(health) {
        for address in named_by(block) {
            let by_proxy = by_proxy && block.kind == "http";
            add(Some(address), what.to_owned(), None, by_proxy, false);
        }
    }
    for moment in Moment::ALL {
        for hook in environment.hooks.at(moment) {
            let required = hook.0.options.get("required").and_then(Value::as_bool);
            let optional = !required.unwrap_or(moment.is_before());
            for address in named_by(&hook.0) {
                let what = format!("{} hook", moment.name());
                add(Some(address), what, None, true, optional);
            }
        }
    }
    for endpoint in &mut found {
        let to = Address::try_from(endpoint.address.clone());
        let leads = |addresses: &Vec<Address>| to.as_ref().is_ok_and(|to| addresses.contains(to));
        let over = environment.tunnels.iter().find(|it| leads(it.1));
        endpoint.over = over.map(|(host, _)| host.clone());
    }
    found
}

fn named_by(block: &Block) -> Vec<String> {
    let mut found = Vec::new();
    let afar = ["host", "hosts"].iter();
    let afar = afar.into_iter().any(|key| block.options.contains_key(*key));
    for (key, value) in &block.options {
        walk(key, value, afar, &mut found);
    }
    found
}

/// Looks below the keys that name a place: `url`, `generation-url`, `address`. An address that is
/// reached from another machine need not be reachable from this one.
fn walk(key: &str, value: &Value, afar: bool, found: &mut Vec<String>) {
    match value {
        // What is filled in later cannot be looked up now.
        Value::String(text) if text.contains("{{") => {}
        Value::String(text) if key == "url" || key.ends_with("-url") => {
            found.extend(Url::parse(text).ok().as_ref().and_then(of_url));
        }
        Value::String(text) if key == "address" && !afar => found.extend(of_address(text)),
        Value::Object(map) => {
            let afar = afar || map.contains_key("host");
            map.iter()
                .for_each(|(key, value)| walk(key, value, afar, found));
        }
        _ => {}
    }
}

fn of_url(url: &Url) -> Option<String> {
    let port = url.port_or_known_default()?;
    Some(format!("{}:{port}", url.host_str()?))
}

/// `host:port`, with or without `tcp:`; a Unix socket is no endpoint.
fn of_address(text: &str) -> Option<String> {
    let text = text.strip_prefix("tcp:").unwrap_or(text);
    let (host, port) = text.rsplit_once(':')?;
    let plain = !host.is_empty() && !host.contains('/') && host != "unix";
    (plain && port.parse::<u16>().is_ok()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_place_is_found_once() {
        let check = |what| json!({ "kind": "tcp", "address": what });
        let hook = |url| json!({ "kind": "http", "url": url });
        let environment: Environment = serde_json::from_value(json!({
            "url": "https://shop.example.com",
            "slots": { "blue": { "url": "http://h:8001" }, "green": { "url": "http://h:8002/x" } },
            "release": { "kind": "header", "name": "X-Release" },
            "target": { "kind": "http", "url": "https://me:secret@deploy.example.com/x" },
            "router": { "kind": "http", "url": "http://[::1]:9/",
                "template": { "url": "http://x/{{slot}}", "read": { "url": "http://read" } } },
            "smoke": [check("db:5432"), { "kind": "http", "path": "/", "url": "http://h:8001" }],
            "health": { "checks": [check("db:5432"), check("unix:/run/x.sock")] },
            "hooks": {
                "before-deploy": [hook("https://warm/{{slot}}"), hook("https://cache")],
                "before-switch": [hook("http://read/x")],
                "always": [hook("https://cache/x"), hook("https://chat"), { "kind": "command", "run": "x" }],
            },
        }))
        .unwrap();
        let found: Vec<String> = endpoints(&environment)
            .iter()
            .map(|it| {
                let optional = if it.optional { " (optional)" } else { "" };
                format!(
                    "{} {:?} {}{optional}",
                    it.address,
                    it.slot,
                    it.what.join("+")
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                "shop.example.com:443 None public URL",
                "h:8001 None slot blue+smoke check",
                "h:8002 Some(\"green\") slot green",
                "[::1]:9 None router",
                "read:80 None router+before-switch hook",
                "deploy.example.com:443 None target",
                "db:5432 None smoke check+health check",
                "cache:443 None before-deploy hook+always hook",
                "chat:443 None always hook (optional)",
            ]
        );
    }

    #[test]
    fn what_a_tunnel_leads_to_is_reached_over_its_host() {
        let environment: Environment = serde_json::from_value(json!({
            "url": "http://shop",
            "slots": { "blue": { "url": "http://127.0.0.1:8081" }, "green": { "url": "http://[::1]:8082" } },
            "release": { "kind": "header", "name": "X-Release" },
            "tunnels": { "web1": ["127.0.0.1:8081"], "web2": ["[::1]:8082", "127.0.0.1:1"] },
        }))
        .unwrap();
        let over: Vec<_> = endpoints(&environment)
            .into_iter()
            .map(|it| it.over)
            .collect();
        let host = |name: &str| Some(name.to_owned());
        assert_eq!(over, [None, host("web1"), host("web2")]);
    }

    #[test]
    fn what_is_reached_from_another_machine_is_not_looked_for_here() {
        let proxy = |more: Value| {
            let mut block = json!({ "kind": "haproxy", "address": "tcp:127.0.0.1:9999" });
            block
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            block
        };
        let found = |router: Value| {
            let environment: Environment = serde_json::from_value(json!({
                "url": "http://shop",
                "release": { "kind": "header", "name": "X-Release" },
                "router": router,
            }))
            .unwrap();
            endpoints(&environment).len() - 1
        };
        let on = || json!({ "host": "lb1" });
        assert_eq!(found(proxy(json!({}))), 1);
        assert_eq!(found(proxy(on())), 0);
        let nodes = json!({ "lb1": proxy(on()), "lb2": proxy(json!({})) });
        assert_eq!(found(json!({ "kind": "fleet", "nodes": nodes })), 1);
        let each = proxy(json!({}));
        assert_eq!(
            found(json!({ "kind": "fleet", "hosts": ["lb1"], "each": each })),
            0
        );
        // nginx is on a host, and this machine asks it.
        let asked = json!({
            "kind": "nginx", "host": "lb1", "include": "/x", "generation-url": "http://lb1/x",
        });
        assert_eq!(found(asked), 1);
    }
}
