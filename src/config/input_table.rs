//! The list of inputs, as `action.yml`, `--help` and the README show them.

/// An input as people see it.
pub struct Input {
    /// Its name, the same in `action.yml`, on the command line and, upper-cased behind
    /// `INPUT_`, in the environment.
    pub name: &'static str,
    /// What holds when it is not given; empty where nothing does.
    pub default: &'static str,
    /// What it is.
    pub about: &'static str,
}

const fn input(name: &'static str, default: &'static str, about: &'static str) -> Input {
    Input {
        name,
        default,
        about,
    }
}

/// All inputs, in the order in which they are shown.
pub const INPUTS: &[Input] = &[
    input("mode", "", "what to do, one of the modes"),
    input(
        "config",
        ".github/cutover.yml",
        "the config file, relative to the workspace",
    ),
    input(
        "environment",
        "",
        "which environment of the config; the only one, if there is one",
    ),
    input(
        "version",
        "",
        "the release: what the slot must say that it serves; the commit SHA inside a workflow",
    ),
    input(
        "slot",
        "auto",
        "for deploy-slot, smoke-test, health-check: a slot's name, or auto for the idle one (for health-check: the public URL)",
    ),
    input(
        "to",
        "idle",
        "for switch-traffic: a slot's name, idle or previous",
    ),
    input(
        "weight",
        "100",
        "for switch-traffic: percent of traffic for `to`, 0 to 100",
    ),
    input(
        "expect-active",
        "",
        "for preflight, switch-traffic, rollout and rollback: refuse unless this slot is active now",
    ),
    input(
        "strategy",
        "",
        "for rollout: the strategy; the config's, if not given",
    ),
    input(
        "url",
        "",
        "for smoke-test and health-check without a config file: look at this",
    ),
    input(
        "checks",
        "",
        "for smoke-test and health-check: checks as inline YAML, as in the config",
    ),
    input("title", "", "for notify: the first line"),
    input("message", "", "for notify: the text"),
    input("severity", "info", "for notify: info, warning or critical"),
    input(
        "webhook",
        "",
        "for notify without a config file: a Slack, Discord or other webhook",
    ),
    input(
        "alert",
        "",
        "for notify: what becomes of an incident: trigger, acknowledge or resolve",
    ),
    input(
        "issue",
        "",
        "for the channel github-comment: the pull request's or issue's number",
    ),
    input(
        "reason",
        "",
        "for `cutover lock hold`: why, for those who wait",
    ),
    input(
        "migration",
        "",
        "for preflight and rollout: none, expand or contract; the config's, if not given",
    ),
    input(
        "failover",
        "auto",
        "for deploy-slot and rollout: now, if the secondary target shall deploy without a try of the primary",
    ),
    input(
        "override",
        "",
        "for preflight and rollout: why a closed window, a holiday, a freeze or an unhealthy active slot is passed over",
    ),
    input(
        "apply",
        "false",
        "for environments: change what differs at GitHub; it needs an admin token",
    ),
    input("dry-run", "false", "say what would change, change nothing"),
    input(
        "token",
        "",
        "the token for the GitHub API; without one, records are skipped with a notice",
    ),
    input(
        "app-id",
        "",
        "the number of a GitHub App that asks GitHub instead of the token",
    ),
    input(
        "app-private-key",
        "",
        "the App's private key, the whole PEM file",
    ),
    input(
        "app-installation-id",
        "",
        "the number of the App's installation; found by the repository, if not given",
    ),
    input(
        "check-run-id",
        "",
        "the id of this job's check run: by it links lead to the job, and its Deployment is found",
    ),
    input(
        "report-file",
        "",
        "write the run as one HTML page to this file; a path in the workspace, or an absolute one",
    ),
    input(
        "fault",
        "",
        "for rehearse: what goes wrong, such as errors=5% or wrong-version; several with commas",
    ),
];
