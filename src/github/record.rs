//! What a record of a deployment says, to GitHub and back.
//!
//! A payload cannot be changed once it is there, so it says what was meant; what came of it
//! is the last status. Anything that is not our payload in our version is somebody else's.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::platform::text;

/// How the description of a record begins that a newer one took the place of.
pub(super) const FOLLOWED_BY: &str = "followed by deployment";

/// The version of the payload.
const SCHEMA_VERSION: u32 = 1;

/// The longest text of a payload, in bytes.
const LONGEST: usize = 4096;

/// The longest state of a canary, in bytes.
const LONGEST_STATE: usize = 48 * 1024;

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
    /// Of a canary that stays where it is: what the run knows that goes on with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Value>,
    /// Of a canary that stays where it is: the other records that still say something true. No older
    /// one does, so nobody has to look at them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<Vec<u64>>,
    /// The run that made it.
    #[serde(flatten)]
    pub run: Run,
}

impl Content {
    /// Far below the 64 KB that a payload may have.
    fn cut(mut self) -> Self {
        for text in [&mut self.version, &mut self.slot, &mut self.run.job] {
            if text.len() > LONGEST {
                *text = text::excerpt(text, LONGEST / 4);
            }
        }
        // Half of it is no use, and without it the next run judges anew.
        let length = |state: &Value| serde_json::to_string(state).map_or(0, |text| text.len());
        self.canary = self
            .canary
            .map(|state| match length(&state) <= LONGEST_STATE {
                true => state,
                false => Value::Null,
            });
        self
    }
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
            content: content.cut(),
            mark: uuid::Uuid::new_v4().to_string(),
        };
        Self {
            sha: sha.to_owned(),
            environment: environment.to_owned(),
            payload: Payload { cutover: marked },
        }
    }

    /// With the other records that still say something true, where that is known.
    pub fn beside(mut self, others: Option<Vec<u64>>) -> Self {
        self.payload.cutover.content.beside = others;
        self
    }

    /// The environment that it is for.
    pub fn environment(&self) -> &str {
        &self.environment
    }

    /// The commit that it is at.
    pub fn sha(&self) -> &str {
        &self.sha
    }

    /// What it says.
    pub const fn content(&self) -> &Content {
        &self.payload.cutover.content
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
    pub(super) sha: String,
    #[serde(default)]
    task: String,
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

    /// Whether it can be one that GitHub makes for a job with `environment:`.
    pub(super) fn is_by_github(&self) -> bool {
        let empty = match &self.payload {
            Value::Null => true,
            Value::Object(map) => map.is_empty(),
            Value::String(text) => matches!(text.as_str(), "" | "{}"),
            _ => false,
        };
        self.task == "deploy" && empty
    }
}

/// A status as it is read.
#[derive(Debug, Deserialize)]
pub(super) struct FoundStatus {
    #[serde(default)]
    pub(super) id: u64,
    pub(super) state: String,
    #[serde(default)]
    pub(super) description: Option<String>,
    #[serde(default)]
    pub(super) log_url: Option<String>,
    #[serde(default)]
    pub(super) target_url: Option<String>,
}

impl FoundStatus {
    /// Whether we said that something newer took its place.
    pub(super) fn says_followed(&self) -> bool {
        let ours = |said: &String| said.starts_with(FOLLOWED_BY);
        self.state == "inactive" && self.description.as_ref().is_some_and(ours)
    }

    /// Whether somebody else said that the deployment is inactive. GitHub does so to older ones
    /// when a job with `environment:` ends, which says nothing about traffic.
    pub(super) fn is_by_others(&self) -> bool {
        self.state == "inactive" && !self.says_followed()
    }

    /// Whether it leaves the deployment without an end.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state.as_str(), "pending" | "queued" | "in_progress")
    }

    /// What we said in it about a deployment that has no payload of ours.
    pub(super) fn content(&self) -> Option<Content> {
        Content::of_mark(self.description.as_deref()?)
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
            sha: String::new(),
            task: "deploy".into(),
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
    fn a_payload_is_far_below_64_kb() {
        let long = "ü".repeat(300_000);
        let content = Content {
            slot: long.clone(),
            version: long.clone(),
            ..Content::default()
        };
        let new = New::at("abc", "production", content);
        let length = serde_json::to_string(&new.payload).unwrap().len();
        assert!(length < 16_384, "{length} bytes");
    }

    #[test]
    fn two_records_of_the_same_are_two() {
        let new = || New::at("abc", "production", Content::default());
        assert_ne!(new().payload, new().payload);
    }
}
