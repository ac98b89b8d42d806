//! A stand-in for GitHub's API for deployments and refs: it takes what GitHub takes, refuses what GitHub
//! refuses, keeps what it was given, and goes wrong to order. Every request is held to GitHub's
//! own description; a test with one that does not fit fails at its end.

mod by_hand;
pub(crate) mod environments;
pub(crate) mod gates;
mod jobs;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::git_refs::GitRefs;
use super::github_rules::{wrong_in_deployment, wrong_in_status};
use super::openapi;
use super::stand_in::{Asked, Reply, StandIn};

pub(crate) const TOKEN: &str = "ghs_s3cr3tTokenOfTheTests";

/// What is asked for; faults are ordered by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Verb {
    List,
    Create,
    Statuses,
    Say,
    CheckRun,
    Run,
    ReadRef,
    ReadCommit,
    MakeTree,
    MakeCommit,
    CreateRef,
    MoveRef,
    ListEnvironments,
    ReadEnvironment,
    PutEnvironment,
    Policies,
    Allow,
    Forbid,
    User,
    Team,
    CheckRuns,
    CommitStatus,
    Branch,
    Rules,
    Approvals,
    Jobs,
    EnvironmentSecrets,
    RepositorySecrets,
    OrganizationSecrets,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// A page of HTML that quotes the token, with that status.
    Page(u16),
    /// It is done, and nobody hears of it.
    LostAfterEffect,
    /// It is not done, and nobody hears of it.
    HangUp,
    Silence,
    /// It is done, and the answer comes too late.
    Late,
    /// The token may not.
    Forbidden,
    /// Too many requests; wait so many seconds.
    TooMany(u64),
    /// All requests of the hour are spent; there are new ones in so many seconds.
    Spent(u64),
    NoJson,
    /// Instead of a deployment the default branch was merged.
    Merged,
}

#[derive(Default)]
struct Kept {
    deployments: Vec<Value>,
    statuses: BTreeMap<u64, Vec<Value>>,
    faults: HashMap<Verb, VecDeque<Fault>>,
    asked: Vec<Verb>,
    /// What GitHub's description does not allow.
    violations: Vec<String>,
    jobs: jobs::Jobs,
    gates: gates::Gates,
    payload_as_text: bool,
    git: GitRefs,
    environments: environments::Environments,
    latency: Duration,
    last_id: u64,
}

/// GitHub, for the repository `shop/storefront`, below `/api/v3`.
pub(crate) struct Github {
    pub(crate) api_url: String,
    kept: Arc<Mutex<Kept>>,
    _server: StandIn,
}

impl Github {
    pub(crate) async fn start() -> Self {
        let kept = Arc::new(Mutex::new(Kept::default()));
        let server = {
            let kept = Arc::clone(&kept);
            StandIn::start(move |asked| {
                let mut kept = kept.lock().unwrap();
                let reply = kept.hear(&asked);
                Reply::Later(kept.latency, Box::new(reply))
            })
            .await
        };
        Self {
            api_url: format!("http://{}/api/v3", server.address),
            kept,
            _server: server,
        }
    }

    pub(crate) fn order(&self, verb: Verb, faults: impl IntoIterator<Item = Fault>) {
        let mut kept = self.kept.lock().unwrap();
        kept.faults.entry(verb).or_default().extend(faults);
    }

    /// Takes back what was ordered and has not happened yet.
    pub(crate) fn forget_faults(&self) {
        self.kept.lock().unwrap().faults.clear();
    }

    /// From now on payloads are texts, as they are for some deployments.
    pub(crate) fn payload_as_text(&self) {
        self.kept.lock().unwrap().payload_as_text = true;
    }

    /// From now on every answer takes so long.
    pub(crate) fn take_your_time(&self, latency: Duration) {
        self.kept.lock().unwrap().latency = latency;
    }

    /// The repository's refs.
    pub(crate) fn git<T>(&self, with: impl FnOnce(&mut GitRefs) -> T) -> T {
        with(&mut self.kept.lock().unwrap().git)
    }

    pub(crate) fn deployments(&self) -> Vec<Value> {
        self.kept.lock().unwrap().deployments.clone()
    }

    /// The states of a deployment, oldest first.
    pub(crate) fn states(&self, id: u64) -> Vec<String> {
        let statuses = self.statuses(id);
        let state = |status: &Value| status["state"].as_str().unwrap().to_owned();
        statuses.iter().map(state).collect()
    }

    pub(crate) fn statuses(&self, id: u64) -> Vec<Value> {
        let kept = self.kept.lock().unwrap();
        kept.statuses.get(&id).cloned().unwrap_or_default()
    }

    pub(crate) fn asked(&self, verb: Verb) -> usize {
        let kept = self.kept.lock().unwrap();
        kept.asked.iter().filter(|one| **one == verb).count()
    }

    /// How many requests came in, of whatever kind.
    pub(crate) fn calls(&self) -> usize {
        self.kept.lock().unwrap().asked.len()
    }

    /// Puts a deployment and its state there, as somebody else would.
    pub(crate) fn put(&self, environment: &str, task: &str, payload: Value, state: &str) -> u64 {
        let mut kept = self.kept.lock().unwrap();
        let body = json!({
            "ref": "0ld", "task": task, "environment": environment, "payload": payload,
        });
        let id = kept.create(&body)["id"].as_u64().unwrap();
        kept.say(id, &json!({ "state": state }));
        id
    }
}

pub(crate) fn refused(status: u16, message: &str) -> Reply {
    let body = json!({ "message": message, "documentation_url": "https://docs.github.com/rest" });
    Reply::of(status, body.to_string())
}

fn invalid(field: &str) -> Reply {
    let body = json!({
        "message": "Validation Failed",
        "errors": [{ "resource": "Deployment", "code": "invalid", "field": field }],
        "documentation_url": "https://docs.github.com/rest",
    });
    Reply::of(422, body.to_string())
}

fn created(of: &Value) -> Reply {
    Reply::of(201, of.to_string())
}

impl Drop for Github {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let violations = &self.kept.lock().unwrap().violations;
            assert!(violations.is_empty(), "{}", violations.join("\n"));
        }
    }
}

impl Kept {
    fn hear(&mut self, asked: &Asked) -> Reply {
        match openapi::violation(asked) {
            None => self.answer(asked),
            Some(wrong) => {
                let reply = refused(422, &wrong);
                self.violations.push(wrong);
                reply
            }
        }
    }

    fn answer(&mut self, asked: &Asked) -> Reply {
        if asked.only("user-agent").is_none() {
            return Reply::of(403, "Request forbidden by administrative rules.");
        }
        if asked.only("authorization") != Some(&format!("Bearer {TOKEN}")) {
            return refused(401, "Bad credentials");
        }
        if asked.only("x-github-api-version") != Some("2022-11-28") {
            return refused(400, "Unknown API version");
        }
        if asked.only("accept") != Some("application/vnd.github+json") {
            return refused(415, "Unsupported 'Accept' header");
        }
        let path = openapi::below(&asked.path);
        let below = path.strip_prefix("/repos/shop/storefront").unwrap_or("");
        let route = jobs::route(&asked.method, below);
        let route = route.or_else(|| gates::route(&asked.method, below));
        let route = route.or_else(|| Some((GitRefs::verb(&asked.method, below)?, None)));
        let route = route.or_else(|| Some((environments::verb(&asked.method, &path)?, None)));
        let Some((verb, of)) = route else {
            return refused(404, "Not Found");
        };
        self.asked.push(verb);
        let fault = self.faults.get_mut(&verb).and_then(VecDeque::pop_front);
        let fault = fault.or_else(|| self.jobs.strike(self.asked.len(), verb));
        match fault {
            None => {}
            Some(Fault::LostAfterEffect) => {
                self.act(verb, of, asked);
                return Reply::HangUp;
            }
            Some(Fault::Late) => {
                self.act(verb, of, asked);
                return Reply::Silence;
            }
            Some(Fault::HangUp) => return Reply::HangUp,
            Some(Fault::Silence) => return Reply::Silence,
            Some(Fault::NoJson) => return Reply::of(200, "<html>fine</html>"),
            Some(Fault::Merged) => {
                let body = json!({ "message": "Auto-merged main into topic on deployment." });
                return Reply::of(202, body.to_string());
            }
            Some(Fault::Page(status)) => {
                let page = format!("<html>{TOKEN}{}</html>", "unicorn ".repeat(200));
                return Reply::of(status, page);
            }
            Some(Fault::TooMany(seconds)) => {
                return refused(403, "You have exceeded a secondary rate limit")
                    .with("retry-after", seconds);
            }
            Some(Fault::Spent(seconds)) => {
                return refused(429, "API rate limit exceeded for installation")
                    .with("x-ratelimit-remaining", 0)
                    .with("x-ratelimit-reset", jobs::now() + seconds);
            }
            Some(Fault::Forbidden) => {
                if let Some(no) = gates::forbidden(verb) {
                    return no;
                }
                let wanted = match GitRefs::verb(&asked.method, below) {
                    Some(_) => "contents=write",
                    None => "deployments=write",
                };
                return refused(403, "Resource not accessible by integration")
                    .with("x-accepted-github-permissions", wanted);
            }
        }
        self.act(verb, of, asked)
    }

    fn act(&mut self, verb: Verb, of: Option<u64>, asked: &Asked) -> Reply {
        let is_there = |id| self.deployments.iter().any(|one| one["id"] == id);
        if matches!(verb, Verb::Statuses | Verb::Say) && !of.is_some_and(is_there) {
            return refused(404, "Not Found");
        }
        let body = if !matches!(asked.method.as_str(), "GET" | "DELETE") {
            if asked.only("content-type") != Some("application/json") {
                return refused(400, "Problems parsing JSON");
            }
            match serde_json::from_slice::<Value>(&asked.body) {
                Ok(body) if body.is_object() => body,
                _ => return refused(400, "Problems parsing JSON"),
            }
        } else {
            Value::Null
        };
        match (verb, of) {
            (Verb::List, _) => self.list(asked),
            (Verb::CheckRun, Some(id)) => self.jobs.check_run(id, &self.deployments),
            (Verb::Run, Some(id)) => self.jobs.run(id, self.gates.run_began.as_deref()),
            (Verb::Create, _) => match wrong_in_deployment(&body) {
                Some(field) => invalid(field),
                None if body["auto_merge"] != json!(false) => {
                    refused(409, "Conflict merging main into topic")
                }
                None if body["required_contexts"] != json!([]) => {
                    refused(409, "Conflict: Commit status checks failed for topic.")
                }
                None => created(&self.create(&body)),
            },
            (Verb::Statuses, Some(id)) => {
                let of = self.statuses.get(&id).into_iter().flatten();
                jobs::paged(asked, of.rev().cloned().collect())
            }
            (Verb::Say, Some(id)) => match wrong_in_status(&body) {
                Some(field) => invalid(field),
                None => created(&self.say(id, &body)),
            },
            (Verb::Statuses | Verb::Say | Verb::CheckRun | Verb::Run, None) => {
                refused(404, "Not Found")
            }
            _ if verb.is_of_environments() => {
                let path = openapi::below(&asked.path);
                self.environments.answer(verb, &path, asked, &body)
            }
            _ => match self.gate(verb, asked) {
                Some(reply) => reply,
                None => self.git.answer(verb, &asked.path, &body),
            },
        }
    }

    fn list(&self, asked: &Asked) -> Reply {
        let mut found: Vec<Value> = self.deployments.iter().rev().cloned().collect();
        for (key, value) in &asked.query {
            if matches!(key.as_str(), "sha" | "ref" | "task" | "environment") {
                found.retain(|one| one[key] == value.as_str());
            }
        }
        jobs::paged(asked, found)
    }

    fn create(&mut self, body: &Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        let url = format!("https://api.github.com/repos/shop/storefront/deployments/{id}");
        let default = |key: &str, or: Value| body.get(key).cloned().unwrap_or(or);
        let mut payload = default("payload", "".into());
        if self.payload_as_text {
            payload = payload.to_string().into();
        }
        let deployment = json!({
            "id": id, "node_id": format!("DE_{id}"), "sha": body["ref"], "ref": body["ref"],
            "task": default("task", "deploy".into()),
            "environment": default("environment", "production".into()),
            "original_environment": default("environment", "production".into()),
            "description": default("description", Value::Null), "payload": payload,
            "creator": Value::Null, "statuses_url": format!("{url}/statuses"), "url": url,
            "repository_url": "https://api.github.com/repos/shop/storefront",
            "created_at": "2026-11-21T08:00:00Z", "updated_at": "2026-11-21T08:00:00Z",
            "a_field_of_next_year": true,
        });
        self.deployments.push(deployment.clone());
        deployment
    }

    fn say(&mut self, of: u64, body: &Value) -> Value {
        self.last_id += 1;
        let default = |key: &str| body.get(key).cloned().unwrap_or_else(|| "".into());
        let status = json!({
            "id": self.last_id, "node_id": "DS", "state": body["state"], "creator": Value::Null,
            "description": default("description"), "log_url": default("log_url"),
            "environment_url": default("environment_url"), "target_url": default("log_url"),
            "created_at": "2026-11-21T08:00:00Z", "updated_at": "2026-11-21T08:00:00Z",
        });
        self.statuses.entry(of).or_default().push(status.clone());
        if body["state"] == "success" && body.get("auto_inactive") != Some(&json!(false)) {
            self.retire_like_github(of);
        }
        status
    }
}
