//! What GitHub knows of runs and jobs: whether a run is over, and the deployment that it makes by
//! itself for a job with `environment:`; and the pages of its lists.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::{Fault, Github, Kept, Verb, refused};
use crate::world::stand_in::{Asked, Reply};

#[derive(Default)]
pub(super) struct Jobs {
    /// The deployment of each check run.
    check_runs: BTreeMap<u64, Option<u64>>,
    /// How each run stands.
    runs: BTreeMap<u64, String>,
    /// What goes wrong at which request, and whether with all after it too.
    ordered: Option<(usize, Fault, bool)>,
    struck: Option<Verb>,
}

impl Jobs {
    /// What happens to the `nth` request.
    pub(super) fn strike(&mut self, nth: usize, verb: Verb) -> Option<Fault> {
        let (at, fault, on) = self.ordered?;
        if nth == at || (on && nth > at) {
            self.struck.get_or_insert(verb);
            return Some(fault);
        }
        None
    }

    pub(super) fn check_run(&self, id: u64, deployments: &[Value]) -> Reply {
        let Some(of) = self.check_runs.get(&id) else {
            return refused(404, "Not Found");
        };
        let deployment = deployments.iter().find(|one| one["id"] == json!(of));
        let body = json!({ "id": id, "name": "deploy", "status": "in_progress", "deployment": deployment });
        Reply::of(200, body.to_string())
    }

    pub(super) fn run(&self, id: u64, began: Option<&str>) -> Reply {
        match self.runs.get(&id) {
            Some(status) => {
                let body = json!({ "id": id, "status": status, "conclusion": Value::Null, "run_attempt": 1,
                    "created_at": began.unwrap_or("2026-11-21T08:00:00Z") });
                Reply::of(200, body.to_string())
            }
            None => refused(404, "Not Found"),
        }
    }
}

impl Github {
    /// Something goes wrong with the `nth` request from now on, whatever it asks for; and, if
    /// `on`, with all after it.
    pub(crate) fn order_at(&self, nth: usize, fault: Fault, on: bool) {
        let mut kept = self.kept.lock().unwrap();
        let before = kept.asked.len();
        kept.jobs.ordered = Some((before + nth, fault, on));
    }

    /// How many requests came in that are no matter of the lock.
    pub(crate) fn calls_but_locks(&self) -> usize {
        let kept = self.kept.lock().unwrap();
        kept.asked.iter().filter(|verb| !verb.is_of_lock()).count()
    }

    /// The request that went wrong first.
    pub(crate) fn struck(&self) -> Option<Verb> {
        self.kept.lock().unwrap().jobs.struck
    }

    /// A job of run `run` begins in `environment`: GitHub makes a deployment for it, and its
    /// check run, which has the same number and a thousand, names it.
    pub(crate) fn job_begins(&self, environment: &str, sha: &str, run: u64) -> u64 {
        let mut kept = self.kept.lock().unwrap();
        let body =
            json!({ "ref": sha, "task": "deploy", "environment": environment, "payload": {} });
        let id = kept.create(&body)["id"].as_u64().unwrap();
        kept.jobs.check_runs.insert(id + 1000, Some(id));
        kept.jobs.runs.insert(run, "in_progress".to_owned());
        let url = format!("https://github.com/shop/storefront/actions/runs/{run}/job/77");
        for state in ["queued", "in_progress"] {
            kept.say(id, &json!({ "state": state, "log_url": url }));
        }
        id
    }

    /// A job ends: GitHub has the last word on the deployment that it made.
    pub(crate) fn job_ends(&self, deployment: u64, state: &str) {
        self.kept
            .lock()
            .unwrap()
            .say(deployment, &json!({ "state": state }));
    }

    /// Something newer took a deployment's place.
    pub(crate) fn is_followed(&self, id: u64, by: u64) {
        let said = format!("followed by deployment {by}");
        let body = json!({ "state": "inactive", "description": said });
        self.kept.lock().unwrap().say(id, &body);
    }

    /// A check run of a job without `environment:`.
    pub(crate) fn check_run_without_environment(&self, id: u64) {
        self.kept.lock().unwrap().jobs.check_runs.insert(id, None);
    }

    /// How a run stands from now on.
    pub(crate) fn run_is(&self, id: u64, status: &str) {
        self.kept
            .lock()
            .unwrap()
            .jobs
            .runs
            .insert(id, status.to_owned());
    }
}

impl Kept {
    /// `auto_inactive`: older successes of the same environment, unless that is `production`.
    pub(super) fn retire_like_github(&mut self, but: u64) {
        let environment = |kept: &Self, id: u64| {
            let found = kept.deployments.iter().find(|one| one["id"] == id);
            found.map(|one| one["environment"].clone())
        };
        let ours = environment(self, but);
        if ours == Some("production".into()) {
            return;
        }
        let older: Vec<u64> = self
            .statuses
            .iter()
            .filter(|(id, all)| **id < but && all.last().is_some_and(|s| s["state"] == "success"))
            .map(|(id, _)| *id)
            .filter(|id| environment(self, *id) == ours)
            .collect();
        for id in older {
            self.say(id, &json!({ "state": "inactive" }));
        }
    }
}

impl Verb {
    /// Whether it is a matter of the lock.
    pub(crate) const fn is_of_lock(self) -> bool {
        matches!(
            self,
            Self::ReadRef
                | Self::ReadCommit
                | Self::MakeTree
                | Self::MakeCommit
                | Self::CreateRef
                | Self::MoveRef
        )
    }
}

/// What a path below the repository is, and the number in it.
pub(super) fn route(method: &str, below: &str) -> Option<(Verb, Option<u64>)> {
    let parts: Vec<&str> = below.split('/').skip(1).collect();
    let id = |text: &str| text.parse::<u64>().ok();
    Some(match (method, parts.as_slice()) {
        ("GET", ["deployments"]) => (Verb::List, None),
        ("POST", ["deployments"]) => (Verb::Create, None),
        ("GET", ["deployments", of, "statuses"]) => (Verb::Statuses, Some(id(of)?)),
        ("POST", ["deployments", of, "statuses"]) => (Verb::Say, Some(id(of)?)),
        ("GET", ["check-runs", of]) => (Verb::CheckRun, Some(id(of)?)),
        ("GET", ["actions", "runs", of]) => (Verb::Run, Some(id(of)?)),
        _ => return None,
    })
}

/// A page of a list, and the way to the next one, which GitHub names by its own number for the
/// repository.
pub(super) fn paged(asked: &Asked, all: Vec<Value>) -> Reply {
    paged_as(asked, &all, |page| json!(page))
}

/// The same of a list in an object, under `key`.
pub(super) fn paged_in(asked: &Asked, key: &str, all: Vec<Value>) -> Reply {
    let count = all.len();
    paged_as(
        asked,
        &all,
        |page| json!({ "total_count": count, key: page }),
    )
}

fn paged_as(asked: &Asked, all: &[Value], shown: impl Fn(&[Value]) -> Value) -> Reply {
    let number = |name: &str, or: usize| {
        let found = asked.query.iter().find(|(key, _)| key == name);
        found.map_or(Some(or), |(_, value)| value.parse().ok())
    };
    let (Some(most @ 1..=100), Some(page @ 1..)) = (number("per_page", 30), number("page", 1))
    else {
        return super::invalid("per_page");
    };
    let rest = all.get((page - 1) * most..).unwrap_or_default();
    let this = &rest[..most.min(rest.len())];
    let reply = Reply::of(200, shown(this).to_string());
    if rest.len() <= most {
        return reply;
    }
    let path = asked
        .path
        .replace("/repos/shop/storefront/", "/repositories/4711/");
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(asked.query.iter().filter(|(key, _)| key != "page"));
    query.append_pair("page", &(page + 1).to_string());
    let host = asked.only("host").unwrap();
    let query = query.finish();
    reply.with(
        "link",
        format!("<http://{host}{path}?{query}>; rel=\"next\", <http://{host}{path}?page=99>; rel=\"last\""),
    )
}

pub(super) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs()
}
