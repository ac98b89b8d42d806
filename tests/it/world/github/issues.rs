//! The issues of GitHub's stand-in: opened, commented on, changed and closed as GitHub does it,
//! with tags for what has not changed; and the members of teams.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Github, Verb, refused};
use crate::world::stand_in::{Asked, Reply};

/// Who the token belongs to.
const OPENER: &str = "github-actions[bot]";

#[derive(Default)]
pub(super) struct Issues {
    all: BTreeMap<u64, Value>,
    comments: BTreeMap<u64, Vec<Value>>,
    teams: BTreeMap<String, Vec<String>>,
    are_off: bool,
    last: u64,
    last_comment: u64,
    /// How many questions were answered with "as before".
    unchanged: usize,
}

/// What a path is, below the API's address, and the number in it.
pub(super) fn route(method: &str, path: &str) -> Option<(Verb, Option<u64>)> {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let number = |text: &str| text.parse::<u64>().ok();
    Some(match (method, parts.as_slice()) {
        ("GET", ["orgs", _, "teams", _, "members"]) => (Verb::Members, None),
        (_, ["repos", "shop", "storefront", rest @ ..]) => match (method, rest) {
            ("GET", ["issues"]) => (Verb::ListIssues, None),
            ("POST", ["issues"]) => (Verb::OpenIssue, None),
            ("GET", ["issues", n]) => (Verb::ReadIssue, Some(number(n)?)),
            ("PATCH", ["issues", n]) => (Verb::ChangeIssue, Some(number(n)?)),
            ("GET", ["issues", n, "comments"]) => (Verb::Comments, Some(number(n)?)),
            ("POST", ["issues", n, "comments"]) => (Verb::Comment, Some(number(n)?)),
            _ => return None,
        },
        _ => return None,
    })
}

impl Issues {
    /// Whether a path, below the API's address, is about one of its issues.
    pub(super) fn know(&self, path: &str) -> bool {
        let rest = path.strip_prefix("/repos/shop/storefront/issues/");
        let number = rest.and_then(|rest| rest.split('/').next()?.parse().ok());
        number.is_some_and(|number: u64| self.all.contains_key(&number))
    }
}

fn now() -> String {
    let now = jiff::Timestamp::now().as_second();
    jiff::Timestamp::from_second(now).unwrap().to_string()
}

fn user(login: &str) -> Value {
    let kind = if login.ends_with("[bot]") {
        "Bot"
    } else {
        "User"
    };
    json!({ "login": login, "id": 7, "type": kind, "site_admin": false })
}

fn texts(value: &Value) -> bool {
    value
        .as_array()
        .is_some_and(|all| all.iter().all(Value::is_string))
}

/// The first field that is not as GitHub wants it.
fn wrong(body: &Value, is_new: bool) -> Option<String> {
    for (key, value) in body.as_object()? {
        let fits = match key.as_str() {
            "title" => value
                .as_str()
                .is_some_and(|title| !title.trim().is_empty() && title.chars().count() <= 256),
            "body" => value.as_str().is_some_and(|text| text.len() <= 65_536),
            "labels" | "assignees" => texts(value),
            "state" => !is_new && (value == "open" || value == "closed"),
            "state_reason" => {
                !is_new && (value == "completed" || value == "not_planned" || value == "reopened")
            }
            _ => false,
        };
        if !fits {
            return Some(key.clone());
        }
    }
    (is_new && body.get("title").is_none()).then(|| "title".to_owned())
}

impl Issues {
    pub(super) fn answer(
        &mut self,
        verb: Verb,
        of: Option<u64>,
        asked: &Asked,
        body: &Value,
    ) -> Reply {
        let is_there = of.is_none_or(|number| self.all.contains_key(&number));
        if !is_there {
            return refused(404, "Not Found");
        }
        if self.are_off && verb != Verb::Members {
            return refused(410, "Issues has been disabled in this repository.");
        }
        match (verb, of) {
            (Verb::ListIssues, _) => self.list(asked),
            (Verb::OpenIssue, _) => match wrong(body, true) {
                Some(field) => invalid(&field),
                None => {
                    let number = self.open(body, OPENER);
                    Reply::of(201, self.all[&number].to_string())
                }
            },
            (Verb::ReadIssue, Some(number)) => {
                let found = self.all[&number].to_string();
                self.unless_known(asked, found)
            }
            (Verb::ChangeIssue, Some(number)) => match wrong(body, false) {
                Some(field) => invalid(&field),
                None => {
                    self.change(number, body, OPENER);
                    Reply::of(200, self.all[&number].to_string())
                }
            },
            (Verb::Comments, Some(number)) => self.comments_of(number, asked),
            (Verb::Comment, Some(number)) => match body["body"].as_str() {
                Some(text) if (1..=65_536).contains(&text.chars().count()) => {
                    let made = self.comment(number, OPENER, text, now());
                    Reply::of(201, made.to_string())
                }
                _ => invalid("body"),
            },
            (Verb::Members, _) => self.members(asked),
            _ => refused(404, "Not Found"),
        }
    }

    fn list(&mut self, asked: &Asked) -> Reply {
        let given = |name: &str| {
            let found = asked.query.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.as_str())
        };
        let state = given("state").unwrap_or("open");
        let labels = given("labels").unwrap_or_default().split(',');
        let labels: Vec<&str> = labels.filter(|label| !label.is_empty()).collect();
        let has = |issue: &Value, label: &str| {
            let all = issue["labels"].as_array().unwrap();
            all.iter().any(|one| one["name"] == label)
        };
        let mut found: Vec<Value> = self
            .all
            .values()
            .filter(|issue| state == "all" || issue["state"] == state)
            .filter(|issue| labels.iter().all(|label| has(issue, label)))
            .cloned()
            .collect();
        if given("direction") != Some("asc") {
            found.reverse();
        }
        found.truncate(given("per_page").map_or(30, |most| most.parse().unwrap()));
        self.unless_known(asked, Value::from(found).to_string())
    }

    fn comments_of(&mut self, number: u64, asked: &Asked) -> Reply {
        let mut found = self.comments.get(&number).cloned().unwrap_or_default();
        let (mut most, mut page) = (30, 1);
        for (key, value) in &asked.query {
            match key.as_str() {
                "since" => {
                    let since: jiff::Timestamp = value.parse().unwrap();
                    found.retain(|one| {
                        let at: jiff::Timestamp =
                            one["updated_at"].as_str().unwrap().parse().unwrap();
                        at >= since
                    });
                }
                "per_page" => most = value.parse().unwrap(),
                "page" => page = value.parse().unwrap(),
                _ => return invalid(key),
            }
        }
        let skipped = found.len().min(most * (page - 1));
        found.drain(..skipped);
        found.truncate(most);
        self.unless_known(asked, Value::from(found).to_string())
    }

    fn members(&self, asked: &Asked) -> Reply {
        let parts: Vec<&str> = asked.path.split('/').collect();
        let at = parts.iter().position(|part| *part == "orgs").unwrap();
        let name = format!("{}/{}", parts[at + 1], parts[at + 3]);
        match self.teams.get(&name) {
            // Who may not see a team is not told that there is one.
            None => refused(404, "Not Found"),
            Some(members) => {
                let members: Vec<Value> = members.iter().map(|login| user(login)).collect();
                Reply::of(200, Value::from(members).to_string())
            }
        }
    }

    fn unless_known(&mut self, asked: &Asked, body: String) -> Reply {
        let hash = body.bytes().fold(0_u64, |sum, byte| {
            sum.wrapping_mul(1_099_511_628_211)
                .wrapping_add(byte.into())
        });
        let tag = format!("W/\"{hash:x}\"");
        if asked.only("if-none-match") == Some(&tag) {
            self.unchanged += 1;
            return Reply::of(304, "").with("etag", tag);
        }
        Reply::of(200, body).with("etag", tag)
    }

    fn open(&mut self, body: &Value, by: &str) -> u64 {
        self.last += 1;
        let number = self.last;
        let url = format!("https://github.com/shop/storefront/issues/{number}");
        let labels = body["labels"].as_array().cloned().unwrap_or_default();
        let labels: Vec<Value> = labels.iter().map(|name| json!({ "name": name })).collect();
        let issue = json!({
            "id": 1000 + number, "number": number, "html_url": url, "state": "open",
            "state_reason": Value::Null, "title": body["title"], "body": body["body"],
            "user": user(by), "labels": labels, "closed_by": Value::Null,
            "assignees": body.get("assignees").cloned().unwrap_or_else(|| json!([])),
            "comments": 0, "created_at": now(), "updated_at": now(), "a_field_of_next_year": 1,
        });
        self.all.insert(number, issue);
        number
    }

    fn comment(&mut self, number: u64, by: &str, text: &str, updated_at: String) -> Value {
        self.last_comment += 1;
        let comment = json!({
            "id": self.last_comment, "user": user(by), "body": text, "created_at": now(),
            "updated_at": updated_at, "author_association": "NONE",
        });
        let comments = self.comments.entry(number).or_default();
        comments.push(comment.clone());
        let many = comments.len();
        let issue = self.all.get_mut(&number).unwrap();
        issue["comments"] = many.into();
        issue["updated_at"] = now().into();
        comment
    }

    fn change(&mut self, number: u64, body: &Value, by: &str) {
        let issue = self.all.get_mut(&number).unwrap();
        for (key, value) in body.as_object().unwrap() {
            issue[key] = value.clone();
        }
        if body["state"] == "closed" {
            issue["closed_by"] = user(by);
        }
        issue["updated_at"] = now().into();
    }
}

fn invalid(field: &str) -> Reply {
    let body = json!({
        "message": "Validation Failed",
        "errors": [{ "resource": "Issue", "code": "invalid", "field": field }],
        "documentation_url": "https://docs.github.com/rest",
    });
    Reply::of(422, body.to_string())
}

impl Github {
    /// All issues, oldest first.
    pub(crate) fn issues(&self) -> Vec<Value> {
        let kept = self.kept.lock().unwrap();
        kept.issues.all.values().cloned().collect()
    }

    /// Somebody opens an issue.
    pub(crate) fn somebody_opens(&self, by: &str, title: &str, text: &str) -> u64 {
        let body = json!({ "title": title, "body": text });
        self.kept.lock().unwrap().issues.open(&body, by)
    }

    /// Somebody closes an issue, without a word.
    pub(crate) fn somebody_closes(&self, number: u64, by: &str) {
        let body = json!({ "state": "closed" });
        let mut kept = self.kept.lock().unwrap();
        kept.issues.change(number, &body, by);
    }

    /// The texts of an issue's comments, oldest first.
    pub(crate) fn comments_on(&self, number: u64) -> Vec<String> {
        let kept = self.kept.lock().unwrap();
        let all = kept.issues.comments.get(&number).into_iter().flatten();
        let text = |one: &Value| one["body"].as_str().unwrap().to_owned();
        all.map(text).collect()
    }

    /// Somebody writes an issue's text anew.
    pub(crate) fn somebody_edits(&self, number: u64, text: &str) {
        let body = json!({ "body": text });
        let mut kept = self.kept.lock().unwrap();
        kept.issues.change(number, &body, "mona");
    }

    /// Somebody writes a comment; an edited one said something else before.
    pub(crate) fn comments(&self, number: u64, by: &str, text: &str, edited: bool) {
        let later = jiff::Timestamp::now().as_second() + 3;
        let later = jiff::Timestamp::from_second(later).unwrap().to_string();
        let mut kept = self.kept.lock().unwrap();
        let updated_at = if edited { later } else { now() };
        kept.issues.comment(number, by, text, updated_at);
    }

    /// A team that the token may read.
    pub(crate) fn team(&self, name: &str, members: &[&str]) {
        let members = members.iter().map(|login| (*login).to_owned()).collect();
        let mut kept = self.kept.lock().unwrap();
        kept.issues.teams.insert(name.to_owned(), members);
    }

    /// Issues are switched off in the settings.
    pub(crate) fn issues_are_off(&self) {
        self.kept.lock().unwrap().issues.are_off = true;
    }

    /// How many questions cost nothing of the quota.
    pub(crate) fn questions_for_nothing(&self) -> usize {
        self.kept.lock().unwrap().issues.unchanged
    }
}

impl Verb {
    /// Whether it is a matter of issues.
    pub(super) const fn is_of_issues(self) -> bool {
        matches!(
            self,
            Self::ListIssues
                | Self::OpenIssue
                | Self::ReadIssue
                | Self::ChangeIssue
                | Self::Comments
                | Self::Comment
                | Self::Members
        )
    }
}
