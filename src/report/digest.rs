//! Several news as one message: all in it, the gravest first said.

use crate::model::news::{News, Outcome};
use crate::notifiers::Form;

/// The longest text of one digest, in characters: what every channel takes whole. What does not
/// fit is in the next one.
const LONGEST: usize = 2500;

/// What goes out for those that waited, in order. An edit stays an edit, and what opens and
/// closes incidents stays apart; of the others as many as fit become one.
pub(super) fn digests(waiting: Vec<News>, form: Form) -> Vec<News> {
    let apart = |news: &News| match form {
        Form::Incidents => true,
        Form::Edited => news.thread.is_some(),
        Form::Messages => false,
    };
    let mut out = Vec::new();
    let mut bundle: Vec<News> = Vec::new();
    for news in waiting {
        if apart(&news) {
            out.extend(one(std::mem::take(&mut bundle)));
            out.push(news);
            continue;
        }
        let length: usize = bundle
            .iter()
            .chain([&news])
            .map(|one| entry(one).len())
            .sum();
        if length > LONGEST {
            out.extend(one(std::mem::take(&mut bundle)));
        }
        bundle.push(news);
    }
    out.extend(one(bundle));
    out
}

fn one(bundle: Vec<News>) -> Option<News> {
    if bundle.len() < 2 {
        return bundle.into_iter().next();
    }
    let severity = bundle.iter().map(|news| news.severity).max()?;
    let gravest = bundle.iter().find(|news| news.severity == severity)?;
    let same = |of: fn(&News) -> &Option<String>| {
        let first = of(bundle.first()?).clone();
        bundle
            .iter()
            .all(|news| *of(news) == first)
            .then_some(first)?
    };
    let outcome = if bundle.iter().any(|news| news.outcome == Outcome::Failed) {
        Outcome::Failed
    } else {
        Outcome::Note
    };
    let entries: Vec<String> = bundle.iter().map(entry).collect();
    Some(News {
        severity,
        title: format!("{} and {} more", gravest.title, bundle.len() - 1),
        message: entries.join("\n\n"),
        decision: same(|news| &news.decision),
        // What all of them say is said once more where machines look for it.
        facts: bundle[0]
            .facts
            .iter()
            .filter(|fact| bundle.iter().all(|news| news.facts.contains(fact)))
            .cloned()
            .collect(),
        run_url: same(|news| &news.run_url),
        outcome,
        app: same(|news| &news.app),
        environment: same(|news| &news.environment),
        incident: None,
        for_those_of: bundle.iter().filter_map(|news| news.for_those_of).max(),
        thread: None,
    })
}

/// All that one of them says.
fn entry(news: &News) -> String {
    let mut lines = vec![format!("{}: {}", news.severity, news.title.trim())];
    lines.extend(news.message.trim().lines().map(ToOwned::to_owned));
    lines.extend(news.decision.iter().map(|word| format!("decision: {word}")));
    lines.extend(
        news.facts
            .iter()
            .map(|(name, value)| format!("{name}: {value}")),
    );
    lines.extend(news.run_url.clone());
    lines.join("\n")
}
