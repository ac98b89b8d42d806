//! The part of GitHub's stand-in that is environments: their protection, their branch policies,
//! and who can review. It refuses what GitHub refuses.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::jobs::paged_in;
use super::{Verb, refused};
use crate::world::stand_in::{Asked, Reply};

/// What a token may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Rights {
    /// See nothing of a private repository.
    Stranger,
    /// Read, as a workflow's own token with `actions: read`.
    #[default]
    Workflow,
    /// Read, as a person without admin rights.
    Reader,
    /// Change environments, and see the owner's teams.
    Admin,
}

/// An environment.
#[derive(Clone, Debug, Default)]
pub(super) struct Environment {
    pub(super) name: String,
    pub(super) id: u64,
    pub(super) wait_timer: u64,
    pub(super) prevent_self_review: bool,
    /// Each as its kind and number.
    pub(super) reviewers: Vec<(String, u64)>,
    /// `protected_branches` and `custom_branch_policies`.
    pub(super) kinds: Option<(bool, bool)>,
    /// Number, name and type.
    pub(super) policies: Vec<(u64, String, String)>,
    pub(super) can_admins_bypass: bool,
}

/// All environments of the repository, and the people.
#[derive(Default)]
pub(super) struct Environments {
    pub(super) all: Vec<Environment>,
    pub(super) users: BTreeMap<String, u64>,
    pub(super) organizations: BTreeMap<String, u64>,
    pub(super) teams: BTreeMap<String, u64>,
    pub(super) rights: Rights,
    /// What was changed, in a few words each.
    pub(super) writes: Vec<String>,
    pub(super) last_id: u64,
    /// From so many more of these on there is no answer.
    pub(super) broken: Option<(Verb, usize)>,
    pub(super) plan_is_free: bool,
}

/// What a path asks for.
pub(super) fn verb(method: &str, path: &str) -> Option<Verb> {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    Some(match (method, parts.as_slice()) {
        ("GET", ["users", _]) => Verb::User,
        ("GET", ["orgs", _, "teams", _]) => Verb::Team,
        (method, ["repos", "shop", "storefront", "environments", rest @ ..]) => {
            match (method, rest) {
                ("GET", []) => Verb::ListEnvironments,
                ("GET", [_]) => Verb::ReadEnvironment,
                ("PUT", [_]) => Verb::PutEnvironment,
                ("GET", [_, "deployment-branch-policies"]) => Verb::Policies,
                ("POST", [_, "deployment-branch-policies"]) => Verb::Allow,
                ("DELETE", [_, "deployment-branch-policies", _]) => Verb::Forbid,
                _ => return None,
            }
        }
        _ => return None,
    })
}

impl Environments {
    /// What a request comes to. `path` is below the API's address.
    pub(super) fn answer(&mut self, verb: Verb, path: &str, asked: &Asked, body: &Value) -> Reply {
        if let Some((broken, left)) = &mut self.broken
            && *broken == verb
        {
            if *left == 0 {
                return Reply::HangUp;
            }
            *left -= 1;
        }
        let parts: Vec<String> = path.split('/').skip(1).map(decoded).collect();
        let writes = matches!(verb, Verb::PutEnvironment | Verb::Allow | Verb::Forbid);
        let missing = || refused(404, "Not Found");
        match (self.rights, verb) {
            (_, Verb::User) => return self.user(&parts[1]),
            (Rights::Admin, Verb::Team) => return self.team(&parts[1], &parts[3]),
            (Rights::Workflow, Verb::Team) => {
                return refused(403, "Resource not accessible by integration");
            }
            (Rights::Stranger, _) | (_, Verb::Team) => return missing(),
            (Rights::Workflow, _) if writes => {
                return refused(403, "Resource not accessible by integration")
                    .with("x-accepted-github-permissions", "administration=write");
            }
            (Rights::Reader, _) if writes => return missing(),
            _ => {}
        }
        let name = parts.get(4).cloned().unwrap_or_default();
        let at = self.all.iter().position(|one| same(&one.name, &name));
        match (verb, at) {
            (Verb::ListEnvironments, _) => {
                let all = self.all.iter().map(|one| self.shown(one)).collect();
                paged_in(asked, "environments", all)
            }
            (Verb::PutEnvironment, at) => self.put(at, &name, body),
            (_, None) => missing(),
            (Verb::ReadEnvironment, Some(at)) => ok(&self.shown(&self.all[at])),
            (Verb::Policies, Some(at)) => {
                let all = self.all[at].policies.iter().map(policy).collect();
                paged_in(asked, "branch_policies", all)
            }
            // GitHub has policies only where an environment goes by them.
            (Verb::Allow, Some(at)) if self.all[at].kinds != Some((false, true)) => missing(),
            (Verb::Allow, Some(at)) => self.allow(at, body),
            (Verb::Forbid, Some(at)) => {
                let id = parts[6].parse::<u64>().unwrap_or_default();
                let policies = &mut self.all[at].policies;
                let Some(nth) = policies.iter().position(|(one, _, _)| *one == id) else {
                    return missing();
                };
                let (_, pattern, _) = policies.remove(nth);
                self.writes.push(format!("forbid {pattern}"));
                Reply::of(204, "")
            }
            _ => missing(),
        }
    }

    fn user(&self, login: &str) -> Reply {
        let people = [("User", &self.users), ("Organization", &self.organizations)];
        let found = people.iter().find_map(|(kind, all)| {
            let (name, id) = all.iter().find(|(name, _)| same(name, login))?;
            Some(json!({ "login": name, "id": id, "type": kind, "node_id": "U", "site_admin": false }))
        });
        found.map_or_else(|| refused(404, "Not Found"), |user| ok(&user))
    }

    fn team(&self, owner: &str, slug: &str) -> Reply {
        let found = self.teams.iter().find(|(name, _)| same(name, slug));
        match found {
            Some((name, id)) if owner == "shop" => ok(&json!({ "slug": name, "id": id })),
            _ => refused(404, "Not Found"),
        }
    }

    pub(super) fn put(&mut self, at: Option<usize>, name: &str, body: &Value) -> Reply {
        let none = Map::new();
        let body = body.as_object().unwrap_or(&none);
        for key in body.keys() {
            if !matches!(
                key.as_str(),
                "wait_timer" | "prevent_self_review" | "reviewers" | "deployment_branch_policy"
            ) {
                return wrong(&format!("\"{key}\" is not a permitted key."));
            }
        }
        if name.chars().count() > 255 {
            return wrong("Name is too long (maximum is 255 characters)");
        }
        let wait_timer = body.get("wait_timer").map_or(Some(0), Value::as_u64);
        let Some(mut wait_timer @ 0..=43_200) = wait_timer else {
            return wrong("Wait timer must be between 0 and 43200 minutes.");
        };
        let listed = body.get("reviewers").and_then(Value::as_array);
        let listed = listed.cloned().unwrap_or_default();
        if listed.len() > 6 {
            return wrong("Only 6 reviewers are allowed.");
        }
        let mut reviewers = Vec::new();
        for one in &listed {
            let (kind, id) = (one["type"].as_str().unwrap_or(""), one["id"].as_u64());
            let known = match kind {
                "User" => &self.users,
                "Team" => &self.teams,
                _ => return wrong("Invalid reviewer type."),
            };
            // Who has a number above a thousand may not read the repository.
            match id.filter(|id| *id < 1000 && known.values().any(|one| one == id)) {
                Some(id) => reviewers.push((kind.to_owned(), id)),
                None => {
                    return wrong(
                        "Failed to create the environment protection rule. Please ensure the reviewers have read access.",
                    );
                }
            }
        }
        let kinds = match body.get("deployment_branch_policy") {
            None | Some(Value::Null) => None,
            Some(policy) => {
                let of = |key: &str| policy[key].as_bool();
                match (of("protected_branches"), of("custom_branch_policies")) {
                    (Some(one), Some(other)) if one != other => Some((one, other)),
                    _ => {
                        return wrong(
                            "protected_branches and custom_branch_policies cannot have the same value.",
                        );
                    }
                }
            }
        };
        let at = at.unwrap_or_else(|| {
            self.last_id += 1;
            self.all.push(Environment {
                name: name.to_owned(),
                id: self.last_id,
                can_admins_bypass: true,
                ..Environment::default()
            });
            self.all.len() - 1
        });
        if self.plan_is_free {
            reviewers.clear();
            wait_timer = 0;
        }
        let own = &mut self.all[at];
        own.wait_timer = wait_timer;
        // It is a part of the rule that has the reviewers.
        own.prevent_self_review =
            !reviewers.is_empty() && body.get("prevent_self_review") == Some(&json!(true));
        own.reviewers = reviewers;
        own.kinds = kinds;
        self.writes.push(format!("put {name}"));
        ok(&self.shown(&self.all[at]))
    }

    pub(super) fn allow(&mut self, at: usize, body: &Value) -> Reply {
        let (name, kind) = (body["name"].as_str(), body["type"].as_str());
        let (Some(name), kind @ ("branch" | "tag")) = (name, kind.unwrap_or("branch")) else {
            return wrong("name and type are wanted");
        };
        self.last_id += 1;
        let policies = &mut self.all[at].policies;
        if policies
            .iter()
            .any(|(_, one, of)| one == name && of == kind)
        {
            return Reply::of(303, "");
        }
        let made = (self.last_id, name.to_owned(), kind.to_owned());
        policies.push(made.clone());
        self.writes.push(format!("allow {name}"));
        ok(&policy(&made))
    }

    /// An environment as GitHub shows it.
    pub(super) fn shown(&self, of: &Environment) -> Value {
        let mut rules = Vec::new();
        if of.wait_timer > 0 {
            rules.push(json!({ "id": 1, "node_id": "GA", "type": "wait_timer", "wait_timer": of.wait_timer }));
        }
        if !of.reviewers.is_empty() {
            let reviewers = of.reviewers.iter().map(|(kind, id)| {
                let (key, all) = match kind.as_str() {
                    "User" => ("login", &self.users),
                    _ => ("slug", &self.teams),
                };
                let (name, _) = all.iter().find(|(_, known)| *known == id).unwrap();
                json!({ "type": kind, "reviewer": { "id": id, key: name, "node_id": "R" } })
            });
            rules.push(json!({
                "id": 2, "node_id": "GA", "type": "required_reviewers",
                "prevent_self_review": of.prevent_self_review,
                "reviewers": reviewers.collect::<Vec<_>>(),
            }));
        }
        if of.kinds.is_some() {
            rules.push(json!({ "id": 3, "node_id": "GA", "type": "branch_policy" }));
        }
        let kinds = of.kinds.map(|(protected, custom)| {
            json!({ "protected_branches": protected, "custom_branch_policies": custom })
        });
        json!({
            "id": of.id, "node_id": "EN", "name": of.name, "url": "https://api.github.com/e",
            "html_url": "https://github.com/e", "created_at": "2026-11-21T08:00:00Z",
            "updated_at": "2026-11-21T08:00:00Z", "can_admins_bypass": of.can_admins_bypass,
            "protection_rules": rules, "deployment_branch_policy": kinds,
        })
    }
}

impl Verb {
    /// Whether it is a matter of environments.
    pub(crate) const fn is_of_environments(self) -> bool {
        matches!(
            self,
            Self::ListEnvironments
                | Self::ReadEnvironment
                | Self::PutEnvironment
                | Self::Policies
                | Self::Allow
                | Self::Forbid
                | Self::User
                | Self::Team
        )
    }
}

fn policy((id, name, kind): &(u64, String, String)) -> Value {
    json!({ "id": id, "node_id": "GA", "name": name, "type": kind })
}

fn ok(shown: &Value) -> Reply {
    Reply::of(200, shown.to_string())
}

fn wrong(said: &str) -> Reply {
    refused(422, &format!("Invalid request. {said}"))
}

/// Names are the same in any case.
pub(super) fn same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// A part of a path without its escapes.
fn decoded(part: &str) -> String {
    let pair = format!("x={}", part.replace('+', "%2B"));
    let (_, value) = url::form_urlencoded::parse(pair.as_bytes()).next().unwrap();
    value.into_owned()
}
