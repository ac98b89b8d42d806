//! What GitHub's description of its API allows in a deployment and in a status.

use serde_json::Value;

/// The first field of a new deployment that GitHub's description does not allow.
pub(crate) fn wrong_in_deployment(body: &Value) -> Option<&'static str> {
    for (key, value) in body.as_object()? {
        let (name, fits) = match key.as_str() {
            "ref" => ("ref", value.as_str().is_some_and(|text| !text.is_empty())),
            "task" => ("task", value.is_string()),
            "auto_merge" => ("auto_merge", value.is_boolean()),
            "required_contexts" => ("required_contexts", value.is_array()),
            "payload" => ("payload", value.is_object() || value.is_string()),
            "environment" => ("environment", fits_in(value, 255)),
            "description" => ("description", fits_in(value, 140)),
            "transient_environment" => ("transient_environment", value.is_boolean()),
            "production_environment" => ("production_environment", value.is_boolean()),
            _ => ("unknown", false),
        };
        if !fits {
            return Some(name);
        }
    }
    body.get("ref").is_none().then_some("ref")
}

/// The first field of a new status that GitHub's description does not allow.
pub(crate) fn wrong_in_status(body: &Value) -> Option<&'static str> {
    const STATES: [&str; 7] = [
        "error",
        "failure",
        "inactive",
        "in_progress",
        "queued",
        "pending",
        "success",
    ];
    let is_url = |value: &Value| value.as_str().is_some_and(|url| url.starts_with("http"));
    for (key, value) in body.as_object()? {
        let (name, fits) = match key.as_str() {
            "state" => ("state", value.as_str().is_some_and(|s| STATES.contains(&s))),
            "log_url" => ("log_url", is_url(value)),
            "target_url" => ("target_url", is_url(value)),
            "environment_url" => ("environment_url", is_url(value)),
            "description" => ("description", fits_in(value, 140)),
            "environment" => ("environment", fits_in(value, 255)),
            "auto_inactive" => ("auto_inactive", value.is_boolean()),
            _ => ("unknown", false),
        };
        if !fits {
            return Some(name);
        }
    }
    body.get("state").is_none().then_some("state")
}

fn fits_in(value: &Value, most: usize) -> bool {
    value
        .as_str()
        .is_some_and(|text| text.chars().count() <= most)
}
