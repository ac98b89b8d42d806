//! Stand-ins for Slack, Discord and a webhook of somebody's own: each as strict as the real one
//! about what it takes, and with the real one's words where it does not.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::stand_in::{Asked, Reply, StandIn};

/// The part of a webhook's path that must never be seen anywhere.
pub(crate) const SECRET: &str = "s3cr3tPartOfTheUrl";

/// What goes wrong instead of an answer.
pub(crate) enum Fault {
    /// Too many requests, with the seconds to wait.
    TooMany(f64),
    /// A page that quotes the path, as web servers do.
    Page(u16),
    HangUp,
}

/// A message that was taken, and the headers that it came with.
type Heard = (Value, Vec<(String, String)>);

/// How a channel answers a message, and how it asks for a wait of some seconds.
type Manners = (&'static str, fn(&Value) -> Reply, fn(f64) -> Reply);

/// A channel: what kind it is, where it is, and what it heard.
pub(crate) struct Channel {
    pub(crate) url: String,
    heard: Arc<Mutex<Vec<Heard>>>,
    faults: Arc<Mutex<VecDeque<Fault>>>,
    _server: StandIn,
}

impl Channel {
    /// A stand-in for what the kind of that name talks to.
    pub(crate) async fn of(kind: &str) -> Self {
        let (path, take, too_many): Manners = match kind {
            "slack" => ("/services/T00/B00/", slack, slow_down),
            "discord" => ("/api/webhooks/123/", discord, discord_slow_down),
            "webhook" => ("/hook/", anything, slow_down),
            _ => panic!("no stand-in for notifiers of kind {kind}: add one here"),
        };
        let path = format!("{path}{SECRET}");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let faults = Arc::new(Mutex::new(VecDeque::new()));
        let server = {
            let (heard, faults, path) = (Arc::clone(&heard), Arc::clone(&faults), path.clone());
            StandIn::start(move |asked: Asked| {
                match faults.lock().unwrap().pop_front() {
                    Some(Fault::TooMany(seconds)) => return too_many(seconds),
                    Some(Fault::Page(status)) => {
                        let page = format!("<h1>cannot {} {}</h1>", asked.method, asked.path);
                        return Reply::of(status, page);
                    }
                    Some(Fault::HangUp) => return Reply::HangUp,
                    None => {}
                }
                if asked.method != "POST" || asked.path != path {
                    return Reply::of(404, "no_service");
                }
                if asked.only("content-type") != Some("application/json") {
                    return Reply::of(415, "invalid_content_type");
                }
                let Ok(message) = serde_json::from_slice::<Value>(&asked.body) else {
                    return Reply::of(400, "invalid_payload");
                };
                let reply = take(&message);
                if matches!(&reply, Reply::Answer { status, .. } if *status < 300) {
                    let headers = asked.headers.iter();
                    let headers = headers
                        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                        .collect();
                    heard.lock().unwrap().push((message, headers));
                }
                reply
            })
            .await
        };
        Self {
            url: format!("http://{}{path}", server.address),
            heard,
            faults,
            _server: server,
        }
    }

    pub(crate) fn order(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().unwrap().extend(faults);
    }

    /// The messages that were taken.
    pub(crate) fn heard(&self) -> Vec<Value> {
        let heard = self.heard.lock().unwrap();
        heard.iter().map(|(message, _)| message.clone()).collect()
    }

    /// A header of the last message that was taken.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let heard = self.heard.lock().unwrap();
        let (_, headers) = heard.last()?;
        let found = headers.iter().find(|(one, _)| one == name)?;
        Some(found.1.clone())
    }
}

fn slow_down(seconds: f64) -> Reply {
    Reply::of(429, "rate_limited").with("retry-after", seconds.ceil())
}

fn discord_slow_down(seconds: f64) -> Reply {
    let body = serde_json::json!({
        "message": "You are being rate limited.", "retry_after": seconds, "global": false,
    });
    Reply::of(429, body.to_string())
}

/// The length of a text as the strictest count it; texts that are missing have none.
fn length(value: &Value) -> usize {
    value.as_str().map_or(0, |text| text.encode_utf16().count())
}

/// Whether an object has these keys and no others; those with `!` must be there.
fn has_keys(value: &Value, keys: &[&str]) -> bool {
    let Some(map) = value.as_object() else {
        return false;
    };
    map.keys().all(|key| {
        keys.iter()
            .any(|known| known.trim_start_matches('!') == key)
    }) && keys
        .iter()
        .filter_map(|key| key.strip_prefix('!'))
        .all(|key| map.contains_key(key))
}

fn slack(message: &Value) -> Reply {
    if !has_keys(message, &["text", "blocks", "attachments"]) {
        return Reply::of(400, "invalid_payload");
    }
    if length(&message["text"]) == 0 {
        return Reply::of(400, "no_text");
    }
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let attachments = list(&message["attachments"]);
    for one in &attachments {
        let colour = one["color"].as_str().unwrap_or_default();
        if !has_keys(one, &["color", "fallback", "!blocks"])
            || colour.len() != 7
            || u32::from_str_radix(colour.trim_start_matches('#'), 16).is_err()
        {
            return Reply::of(400, "invalid_attachments");
        }
    }
    let nested = attachments.iter().flat_map(|one| list(&one["blocks"]));
    let blocks: Vec<Value> = list(&message["blocks"]).into_iter().chain(nested).collect();
    if blocks.len() > 50 || !blocks.iter().all(is_slack_block) {
        return Reply::of(400, "invalid_blocks");
    }
    Reply::of(200, "ok")
}

fn is_slack_block(block: &Value) -> bool {
    let all = |value: &Value, most: usize, is: &dyn Fn(&Value) -> bool| {
        value
            .as_array()
            .is_some_and(|all| !all.is_empty() && all.len() <= most && all.iter().all(is))
    };
    match block["type"].as_str() {
        Some("header") => {
            has_keys(block, &["!type", "!text"])
                && block["text"]["type"] == "plain_text"
                && is_slack_text(&block["text"], 150)
        }
        Some("section") => {
            has_keys(block, &["!type", "text", "fields"])
                && (block.get("text").is_some() || block.get("fields").is_some())
                && block
                    .get("text")
                    .is_none_or(|text| is_slack_text(text, 3000))
                && block
                    .get("fields")
                    .is_none_or(|fields| all(fields, 10, &|field| is_slack_text(field, 2000)))
        }
        Some("context") => {
            has_keys(block, &["!type", "!elements"])
                && all(&block["elements"], 10, &|one| is_slack_text(one, 2000))
        }
        _ => false,
    }
}

/// A text object: its length is right, and what is in `<>` is a link and nothing else.
fn is_slack_text(value: &Value, most: usize) -> bool {
    let text = value["text"].as_str().unwrap_or_default();
    let keys_fit = match value["type"].as_str() {
        Some("plain_text") => has_keys(value, &["!type", "!text", "emoji"]) && !text.contains('<'),
        Some("mrkdwn") => has_keys(value, &["!type", "!text", "verbatim"]),
        _ => false,
    };
    let links_fit = text
        .split('<')
        .skip(1)
        .all(|after| after.starts_with("http") && after.contains('>'));
    let entities_fit = text.split('&').skip(1).all(|after| {
        ["amp;", "lt;", "gt;"]
            .iter()
            .any(|name| after.starts_with(name))
    });
    keys_fit && links_fit && entities_fit && (1..=most).contains(&length(&value["text"]))
}

fn discord(message: &Value) -> Reply {
    let refused = |what: &str| {
        let body =
            serde_json::json!({ "message": "Invalid Form Body", "code": 50035, "errors": what });
        Reply::of(400, body.to_string())
    };
    if !has_keys(message, &["!embeds", "!allowed_mentions"])
        || message["allowed_mentions"] != serde_json::json!({ "parse": [] })
    {
        return refused("message");
    }
    let Some([embed]) = message["embeds"].as_array().map(Vec::as_slice) else {
        return refused("embeds");
    };
    let keys = ["!title", "!color", "description", "fields", "footer", "url"];
    if !has_keys(embed, &keys) || embed["color"].as_u64().is_none_or(|c| c > 0x00FF_FFFF) {
        return refused("embed");
    }
    let fields = embed["fields"].as_array().cloned().unwrap_or_default();
    let texts = [
        (&embed["title"], 256),
        (&embed["description"], 4096),
        (&embed["footer"]["text"], 2048),
    ];
    let of_fields = fields
        .iter()
        .flat_map(|field| [(&field["name"], 256), (&field["value"], 1024)]);
    let mut whole = 0;
    for (text, most) in texts.into_iter().chain(of_fields.clone()) {
        whole += length(text);
        if length(text) > most {
            return refused("too long");
        }
    }
    let no_empty = of_fields.into_iter().all(|(text, _)| length(text) > 0);
    let url_fits = embed
        .get("url")
        .is_none_or(|url| url.as_str().is_some_and(|url| url.starts_with("http")));
    if whole > 6000 || fields.len() > 25 || !no_empty || !url_fits {
        return refused("embed");
    }
    Reply::of(204, "")
}

fn anything(message: &Value) -> Reply {
    if message["schema_version"] == 1 && message["title"].is_string() {
        Reply::of(202, "thanks")
    } else {
        Reply::of(422, "what is this?")
    }
}
