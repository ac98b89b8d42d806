//! Whether the checks that a commit must have passed have passed, as GitHub itself counts:
//! `success`, `neutral` and `skipped` are good, what is not over is not, and what is missing is
//! not either.
//!
//! A check that the running job or its own run still works on is not waited for: it would wait
//! for itself. One of the same run that is over counts as any other.

use crate::model::gates::{Of, Seen, State, Wanted};
use crate::platform::text;

/// How many names are listed where one is missing.
const LISTED: usize = 8;

/// How a check run stands, by GitHub's `status` and `conclusion`. A word that is not known is not
/// good.
pub fn of_check_run(status: &str, conclusion: Option<&str>) -> State {
    let Some(conclusion) = conclusion.filter(|_| status == "completed") else {
        return State::Open(status.to_owned());
    };
    match conclusion {
        "success" | "neutral" | "skipped" => State::Well(conclusion.to_owned()),
        other => State::Bad(other.to_owned()),
    }
}

/// How a commit status stands, by GitHub's `state`.
pub fn of_status(state: &str) -> State {
    match state {
        "success" => State::Well(state.to_owned()),
        "pending" => State::Open(state.to_owned()),
        other => State::Bad(other.to_owned()),
    }
}

/// What is to be said of one check that must have passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has passed, or it is not waited for.
    Yes(String),
    /// It has not: what was seen, and what to do.
    No {
        /// What was seen.
        measured: String,
        /// What to do.
        next: String,
    },
}

/// Judges one check among all that a commit has. Several may have its name, from several
/// workflows; then all must have passed.
pub fn judge(wanted: &Wanted, seen: &[Seen]) -> Answer {
    let fits = |one: &&Seen| {
        one.name == wanted.name
            && wanted
                .app
                .is_none_or(|app| one.app.is_none_or(|its| its == app))
    };
    let ours: Vec<&Seen> = seen.iter().filter(fits).collect();
    if ours.is_empty() {
        return missing(wanted, seen);
    }
    let waits = |one: &&&Seen| {
        one.of == Of::ThisJob || (one.of == Of::ThisRun && matches!(one.state, State::Open(_)))
    };
    let asked: Vec<&&Seen> = ours.iter().filter(|one| !waits(one)).collect();
    let worst = asked
        .iter()
        .find(|one| matches!(one.state, State::Bad(_)))
        .or_else(|| asked.iter().find(|one| matches!(one.state, State::Open(_))));
    match worst.map(|one| &one.state) {
        Some(State::Bad(word)) => Answer::No {
            measured: word.clone(),
            next: "look at it, repair it, and deploy the commit that passes; `Re-run failed jobs` is for those that fail by chance".to_owned(),
        },
        Some(State::Open(word)) => Answer::No {
            measured: format!("not over: {word}"),
            next: "wait for its end, then run this again; inside of one workflow `needs:` waits by itself".to_owned(),
        },
        _ if asked.is_empty() => {
            let whose = if ours.iter().any(|one| one.of == Of::ThisJob) {
                "this job itself"
            } else {
                "of this run, and not over"
            };
            Answer::Yes(format!("{whose}: it is not waited for"))
        }
        _ => {
            let mut words: Vec<&str> = asked
                .iter()
                .map(|one| match &one.state {
                    State::Well(word) | State::Open(word) | State::Bad(word) => word.as_str(),
                })
                .collect();
            words.sort_unstable();
            words.dedup();
            Answer::Yes(words.join(" and "))
        }
    }
}

fn missing(wanted: &Wanted, seen: &[Seen]) -> Answer {
    if let Some(app) = wanted.app
        && seen.iter().any(|one| one.name == wanted.name)
    {
        return Answer::No {
            measured: format!(
                "there is one of that name, and not by the app {app} that has to say it"
            ),
            next:
                "see in the branch's protection which app that is, and that it runs for this commit"
                    .to_owned(),
        };
    }
    let mut names: Vec<&str> = seen.iter().map(|one| one.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let measured = if names.is_empty() {
        "missing: the commit has no checks at all".to_owned()
    } else {
        let more = names.len().saturating_sub(LISTED);
        let list: Vec<String> = names
            .iter()
            .take(LISTED)
            .map(|name| text::excerpt(name, 60))
            .collect();
        let rest = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        format!("missing; the commit has {}{rest}", list.join(", "))
    };
    let guess = text::nearest(&wanted.name, names.iter().copied());
    let next = match guess {
        Some(near) => format!(
            "is \"{}\" meant? Then correct the name",
            text::excerpt(near, 60)
        ),
        None => {
            "does its workflow run for this commit, and is the name as the checks page shows it?"
                .to_owned()
        }
    };
    Answer::No { measured, next }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(name: &str, state: State, of: Of) -> Seen {
        Seen {
            name: name.to_owned(),
            app: Some(15368),
            state,
            of,
        }
    }

    fn run(conclusion: &str) -> State {
        of_check_run("completed", Some(conclusion))
    }

    fn answer(name: &str, seen: &[Seen]) -> String {
        let wanted = Wanted {
            name: name.to_owned(),
            app: None,
        };
        match judge(&wanted, seen) {
            Answer::Yes(said) => format!("yes: {said}"),
            Answer::No { measured, .. } => format!("no: {measured}"),
        }
    }

    #[test]
    fn conclusions_count_as_github_counts_them() {
        for (conclusion, wanted) in [
            ("success", "yes: success"),
            ("neutral", "yes: neutral"),
            ("skipped", "yes: skipped"),
            ("failure", "no: failure"),
            ("cancelled", "no: cancelled"),
            ("timed_out", "no: timed_out"),
            ("action_required", "no: action_required"),
            ("stale", "no: stale"),
            ("startup_failure", "no: startup_failure"),
            ("a_word_of_next_year", "no: a_word_of_next_year"),
        ] {
            let all = [seen("build", run(conclusion), Of::Others)];
            assert_eq!(answer("build", &all), wanted);
        }
        for status in ["queued", "in_progress", "waiting", "requested", "pending"] {
            let all = [seen("build", of_check_run(status, None), Of::Others)];
            assert_eq!(answer("build", &all), format!("no: not over: {status}"));
        }
        for (state, wanted) in [
            ("success", "yes: success"),
            ("pending", "no: not over: pending"),
            ("failure", "no: failure"),
            ("error", "no: error"),
        ] {
            let all = [seen("ci/x", of_status(state), Of::Others)];
            assert_eq!(answer("ci/x", &all), wanted);
        }
    }

    #[test]
    fn of_several_of_one_name_the_worst_counts() {
        let open = || of_check_run("in_progress", None);
        let of_others = |states: [State; 3]| states.map(|state| seen("b", state, Of::Others));
        let bad = of_others([run("success"), open(), run("failure")]);
        assert_eq!(answer("b", &bad), "no: failure");
        let unfinished = of_others([run("success"), open(), run("skipped")]);
        assert_eq!(answer("b", &unfinished), "no: not over: in_progress");
        let good = of_others([run("success"), run("skipped"), run("success")]);
        assert_eq!(answer("b", &good), "yes: skipped and success");
    }

    #[test]
    fn nobody_waits_for_himself() {
        let open = || of_check_run("in_progress", None);
        assert_eq!(
            answer("deploy", &[seen("deploy", open(), Of::ThisJob)]),
            "yes: this job itself: it is not waited for"
        );
        assert_eq!(
            answer("report", &[seen("report", open(), Of::ThisRun)]),
            "yes: of this run, and not over: it is not waited for"
        );
        assert_eq!(
            answer("test", &[seen("test", run("failure"), Of::ThisRun)]),
            "no: failure"
        );
        let two = [
            seen("b", open(), Of::ThisRun),
            seen("b", open(), Of::Others),
        ];
        assert_eq!(answer("b", &two), "no: not over: in_progress");
    }

    #[test]
    fn what_is_missing_is_no_success() {
        assert_eq!(
            answer("build", &[]),
            "no: missing: the commit has no checks at all"
        );
        let all = [
            seen("test", run("success"), Of::Others),
            seen("biuld", run("success"), Of::Others),
        ];
        assert_eq!(
            answer("build", &all),
            "no: missing; the commit has biuld, test"
        );
        let wanted = |app| Wanted {
            name: "test".to_owned(),
            app: Some(app),
        };
        assert!(matches!(judge(&wanted(15368), &all), Answer::Yes(_)));
        let Answer::No { measured, .. } = judge(&wanted(7), &all) else {
            panic!("another app's word is no word");
        };
        assert!(measured.contains("not by the app 7"), "{measured}");
    }
}
