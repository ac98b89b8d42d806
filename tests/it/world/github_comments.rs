//! The part of GitHub's stand-in that keeps comments: pull requests and issues alike.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::github::{Fault, refused};
use super::openapi;
use super::stand_in::{Asked, Reply};

/// The comments of the repository.
#[derive(Default)]
pub(crate) struct Comments {
    /// All comments: `id`, `issue`, `body`, `user`, `author_association`.
    pub(crate) all: Vec<Value>,
    /// The issues and pull requests that there are.
    pub(crate) issues: Vec<u64>,
    /// The pull requests of each commit, as number and state.
    pub(crate) pulls: BTreeMap<String, Vec<(u64, &'static str)>>,
    /// What goes wrong with the next requests of a method.
    pub(crate) faults: BTreeMap<&'static str, VecDeque<Fault>>,
    /// The methods that were asked.
    pub(crate) asked: Vec<String>,
}

impl Comments {
    /// Puts a comment there, as somebody of that kind would.
    pub(crate) fn put(&mut self, issue: u64, body: &str, kind: &str, association: &str) -> u64 {
        let id = 1000 + self.all.len() as u64;
        self.all.push(json!({
            "id": id, "issue": issue, "body": body, "author_association": association,
            "user": { "login": "somebody", "type": kind },
        }));
        id
    }

    pub(crate) fn bodies(&self) -> Vec<String> {
        let body = |one: &Value| one["body"].as_str().unwrap().to_owned();
        self.all.iter().map(body).collect()
    }

    /// The answer, where the request is about comments.
    pub(crate) fn answer(&mut self, asked: &Asked) -> Option<Reply> {
        let path = openapi::below(&asked.path);
        let below = path.strip_prefix("/repos/shop/storefront")?;
        if let Some(rest) = below.strip_prefix("/commits/") {
            let sha = rest.strip_suffix("/pulls")?;
            let pulls = self.pulls.get(sha).into_iter().flatten();
            let pulls: Vec<Value> = pulls
                .map(|(number, state)| json!({ "number": number, "state": state }))
                .collect();
            return Some(Reply::of(200, Value::from(pulls).to_string()));
        }
        let rest = below.strip_prefix("/issues/")?;
        self.asked.push(asked.method.clone());
        let fault = self
            .faults
            .get_mut(asked.method.as_str())
            .and_then(VecDeque::pop_front);
        Some(match fault {
            Some(Fault::LostAfterEffect) => {
                self.act(asked, rest);
                Reply::HangUp
            }
            Some(Fault::HangUp) => Reply::HangUp,
            Some(Fault::Page(status)) => Reply::of(status, "<html>unicorn</html>"),
            Some(Fault::Forbidden) => refused(403, "Resource not accessible by integration").with(
                "x-accepted-github-permissions",
                "issues=write; pull_requests=write",
            ),
            Some(other) => panic!("{other:?} is not for comments"),
            None => self.act(asked, rest),
        })
    }

    fn act(&mut self, asked: &Asked, rest: &str) -> Reply {
        let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        let text = body["body"].as_str().unwrap_or_default().to_owned();
        let fits = body.as_object().is_some_and(|keys| keys.len() == 1)
            && (1..=65_536).contains(&text.chars().count());
        let invalid = || refused(422, "Validation Failed");
        if let Some(id) = rest.strip_prefix("comments/") {
            let id: Option<u64> = id.parse().ok();
            let found = self.all.iter_mut().find(|one| one["id"].as_u64() == id);
            return match (asked.method.as_str(), found) {
                ("PATCH", Some(_)) if !fits => invalid(),
                ("PATCH", Some(one)) => {
                    one["body"] = text.into();
                    Reply::of(200, one.to_string())
                }
                _ => refused(404, "Not Found"),
            };
        }
        let issue = rest
            .strip_suffix("/comments")
            .and_then(|it| it.parse().ok());
        let Some(issue) = issue.filter(|issue| self.issues.contains(issue)) else {
            return refused(404, "Not Found");
        };
        match asked.method.as_str() {
            "POST" if !fits => invalid(),
            "POST" => {
                self.put(issue, &text, "Bot", "NONE");
                Reply::of(201, self.all.last().unwrap().to_string())
            }
            _ => self.list(issue, asked),
        }
    }

    fn list(&self, issue: u64, asked: &Asked) -> Reply {
        let query = &asked.query;
        let number = |name: &str, or: usize| {
            let found = query.iter().find(|(key, _)| key == name);
            found.map_or(or, |(_, value)| value.parse().unwrap())
        };
        let (page, size) = (number("page", 1), number("per_page", 30));
        assert!(page >= 1 && (1..=100).contains(&size), "{query:?}");
        let of_issue = self.all.iter().filter(|one| one["issue"] == issue);
        let found: Vec<&Value> = of_issue.skip((page - 1) * size).take(size).collect();
        let full = found.len() == size;
        let reply = Reply::of(200, json!(found).to_string());
        if !full {
            return reply;
        }
        let (host, path) = (asked.only("host").unwrap(), &asked.path);
        let next = format!("http://{host}{path}?per_page={size}&page={}", page + 1);
        reply.with("link", format!("<{next}>; rel=\"next\""))
    }
}
