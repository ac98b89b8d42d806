//! The same for every kind of every seam, by its schema: whatever it takes as a text is a secret.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde_json::{Map, Value, json};

use super::leaks::{Said, config, nowhere, program};
use crate::world::channels::SECRET;

/// Every text of every kind is a secret: the block is refused, or its mode runs with it.
#[tokio::test]
async fn in_every_text_of_every_kind() {
    let schema = cutover::cast::schema();
    let mut base = config(&nowhere(), &[]);
    base["environments"]["production"]["notify"] = json!([]);
    let mut runs = Vec::new();
    for (seam, modes) in [
        ("target", &[&["deploy-slot", "--slot", "green"][..]][..]),
        ("hook", &[&["deploy-slot", "--slot", "green"]]),
        ("router", &[&["rollback"], &["router-config"]]),
        ("check", &[&["smoke-test", "--slot", "green"]]),
        ("metric", &[&["health-check"]]),
        ("notify", &[&["notify"]]),
        ("telemetry", &[&["smoke-test", "--slot", "green"]]),
    ] {
        for kind in schema["$defs"][seam]["oneOf"].as_array().unwrap() {
            for (n, block) in blocks(kind).into_iter().enumerate() {
                let mut config = base.clone();
                let production = &mut config["environments"]["production"];
                match seam {
                    "check" => {
                        let mut block = block;
                        block["retries"] = json!(0);
                        production["smoke"] = json!([block]);
                    }
                    "hook" => production["hooks"] = json!({ "before-deploy": [block] }),
                    "metric" => production["metrics"] = json!([brief(block)]),
                    "notify" | "telemetry" => production[seam] = json!([block]),
                    _ => production[seam] = block,
                }
                if seam != "router" {
                    production.as_object_mut().unwrap().remove("router");
                }
                let check: &[&[&str]] = if n < 2 { &[&["check"]] } else { &[] };
                for arguments in modes.iter().chain(check) {
                    runs.push((config.clone(), arguments.to_vec()));
                }
            }
        }
    }
    let mut codes: BTreeMap<i32, usize> = BTreeMap::new();
    for some in runs.chunks(4) {
        let ran = some.iter().map(|(config, arguments)| async move {
            // Where nobody answers, at once.
            let program = program(config).with("GITHUB_API_URL", "http://127.0.0.1:1");
            program.run(arguments).await
        });
        for ((config, arguments), ran) in some.iter().zip(join_all(ran).await) {
            *codes.entry(ran.code).or_default() += 1;
            let what = format!("{arguments:?} with {config}");
            Said::by(&ran).holds_no_secret(&what);
        }
    }
    println!("  {} runs, by exit code: {codes:?}", runs.len());
    assert!(codes.len() > 2, "they all ended alike: {codes:?}");
}

/// A load is as short as it can be.
fn brief(mut block: Value) -> Value {
    if block["kind"] == "prober" && block.get("duration").is_none() {
        block["duration"] = json!("1s");
    }
    block
}

/// Blocks of a kind: with awkward secrets also where no text fits, with awkward ones, with tame
/// ones, and then each key that can be left out by itself.
fn blocks(kind: &Value) -> Vec<Value> {
    let mut blocks = vec![
        filled(kind, true, "PLAIN"),
        filled(kind, false, "PLAIN"),
        filled(kind, false, "TAME"),
    ];
    let whole = blocks[2].as_object().unwrap().clone();
    let mut required: Vec<_> = required(kind).collect();
    // Without it these would speak to the real ones.
    let by_name = |name: &&str| whole["kind"] == **name;
    if ["slack-bot", "pagerduty", "datadog"].iter().any(by_name) {
        required.push("url");
    }
    // With `by-slot` these may be left out; nothing would be asked without them.
    for (kind, key) in [("prometheus", "queries"), ("json", "figures")] {
        if whole["kind"] == *kind {
            required.push(key);
        }
    }
    let optional = whole.keys().filter(|key| !required.contains(&key.as_str()));
    for one in optional {
        let mut block = whole.clone();
        block.retain(|key, _| key == one || required.contains(&key.as_str()));
        blocks.push(Value::Object(block));
    }
    blocks
}

fn required(kind: &Value) -> impl Iterator<Item = &str> {
    let required = kind["required"].as_array().into_iter().flatten();
    required.filter_map(Value::as_str)
}

/// A block of a kind with that secret in all its texts; with `formats` also where no text at all
/// fits: durations, choices.
fn filled(kind: &Value, formats: bool, secret: &str) -> Value {
    let text = format!("${{{secret}}}");
    let required: Vec<_> = required(kind).collect();
    let mut block = Map::new();
    for (name, of) in kind["properties"].as_object().unwrap() {
        let of = of["anyOf"].get(0).unwrap_or(of);
        let is = |wanted: &str| of["type"] == wanted || of["type"][0] == wanted;
        let value = if let Some(only) = of.get("const") {
            only.clone()
        } else if of["format"] == "uri" {
            "http://user:${IN_URL}@127.0.0.1:1/${IN_URL}?key=${IN_URL}".into()
        } else if of.get("format").is_some() || of.get("enum").is_some() {
            if !formats {
                continue;
            }
            text.clone().into()
        } else if is("string") && matches!(name.as_str(), "webhook" | "url") {
            format!("http://127.0.0.1:1/{SECRET}").into()
        } else if is("string") && name == "path" {
            format!("/{text}").into()
        } else if is("string") {
            text.clone().into()
        } else if of.get("additionalProperties").is_some_and(Value::is_object) {
            json!({ "X_ONE": text })
        } else if required.contains(&name.as_str()) && is("array") {
            json!([text, text])
        } else {
            continue;
        };
        block.insert(name.clone(), value);
    }
    if block.get("kind").is_some_and(|kind| kind == "http") && block.contains_key("path") {
        block.remove("url");
    }
    Value::Object(block)
}
