//! Which of many checks a preflight ends with: all are told, the gravest gives the reason.

use crate::model::fault::Fault;
use crate::model::finding::{Finding, Verdict};
use crate::platform::text;

/// `12 checks passed`, `9 of 12 checks passed, 1 skipped`.
pub fn counted(findings: &[Finding]) -> String {
    let (mut passed, mut skipped) = (0, 0);
    for finding in findings {
        match finding.verdict {
            Verdict::Passed { .. } => passed += 1,
            Verdict::Skipped { .. } => skipped += 1,
            Verdict::Failed { .. } => {}
        }
    }
    let asked = findings.len() - skipped;
    let all = text::count(asked as u64, "check");
    let said = if passed == asked {
        format!("{all} passed")
    } else {
        format!("{passed} of {all} passed")
    };
    match skipped {
        0 => said,
        _ => format!("{said}, {skipped} skipped"),
    }
}

/// The fault of the gravest that says no. Of two that are as grave the first one counts.
///
/// # Errors
/// When a check says no.
pub fn verdict(findings: &[Finding]) -> Result<(), Fault> {
    let mut worst: Option<(&Finding, [&String; 3])> = None;
    let mut names = Vec::new();
    for finding in findings {
        if let Verdict::Failed {
            measured,
            wanted,
            next,
        } = &finding.verdict
        {
            names.push(finding.name.as_str());
            if worst.is_none_or(|(worst, _)| worst.group < finding.group) {
                worst = Some((finding, [measured, wanted, next]));
            }
        }
    }
    let Some((finding, [measured, wanted, next])) = worst else {
        return Ok(());
    };
    let says = if names.len() == 1 { "says" } else { "say" };
    let said = format!(
        "{} {says} no: {}",
        text::count(names.len() as u64, "check"),
        names.join(", ")
    );
    Err(Fault::new(finding.group.reason(), said)
        .measured(format!("{}: {measured}", finding.name))
        .wanted(wanted.as_str())
        .next(next.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ending::Reason;
    use crate::model::finding::Group;

    fn no(group: Group, name: &str) -> Finding {
        Finding::failed(group, name, "seen", "wanted", "next")
    }

    #[test]
    fn all_are_told_and_the_gravest_counts() {
        let yes = Finding::passed(Group::Guardrail, "branch", "main");
        let skipped = Finding::skipped(Group::Busy, "others", "no token");
        let good = [yes.clone(), skipped.clone()];
        assert_eq!(counted(&good), "1 check passed, 1 skipped");
        assert_eq!((verdict(&good), verdict(&[])), (Ok(()), Ok(())));
        let all = [
            no(Group::Runner, "cpu"),
            no(Group::Guardrail, "window"),
            skipped,
            no(Group::Guardrail, "freeze"),
            no(Group::Network, "db:1"),
            yes,
        ];
        let fault = verdict(&all).unwrap_err();
        assert_eq!(fault.reason, Reason::PreflightGuardrail);
        assert_eq!(fault.said, "4 checks say no: cpu, window, freeze, db:1");
        assert_eq!(counted(&all), "1 of 5 checks passed, 1 skipped");
        assert_eq!(fault.measured.as_deref(), Some("window: seen"));
        let one = verdict(&all[..1]).unwrap_err();
        assert_eq!(one.said, "1 check says no: cpu");
    }
}
