//! Which hosts and ports an environment's config names: what must be reachable before anything
//! is changed. Read from the blocks as they are written, whatever their kind; nobody is asked.

use serde_json::Value;
use url::Url;

use super::file::Environment;
use super::kinds::Block;

/// A host and a port, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `host:port`.
    pub address: String,
    /// What is there: `router`, `slot blue and health check`.
    pub what: Vec<String>,
    /// The slot whose own address it is, where it is nothing else.
    pub slot: Option<String>,
    /// Whether requests there go through the proxy of `HTTPS_PROXY`, where there is one.
    pub by_proxy: bool,
}

/// All endpoints that an environment names, each once.
pub fn endpoints(environment: &Environment) -> Vec<Endpoint> {
    let mut found = Vec::new();
    let mut add = |address: Option<String>, what: String, slot: Option<&str>, by_proxy: bool| {
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
            }
            None => found.push(Endpoint {
                address,
                what: vec![what],
                slot: slot.map(ToOwned::to_owned),
                by_proxy,
            }),
        }
    };
    let url = environment.url.get();
    add(of_url(url), "public URL".to_owned(), None, false);
    for (name, slot) in &environment.slots {
        let address = of_url(slot.url.get());
        add(address, format!("slot {name}"), Some(name), false);
    }
    for (name, member) in &environment.members {
        let address = of_url(member.url.get());
        add(address, format!("member {name}"), None, false);
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
            add(Some(address), what.to_owned(), None, by_proxy);
        }
    }
    found
}

fn named_by(block: &Block) -> Vec<String> {
    let mut found = Vec::new();
    // What is reached from another machine need not be reachable from this one.
    if block.options.contains_key("host") {
        return found;
    }
    for (key, value) in &block.options {
        walk(key, value, &mut found);
    }
    found
}

/// Looks below the keys that name a place: `url`, `generation-url`, `address`.
fn walk(key: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        // What is filled in later cannot be looked up now.
        Value::String(text) if text.contains("{{") => {}
        Value::String(text) if key == "url" || key.ends_with("-url") => {
            found.extend(Url::parse(text).ok().as_ref().and_then(of_url));
        }
        Value::String(text) if key == "address" => found.extend(of_address(text)),
        Value::Object(map) => map.iter().for_each(|(key, value)| walk(key, value, found)),
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
        let environment: Environment = serde_json::from_value(json!({
            "url": "https://shop.example.com",
            "slots": { "blue": { "url": "http://h:8001" }, "green": { "url": "http://h:8002/x" } },
            "release": { "kind": "header", "name": "X-Release" },
            "target": { "kind": "http", "url": "https://me:secret@deploy.example.com/x" },
            "router": { "kind": "http", "url": "http://[::1]:9/",
                "template": { "url": "http://x/{{slot}}", "read": { "url": "http://read" } } },
            "smoke": [check("db:5432"), { "kind": "http", "path": "/", "url": "http://h:8001" }],
            "health": { "checks": [check("db:5432"), check("unix:/run/x.sock")] },
        }))
        .unwrap();
        let found: Vec<String> = endpoints(&environment)
            .iter()
            .map(|it| format!("{} {:?} {}", it.address, it.slot, it.what.join("+")))
            .collect();
        assert_eq!(
            found,
            [
                "shop.example.com:443 None public URL",
                "h:8001 None slot blue+smoke check",
                "h:8002 Some(\"green\") slot green",
                "[::1]:9 None router",
                "read:80 None router",
                "deploy.example.com:443 None target",
                "db:5432 None smoke check+health check",
            ]
        );
    }
}
