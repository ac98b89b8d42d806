//! `notify`: tells people what the workflow says, through every configured channel.
//!
//! A channel that does not take the message is a warning: telling never changes a verdict.

use std::time::Instant;

use crate::cast::Audience;
use crate::config::inputs::Inputs;
use crate::model::ending::{Decision, Ending, Reason};
use crate::model::event::{Event, Say};
use crate::model::news::News;
use crate::platform::secret::Vault;
use crate::platform::text;
use crate::report::news::send;

/// Sends the message of the inputs to the audience. `facts` are the lines that every message of
/// this run carries.
pub async fn run(
    inputs: &Inputs,
    facts: Vec<(String, String)>,
    run_url: Option<String>,
    audience: &Audience,
    vault: &Vault,
    say: &Say,
) -> Ending {
    let news = News {
        severity: inputs.severity,
        title: inputs
            .title
            .clone()
            .unwrap_or_else(|| "A message from the deployment".to_owned()),
        message: inputs.message.clone().unwrap_or_default(),
        decision: None,
        facts,
        run_url,
    };
    let wanted = audience
        .iter()
        .filter(|(routing, _)| routing.from <= news.severity)
        .count();
    let channels = text::count(wanted as u64, "channel");
    if inputs.dry_run {
        let said = format!("{channels} would hear of \"{}\"", news.title);
        return Ending::good(Decision::Planned, Reason::DryRun, said);
    }
    let began = Instant::now();
    let warnings = send(&news, audience, vault).await;
    let heard = wanted - warnings.len().min(wanted);
    for warning in warnings {
        say(Event::Warned(warning));
    }
    let said = format!("{heard} of {channels} heard of it");
    say(Event::Done {
        step: "notify",
        said: said.clone(),
        took: began.elapsed(),
    });
    let decision = if wanted == 0 {
        Decision::Skipped
    } else {
        Decision::Passed
    };
    Ending::good(decision, Reason::Done, said)
}
