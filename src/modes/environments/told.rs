//! What a person is told of environments that are not as they should be, and what to do about it.

use crate::github::GithubError;
use crate::model::ending::{Decision, Ending, Reason};
use crate::model::fault::Fault;
use crate::model::protection::Difference;
use crate::platform::text;

use super::Piece;

/// What the workflow's own token cannot have, and who can.
const ADMIN: &str = "the workflow's own token cannot have that: make a fine-grained token (Administration: write; with teams also Members: read) or a GitHub App, and give it to the step: `with: { mode: environments, apply: true, token: \"${{ secrets.CUTOVER_ADMIN_TOKEN }}\" }`";

/// The ending of all environments together: the gravest gives the account.
pub fn together(endings: Vec<Ending>) -> Ending {
    let said = |good: bool| {
        let some = endings.iter().filter(|ending| ending.is_good() == good);
        let said: Vec<&str> = some.map(|ending| ending.said.as_str()).collect();
        said.join("; ")
    };
    let worst = endings.iter().filter(|ending| !ending.is_good());
    let worst = worst.max_by_key(|ending| ending.exit_code());
    match worst {
        Some(worst) => Ending {
            said: said(false),
            ..worst.clone()
        },
        None => {
            let of = |decision| endings.iter().find(|one| one.decision == decision);
            let changed = endings.iter().find(|one| one.reason == Reason::Done);
            let first = of(Decision::Planned).or(changed).or(endings.first());
            let (decision, reason) = first.map_or((Decision::Skipped, Reason::Done), |one| {
                (one.decision, one.reason)
            });
            Ending::good(decision, reason, said(true))
        }
    }
}

/// What differs, and how to mend it.
pub(super) fn not_so(piece: &Piece<'_>, differ: &[Difference]) -> Fault {
    let name = piece.name;
    let listed = |value: fn(&Difference) -> &String| {
        let all = differ
            .iter()
            .map(|one| format!("{} {}", one.key, value(one)));
        all.collect::<Vec<_>>().join("; ")
    };
    let by_hand = differ.iter().filter(|one| one.by_hand).count();
    let command = format!(
        "`cutover environments --environment {} --apply` with an admin token",
        quoted(name)
    );
    let next = if by_hand == differ.len() {
        format!(
            "GitHub's API cannot change it; a person can: {}",
            piece.page
        )
    } else if by_hand > 0 {
        format!("{command}, and can-admins-bypass by hand: {}", piece.page)
    } else {
        format!("{command}, or by hand: {}", piece.page)
    };
    let said = format!("{name} is not protected as the config says");
    Fault::new(Reason::ProtectionDiffers, said)
        .measured(format!("{name}: {}", listed(|one| &one.is)))
        .wanted(listed(|one| &one.should))
        .next(next)
}

/// What GitHub took, and does not have afterwards.
pub(super) fn not_taken(piece: &Piece<'_>, left: &[Difference]) -> Fault {
    let fault = not_so(piece, left);
    let said = format!(
        "{} was changed, and GitHub does not show all of it",
        piece.name
    );
    Fault { said, ..fault }.next(format!(
        "a private repository needs a plan that has reviewers, wait timers and branches; what can be had is shown at {}",
        piece.page
    ))
}

/// A run that was cancelled between two changes.
pub(super) fn cancelled(name: &str, made: u64) -> Fault {
    let made = text::count(made, "change");
    let fault = Fault::cancelled();
    Fault {
        said: format!("the run was cancelled, after {made} of {name}"),
        ..fault
    }
    .next("run it again: what is done stays")
}

/// A name as a shell takes it.
pub fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./".contains(c);
    if name.chars().all(plain) {
        name.to_owned()
    } else {
        format!("'{}'", name.replace('\'', "'\\''"))
    }
}

pub(super) fn unread(name: &str, failed: &GithubError) -> Fault {
    let fault = Fault::new(Reason::OutOfReach, format!("{name} could not be read"))
        .measured(failed.to_string());
    match failed {
        GithubError::Refused {
            status: 403 | 404, ..
        } => fault
            .wanted("a token that may read environments")
            .next("give the job `permissions: { contents: read, actions: read }`"),
        _ => match failed.hint() {
            Some(hint) => fault.next(hint),
            None => fault.next("run it again; nothing was changed"),
        },
    }
}

/// Reviewers that nobody may look up who has this token.
pub(super) fn unseen(name: &str, failed: &GithubError) -> Fault {
    let fault = Fault {
        said: format!("a reviewer of {name} could not be looked up"),
        ..unread(name, failed)
    };
    match failed {
        GithubError::Refused { status: 403, .. } => fault
            .wanted("a token that may see the teams of the organization")
            .next(ADMIN),
        _ => fault,
    }
}

pub(super) fn unwritten(piece: &Piece<'_>, failed: &GithubError, made: u64) -> Fault {
    let name = piece.name;
    let (said, again) = match made {
        0 => (format!("{name} could not be changed"), ""),
        _ => (
            format!(
                "{name} was changed in part: {}",
                text::count(made, "change")
            ),
            "; then run it again, for what is done stays",
        ),
    };
    let fault = |reason| Fault::new(reason, &said).measured(failed.to_string());
    match failed {
        GithubError::Refused {
            status: 403 | 404,
            wait: None,
            ..
        } => fault(Reason::OutOfReach)
            .wanted("a token with `administration: write`")
            .next(format!("{ADMIN}{again}")),
        GithubError::Refused { status: 422, .. } => fault(Reason::ProtectionDiffers)
            .wanted("what the config says")
            .next(format!("reviewers need read access to the repository, and reviewers, wait timers and branches of a private one a plan that has them; what can be had is shown at {}{again}", piece.page)),
        _ => {
            let hint = failed.hint().unwrap_or_else(|| "see whether GitHub is up".to_owned());
            let again = if again.is_empty() { "; then run it again" } else { again };
            fault(Reason::OutOfReach).next(format!("{hint}{again}"))
        }
    }
}
