//! What PagerDuty, Datadog and the workflows of Teams take, and their words where they do not.

use serde_json::{Value, json};

use super::channels::{SECRET, Sent, has_keys, length};
use super::stand_in::{Asked, Reply};

/// The routing key of the one service that there is.
pub(crate) fn routing_key() -> String {
    format!("{SECRET:0<32}")
}

/// The Events API v2.
pub(crate) fn pagerduty(asked: &Asked, event: &Value, sent: &mut Sent) -> Reply {
    let invalid = |what: &str| {
        let body = json!({
            "status": "invalid event", "message": "Event object is invalid", "errors": [what],
        });
        Reply::of(400, body.to_string())
    };
    if (asked.method.as_str(), asked.path.as_str()) != ("POST", "/v2/enqueue") {
        return Reply::of(404, "");
    }
    if asked.body.len() > 512 * 1024 {
        return Reply::of(413, "");
    }
    if length(&event["routing_key"]) != 32 {
        return invalid("'routing_key' is missing or has the wrong length");
    }
    if event["routing_key"] != routing_key() {
        return invalid("Invalid routing key");
    }
    let keys = [
        "!routing_key",
        "!event_action",
        "dedup_key",
        "payload",
        "client",
        "client_url",
        "links",
        "images",
    ];
    if !has_keys(event, &keys) {
        return invalid("unknown or missing field");
    }
    if event
        .get("dedup_key")
        .is_some_and(|key| !(1..=255).contains(&length(key)))
    {
        return invalid("'dedup_key' must have at most 255 characters");
    }
    let is_url = |value: &Value| value.as_str().is_some_and(|url| url.starts_with("http"));
    if event.get("client_url").is_some_and(|url| !is_url(url)) {
        return invalid("'client_url' is not a URL");
    }
    let links = event["links"].as_array().cloned().unwrap_or_default();
    if !links
        .iter()
        .all(|link| has_keys(link, &["!href", "text"]) && is_url(&link["href"]))
    {
        return invalid("'links' must have an href");
    }
    match event["event_action"].as_str() {
        Some("trigger") => {
            let payload = &event["payload"];
            let keys = [
                "!summary",
                "!source",
                "!severity",
                "timestamp",
                "component",
                "group",
                "class",
                "custom_details",
            ];
            if !has_keys(payload, &keys) {
                return invalid("'payload' has an unknown or a missing field");
            }
            if !(1..=1024).contains(&length(&payload["summary"])) {
                return invalid("'payload.summary' must have 1 to 1024 characters");
            }
            if length(&payload["source"]) == 0 {
                return invalid("'payload.source' is missing or blank");
            }
            let severities = ["critical", "error", "warning", "info"];
            if !payload["severity"]
                .as_str()
                .is_some_and(|one| severities.contains(&one))
            {
                return invalid(
                    "'payload.severity' is invalid (must be one of: 'critical', 'warning', 'error', 'info')",
                );
            }
            if payload
                .get("custom_details")
                .is_some_and(|details| !details.is_object())
            {
                return invalid("'payload.custom_details' is not an object");
            }
        }
        Some("acknowledge" | "resolve") if event.get("dedup_key").is_none() => {
            return invalid("'dedup_key' is missing");
        }
        Some("acknowledge" | "resolve") => {}
        _ => return invalid("'event_action' is missing or invalid"),
    }
    // The key is for PagerDuty alone; what others read of the event does not have it.
    let mut kept = event.clone();
    kept.as_object_mut().unwrap().remove("routing_key");
    sent.new_message(&kept);
    let body = json!({
        "status": "success", "message": "Event processed", "dedup_key": event["dedup_key"],
    });
    Reply::of(202, body.to_string())
}

/// The events API v1.
pub(crate) fn datadog(asked: &Asked, event: &Value, sent: &mut Sent) -> Reply {
    let no = |status: u16, what: &str| Reply::of(status, json!({ "errors": [what] }).to_string());
    if (asked.method.as_str(), asked.path.as_str()) != ("POST", "/api/v1/events") {
        return no(404, "Not found");
    }
    if asked.only("dd-api-key") != Some(SECRET) {
        return no(403, "Forbidden");
    }
    let keys = [
        "!title",
        "!text",
        "alert_type",
        "priority",
        "tags",
        "source_type_name",
        "aggregation_key",
        "date_happened",
        "host",
        "device_name",
        "related_event_id",
    ];
    if !has_keys(event, &keys) {
        return no(400, "Invalid JSON structure");
    }
    if !(1..=100).contains(&length(&event["title"])) || length(&event["text"]) > 4000 {
        return no(400, "title or text is too long or missing");
    }
    let types = [
        "error",
        "warning",
        "info",
        "success",
        "user_update",
        "recommendation",
        "snapshot",
    ];
    if !event["alert_type"]
        .as_str()
        .is_some_and(|one| types.contains(&one))
    {
        return no(400, "alert_type is not a type");
    }
    if !matches!(event["priority"].as_str(), Some("normal" | "low")) {
        return no(400, "priority is not one");
    }
    let tags = event["tags"].as_array().cloned().unwrap_or_default();
    let is_tag = |tag: &Value| {
        let plain = |c: char| !c.is_whitespace() && !c.is_uppercase() && c != ',';
        (1..=200).contains(&length(tag)) && tag.as_str().is_some_and(|tag| tag.chars().all(plain))
    };
    if !tags.iter().all(is_tag) || length(&event["aggregation_key"]) > 100 {
        return no(400, "a tag or the aggregation_key is wrong");
    }
    sent.new_message(event);
    Reply::of(
        202,
        json!({ "status": "ok", "event": { "id": 1 } }).to_string(),
    )
}

pub(crate) fn datadog_slow_down(seconds: f64) -> Reply {
    Reply::of(429, "").with("x-ratelimit-reset", seconds.ceil())
}

/// The webhook of a workflow.
pub(crate) fn teams(asked: &Asked, message: &Value, sent: &mut Sent) -> Reply {
    let no = |status: u16, code: &str, said: &str| {
        let body = json!({ "error": { "code": code, "message": said } });
        Reply::of(status, body.to_string())
    };
    if asked.body.len() > 28 * 1024 {
        return no(413, "RequestEntityTooLarge", "The message is too large.");
    }
    let bad = |said: &str| no(400, "TriggerInputSchemaMismatch", said);
    if !has_keys(message, &["!type", "!attachments"]) || message["type"] != "message" {
        return bad("type");
    }
    let Some([card]) = message["attachments"].as_array().map(Vec::as_slice) else {
        return bad("attachments");
    };
    if card["contentType"] != "application/vnd.microsoft.card.adaptive" {
        return bad("contentType");
    }
    let card = &card["content"];
    let keys = [
        "$schema",
        "!type",
        "!version",
        "!body",
        "actions",
        "msteams",
        "fallbackText",
    ];
    if !has_keys(card, &keys) || card["type"] != "AdaptiveCard" {
        return bad("AdaptiveCard");
    }
    if !matches!(
        card["version"].as_str(),
        Some("1.2" | "1.3" | "1.4" | "1.5")
    ) {
        return bad("version");
    }
    let blocks = card["body"].as_array().cloned().unwrap_or_default();
    if blocks.is_empty() || !blocks.iter().all(is_rich_text) {
        return bad("body");
    }
    let actions = card["actions"].as_array().cloned().unwrap_or_default();
    let opens = |action: &Value| {
        has_keys(action, &["!type", "!title", "!url"])
            && action["type"] == "Action.OpenUrl"
            && action["url"]
                .as_str()
                .is_some_and(|url| url.starts_with("http"))
    };
    if !actions.iter().all(opens) {
        return bad("actions");
    }
    sent.new_message(message);
    Reply::of(202, "")
}

/// A rich text block, of runs whose looks are a theme's own words.
fn is_rich_text(block: &Value) -> bool {
    let one_of = |value: Option<&Value>, words: &[&str]| {
        value.is_none_or(|value| value.as_str().is_some_and(|word| words.contains(&word)))
    };
    let is_run = |run: &Value| {
        has_keys(
            run,
            &["!type", "!text", "weight", "size", "color", "isSubtle"],
        ) && run["type"] == "TextRun"
            && length(&run["text"]) > 0
            && one_of(run.get("weight"), &["Default", "Lighter", "Bolder"])
            && one_of(run.get("size"), &["Small", "Default", "Medium", "Large"])
            && one_of(
                run.get("color"),
                &["Default", "Accent", "Good", "Warning", "Attention"],
            )
    };
    let runs = block["inlines"].as_array();
    has_keys(block, &["!type", "!inlines"])
        && block["type"] == "RichTextBlock"
        && runs.is_some_and(|runs| !runs.is_empty() && runs.iter().all(is_run))
}
