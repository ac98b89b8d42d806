//! What an event is called in the audit, and what it says there. `schema` lists it.

use serde_json::{Value, json};

use crate::model::ending::Ending;
use crate::model::event::{Event, Fact};
use crate::model::finding::{Finding, Verdict};
use crate::report::outputs::{deviation_data, figure_data, named, rounded};

/// The name of an event and its data; `None` where the audit has no use for it.
pub(super) fn of(event: &Event) -> Option<(&'static str, Value)> {
    let line = match event {
        // The log has what is only shown, and what others printed.
        Event::Working { .. } | Event::Line(_) => return None,
        Event::Began(headline) => {
            let data = json!({ "version": headline.release, "strategy": headline.strategy });
            ("began", data)
        }
        Event::Done { step, said, took } => ("step-done", step_data(step, said, *took)),
        Event::Failed { step, said, took } => ("step-failed", step_data(step, said, *took)),
        Event::Noticed(said) => ("noticed", json!({ "said": said })),
        Event::Warned(said) => ("warned", json!({ "said": said })),
        Event::Wrong { file, line, said } => {
            ("wrong", json!({ "file": file, "line": line, "said": said }))
        }
        Event::Checked {
            check,
            passed,
            said,
            wanted,
        } => {
            let data = json!({ "check": check, "passed": passed, "said": said, "wanted": wanted });
            ("checked", data)
        }
        Event::Found(finding) => ("checked", found(finding)),
        Event::Compared(comparison) => ("compared", json!(comparison)),
        Event::Changed {
            what,
            before,
            after,
        } => (
            "changed",
            json!({ "what": what, "before": before, "after": after }),
        ),
        Event::Judged {
            step,
            verdict,
            said,
            figures,
        } => {
            let data =
                json!({ "step": step, "verdict": verdict, "said": said, "figures": figures });
            ("judged", data)
        }
        Event::Glanced(glance) => ("glanced", json!(glance)),
        Event::Stands(standing) => ("stands", json!(standing)),
        Event::Assessed(figure) => ("figure", figure_data(figure)),
        Event::Deviated(deviation) => ("anomaly", deviation_data(deviation)),
        Event::Learned(fact) => ("learned", learned(fact)),
        Event::Measured(receipt) => ("measured", json!({ "receipt": receipt })),
        Event::Ended(ending) => ("ended", ended(ending)),
    };
    Some(line)
}

fn step_data(step: &str, said: &str, took: std::time::Duration) -> Value {
    let took = rounded(took.as_secs_f64() * 1000.0, 2);
    json!({ "step": step, "said": said, "took-ms": took })
}

fn learned(fact: &Fact) -> Value {
    let (name, value) = named(fact);
    json!({ "name": name, "value": value })
}

/// A finding of the preflight, as a check. One that was skipped did neither: `passed` is null.
fn found(finding: &Finding) -> Value {
    let check = format!("{} {}", finding.group.name(), finding.name);
    let (passed, said, wanted) = match &finding.verdict {
        Verdict::Passed { measured } => (Some(true), measured, None),
        Verdict::Failed {
            measured, wanted, ..
        } => (Some(false), measured, Some(wanted)),
        Verdict::Skipped { measured } => (None, measured, None),
    };
    json!({ "check": check, "passed": passed, "said": said, "wanted": wanted })
}

fn ended(ending: &Ending) -> Value {
    json!({
        "decision": ending.decision,
        "reason-code": ending.reason,
        "exit-code": ending.exit_code(),
        "said": ending.said,
        "measured": ending.account.measured,
        "wanted": ending.account.wanted,
        "traffic": ending.account.traffic,
        "next": ending.account.next,
    })
}
