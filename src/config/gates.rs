//! What is asked of others before anything is changed, as the config says it: machines that are
//! reached by a command, secrets and their age, the commit's required checks, the approval.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::units::{Percent, Size, Span};

/// A machine whose room is looked at as this one's is.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Its name, for people.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The command that reaches it. ` sh -s` is put behind it, and a short script goes in.
    #[schemars(length(min = 1))]
    pub reach: String,
    /// The path there whose disk must have room. Default /.
    #[serde(default = "root")]
    pub path: String,
    /// How long the whole look may take. Default 10s.
    #[serde(default = "ten_seconds")]
    pub timeout: Span,
    /// The largest share of its processors that may be in use. Default: as for this machine.
    pub cpu: Option<Percent>,
    /// The largest share of its memory that may be in use. Default: as for this machine.
    pub memory: Option<Percent>,
    /// The least space that must be free at `path`. Default: as for this machine.
    pub disk: Option<Size>,
}

fn root() -> String {
    "/".to_owned()
}

const fn ten_seconds() -> Span {
    Span::secs(10)
}

/// A variable that must be there and not empty, and how old the secret behind it may be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "SecretWritten")]
pub struct SecretRule {
    /// The variable's name.
    pub name: String,
    /// The secret's name at GitHub.
    pub stored_as: String,
    /// How long ago it may have been set at most.
    pub max_age: Option<Span>,
    /// What it means when its age cannot be told.
    pub if_unknown: IfUnknown,
}

/// What it means when something cannot be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IfUnknown {
    /// It is said, and stops nobody.
    #[default]
    Skip,
    /// It is a no.
    Fail,
}

/// As it is written: a name, or a mapping.
#[derive(Deserialize)]
#[serde(untagged)]
enum SecretWritten {
    Name(String),
    Rule(SecretOptions),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct SecretOptions {
    name: String,
    stored_as: Option<String>,
    max_age: Option<Span>,
    #[serde(default)]
    if_unknown: IfUnknown,
}

impl TryFrom<SecretWritten> for SecretRule {
    type Error = String;

    fn try_from(written: SecretWritten) -> Result<Self, String> {
        let options = match written {
            SecretWritten::Rule(options) => options,
            SecretWritten::Name(name) => SecretOptions {
                name,
                stored_as: None,
                max_age: None,
                if_unknown: IfUnknown::default(),
            },
        };
        if options.name.is_empty() {
            return Err("a secret without a name".to_owned());
        }
        Ok(Self {
            stored_as: options.stored_as.unwrap_or_else(|| options.name.clone()),
            name: options.name,
            max_age: options.max_age,
            if_unknown: options.if_unknown,
        })
    }
}

impl JsonSchema for SecretRule {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "object"],
            "minLength": 1,
            "properties": {
                "name": { "type": "string", "minLength": 1, "description": "The variable." },
                "stored-as": {
                    "type": "string", "minLength": 1,
                    "description": "The secret's name at GitHub. Default: the variable's.",
                },
                "max-age": {
                    "type": "string", "format": "duration",
                    "description": "How long ago it may have been set at most. Default: any time.",
                    "examples": ["90d"],
                },
                "if-unknown": {
                    "enum": ["skip", "fail"],
                    "description": "What it means when its age cannot be told. Default skip.",
                },
            },
            "required": ["name"],
            "additionalProperties": false,
            "examples": ["DB_PASSWORD", { "name": "API_KEY", "max-age": "90d" }],
        })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// The word for the checks that GitHub itself requires of a branch.
pub const BRANCH_PROTECTION: &str = "branch-protection";

/// Which checks of the commit must have gone well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RequiredWritten")]
pub enum RequiredChecks {
    /// None.
    #[default]
    None,
    /// These, by their names.
    Named(Vec<String>),
    /// Those that the branch's protection and rules require.
    OfTheBranch,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RequiredWritten {
    Word(String),
    Names(Vec<String>),
}

impl TryFrom<RequiredWritten> for RequiredChecks {
    type Error = String;

    fn try_from(written: RequiredWritten) -> Result<Self, String> {
        match written {
            RequiredWritten::Word(word) if word == BRANCH_PROTECTION => Ok(Self::OfTheBranch),
            RequiredWritten::Word(word) => Err(format!(
                "\"{word}\" is not known here; write a list of names, as [build, test], or {BRANCH_PROTECTION}"
            )),
            RequiredWritten::Names(names) if names.is_empty() => Ok(Self::None),
            RequiredWritten::Names(names) if names.iter().any(String::is_empty) => {
                Err("a check without a name".to_owned())
            }
            RequiredWritten::Names(names) => Ok(Self::Named(names)),
        }
    }
}

impl JsonSchema for RequiredChecks {
    fn schema_name() -> Cow<'static, str> {
        "RequiredChecks".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "array"],
            "items": { "type": "string", "minLength": 1 },
            "examples": [["build", "test"], BRANCH_PROTECTION],
        })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// Who must have approved the run, and how long ago that may be.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ApprovalRule {
    /// Whose approvals count, by their names at GitHub. Default: everybody's.
    pub by: Vec<String>,
    /// How many people must have approved. Default 1.
    #[schemars(range(min = 1, max = 6))]
    pub minimum: u32,
    /// How much time may lie between the approval and the deployment. Default 4h.
    pub max_age: Span,
    /// Whether the approval of whoever started the run counts. Default false.
    pub self_review: bool,
}

impl Default for ApprovalRule {
    fn default() -> Self {
        Self {
            by: Vec::new(),
            minimum: 1,
            max_age: Span::secs(4 * 3600),
            self_review: false,
        }
    }
}

/// What a schema cannot say of hosts: the path below `preflight`, and what is wrong.
pub(super) fn hosts_meaning(hosts: &[Host]) -> Vec<(String, String)> {
    let mut wrong = Vec::new();
    for (i, host) in hosts.iter().enumerate() {
        let at = |key: &str| format!("hosts[{i}].{key}");
        if hosts[..i].iter().any(|other| other.name == host.name) {
            let said = format!("there are two hosts {}", host.name);
            wrong.push((at("name"), said));
        }
        if host.reach.trim().is_empty() || host.reach.contains('\n') {
            let said = "this is one line, such as \"ssh deploy@web-1\"".to_owned();
            wrong.push((at("reach"), said));
        }
        if !host.path.starts_with('/') || host.path.chars().any(char::is_control) {
            wrong.push((at("path"), "a path there begins with /".to_owned()));
        }
    }
    wrong
}

/// What a schema cannot say of an approval.
pub(super) fn approval_meaning(rule: &ApprovalRule) -> Vec<(String, String)> {
    let mut wrong = Vec::new();
    if !rule.by.is_empty() && rule.by.len() < rule.minimum as usize {
        let said = format!(
            "{} approvals are wanted, and `by` names {}",
            rule.minimum,
            rule.by.len()
        );
        wrong.push(("approval.minimum".to_owned(), said));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_[]".contains(c);
    for (i, name) in rule.by.iter().enumerate() {
        if name.is_empty() || !name.chars().all(plain) {
            let said = format!(
                "\"{name}\" is not a user's name at GitHub; write it without @, and people instead of teams"
            );
            wrong.push((format!("approval.by[{i}]"), said));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_secret_is_a_name_or_more() {
        let read = |json| serde_json::from_value::<SecretRule>(json);
        let plain = read(json!("API_KEY")).unwrap();
        assert_eq!((plain.stored_as.as_str(), plain.max_age), ("API_KEY", None));
        let more = read(json!({ "name": "A", "stored-as": "B", "max-age": "90d" })).unwrap();
        assert_eq!((more.name.as_str(), more.stored_as.as_str()), ("A", "B"));
        assert_eq!(more.if_unknown, IfUnknown::Skip);
        for wrong in [json!(""), json!({ "max-age": "90d" }), json!(7)] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn checks_are_names_or_the_branch_s() {
        let read = |json| serde_json::from_value::<RequiredChecks>(json);
        assert_eq!(read(json!([])).unwrap(), RequiredChecks::None);
        assert_eq!(
            read(json!("branch-protection")).unwrap(),
            RequiredChecks::OfTheBranch
        );
        let said = read(json!("build")).unwrap_err().to_string();
        assert!(
            said.contains("[build, test], or branch-protection"),
            "{said}"
        );
        assert!(read(json!([""])).is_err());
    }
}
