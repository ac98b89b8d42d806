//! A GitHub App at the stand-in: its signature is checked, and once there is an App, only its newest
//! token opens anything. And the tags of answers that have not changed.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use super::{Github, Kept, TOKEN, Verb, created, jobs, refused};
use crate::world::stand_in::{Asked, Reply};

/// What GitHub knows of an App.
pub(super) struct App {
    id: u64,
    /// Its public key, in PEM form.
    key: Vec<u8>,
    installation: u64,
    /// How many seconds a token is good.
    lasts: i64,
    tokens: Vec<String>,
}

impl Github {
    /// From now on only that App is let in, and its tokens last so many seconds.
    pub(crate) fn has_app(&self, id: u64, public_key: &[u8], installation: u64, lasts: i64) {
        self.kept.lock().unwrap().app = Some(App {
            id,
            key: public_key.to_vec(),
            installation,
            lasts,
            tokens: Vec::new(),
        });
    }

    /// The tokens that the App was given.
    pub(crate) fn app_tokens(&self) -> Vec<String> {
        let kept = self.kept.lock().unwrap();
        kept.app.as_ref().unwrap().tokens.clone()
    }

    /// How often nothing had changed since the last answer.
    pub(crate) fn unchanged(&self) -> usize {
        self.kept.lock().unwrap().unchanged
    }
}

impl Kept {
    /// Whether whoever asks may.
    pub(super) fn let_in(&self, asked: &Asked) -> Result<(), Reply> {
        let given = asked.only("authorization").unwrap_or_default();
        let given = given.strip_prefix("Bearer ").unwrap_or_default();
        let wanted = match &self.app {
            None => TOKEN,
            Some(app) if asked.path.contains("/installation") => {
                return app.signed(given).map_err(|said| refused(401, &said));
            }
            Some(app) => app.tokens.last().map_or("-", String::as_str),
        };
        if given == wanted {
            Ok(())
        } else {
            Err(refused(401, "Bad credentials"))
        }
    }

    pub(super) fn app_answers(&mut self, verb: Verb, of: Option<u64>) -> Reply {
        let Some(app) = &mut self.app else {
            return refused(404, "Not Found");
        };
        if verb == Verb::Installation {
            let body =
                json!({ "id": app.installation, "app_id": app.id, "target_type": "Organization" });
            return Reply::of(200, body.to_string());
        }
        if of != Some(app.installation) {
            return refused(404, "Not Found");
        }
        let token = format!("ghs_0fTheAppS3cret{}", app.tokens.len());
        app.tokens.push(token.clone());
        let until = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(app.lasts);
        created(&json!({
            "token": token, "expires_at": until.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "permissions": { "deployments": "write" }, "repository_selection": "selected",
        }))
    }

    /// Answers that a question which knows the answer gets none.
    pub(super) fn unless_known(&mut self, asked: &Asked, reply: Reply) -> Reply {
        let Reply::Answer {
            status: 200,
            body,
            headers,
        } = &reply
        else {
            return reply;
        };
        let tagged = headers.iter().any(|(name, _)| *name == "etag");
        if asked.method != "GET" || tagged {
            return reply;
        }
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        let tag = format!("W/\"{:x}\"", hasher.finish());
        if asked.only("if-none-match") == Some(&tag) {
            self.unchanged += 1;
            return Reply::of(304, "").with("etag", tag);
        }
        reply.with("etag", tag)
    }
}

impl App {
    /// Whether a token is signed by the App, and is for this moment: GitHub takes ten minutes.
    fn signed(&self, token: &str) -> Result<(), String> {
        let bad = |said: &str| format!("A JSON web token could not be decoded: {said}");
        let key = DecodingKey::from_rsa_pem(&self.key).unwrap();
        let mut rules = Validation::new(Algorithm::RS256);
        rules.leeway = 0;
        let read = jsonwebtoken::decode::<Value>(token, &key, &rules);
        let claims = read.map_err(|wrong| bad(&wrong.to_string()))?.claims;
        let now = jobs::now();
        let moment = |name: &str| claims[name].as_u64().ok_or_else(|| bad(name));
        let (from, until) = (moment("iat")?, moment("exp")?);
        if claims["iss"] != json!(self.id) {
            return Err(bad("iss"));
        }
        if from > now || until > now + 600 || until > from + 600 {
            return Err(bad("too far in the future"));
        }
        Ok(())
    }
}
