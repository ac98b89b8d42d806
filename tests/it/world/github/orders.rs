//! What GitHub can be asked for, and what goes wrong with it to order.

/// What is asked for; faults are ordered by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Verb {
    List,
    Create,
    Statuses,
    Say,
    CheckRun,
    Run,
    Installation,
    AppToken,
    ReadRef,
    ReadCommit,
    MakeTree,
    MakeCommit,
    CreateRef,
    MoveRef,
    ListIssues,
    OpenIssue,
    ReadIssue,
    ChangeIssue,
    Comments,
    Comment,
    Members,
    ListEnvironments,
    ReadEnvironment,
    PutEnvironment,
    Policies,
    Allow,
    Forbid,
    User,
    Team,
    CheckRuns,
    CommitStatus,
    Branch,
    Rules,
    Approvals,
    Jobs,
    EnvironmentSecrets,
    RepositorySecrets,
    OrganizationSecrets,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// A page of HTML that quotes the token, with that status.
    Page(u16),
    /// It is done, and nobody hears of it.
    LostAfterEffect,
    /// It is not done, and nobody hears of it.
    HangUp,
    Silence,
    /// It is done, and the answer comes too late.
    Late,
    /// The token may not.
    Forbidden,
    /// Too many requests; wait so many seconds.
    TooMany(u64),
    /// All requests of the hour are spent; there are new ones in so many seconds.
    Spent(u64),
    NoJson,
    /// Instead of a deployment the default branch was merged.
    Merged,
}
