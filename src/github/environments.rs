//! Environments: how GitHub protects them, and how to make it so.
//!
//! A change can be made twice without harm: an environment is put as a whole, and a branch policy
//! is looked for before it is asked for again. An environment that cannot be seen is told from
//! one that is not there by whether the token may see any.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::model::protection::{Origins, Pattern, Reviewer, Standing, Who};
use crate::platform::http::Http;
use crate::platform::secret::Secret;

use super::client::Client;
use super::patience::patiently;
use super::{GithubError, Repository};

/// The environments of one repository.
pub struct Environments {
    client: Client,
    owner: String,
}

/// An environment that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// How it is protected.
    pub standing: Standing,
    /// Its branch policies, with GitHub's numbers.
    pub policies: Vec<(u64, Pattern)>,
}

#[derive(Deserialize)]
struct FoundEnvironment {
    #[serde(default)]
    protection_rules: Vec<Rule>,
    deployment_branch_policy: Option<Kinds>,
    can_admins_bypass: Option<bool>,
}

/// A protection rule; one of a kind that is not known here has none of these.
#[derive(Deserialize)]
struct Rule {
    #[serde(rename = "type")]
    kind: String,
    wait_timer: Option<u64>,
    prevent_self_review: Option<bool>,
    #[serde(default)]
    reviewers: Vec<FoundReviewer>,
}

#[derive(Deserialize)]
struct FoundReviewer {
    #[serde(rename = "type")]
    kind: Kind,
    /// Null where the account is gone.
    reviewer: Option<Account>,
}

#[derive(Clone, Copy, Deserialize)]
enum Kind {
    User,
    Team,
}

/// A user has a login, a team a slug.
#[derive(Deserialize)]
struct Account {
    id: u64,
    #[serde(alias = "slug")]
    login: String,
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
struct Kinds {
    protected_branches: bool,
    custom_branch_policies: bool,
}

#[derive(Deserialize)]
struct Policies {
    branch_policies: Vec<Policy>,
}

#[derive(Deserialize)]
struct Policy {
    id: u64,
    name: String,
    #[serde(rename = "type")]
    kind: Option<String>,
}

impl Environments {
    /// The environments of a repository. Must be called inside of a runtime.
    ///
    /// # Errors
    /// When no client can be made of these.
    pub fn new(http: &Http, token: &Secret, repository: &Repository) -> Result<Self, GithubError> {
        Ok(Self {
            client: Client::new(http, token, repository)?,
            owner: repository.owner.clone(),
        })
    }

    /// The owner of the repository.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// How an environment is protected; `None` where there is none of that name.
    ///
    /// # Errors
    /// See [`GithubError`]; also where the token may not see it.
    pub async fn read(&self, name: &str) -> Result<Option<Found>, GithubError> {
        let what = format!("read environment {name}");
        let route = route(&what, name)?;
        let found: Result<FoundEnvironment, _> =
            patiently(&what, || self.client.get(&what, &route)).await;
        let found = match found {
            Ok(found) => found,
            Err(unseen @ GithubError::Refused { status: 404, .. }) => {
                let list = "/environments?per_page=1";
                let any: Result<Value, _> = patiently(&what, || self.client.get(&what, list)).await;
                return any.map(|_| None).map_err(|_| unseen);
            }
            Err(failed) => return Err(failed),
        };
        let kinds = found.deployment_branch_policy;
        let policies = match kinds {
            Some(kinds) if kinds.custom_branch_policies => self.policies(name).await?,
            _ => Vec::new(),
        };
        let origins = match kinds {
            Some(kinds) if kinds.custom_branch_policies => {
                Origins::Named(policies.iter().map(|(_, one)| one.clone()).collect())
            }
            Some(kinds) if kinds.protected_branches => Origins::Protected,
            _ => Origins::All,
        };
        let mut standing = Standing {
            origins,
            can_admins_bypass: found.can_admins_bypass,
            ..Standing::default()
        };
        for rule in found.protection_rules {
            match rule.kind.as_str() {
                "wait_timer" => standing.wait_timer = rule.wait_timer.unwrap_or_default(),
                "required_reviewers" => {
                    standing.prevent_self_review = rule.prevent_self_review.unwrap_or_default();
                    standing.reviewers = rule.reviewers.into_iter().filter_map(reviewer).collect();
                }
                _ => {}
            }
        }
        Ok(Some(Found { standing, policies }))
    }

    /// Makes an environment, or changes it; all of it but the names of branches, which are a
    /// matter of [`Self::allow`] and [`Self::forbid`]. `was` is how it was protected.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn put(
        &self,
        name: &str,
        shall: &Standing,
        was: &Standing,
    ) -> Result<(), GithubError> {
        let what = format!("set the protection of environment {name}");
        let route = route(&what, name)?;
        let reviewers = shall.reviewers.iter().map(|one| {
            let kind = match one.who {
                Who::User => "User",
                Who::Team => "Team",
            };
            json!({ "type": kind, "id": one.id })
        });
        let mut body = json!({
            "wait_timer": shall.wait_timer,
            "reviewers": reviewers.collect::<Vec<_>>(),
            "deployment_branch_policy": match &shall.origins {
                Origins::All => Value::Null,
                origins => json!({
                    "protected_branches": *origins == Origins::Protected,
                    "custom_branch_policies": *origins != Origins::Protected,
                }),
            },
        });
        // Older servers do not know the key.
        if shall.prevent_self_review || was.prevent_self_review {
            body["prevent_self_review"] = shall.prevent_self_review.into();
        }
        let _: Value = patiently(&what, || self.client.put(&what, &route, &body)).await?;
        Ok(())
    }

    /// All branch policies of an environment that goes by them.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn policies(&self, name: &str) -> Result<Vec<(u64, Pattern)>, GithubError> {
        let what = format!("list the branch policies of environment {name}");
        patiently(&what, || self.policies_once(&what, name)).await
    }

    async fn policies_once(
        &self,
        what: &str,
        name: &str,
    ) -> Result<Vec<(u64, Pattern)>, GithubError> {
        let mut all = Vec::new();
        let mut next = Some(self.client.first_page(
            &format!("{}/deployment-branch-policies", route(what, name)?),
            &[("per_page", "100")],
        ));
        while let Some(page) = next {
            let (found, more): (Policies, _) = self.client.page(what, &page).await?;
            all.extend(found.branch_policies.into_iter().map(|one| {
                let pattern = match one.kind.as_deref() {
                    Some("tag") => Pattern::Tag(one.name),
                    _ => Pattern::Branch(one.name),
                };
                (one.id, pattern)
            }));
            next = more;
        }
        Ok(all)
    }

    /// Lets a pattern through, once, however often the answer gets lost.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn allow(&self, name: &str, pattern: &Pattern) -> Result<(), GithubError> {
        let what = format!("allow {pattern} in environment {name}");
        let route = format!("{}/deployment-branch-policies", route(&what, name)?);
        let body = match pattern {
            Pattern::Branch(name) => json!({ "name": name, "type": "branch" }),
            Pattern::Tag(name) => json!({ "name": name, "type": "tag" }),
        };
        let asked_before = AtomicBool::new(false);
        patiently(&what, || async {
            if asked_before.swap(true, Ordering::Relaxed) {
                let all = self.policies_once(&what, name).await?;
                if all.iter().any(|(_, one)| one == pattern) {
                    return Ok(());
                }
            }
            let made: Result<Value, _> = self.client.post(&what, &route, &body).await;
            match made {
                // It is there already.
                Ok(_) | Err(GithubError::Refused { status: 303, .. }) => Ok(()),
                Err(failed) => Err(failed),
            }
        })
        .await
    }

    /// Takes a branch policy away. One that is gone already is gone.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn forbid(
        &self,
        name: &str,
        policy: u64,
        pattern: &Pattern,
    ) -> Result<(), GithubError> {
        let what = format!("forbid {pattern} in environment {name}");
        let route = format!(
            "{}/deployment-branch-policies/{policy}",
            route(&what, name)?
        );
        let asked_before = AtomicBool::new(false);
        patiently(&what, || async {
            let again = asked_before.swap(true, Ordering::Relaxed);
            match self.client.delete(&what, &route).await {
                Err(GithubError::Refused { status: 404, .. }) if again => Ok(()),
                outcome => outcome,
            }
        })
        .await
    }

    /// The person of that login; `None` where there is none.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn user(&self, login: &str) -> Result<Option<Reviewer>, GithubError> {
        let found = self
            .account(&format!("look up user {login}"), &format!("/users/{login}"))
            .await?;
        let people = found.filter(|one| one.kind.as_deref().is_none_or(|kind| kind == "User"));
        Ok(people.map(|account| named(Who::User, account)))
    }

    /// The owner's team of that slug; `None` where there is none, or the token may not see it.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn team(&self, slug: &str) -> Result<Option<Reviewer>, GithubError> {
        let route = format!("/orgs/{}/teams/{slug}", self.owner);
        let found = self
            .account(&format!("look up team {slug}"), &route)
            .await?;
        Ok(found.map(|account| named(Who::Team, account)))
    }

    async fn account(&self, what: &str, path: &str) -> Result<Option<Account>, GithubError> {
        let found = patiently(what, || self.client.get_at(what, path)).await;
        match found {
            Ok(found) => Ok(Some(found)),
            Err(GithubError::Refused { status: 404, .. }) => Ok(None),
            Err(failed) => Err(failed),
        }
    }
}

fn reviewer(found: FoundReviewer) -> Option<Reviewer> {
    let who = match found.kind {
        Kind::User => Who::User,
        Kind::Team => Who::Team,
    };
    found.reviewer.map(|account| named(who, account))
}

fn named(who: Who, account: Account) -> Reviewer {
    Reviewer {
        who,
        id: account.id,
        name: account.login,
    }
}

/// The way to an environment, whatever its name has in it.
fn route(what: &str, name: &str) -> Result<String, GithubError> {
    // A client would take these for steps of the path, and ask for something else.
    if matches!(name, "" | "." | "..") || name.chars().count() > 255 {
        return Err(GithubError::Unreadable {
            what: what.to_owned(),
            said: "GitHub has no environment of such a name".to_owned(),
        });
    }
    let byte = |byte: u8| match char::from(byte) {
        plain if plain.is_ascii_alphanumeric() || "-._~".contains(plain) => plain.to_string(),
        _ => format!("%{byte:02X}"),
    };
    let encoded: String = name.bytes().map(byte).collect();
    Ok(format!("/environments/{encoded}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_part_of_the_path() {
        let route = |name| route("read it", name).unwrap_or_else(|failed| failed.to_string());
        assert_eq!(route("production"), "/environments/production");
        assert_eq!(
            route("production/eu west"),
            "/environments/production%2Feu%20west"
        );
        assert_eq!(route("größe?#%"), "/environments/gr%C3%B6%C3%9Fe%3F%23%25");
        for odd in ["", ".", "..", "x".repeat(256).as_str()] {
            assert!(
                route(odd).contains("no environment of such a name"),
                "{odd}"
            );
        }
    }
}
