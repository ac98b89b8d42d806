//! Where in Caddy's configuration the slots are proxied to. Pure.
//!
//! A Caddyfile has no `@id`s and its JSON is not what its author sees, so whoever names a wrong
//! place is told the right ones.

use serde_json::Value;

use super::handler::{Dials, dial};

/// The places of all `reverse_proxy` handlers with an upstream of ours: as the `@id`, where it
/// has one, or as the path.
pub(super) fn handlers(config: &Value, dials: &Dials) -> Vec<String> {
    let mut found = Vec::new();
    walk(config, "", dials, &mut found);
    found
}

fn walk(value: &Value, path: &str, dials: &Dials, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            let upstreams = fields.get("upstreams").and_then(Value::as_array);
            let ours = upstreams.is_some_and(|upstreams| {
                upstreams
                    .iter()
                    .any(|one| dials.iter().any(|known| known == dial(one)))
            });
            if ours
                && fields
                    .get("handler")
                    .is_some_and(|is| is == "reverse_proxy")
            {
                let id = fields.get("@id").and_then(Value::as_str);
                found.push(id.unwrap_or(path).to_owned());
            }
            for (name, value) in fields {
                walk(value, &format!("{path}/{name}"), dials, found);
            }
        }
        Value::Array(values) => {
            for (nth, value) in values.iter().enumerate() {
                walk(value, &format!("{path}/{nth}"), dials, found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn handlers_are_found_however_deep_and_only_ours() {
        let proxy =
            |dial: &str| json!({ "handler": "reverse_proxy", "upstreams": [{ "dial": dial }] });
        let mut named = proxy("g:2");
        named["@id"] = json!("live");
        let config = json!({ "apps": { "http": { "servers": { "srv0": { "routes": [
            { "handle": [{ "handler": "subroute", "routes": [{ "handle": [proxy("b:1")] }] }] },
            { "handle": [named, proxy("c:3")] },
        ] } } } } });
        let found = handlers(&config, &["b:1".to_owned(), "g:2".to_owned()]);
        let deep = "/apps/http/servers/srv0/routes/0/handle/0/routes/0/handle/0";
        assert_eq!(found, [deep, "live"]);
    }
}
