//! `notify`: tells people what the workflow says, through every configured channel.
//!
//! A channel that does not take the message is a warning: telling never changes a verdict.

use std::time::Instant;

use crate::config::inputs::Inputs;
use crate::model::ending::{Decision, Ending, Reason};
use crate::model::event::Event;
use crate::model::news::{Alert, Incident, News};
use crate::model::severity::Severity;
use crate::platform::text;
use crate::report::telling::Teller;

/// What a message carries beside its text.
pub struct Message {
    /// The lines that every message of this run has.
    pub facts: Vec<(String, String)>,
    /// The application and its environment, where they are known.
    pub about: Option<(String, String)>,
    /// The page of the run.
    pub run_url: Option<String>,
}

/// Sends the message of the inputs.
pub async fn run(inputs: &Inputs, message: Message, teller: &Teller<'_>) -> Ending {
    let (app, environment) = message.about.unzip();
    let about = app.as_deref().zip(environment.as_deref());
    // What only might be of interest opens no incident, unless that is asked for.
    let grave = (inputs.severity > Severity::Info).then_some(Alert::Trigger);
    let alert = inputs.alert.or(grave);
    let news = News {
        severity: inputs.severity,
        title: inputs
            .title
            .clone()
            .unwrap_or_else(|| "A message from the deployment".to_owned()),
        message: inputs.message.clone().unwrap_or_default(),
        facts: message.facts,
        run_url: message.run_url,
        incident: about
            .zip(alert)
            .map(|((app, name), alert)| Incident::of(app, name, "notify", alert)),
        // One comment for all messages of an environment, beside the one of its rollouts.
        thread: about.map(|(app, name)| format!("{app}/{name}/notify")),
        app,
        environment,
        ..News::default()
    };
    let wanted = teller.wanted(&news);
    let channels = text::count(wanted as u64, "channel");
    if inputs.dry_run {
        let said = format!("{channels} would hear of \"{}\"", news.title);
        return Ending::good(Decision::Planned, Reason::DryRun, said);
    }
    let began = Instant::now();
    let heard = teller.tell(&news).await;
    let said = format!("{heard} of {channels} heard of it");
    (teller.say)(Event::Done {
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
