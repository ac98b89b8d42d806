//! What Slack takes, by an incoming webhook and by a bot's token, and its words where it does not.

use serde_json::{Value, json};

use super::channels::{SECRET, Sent, has_keys, length};
use super::stand_in::{Asked, Reply};

/// The channel that there is, by its id and by its name.
pub(crate) const CHANNEL: [&str; 2] = ["C024BE91L", "#deploys"];

pub(crate) fn webhook(_: &Asked, message: &Value, sent: &mut Sent) -> Reply {
    match wrong_in(message) {
        Some(word) => Reply::of(400, word),
        None => {
            sent.new_message(message);
            Reply::of(200, "ok")
        }
    }
}

/// The Web API, which says no with 200.
pub(crate) fn bot(asked: &Asked, message: &Value, sent: &mut Sent) -> Reply {
    let no = |word: &str| Reply::of(200, json!({ "ok": false, "error": word }).to_string());
    if asked.only("authorization") != Some(&format!("Bearer xoxb-{SECRET}")) {
        return no("invalid_auth");
    }
    let text = |key: &str| message[key].as_str().unwrap_or_default().to_owned();
    if !CHANNEL.contains(&text("channel").as_str()) {
        return no("channel_not_found");
    }
    let mut content = message.clone();
    let own = content.as_object_mut().unwrap();
    for key in [
        "channel",
        "ts",
        "thread_ts",
        "reply_broadcast",
        "unfurl_links",
    ] {
        own.remove(key);
    }
    if let Some(word) = wrong_in(&content) {
        return no(word);
    }
    let yes = |at: String| {
        let said = json!({ "ok": true, "channel": CHANNEL[0], "ts": at });
        Reply::of(200, said.to_string())
    };
    match asked.path.as_str() {
        "/api/chat.postMessage" => {
            if message.get("thread_ts").is_some() && !sent.has(&text("thread_ts")) {
                return no("thread_not_found");
            }
            yes(sent.new_message(message))
        }
        // A name will do to post, and not to edit.
        "/api/chat.update" if text("channel") != CHANNEL[0] => no("channel_not_found"),
        "/api/chat.update" if !sent.edit(&text("ts"), message) => no("message_not_found"),
        "/api/chat.update" => yes(text("ts")),
        _ => no("unknown_method"),
    }
}

/// Slack's word for what is wrong with a message.
fn wrong_in(message: &Value) -> Option<&'static str> {
    if !has_keys(message, &["text", "blocks", "attachments"]) {
        return Some("invalid_payload");
    }
    if length(&message["text"]) == 0 {
        return Some("no_text");
    }
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let attachments = list(&message["attachments"]);
    for one in &attachments {
        let colour = one["color"].as_str().unwrap_or_default();
        if !has_keys(one, &["color", "fallback", "!blocks"])
            || colour.len() != 7
            || u32::from_str_radix(colour.trim_start_matches('#'), 16).is_err()
        {
            return Some("invalid_attachments");
        }
    }
    let nested = attachments.iter().flat_map(|one| list(&one["blocks"]));
    let blocks: Vec<Value> = list(&message["blocks"]).into_iter().chain(nested).collect();
    if blocks.len() > 50 || !blocks.iter().all(is_slack_block) {
        return Some("invalid_blocks");
    }
    None
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
