//! The checks of a commit, and those that GitHub requires of its branch.

use serde::Deserialize;

use crate::judge::required::{of_check_run, of_status};
use crate::model::gates::{Of, Seen, Wanted};

use super::GithubError;
use super::adopt::run_in;
use super::gates::{Gates, Own, is_missing, segment};

#[derive(Deserialize)]
struct CheckRuns {
    check_runs: Vec<CheckRun>,
}

#[derive(Deserialize)]
struct CheckRun {
    id: u64,
    name: String,
    status: String,
    conclusion: Option<String>,
    #[serde(default)]
    app: Option<App>,
    #[serde(default)]
    details_url: Option<String>,
    #[serde(default)]
    html_url: Option<String>,
}

#[derive(Deserialize)]
struct App {
    id: u64,
}

#[derive(Deserialize)]
struct Combined {
    statuses: Vec<CommitStatus>,
}

#[derive(Deserialize)]
struct CommitStatus {
    context: String,
    state: String,
    #[serde(default)]
    target_url: Option<String>,
}

#[derive(Deserialize)]
struct Branch {
    #[serde(default)]
    protection: Option<Protection>,
}

#[derive(Deserialize)]
struct Protection {
    #[serde(default)]
    required_status_checks: Option<Required>,
}

#[derive(Default, Deserialize)]
struct Required {
    #[serde(default)]
    contexts: Vec<String>,
    #[serde(default)]
    checks: Vec<Context>,
}

/// A check that is required. In a branch's protection the app is `app_id` and -1 where any will
/// do, in a rule it is `integration_id`.
#[derive(Deserialize)]
struct Context {
    context: String,
    #[serde(default, alias = "integration_id")]
    app_id: Option<i64>,
}

#[derive(Deserialize)]
struct Rule {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    parameters: Option<Parameters>,
}

#[derive(Deserialize)]
struct Parameters {
    #[serde(default)]
    required_status_checks: Vec<Context>,
}

impl Gates {
    /// All checks of a commit: the newest check runs of each suite, and the newest statuses.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn checks(&self, sha: &str, own: &Own) -> Result<Vec<Seen>, GithubError> {
        let sha = segment(sha);
        let runs = format!("/commits/{sha}/check-runs");
        let statuses = format!("/commits/{sha}/status");
        let (runs, statuses) = tokio::try_join!(
            self.all("list the commit's check runs", &runs, |page: CheckRuns| {
                page.check_runs
            }),
            self.all("list the commit's statuses", &statuses, |page: Combined| {
                page.statuses
            }),
        )?;
        let runs = runs.into_iter().map(|run| Seen {
            of: run.of(own),
            state: of_check_run(&run.status, run.conclusion.as_deref()),
            app: run.app.map(|app| app.id),
            name: run.name,
        });
        let statuses = statuses.into_iter().map(|status| Seen {
            of: of_run(status.target_url.as_deref(), own),
            state: of_status(&status.state),
            app: None,
            name: status.context,
        });
        Ok(runs.chain(statuses).collect())
    }

    /// The checks that GitHub requires of a branch, by its protection and by all rules that hold
    /// for it.
    ///
    /// # Errors
    /// See [`GithubError`].
    pub async fn required(&self, branch: &str) -> Result<Vec<Wanted>, GithubError> {
        let branch = segment(branch);
        let protection = self.get::<Branch>("read the branch", format!("/branches/{branch}"));
        let rules = format!("/rules/branches/{branch}");
        let rules = self.all("read the branch's rules", &rules, |page: Vec<Rule>| page);
        let (protection, rules) = tokio::join!(protection, rules);
        let rules = match rules {
            Ok(rules) => rules,
            // Older servers have no rules.
            Err(failed) if is_missing(&failed) => Vec::new(),
            Err(failed) => return Err(failed),
        };
        let protection = protection?.protection;
        let required = protection.and_then(|it| it.required_status_checks);
        let required = required.unwrap_or_default();
        let by_name = required.contexts.into_iter().map(|context| Context {
            context,
            app_id: None,
        });
        let of_protection: Vec<Context> = match required.checks.is_empty() {
            true => by_name.collect(),
            false => required.checks,
        };
        let of_rules = rules
            .into_iter()
            .filter(|rule| rule.kind == "required_status_checks")
            .filter_map(|rule| rule.parameters)
            .flat_map(|parameters| parameters.required_status_checks);
        let mut all: Vec<Wanted> = Vec::new();
        for one in of_protection.into_iter().chain(of_rules) {
            let wanted = Wanted {
                name: one.context,
                app: one.app_id.and_then(|id| u64::try_from(id).ok()),
            };
            if !all.contains(&wanted) {
                all.push(wanted);
            }
        }
        Ok(all)
    }
}

impl CheckRun {
    fn of(&self, own: &Own) -> Of {
        if own.check_run == Some(self.id) {
            return Of::ThisJob;
        }
        let url = self.details_url.as_deref().or(self.html_url.as_deref());
        of_run(url, own)
    }
}

fn of_run(url: Option<&str>, own: &Own) -> Of {
    match url.and_then(run_in) {
        Some(run) if run == own.run => Of::ThisRun,
        _ => Of::Others,
    }
}
