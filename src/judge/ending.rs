//! How a run ends, given where it stopped and what could be taken back.

use crate::model::ending::{Account, Decision, Ending, Reason};
use crate::model::fault::Fault;

/// What became of the promises of a run that stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unwound {
    /// Nothing had been changed.
    Untouched,
    /// All that had been changed was taken back.
    TakenBack,
    /// It had been changed and stays so, because back would not be safer.
    Stays,
    /// Some of it could not be taken back; each with the command for a person.
    Left(Vec<String>),
}

/// Makes the ending of a run that stopped with a fault. `committed` is whether it had passed
/// its point of no return, `traffic` where traffic is now.
pub fn ending_of(
    fault: Fault,
    committed: bool,
    unwound: &Unwound,
    traffic: Option<String>,
) -> Ending {
    let decision = match unwound {
        _ if committed => Decision::Held,
        Unwound::Stays => Decision::Held,
        Unwound::Untouched => Decision::Failed,
        Unwound::TakenBack => Decision::RolledBack,
        Unwound::Left(_) => Decision::Stuck,
    };
    let next = match unwound {
        Unwound::Left(commands) if !committed => Some(commands.join("; ")),
        _ => fault.next,
    };
    Ending {
        decision,
        reason: fault.reason,
        said: fault.said,
        account: Account {
            measured: fault.measured,
            wanted: fault.wanted,
            traffic,
            next,
        },
    }
}

/// The fault that a panic is.
pub fn bug(message: &str) -> Fault {
    Fault::new(Reason::Bug, format!("cutover has a defect: {message}"))
        .next("please report it with this log; the way back was taken as for any other failure")
}

/// What a panic said.
pub fn message_of(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it panicked")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_has_its_code() {
        let code = |reason, committed, unwound| {
            ending_of(Fault::new(reason, "x"), committed, &unwound, None).exit_code()
        };
        let left = || Unwound::Left(vec!["cutover rollback".into()]);
        assert_eq!(code(Reason::SmokeFailed, false, Unwound::Untouched), 10);
        assert_eq!(code(Reason::NotProved, false, Unwound::TakenBack), 20);
        assert_eq!(code(Reason::NotProved, true, Unwound::Untouched), 30);
        assert_eq!(code(Reason::Bug, false, Unwound::Stays), 30);
        assert_eq!(code(Reason::NotProved, false, left()), 40);
        assert_eq!(code(Reason::Cancelled, false, Unwound::TakenBack), 130);
        assert_eq!(
            code(Reason::Cancelled, false, left()),
            40,
            "stuck is stuck, cancelled or not"
        );
        assert_eq!(code(Reason::Bug, false, Unwound::Untouched), 70);
        assert_eq!(code(Reason::Bug, false, Unwound::TakenBack), 20);
    }

    #[test]
    fn who_is_stuck_is_told_what_to_run() {
        let fault = Fault::new(Reason::NotProved, "x").next("something else");
        let ending = ending_of(
            fault,
            false,
            &Unwound::Left(vec!["a".into(), "b".into()]),
            None,
        );
        assert_eq!(ending.account.next.as_deref(), Some("a; b"));
    }
}
