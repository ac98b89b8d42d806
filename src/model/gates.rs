//! What somebody else keeps and a deployment may have to wait for: checks of a commit, reviews of
//! a run, secrets and when they were set.

use jiff::Timestamp;

/// A check that must have gone well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// The id of the app that must have said so; `None` is any.
    pub app: Option<u64>,
}

/// A check of a commit: a check run or a commit status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its name.
    pub name: String,
    /// The id of the app that said so. GitHub does not tell it of a commit status.
    pub app: Option<u64>,
    /// How it stands.
    pub state: State,
    /// Whether it belongs to the run that asks.
    pub of: Of,
}

/// How a check stands, in the words of whoever keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It went well, or need not have gone at all.
    Well(String),
    /// It is not over.
    Open(String),
    /// It did not go well.
    Bad(String),
}

/// Whose check it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// The job that asks.
    ThisJob,
    /// Another job of the run that asks.
    ThisRun,
    /// Somebody else.
    Others,
}

/// Who approved a run for an environment, and when that was, as far as it can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reviews {
    /// Each once, by the name of the account.
    pub by: Vec<String>,
    /// When.
    pub when: When,
}

/// When something was, as far as it can be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// At that time.
    At(Timestamp),
    /// Not after that time, when the job began.
    NotAfter(Timestamp),
    /// Not before that time, when the run began: this job was not seen to wait.
    NotBefore(Timestamp),
    /// Nobody knows.
    #[default]
    Unknown,
}

/// A secret of one place: its name, and when it was set last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its name, in capitals.
    pub name: String,
    /// When it was set last.
    pub set: Timestamp,
}

/// The secrets that a job sees, by place. The nearest place that has a name counts. A place whose
/// list cannot be had says why.
#[derive(Clone, Debug)]
pub struct Shelves {
    /// Of the environment.
    pub environment: Result<Vec<Stored>, String>,
    /// Of the repository.
    pub repository: Result<Vec<Stored>, String>,
    /// Of the organization, as far as the repository gets them.
    pub organization: Result<Vec<Stored>, String>,
}
