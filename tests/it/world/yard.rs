//! An environment that writes down who changed it and when: two slots, a router, a deploy API.
//! Something can be done to a run in the middle of a change.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::stand_in::{Asked, Reply, StandIn};

/// A deployment takes its time, so that two at once would meet.
const DEPLOYING: Duration = Duration::from_millis(60);

type Deed = Box<dyn FnOnce() + Send>;

struct State {
    releases: [String; 2],
    green: u64,
    version: u64,
    changes: Vec<String>,
    deed: Option<(String, Deed)>,
}

/// The yard.
pub(crate) struct Yard {
    state: Arc<Mutex<State>>,
    servers: Vec<StandIn>,
}

impl Yard {
    /// Blue is live with `v1`.
    pub(crate) async fn open() -> Self {
        let state = Arc::new(Mutex::new(State {
            releases: ["v1".into(), "v0".into()],
            green: 0,
            version: 1,
            changes: Vec::new(),
            deed: None,
        }));
        let mut servers = Vec::new();
        for door in 0..4 {
            let state = Arc::clone(&state);
            let answer = move |asked: Asked| state.lock().unwrap().answer(door, &asked);
            servers.push(StandIn::start(answer).await);
        }
        Self { state, servers }
    }

    /// The config of its environment, with lines of the caller's.
    pub(crate) fn config(&self, watch: &str, lock: &str) -> String {
        let at = |door: usize| format!("http://{}", self.servers[door].address);
        format!(
            "version: 1
app: storefront
environments:
  production:
    url: {}
    slots: {{ blue: {{ url: '{}' }}, green: {{ url: '{}' }} }}
    release: {{ kind: header, name: X-Release }}
    router: {{ kind: http, url: '{api}/weights' }}
    target: {{ kind: http, url: '{api}/deploy' }}
    strategy: {{ kind: blue-green, watch: {watch}, wait: 5s }}
    proof: {{ answers: 2, within: 5s }}
    prober: {{ rate: 0 }}
    lock: {{ {lock} }}
",
            at(0),
            at(1),
            at(2),
            api = at(3)
        )
    }

    /// Who changed what, in order: `deploy v2`, `weights v2`.
    pub(crate) fn changes(&self) -> Vec<String> {
        self.state.lock().unwrap().changes.clone()
    }

    /// What users get.
    pub(crate) fn served(&self) -> String {
        let state = self.state.lock().unwrap();
        state.releases[usize::from(state.green == 100)].clone()
    }

    /// Does a deed when that change has just been made, before its answer.
    pub(crate) fn after(&self, change: &str, deed: impl FnOnce() + Send + 'static) {
        self.state.lock().unwrap().deed = Some((change.to_owned(), Box::new(deed)));
    }
}

impl State {
    fn answer(&mut self, door: usize, asked: &Asked) -> Reply {
        let slot = match door {
            0 => usize::from(self.green == 100),
            1 | 2 => door - 1,
            _ => return self.api(asked),
        };
        Reply::of(200, "hello").with("x-release", &self.releases[slot])
    }

    fn api(&mut self, asked: &Asked) -> Reply {
        let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        let tag = format!("\"{}\"", self.version);
        match (asked.method.as_str(), asked.path.as_str()) {
            ("GET", "/weights") => self.weights(),
            ("PUT", "/weights") if asked.only("if-match") != Some(&tag) => {
                Reply::of(412, "changed by someone else")
            }
            ("PUT", "/weights") => {
                self.green = body["weights"]["green"].as_u64().unwrap();
                self.version += 1;
                let reason = body["reason"].as_str().unwrap_or_default();
                let whose = reason.rsplit(' ').next().unwrap_or_default().to_owned();
                self.changed(format!("weights {whose}"));
                self.weights()
            }
            ("POST", "/deploy") => {
                let version = body["version"].as_str().unwrap().to_owned();
                let slot = usize::from(body["slot"] == "green");
                self.releases[slot].clone_from(&version);
                self.changed(format!("deploy {version}"));
                Reply::Later(DEPLOYING, Box::new(Reply::of(200, "")))
            }
            _ => Reply::of(404, "no such page"),
        }
    }

    fn weights(&self) -> Reply {
        let body = json!({
            "weights": { "blue": 100 - self.green, "green": self.green },
            "version": self.version, "applied": self.version,
        });
        Reply::of(200, body.to_string()).with("etag", format!("\"{}\"", self.version))
    }

    fn changed(&mut self, change: String) {
        if let Some((_, deed)) = self.deed.take_if(|(at, _)| *at == change) {
            deed();
        }
        self.changes.push(change);
    }
}
