//! The part of GitHub's stand-in that is Git: trees, commits and refs, with the rules by which
//! GitHub makes and moves them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};

use super::github::{Verb, refused};
use super::stand_in::Reply;

const ROOT: &str = "/git/";

/// The tree of the commits that are locks, once there is one.
const LOCKS_TREE: &str = "124c6c15f3bcc2b8c9b1df2cf2b7ab5f40b736ad";

/// The trees, commits and refs of a repository.
#[derive(Default)]
pub(crate) struct GitRefs {
    trees: BTreeSet<String>,
    commits: BTreeMap<String, Value>,
    refs: BTreeMap<String, String>,
    /// Every ref that was made or moved, and to which commit.
    moves: Vec<(String, String)>,
    made: u64,
}

impl GitRefs {
    /// What a question below the repository asks for.
    pub(crate) fn verb(method: &str, below: &str) -> Option<Verb> {
        let rest = below.strip_prefix(ROOT)?;
        Some(match (method, rest.split('/').next()?, rest) {
            ("GET", "matching-refs", _) => Verb::ReadRef,
            ("GET", "commits", _) => Verb::ReadCommit,
            ("POST", _, "trees") => Verb::MakeTree,
            ("POST", _, "commits") => Verb::MakeCommit,
            ("POST", _, "refs") => Verb::CreateRef,
            ("PATCH", "refs", _) => Verb::MoveRef,
            _ => return None,
        })
    }

    pub(crate) fn answer(&mut self, verb: Verb, path: &str, body: &Value) -> Reply {
        let (_, rest) = path.split_once(ROOT).unwrap();
        let name = rest.split_once('/').map_or("", |(_, name)| name);
        match verb {
            Verb::ReadRef => {
                let full = format!("refs/{name}");
                let matching = self.refs.iter().filter(|(one, _)| one.starts_with(&full));
                let all: Vec<Value> = matching
                    .map(|(one, sha)| shown(one.trim_start_matches("refs/"), sha))
                    .collect();
                Reply::of(200, json!(all).to_string())
            }
            Verb::ReadCommit => match self.commits.get(name) {
                Some(commit) => Reply::of(200, commit.to_string()),
                None => refused(404, "Not Found"),
            },
            Verb::MakeTree => self.tree(body),
            Verb::MakeCommit => self.commit(body),
            Verb::CreateRef => self.create(body),
            Verb::MoveRef => self.advance(name, body),
            _ => refused(404, "Not Found"),
        }
    }

    fn id(&mut self) -> String {
        self.made += 1;
        format!("{:040x}", self.made)
    }

    fn tree(&mut self, body: &Value) -> Reply {
        let entries = body["tree"].as_array();
        let fits = |entry: &Value| {
            let known = ["path", "mode", "type", "sha", "content"];
            entry["mode"] == "100644"
                && entry["type"] == "blob"
                && entry["path"].as_str().is_some_and(|path| !path.is_empty())
                && (entry["content"].is_string() != entry["sha"].is_string())
                && entry
                    .as_object()
                    .is_some_and(|all| all.keys().all(|key| known.contains(&key.as_str())))
        };
        if !entries.is_some_and(|all| !all.is_empty() && all.iter().all(fits)) {
            return refused(422, "Invalid tree info");
        }
        let sha = git_tree(entries.unwrap());
        self.trees.insert(sha.clone());
        Reply::of(
            201,
            json!({ "sha": sha, "tree": [], "truncated": false }).to_string(),
        )
    }

    fn commit(&mut self, body: &Value) -> Reply {
        let known = ["message", "tree", "parents", "author", "committer"];
        let keys = body.as_object().into_iter().flat_map(|all| all.keys());
        if keys.clone().any(|key| !known.contains(&key.as_str())) || !body["message"].is_string() {
            return refused(422, "Invalid request.");
        }
        if !body["tree"]
            .as_str()
            .is_some_and(|tree| self.trees.contains(tree))
        {
            return refused(422, "Tree SHA does not exist");
        }
        let parents: Vec<&str> = body["parents"]
            .as_array()
            .map(|all| all.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        if parents
            .iter()
            .any(|parent| !self.commits.contains_key(*parent))
        {
            return refused(422, "Parent SHA does not exist or is not a commit object");
        }
        let now = jiff::Timestamp::now().as_second();
        let date = jiff::Timestamp::from_second(now).unwrap().to_string();
        let parents: Vec<Value> = parents.iter().map(|sha| json!({ "sha": sha })).collect();
        let sha = self.id();
        let by = json!({ "name": "github-actions[bot]", "email": "bot@example.com", "date": date });
        let commit = json!({
            "sha": sha, "message": body["message"], "tree": { "sha": body["tree"] },
            "parents": parents, "author": by, "committer": by,
        });
        self.commits.insert(sha, commit.clone());
        Reply::of(201, commit.to_string())
    }

    fn create(&mut self, body: &Value) -> Reply {
        let (Some(name), Some(sha)) = (body["ref"].as_str(), body["sha"].as_str()) else {
            return refused(422, "Invalid request.");
        };
        if !name.starts_with("refs/") || name.matches('/').count() < 2 {
            return refused(422, "Reference name must start with 'refs/'");
        }
        if !self.commits.contains_key(sha) {
            return refused(422, "Object does not exist");
        }
        if self.refs.contains_key(name) {
            return refused(422, "Reference already exists");
        }
        self.point(name, sha);
        Reply::of(
            201,
            shown(name.trim_start_matches("refs/"), sha).to_string(),
        )
    }

    fn advance(&mut self, name: &str, body: &Value) -> Reply {
        let full = format!("refs/{name}");
        let Some(sha) = body["sha"].as_str() else {
            return refused(422, "Invalid request.");
        };
        if !self.commits.contains_key(sha) {
            return refused(422, "Object does not exist");
        }
        let Some(now) = self.refs.get(&full).cloned() else {
            return refused(422, "Reference does not exist");
        };
        if body["force"] != json!(true) && !self.descends(sha, &now) {
            return refused(422, "Update is not a fast forward");
        }
        self.point(&full, sha);
        Reply::of(200, shown(name, sha).to_string())
    }

    fn descends(&self, sha: &str, from: &str) -> bool {
        let mut open = vec![sha.to_owned()];
        while let Some(sha) = open.pop() {
            if sha == from {
                return true;
            }
            let parents = self.commits[&sha]["parents"].as_array().unwrap();
            open.extend(
                parents
                    .iter()
                    .map(|one| one["sha"].as_str().unwrap().to_owned()),
            );
        }
        false
    }

    fn point(&mut self, name: &str, sha: &str) {
        self.refs.insert(name.to_owned(), sha.to_owned());
        self.moves.push((name.to_owned(), sha.to_owned()));
    }

    /// Makes a ref point to a commit with that message, as somebody else would, by force.
    pub(crate) fn put(&mut self, name: &str, message: &str) {
        self.tree(&json!({ "tree": [
            { "path": "x", "mode": "100644", "type": "blob", "content": "" }
        ]}));
        let tree = self.trees.first().cloned();
        self.commit(&json!({ "message": message, "tree": tree, "parents": [] }));
        let sha = format!("{:040x}", self.made);
        self.point(name, &sha);
    }

    /// The lock of `production` was taken and given up before.
    pub(crate) fn was_locked(&mut self) {
        let lock = "refs/cutover/locks/production";
        self.put(lock, "held by nobody {}");
        let sha = self.refs[lock].clone();
        self.trees.insert(LOCKS_TREE.to_owned());
        self.point(&format!("{lock}.free"), &sha);
        self.moves.clear();
    }

    /// The claims that the lock of `production` has had, oldest first: the word and the claim. It
    /// is released by a ref of its own, or by a word in the claim.
    pub(crate) fn claims(&self) -> Vec<(String, Value)> {
        let claim = |(name, sha): &(String, String)| {
            let by_word = match name.strip_prefix("refs/cutover/locks/production") {
                Some("") => true,
                Some(".free") => false,
                _ => return None,
            };
            let message = self.commits[sha]["message"].as_str().unwrap();
            let claim = &message[message.find('{').unwrap()..];
            let claim: Value = serde_json::from_str(claim).unwrap();
            let word = if by_word {
                claim["state"].as_str().unwrap()
            } else {
                "released"
            };
            Some((word.to_owned(), claim))
        };
        self.moves.iter().filter_map(claim).collect()
    }

    /// The lock of `production` is free, if there ever was one.
    pub(crate) fn is_free(&self) -> bool {
        self.claims()
            .last()
            .is_none_or(|(state, _)| state == "released")
    }
}

/// The id that Git gives to a tree of files.
fn git_tree(entries: &[Value]) -> String {
    let id = |kind: &str, content: &[u8]| {
        let mut sha = Sha1::new();
        sha.update(format!("{kind} {}\0", content.len()));
        sha.update(content);
        sha.finalize()
    };
    let mut tree = Vec::new();
    for entry in entries {
        let blob = id("blob", entry["content"].as_str().unwrap().as_bytes());
        tree.extend(format!("100644 {}\0", entry["path"].as_str().unwrap()).bytes());
        tree.extend(blob);
    }
    id("tree", &tree)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

fn shown(name: &str, sha: &str) -> Value {
    json!({
        "ref": format!("refs/{name}"), "node_id": "R",
        "object": { "type": "commit", "sha": sha, "url": "https://api.github.com/x" },
    })
}
