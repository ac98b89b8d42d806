//! What GitHub keeps of commits, branches, approvals, jobs and secrets, as somebody else made it;
//! every answer has the fields that GitHub's has, and lists have pages.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Github, Kept, Verb, jobs, refused};
use crate::world::stand_in::{Asked, Reply};

/// The commit that has checks.
pub(crate) const SHA: &str = "4f2a9c1d5e6f708192a3b4c5d6e7f8091a2b3c4d";

#[derive(Default)]
pub(super) struct Gates {
    checks: Vec<Value>,
    statuses: Vec<Value>,
    /// What each branch's protection requires: names and apps.
    branches: BTreeMap<String, Vec<(String, Option<i64>)>>,
    rules: Vec<Value>,
    approvals: Vec<Value>,
    jobs: Vec<Value>,
    /// When the run began.
    pub(super) run_began: Option<String>,
    /// The secrets of each place; a place that is not there is forbidden.
    secrets: BTreeMap<&'static str, Vec<Value>>,
    /// Whether what is not in `secrets` is not there rather than forbidden.
    lists_secrets: bool,
}

impl Github {
    fn gates(&self, with: impl FnOnce(&mut Gates)) {
        with(&mut self.kept.lock().unwrap().gates);
    }

    /// The commit has a check run; `conclusion` is `None` while it is not over.
    pub(crate) fn check(&self, name: &str, status: &str, conclusion: Option<&str>) {
        self.check_of(name, status, conclusion, 15368, 40);
    }

    /// The same, of an app and of a run.
    pub(crate) fn check_of(
        &self,
        name: &str,
        status: &str,
        conclusion: Option<&str>,
        app: u64,
        run: u64,
    ) {
        self.gates(|gates| {
            let id = 9000 + gates.checks.len() as u64;
            let url = format!("https://github.com/shop/storefront/actions/runs/{run}/job/{id}");
            gates.checks.push(json!({
                "id": id, "node_id": "CR", "head_sha": SHA, "external_id": "x", "name": name,
                "status": status, "conclusion": conclusion, "details_url": url, "html_url": url,
                "url": "https://api.github.com/x", "started_at": "2026-11-21T08:00:00Z",
                "completed_at": Value::Null, "output": {}, "check_suite": { "id": 5 },
                "app": { "id": app, "slug": "ci", "name": "CI" }, "pull_requests": [],
            }));
        });
    }

    /// The commit has a status.
    pub(crate) fn commit_status(&self, context: &str, state: &str) {
        self.gates(|gates| {
            gates.statuses.push(json!({
                "id": 1, "node_id": "SC", "state": state, "context": context,
                "description": Value::Null, "target_url": Value::Null, "avatar_url": Value::Null,
                "url": "https://api.github.com/x", "created_at": "2026-11-21T08:00:00Z",
                "updated_at": "2026-11-21T08:00:00Z",
            }));
        });
    }

    /// A branch, and what its protection requires.
    pub(crate) fn branch(&self, name: &str, required: &[(&str, Option<i64>)]) {
        let required = required
            .iter()
            .map(|(name, app)| ((*name).to_owned(), *app));
        self.gates(|gates| {
            gates.branches.insert(name.to_owned(), required.collect());
        });
    }

    /// A ruleset requires a check of every branch.
    pub(crate) fn rule(&self, context: &str) {
        self.gates(|gates| {
            gates.rules.push(json!({ "type": "deletion", "ruleset_id": 4, "ruleset_source": "x", "ruleset_source_type": "Repository" }));
            gates.rules.push(json!({
                "type": "required_status_checks", "ruleset_id": 4, "ruleset_source": "x",
                "ruleset_source_type": "Repository", "parameters": {
                    "strict_required_status_checks_policy": false,
                    "required_status_checks": [{ "context": context, "integration_id": 15368 }],
                },
            }));
        });
    }

    /// Somebody reviewed the run for an environment.
    pub(crate) fn review(&self, login: &str, state: &str, environment: &str) {
        self.gates(|gates| {
            gates.approvals.push(json!({
                "state": state, "comment": "", "user": { "login": login, "id": 1, "type": "User" },
                "environments": [{ "id": 3, "node_id": "E", "name": environment,
                    "created_at": "2020-11-23T22:00:40Z", "updated_at": "2020-11-23T22:00:40Z" }],
            }));
        });
    }

    /// A job of the run, on a runner, that began at that time.
    pub(crate) fn job(&self, id: u64, runner: &str, began: &str) {
        self.gates(|gates| {
            gates.jobs.push(json!({
                "id": id, "run_id": 42, "run_attempt": 1, "node_id": "J", "head_sha": SHA,
                "name": "deploy", "status": "in_progress", "conclusion": Value::Null,
                "created_at": began, "started_at": began, "completed_at": Value::Null,
                "runner_name": runner, "labels": [], "workflow_name": "Deploy",
            }));
        });
    }

    /// When the run began.
    pub(crate) fn run_began(&self, at: &str) {
        self.gates(|gates| gates.run_began = Some(at.to_owned()));
        self.run_is(42, "in_progress");
    }

    /// A deployment that GitHub made waited for its approval until that time.
    pub(crate) fn waited_until(&self, deployment: u64, at: &str) {
        let mut kept = self.kept.lock().unwrap();
        kept.say(deployment, &json!({ "state": "waiting" }));
        kept.say(deployment, &json!({ "state": "queued" }));
        let of = kept.statuses.get_mut(&deployment).unwrap();
        of.last_mut().unwrap()["created_at"] = at.into();
        kept.say(deployment, &json!({ "state": "in_progress" }));
    }

    /// The token may list the secrets of all places.
    pub(crate) fn lists_secrets(&self) {
        self.gates(|gates| gates.lists_secrets = true);
    }

    /// A secret, of `environment`, `repository` or `organization`.
    pub(crate) fn secret(&self, place: &'static str, name: &str, set: &str) {
        self.gates(|gates| {
            let of = gates.secrets.entry(place).or_default();
            of.push(
                json!({ "name": name, "created_at": "2020-01-01T00:00:00Z", "updated_at": set }),
            );
        });
    }
}

/// What a path below the repository is.
pub(super) fn route(method: &str, below: &str) -> Option<(Verb, Option<u64>)> {
    let parts: Vec<&str> = below.split('/').skip(1).collect();
    let verb = match (method, parts.as_slice()) {
        ("GET", ["commits", _, "check-runs"]) => Verb::CheckRuns,
        ("GET", ["commits", _, "status"]) => Verb::CommitStatus,
        ("GET", ["branches", _]) => Verb::Branch,
        ("GET", ["rules", "branches", _]) => Verb::Rules,
        ("GET", ["actions", "runs", "42", "approvals"]) => Verb::Approvals,
        ("GET", ["actions", "runs", "42", "attempts", "1", "jobs"]) => Verb::Jobs,
        ("GET", ["environments", _, "secrets"]) => Verb::EnvironmentSecrets,
        ("GET", ["actions", "secrets"]) => Verb::RepositorySecrets,
        ("GET", ["actions", "organization-secrets"]) => Verb::OrganizationSecrets,
        _ => return None,
    };
    Some((verb, None))
}

/// What the token misses; GitHub does not always name it.
pub(super) fn forbidden(verb: Verb) -> Option<Reply> {
    let no = || refused(403, "Resource not accessible by integration");
    Some(match verb {
        Verb::CheckRuns | Verb::CommitStatus | Verb::Approvals | Verb::Jobs => no(),
        Verb::Branch => no().with("x-accepted-github-permissions", "contents=read"),
        Verb::EnvironmentSecrets => no().with("x-accepted-github-permissions", "environments=read"),
        Verb::RepositorySecrets | Verb::OrganizationSecrets => {
            no().with("x-accepted-github-permissions", "secrets=read")
        }
        _ => return None,
    })
}

impl Kept {
    pub(super) fn gate(&self, verb: Verb, asked: &Asked) -> Option<Reply> {
        let gates = &self.gates;
        let part = asked.path.rsplit('/').next().unwrap();
        let of_commit = asked.path.contains(SHA);
        Some(match verb {
            Verb::CheckRuns | Verb::CommitStatus if !of_commit => {
                refused(422, "No commit found for SHA")
            }
            Verb::CheckRuns => wrapped(asked, "check_runs", &gates.checks),
            Verb::CommitStatus => wrapped(asked, "statuses", &gates.statuses),
            Verb::Branch => match gates.branches.get(&part.replace("%2F", "/")) {
                Some(required) => branch(part, required),
                None => refused(404, "Branch not found"),
            },
            Verb::Rules => jobs::paged(asked, gates.rules.clone()),
            Verb::Approvals => Reply::of(200, json!(gates.approvals).to_string()),
            Verb::Jobs => wrapped(asked, "jobs", &gates.jobs),
            Verb::EnvironmentSecrets => gates.shelf(asked, verb, "environment"),
            Verb::RepositorySecrets => gates.shelf(asked, verb, "repository"),
            Verb::OrganizationSecrets => gates.shelf(asked, verb, "organization"),
            _ => return None,
        })
    }
}

impl Gates {
    fn shelf(&self, asked: &Asked, verb: Verb, place: &str) -> Reply {
        match self.secrets.get(place) {
            Some(secrets) => wrapped(asked, "secrets", secrets),
            None if self.lists_secrets && place == "environment" => refused(404, "Not Found"),
            None if self.lists_secrets => wrapped(asked, "secrets", &[]),
            None => forbidden(verb).unwrap(),
        }
    }
}

fn branch(name: &str, required: &[(String, Option<i64>)]) -> Reply {
    let contexts: Vec<&String> = required.iter().map(|(name, _)| name).collect();
    let checks: Vec<Value> = required
        .iter()
        .map(|(name, app)| json!({ "context": name, "app_id": app }))
        .collect();
    let protection = match required.is_empty() {
        true => json!({ "enabled": false, "required_status_checks":
            { "enforcement_level": "off", "contexts": [], "checks": [] } }),
        false => json!({ "enabled": true, "required_status_checks":
            { "enforcement_level": "non_admins", "contexts": contexts, "checks": checks } }),
    };
    let body = json!({
        "name": name, "commit": { "sha": SHA }, "protected": !required.is_empty(),
        "protection": protection, "protection_url": "https://api.github.com/x",
    });
    Reply::of(200, body.to_string())
}

/// A page of a list in its wrapping.
fn wrapped(asked: &Asked, key: &str, all: &[Value]) -> Reply {
    match jobs::paged(asked, all.to_vec()) {
        Reply::Answer {
            status: 200,
            headers,
            body,
        } => {
            let page: Value = serde_json::from_str(&body).unwrap();
            let body = json!({ "total_count": all.len(), key: page }).to_string();
            Reply::Answer {
                status: 200,
                headers,
                body,
            }
        }
        other => other,
    }
}
