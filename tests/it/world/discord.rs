//! What Discord takes by a webhook, and its words where it does not.

use serde_json::{Value, json};

use super::channels::{Sent, has_keys, length};
use super::stand_in::{Asked, Reply};

pub(crate) fn webhook(asked: &Asked, message: &Value, sent: &mut Sent) -> Reply {
    if let Some(what) = wrong_in(message) {
        let body = json!({ "message": "Invalid Form Body", "code": 50035, "errors": what });
        return Reply::of(400, body.to_string());
    }
    let waits = asked
        .query
        .iter()
        .any(|(key, value)| (key.as_str(), value.as_str()) == ("wait", "true"));
    let id = asked
        .path
        .rsplit_once("/messages/")
        .map(|(_, id)| id.to_owned());
    match (asked.method.as_str(), id) {
        ("PATCH", Some(id)) if sent.edit(&id, message) => {
            Reply::of(200, json!({ "id": id, "type": 0 }).to_string())
        }
        ("PATCH", Some(_)) => {
            let body = json!({ "message": "Unknown Message", "code": 10008 });
            Reply::of(404, body.to_string())
        }
        ("POST", None) => {
            let id = sent.new_message(message);
            if waits {
                Reply::of(200, json!({ "id": id, "type": 0 }).to_string())
            } else {
                Reply::of(204, "")
            }
        }
        _ => Reply::of(
            405,
            json!({ "message": "405: Method Not Allowed", "code": 0 }).to_string(),
        ),
    }
}

pub(crate) fn slow_down(seconds: f64) -> Reply {
    let body = json!({
        "message": "You are being rate limited.", "retry_after": seconds, "global": false,
    });
    Reply::of(429, body.to_string())
}

/// What is wrong with a message.
fn wrong_in(message: &Value) -> Option<&'static str> {
    if !has_keys(message, &["!embeds", "!allowed_mentions"])
        || message["allowed_mentions"] != json!({ "parse": [] })
    {
        return Some("message");
    }
    let Some([embed]) = message["embeds"].as_array().map(Vec::as_slice) else {
        return Some("embeds");
    };
    let keys = ["!title", "!color", "description", "fields", "footer", "url"];
    if !has_keys(embed, &keys) || embed["color"].as_u64().is_none_or(|c| c > 0x00FF_FFFF) {
        return Some("embed");
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
            return Some("too long");
        }
    }
    let no_empty = of_fields.into_iter().all(|(text, _)| length(text) > 0);
    let url_fits = embed
        .get("url")
        .is_none_or(|url| url.as_str().is_some_and(|url| url.starts_with("http")));
    if whole > 6000 || fields.len() > 25 || !no_empty || !url_fits {
        return Some("embed");
    }
    None
}
