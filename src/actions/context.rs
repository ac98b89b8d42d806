//! What the workflow says about itself: `GITHUB_*`, `RUNNER_*`, `ACT`.
//!
//! Everything is optional, because act, old servers and a plain terminal leave much of it out,
//! and nothing has to be UTF-8. There is no token here: a container gets none but by an input.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::path::PathBuf;

/// GitHub's own API, where the environment names no other.
const API_URL: &str = "https://api.github.com";

/// GitHub's own pages, where the environment names no other.
const SERVER_URL: &str = "https://github.com";

/// Where and why this process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// A workflow's runner started us, GitHub's or act's.
    pub in_workflow: bool,
    /// The runner is act, whose ids and events are made up.
    pub act: bool,
    /// Step debugging is on.
    pub debug: bool,
    /// The checkout, or the working directory outside of a workflow.
    pub workspace: PathBuf,
    /// Where temporary files may go.
    pub temp: Option<PathBuf>,
    /// The file that outputs are appended to.
    pub output_file: Option<PathBuf>,
    /// The file that the step summary is appended to.
    pub summary_file: Option<PathBuf>,
    /// The file that hands state to the post step.
    pub state_file: Option<PathBuf>,
    /// The owner of the repository.
    pub owner: Option<String>,
    /// The name of the repository, without its owner.
    pub repository: Option<String>,
    /// The commit.
    pub sha: Option<String>,
    /// The short name of the branch or tag.
    pub ref_name: Option<String>,
    /// The number of the pull request that the ref belongs to, by `GITHUB_REF`.
    pub pull_request: Option<u64>,
    /// The name of the event that caused the run, such as `schedule`.
    pub event: Option<String>,
    /// The file with the event that caused the run.
    pub event_file: Option<PathBuf>,
    /// `branch` or `tag`.
    pub ref_type: Option<String>,
    /// Who caused the first run.
    pub actor: Option<String>,
    /// Who caused this attempt.
    pub triggering_actor: Option<String>,
    /// The workflow's name.
    pub workflow: Option<String>,
    /// The runner's name.
    pub runner: Option<String>,
    /// `github-hosted` or `self-hosted`.
    pub runner_environment: Option<String>,
    /// Who is logged in, for runs outside of a workflow.
    pub user: Option<String>,
    /// Where the ssh agent listens.
    pub ssh_agent: Option<PathBuf>,
    /// The run's id; the same for all its attempts.
    pub run_id: Option<u64>,
    /// Which attempt this is, from 1.
    pub run_attempt: Option<u32>,
    /// The job's key in the workflow.
    pub job: Option<String>,
    /// GitHub's pages, without a slash at the end.
    pub server_url: String,
    /// The step's id, `GITHUB_ACTION`.
    pub step: Option<String>,
    /// GitHub's API, without a slash at the end.
    pub api_url: String,
    /// The page of this attempt.
    pub run_url: Option<String>,
    /// What an earlier stage of this step saved, by name.
    states: BTreeMap<String, String>,
}

/// The process's environment. The only place of this module that looks at it.
pub fn environment() -> Vec<(OsString, OsString)> {
    std::env::vars_os().collect()
}

impl Context {
    /// Reads the context out of an environment. An empty variable counts as none, a text that is
    /// not UTF-8 is read as far as it goes, and a number that is none is left out.
    pub fn read(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut given: HashMap<String, OsString> = HashMap::new();
        for (name, value) in environment {
            if let Ok(name) = name.into_string()
                && !value.is_empty()
            {
                given.insert(name, value);
            }
        }
        let text = |name: &str| given.get(name).map(|it| it.to_string_lossy().into_owned());
        let path = |name: &str| given.get(name).map(PathBuf::from);
        let url = |name: &str, default: &str| {
            let url = text(name).unwrap_or_else(|| default.to_owned());
            url.trim_end_matches('/').to_owned()
        };
        let slug = text("GITHUB_REPOSITORY");
        let parts = slug.as_deref().and_then(|slug| slug.split_once('/'));
        let server_url = url("GITHUB_SERVER_URL", SERVER_URL);
        let run_id = text("GITHUB_RUN_ID").and_then(|id| id.parse().ok());
        let run_attempt = text("GITHUB_RUN_ATTEMPT").and_then(|nth| nth.parse().ok());
        let run_url = parts
            .zip(run_id)
            .map(|((owner, repository), id): (_, u64)| {
                let attempt =
                    run_attempt.map_or_else(String::new, |nth: u32| format!("/attempts/{nth}"));
                format!("{server_url}/{owner}/{repository}/actions/runs/{id}{attempt}")
            });
        Self {
            in_workflow: text("GITHUB_ACTIONS").as_deref() == Some("true"),
            act: text("ACT").as_deref() == Some("true"),
            debug: text("RUNNER_DEBUG").as_deref() == Some("1"),
            workspace: path("GITHUB_WORKSPACE")
                .or_else(|| std::env::current_dir().ok())
                .unwrap_or_else(|| PathBuf::from(".")),
            temp: path("RUNNER_TEMP"),
            output_file: path("GITHUB_OUTPUT"),
            summary_file: path("GITHUB_STEP_SUMMARY"),
            state_file: path("GITHUB_STATE"),
            owner: parts.map(|(owner, _)| owner.to_owned()),
            repository: parts.map(|(_, repository)| repository.to_owned()),
            sha: text("GITHUB_SHA"),
            ref_name: text("GITHUB_REF_NAME"),
            pull_request: text("GITHUB_REF").and_then(|name| {
                let (number, _) = name.strip_prefix("refs/pull/")?.split_once('/')?;
                number.parse().ok()
            }),
            event: text("GITHUB_EVENT_NAME"),
            event_file: path("GITHUB_EVENT_PATH"),
            ref_type: text("GITHUB_REF_TYPE"),
            actor: text("GITHUB_ACTOR"),
            triggering_actor: text("GITHUB_TRIGGERING_ACTOR"),
            workflow: text("GITHUB_WORKFLOW"),
            runner: text("RUNNER_NAME"),
            runner_environment: text("RUNNER_ENVIRONMENT"),
            user: text("USER"),
            ssh_agent: path("SSH_AUTH_SOCK"),
            run_id,
            run_attempt,
            job: text("GITHUB_JOB"),
            step: text("GITHUB_ACTION"),
            server_url,
            api_url: url("GITHUB_API_URL", API_URL),
            run_url,
            states: given
                .iter()
                .filter_map(|(name, value)| {
                    let name = name.strip_prefix("STATE_")?;
                    Some((name.to_owned(), value.to_string_lossy().into_owned()))
                })
                .collect(),
        }
    }

    /// Makes links lead to the page of this job, whose id is that of its check run.
    pub fn lead_to_job(&mut self, check_run: u64) {
        if let Some(url) = &mut self.run_url {
            let run = url.split("/attempts/").next().unwrap_or(url);
            *url = format!("{run}/job/{check_run}");
        }
    }

    /// What an earlier stage of this step saved under `name`. act hands nothing on.
    pub fn saved(&self, name: &str) -> Option<&str> {
        self.states.get(name).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    const FULL: &[(&str, &str)] = &[
        ("GITHUB_ACTIONS", "true"),
        ("ACT", "true"),
        ("RUNNER_DEBUG", "1"),
        ("GITHUB_WORKSPACE", "/github/workspace"),
        ("RUNNER_TEMP", "/github/runner_temp"),
        ("RUNNER_NAME", "web-1"),
        ("USER", "runner"),
        ("SSH_AUTH_SOCK", "/run/agent"),
        ("GITHUB_OUTPUT", "/github/file_commands/output"),
        ("GITHUB_STEP_SUMMARY", "/github/file_commands/summary"),
        ("GITHUB_STATE", "/github/file_commands/state"),
        ("GITHUB_REPOSITORY", "acme/storefront"),
        ("GITHUB_SHA", "4f2a9c1d5e6f708192a3b4c5d6e7f8091a2b3c4d"),
        ("GITHUB_REF", "refs/pull/41/merge"),
        ("GITHUB_EVENT_PATH", "/github/workflow/event.json"),
        ("GITHUB_REF_NAME", "main"),
        ("GITHUB_REF_TYPE", "branch"),
        ("GITHUB_ACTOR", "ana"),
        ("GITHUB_TRIGGERING_ACTOR", "bo"),
        ("GITHUB_RUN_ID", "1234"),
        ("GITHUB_RUN_ATTEMPT", "2"),
        ("GITHUB_JOB", "deploy"),
        ("GITHUB_SERVER_URL", "https://ghe.example.com/"),
        ("GITHUB_API_URL", "https://ghe.example.com/api/v3"),
        ("STATE_lock", "prod#1"),
    ];

    fn read<'a>(environment: impl IntoIterator<Item = &'a (&'a str, &'a str)>) -> Context {
        Context::read(environment.into_iter().map(|(k, v)| (k.into(), v.into())))
    }

    #[test]
    fn links_lead_to_the_job_where_its_check_run_is_known() {
        let mut context = read(&[
            ("GITHUB_REPOSITORY", "shop/storefront"),
            ("GITHUB_RUN_ID", "7"),
            ("GITHUB_RUN_ATTEMPT", "2"),
        ]);
        context.lead_to_job(40);
        let url = "https://github.com/shop/storefront/actions/runs/7/job/40";
        assert_eq!(context.run_url.as_deref(), Some(url));
        let mut nowhere = read(&[]);
        nowhere.lead_to_job(40);
        assert_eq!(nowhere.run_url, None);
    }

    #[test]
    fn all_of_it_is_read() {
        let context = read(FULL);
        assert!(context.in_workflow && context.act && context.debug);
        assert_eq!(context.owner.as_deref(), Some("acme"));
        assert_eq!(context.repository.as_deref(), Some("storefront"));
        assert_eq!(
            context.run_url.as_deref(),
            Some("https://ghe.example.com/acme/storefront/actions/runs/1234/attempts/2")
        );
        assert_eq!(context.pull_request, Some(41));
        assert_eq!(context.saved("lock"), Some("prod#1"));
        assert_eq!(context.saved("LOCK"), None, "the case is kept as written");
    }

    #[test]
    fn each_can_be_missing_or_empty() {
        for (gone, _) in FULL {
            let left: Vec<_> = FULL.iter().filter(|(name, _)| name != gone).collect();
            let missing = read(left.iter().copied());
            assert_ne!(missing, read(FULL), "{gone} is not read");
            let empty = [(*gone, "")];
            let emptied = read(left.iter().copied().chain(&empty));
            assert_eq!(missing, emptied, "{gone} when empty");
        }
    }

    #[test]
    fn outside_of_a_workflow_nothing_is_known() {
        let context = read(&[]);
        assert!(!context.in_workflow && !context.act && !context.debug);
        assert_eq!(context.workspace, std::env::current_dir().unwrap());
        assert_eq!(context.api_url, "https://api.github.com");
        assert_eq!(context.run_url, None);
        assert_eq!(read(&[("GITHUB_RUN_ID", "x")]).run_id, None);
        assert!(!read(&[("GITHUB_ACTIONS", "false")]).in_workflow);
    }

    #[test]
    fn what_is_not_utf_8_is_read_as_far_as_it_goes() {
        let odd = |text: &[u8]| OsString::from_vec(text.to_vec());
        let context = Context::read([
            (odd(b"\xff"), odd(b"x")),
            (odd(b"GITHUB_REF_NAME"), odd(b"fix-\xff")),
            (odd(b"GITHUB_WORKSPACE"), odd(b"/w/\xff")),
        ]);
        assert_eq!(context.ref_name.as_deref(), Some("fix-\u{fffd}"));
        assert_eq!(context.workspace, PathBuf::from(odd(b"/w/\xff")));
    }
}
