//! Which of many checks a preflight ends with: all are told, the gravest gives the reason.

use crate::model::fault::Fault;
use crate::model::finding::{Finding, Verdict};
use crate::platform::text;

/// `12 checks passed`, with how many could not be looked at; or the fault of the gravest that
/// says no. Of two that are as grave the first one counts.
///
/// # Errors
/// When a check says no.
pub fn verdict(findings: &[Finding]) -> Result<String, Fault> {
    let skipped = |finding: &&Finding| matches!(finding.verdict, Verdict::Skipped { .. });
    let skipped = findings.iter().filter(skipped).count();
    let asked = findings.len() - skipped;
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
        let passed = format!("{} passed", text::count(asked as u64, "check"));
        return Ok(match skipped {
            0 => passed,
            _ => format!("{passed}, {skipped} skipped"),
        });
    };
    let says = if names.len() == 1 { "says" } else { "say" };
    let said = format!(
        "{} of {} {says} no: {}",
        names.len(),
        text::count(asked as u64, "check"),
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
        assert_eq!(
            verdict(&[yes.clone(), skipped.clone()]).unwrap(),
            "1 check passed, 1 skipped"
        );
        assert_eq!(verdict(&[]).unwrap(), "0 checks passed");
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
        assert_eq!(
            fault.said,
            "4 of 5 checks say no: cpu, window, freeze, db:1"
        );
        assert_eq!(fault.measured.as_deref(), Some("window: seen"));
        let one = verdict(&all[..1]).unwrap_err();
        assert_eq!(one.said, "1 of 1 check says no: cpu");
    }
}
