//! Stand-ins for the channels that people are told through: each as strict as the real one about
//! what it takes, and with the real one's words where it does not. They keep what they were sent,
//! and go wrong to order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use cutover::config::kinds::Block;
use serde_json::{Value, json};

use super::stand_in::{Asked, Reply, StandIn};
use super::{discord, pagers, slack};

/// What must never be seen anywhere: the part of a webhook's path, or the key of an API.
pub(crate) const SECRET: &str = "s3cr3tPartOfTheUrl";

/// What goes wrong instead of an answer.
#[derive(Clone, Copy)]
pub(crate) enum Fault {
    /// Too many requests, with the seconds to wait.
    TooMany(f64),
    /// A page that quotes the path, as web servers do.
    Page(u16),
    HangUp,
    /// It is done, and nobody hears of it.
    LostAfterEffect,
}

/// What a channel was sent.
#[derive(Default)]
pub(crate) struct Sent {
    /// Everything, in order: new messages and edits.
    heard: Vec<Value>,
    /// The messages as they stand, by their ids.
    messages: Vec<(String, Value)>,
}

impl Sent {
    pub(crate) fn new_message(&mut self, message: &Value) -> String {
        let id = format!("1700.{:06}", self.messages.len() + 1);
        self.heard.push(message.clone());
        self.messages.push((id.clone(), message.clone()));
        id
    }

    pub(crate) fn has(&self, id: &str) -> bool {
        self.messages.iter().any(|(one, _)| one == id)
    }

    /// Edits a message; whether it is there.
    pub(crate) fn edit(&mut self, id: &str, message: &Value) -> bool {
        let Some((_, one)) = self.messages.iter_mut().find(|(one, _)| one == id) else {
            return false;
        };
        *one = message.clone();
        self.heard.push(message.clone());
        true
    }
}

/// How a channel takes a message.
type Take = fn(&Asked, &Value, &mut Sent) -> Reply;

/// A channel: what kind it is, where it is, and what it heard.
pub(crate) struct Channel {
    kind: String,
    pub(crate) url: String,
    sent: Arc<Mutex<Sent>>,
    headers: Arc<Mutex<Vec<(String, String)>>>,
    faults: Arc<Mutex<VecDeque<Fault>>>,
    asked: Arc<Mutex<usize>>,
    _server: StandIn,
}

impl Channel {
    /// A stand-in for what the kind of that name talks to.
    pub(crate) async fn of(kind: &str) -> Self {
        let hook = |path: &str| format!("{path}{SECRET}");
        let (root, take): (String, Take) = match kind {
            "slack" => (hook("/services/T00/B00/"), slack::webhook),
            "slack-bot" => ("/api".to_owned(), slack::bot),
            "discord" => (hook("/api/webhooks/123/"), discord::webhook),
            "teams" => (hook("/workflows/"), pagers::teams),
            "pagerduty" => (String::new(), pagers::pagerduty),
            "datadog" => (String::new(), pagers::datadog),
            "webhook" => (hook("/hook/"), anything),
            _ => panic!("no stand-in for notifiers of kind {kind}: add one here"),
        };
        let too_many = match kind {
            "discord" => discord::slow_down,
            "datadog" => pagers::datadog_slow_down,
            _ => slow_down,
        };
        let sent = Arc::new(Mutex::new(Sent::default()));
        let headers: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let faults = Arc::new(Mutex::new(VecDeque::new()));
        let asked_so_far = Arc::new(Mutex::new(0));
        let server = {
            let (sent, headers, faults, root, count) = (
                Arc::clone(&sent),
                Arc::clone(&headers),
                Arc::clone(&faults),
                root.clone(),
                Arc::clone(&asked_so_far),
            );
            StandIn::start(move |asked: Asked| {
                *count.lock().unwrap() += 1;
                let fault = faults.lock().unwrap().pop_front();
                match fault {
                    Some(Fault::TooMany(seconds)) => return too_many(seconds),
                    Some(Fault::Page(status)) => {
                        let page = format!("<h1>cannot {} {}</h1>", asked.method, asked.path);
                        return Reply::of(status, page);
                    }
                    Some(Fault::HangUp) => return Reply::HangUp,
                    Some(Fault::LostAfterEffect) | None => {}
                }
                let below = asked.path.strip_prefix(&root);
                if asked.method == "GET"
                    || below.is_none_or(|it| !(it.is_empty() || it.starts_with('/')))
                {
                    return Reply::of(404, "no_service");
                }
                if asked.only("content-type") != Some("application/json") {
                    return Reply::of(415, "invalid_content_type");
                }
                let Ok(message) = serde_json::from_slice::<Value>(&asked.body) else {
                    return Reply::of(400, "invalid_payload");
                };
                let reply = take(&asked, &message, &mut sent.lock().unwrap());
                let all = asked.headers.iter();
                *headers.lock().unwrap() = all
                    .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                    .collect();
                match fault {
                    Some(Fault::LostAfterEffect) => Reply::HangUp,
                    _ => reply,
                }
            })
            .await
        };
        Self {
            kind: kind.to_owned(),
            url: format!("http://{}{root}", server.address),
            sent,
            headers,
            faults,
            asked: asked_so_far,
            _server: server,
        }
    }

    /// The block that leads there.
    pub(crate) fn block(&self) -> Block {
        block_at(&self.kind, &self.url)
    }

    /// The same, as it stands in a config.
    pub(crate) fn value(&self) -> Value {
        let block = self.block();
        let mut all = Value::Object(block.options);
        all["kind"] = block.kind.into();
        all
    }

    pub(crate) fn order(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().unwrap().extend(faults);
    }

    /// Takes back what was ordered and has not happened yet.
    pub(crate) fn forget_faults(&self) {
        self.faults.lock().unwrap().clear();
    }

    /// Takes all messages away, as a person would.
    pub(crate) fn tidy_up(&self) {
        self.sent.lock().unwrap().messages.clear();
    }

    /// The messages and edits that were taken.
    pub(crate) fn heard(&self) -> Vec<Value> {
        self.sent.lock().unwrap().heard.clone()
    }

    /// The messages as they stand.
    pub(crate) fn shown(&self) -> Vec<Value> {
        let sent = self.sent.lock().unwrap();
        sent.messages.iter().map(|(_, one)| one.clone()).collect()
    }

    /// How many requests came.
    pub(crate) fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }

    /// A header of the last message that came.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let headers = self.headers.lock().unwrap();
        let found = headers.iter().find(|(one, _)| one == name)?;
        Some(found.1.clone())
    }
}

/// The block of a kind at a URL, with its secret.
pub(crate) fn block_at(kind: &str, url: &str) -> Block {
    let options = match kind {
        "webhook" => json!({ "kind": kind, "url": url }),
        "slack-bot" => json!({
            "kind": kind, "url": url, "channel": slack::CHANNEL[1], "token": format!("xoxb-{SECRET}"),
        }),
        "pagerduty" => json!({ "kind": kind, "url": url, "routing-key": pagers::routing_key() }),
        "datadog" => json!({ "kind": kind, "url": url, "api-key": SECRET, "tags": ["team:shop"] }),
        _ => json!({ "kind": kind, "webhook": url }),
    };
    serde_json::from_value(options).unwrap()
}

fn slow_down(seconds: f64) -> Reply {
    Reply::of(429, "rate_limited").with("retry-after", seconds.ceil())
}

/// The length of a text as the strictest count it; texts that are missing have none.
pub(crate) fn length(value: &Value) -> usize {
    value.as_str().map_or(0, |text| text.encode_utf16().count())
}

/// Whether an object has these keys and no others; those with `!` must be there.
pub(crate) fn has_keys(value: &Value, keys: &[&str]) -> bool {
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

fn anything(_: &Asked, message: &Value, sent: &mut Sent) -> Reply {
    if message["schema_version"] == 1 && message["title"].is_string() {
        sent.new_message(message);
        Reply::of(202, "thanks")
    } else {
        Reply::of(422, "what is this?")
    }
}
