//! What people do with environments on GitHub's own pages, and what a test sees there.

use serde_json::{Value, json};

use super::environments::{Environments, Rights, same};
use super::{Github, Verb};
use crate::world::stand_in::Reply;

impl Github {
    pub(crate) fn deployments(&self) -> Vec<Value> {
        self.kept.lock().unwrap().deployments.clone()
    }

    /// From now on all deployments so far are that old.
    pub(crate) fn deployments_are_of(&self, at: &str) {
        for deployment in &mut self.kept.lock().unwrap().deployments {
            deployment["created_at"] = at.into();
        }
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

    /// What the token may do from now on.
    pub(crate) fn grant(&self, rights: Rights) {
        self.environments(|all| all.rights = rights);
    }

    /// After `nth` more of these requests there is no answer to them; until `mend`.
    pub(crate) fn fail_after(&self, verb: Verb, nth: usize) {
        self.environments(|all| all.broken = Some((verb, nth)));
    }

    pub(crate) fn mend(&self) {
        self.environments(|all| all.broken = None);
    }

    /// People and teams of the owner, with their numbers.
    pub(crate) fn people(&self, users: &[(&str, u64)], teams: &[(&str, u64)]) {
        let owned = |all: &[(&str, u64)]| {
            all.iter()
                .map(|(name, id)| ((*name).to_owned(), *id))
                .collect::<Vec<_>>()
        };
        self.environments(|all| {
            all.users.extend(owned(users));
            all.teams.extend(owned(teams));
            all.organizations.insert("shop".to_owned(), 99);
        });
    }

    /// Puts an environment there, as a person would with GitHub's pages: the body of a request,
    /// and names of branches.
    pub(crate) fn environment_is(&self, name: &str, body: Value, branches: &[&str]) {
        self.environments(|all| {
            let at = all.all.iter().position(|one| same(&one.name, name));
            let Reply::Answer { status: 200, .. } = all.put(at, name, &body) else {
                panic!("{body} is not taken");
            };
            let at = all
                .all
                .iter()
                .position(|one| same(&one.name, name))
                .unwrap();
            for branch in branches {
                all.allow(at, &json!({ "name": branch }));
            }
            all.writes.clear();
        });
    }

    /// What a person can change, and the API cannot.
    pub(crate) fn admins_may_bypass(&self, name: &str, may: bool) {
        self.environments(|all| {
            let found = all.all.iter_mut().find(|one| same(&one.name, name));
            found.unwrap().can_admins_bypass = may;
        });
    }

    /// An environment as GitHub shows it, with the names of its policies.
    pub(crate) fn environment(&self, name: &str) -> Option<(Value, Vec<String>)> {
        self.environments(|all| {
            let found = all.all.iter().find(|one| same(&one.name, name))?;
            let names = found.policies.iter().map(|(_, name, _)| name.clone());
            Some((all.shown(found), names.collect()))
        })
    }

    /// What was changed of environments, in a few words each.
    pub(crate) fn environment_writes(&self) -> Vec<String> {
        self.environments(|all| all.writes.clone())
    }

    /// A private repository whose plan has neither reviewers nor wait timers: GitHub takes them,
    /// and has none.
    pub(crate) fn plan_is_free(&self) {
        self.environments(|all| all.plan_is_free = true);
    }

    fn environments<T>(&self, with: impl FnOnce(&mut Environments) -> T) -> T {
        with(&mut self.kept.lock().unwrap().environments)
    }
}
