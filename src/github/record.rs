//! What a record of a deployment says, to GitHub and back.
//!
//! A payload cannot be changed once it is there, so it says what was meant; what came of it
//! is the last status. Anything that is not our payload in our version is somebody else's.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of the payload.
const SCHEMA_VERSION: u32 = 1;

/// The run that makes a record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// `GITHUB_RUN_ID`.
    #[serde(rename = "run_id")]
    pub id: String,
    /// `GITHUB_RUN_ATTEMPT`.
    #[serde(rename = "run_attempt")]
    pub attempt: String,
    /// `GITHUB_JOB`.
    pub job: String,
}

/// What a record says, in the payload that cannot be changed later.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The mode that made it.
    pub mode: String,
    /// The slot that it is about.
    pub slot: String,
    /// The release that was put there.
    pub version: String,
    /// The share of traffic that the slot was to have; `None` where that was not known yet.
    pub weight: Option<u8>,
    /// The other slot: the one that had the traffic before, or shares it.
    pub previous: Option<String>,
    /// The run that made it.
    #[serde(flatten)]
    pub run: Run,
}

/// A record that is to be made.
#[derive(Clone, Debug)]
pub struct New {
    pub(super) sha: String,
    pub(super) environment: String,
    pub(super) payload: Payload,
}

impl New {
    /// A record of `content` for an environment, at a commit.
    pub fn at(sha: &str, environment: &str, content: Content) -> Self {
        let marked = Marked {
            schema_version: SCHEMA_VERSION,
            content,
            mark: uuid::Uuid::new_v4().to_string(),
        };
        Self {
            sha: sha.to_owned(),
            environment: environment.to_owned(),
            payload: Payload { cutover: marked },
        }
    }

    /// The environment that it is for.
    pub fn environment(&self) -> &str {
        &self.environment
    }
}

/// A record that went well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its id.
    pub id: u64,
    /// What it says.
    pub content: Content,
    /// When it was made, as GitHub writes it.
    pub at: String,
}

/// What came of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// At work.
    InProgress,
    /// The release is where it should be.
    Success,
    /// It is not.
    Failure,
    /// This program failed.
    Error,
    /// Nothing came of it, or something newer took its place.
    Inactive,
}

/// A state, and what is shown beside it.
#[derive(Clone, Debug)]
pub struct Status<'a> {
    /// The state.
    pub state: State,
    /// In a line; cut to what GitHub takes.
    pub description: &'a str,
    /// Where users reach the environment.
    pub environment_url: Option<&'a str>,
    /// The page of the run.
    pub log_url: Option<&'a str>,
}

/// The payload: ours has one key, so that nobody else's is taken for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Payload {
    pub(super) cutover: Marked,
}

/// A content, and what tells its creation from every other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marked {
    schema_version: u32,
    #[serde(flatten)]
    pub(super) content: Content,
    /// Different for each creation.
    #[serde(default)]
    mark: String,
}

/// A deployment as it is read: only what is needed, so that little can be wrong with it.
#[derive(Debug, Deserialize)]
pub(super) struct Found {
    pub(super) id: u64,
    #[serde(default)]
    pub(super) payload: Value,
    #[serde(default)]
    pub(super) created_at: String,
}

impl Found {
    /// Our payload; GitHub gives it as an object, or as the text of one.
    pub(super) fn payload(&self) -> Option<Marked> {
        let payload: Payload = match &self.payload {
            Value::String(text) => serde_json::from_str(text).ok()?,
            other => serde_json::from_value(other.clone()).ok()?,
        };
        (payload.cutover.schema_version == SCHEMA_VERSION).then_some(payload.cutover)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_read_from_an_object_and_from_a_text() {
        let new = New::at("abc", "production", Content::default());
        let object = serde_json::to_value(&new.payload).unwrap();
        let found = |payload| Found {
            id: 1,
            payload,
            created_at: String::new(),
        };
        let text = Value::String(object.to_string());
        for payload in [object.clone(), text] {
            assert_eq!(found(payload).payload(), Some(new.payload.cutover.clone()));
        }
        let mut later = object;
        later["cutover"]["schema_version"] = 2.into();
        for foreign in [Value::Null, "".into(), serde_json::json!({}), later] {
            assert_eq!(found(foreign).payload(), None);
        }
    }

    #[test]
    fn two_records_of_the_same_are_two() {
        let new = || New::at("abc", "production", Content::default());
        assert_ne!(new().payload, new().payload);
    }
}
