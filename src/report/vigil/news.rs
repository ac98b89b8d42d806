//! What people are told by a health check that remembers: one message for each change.

use crate::model::news::{Alert, Incident as Concern, News, Outcome};
use crate::model::severity::Severity;
use crate::model::vigil::{Act, State, Tally};
use crate::platform::text;
use crate::rollout::vigil::{Word, missed, moment};

use super::{Place, available, figures, long, looks, over, runs};

/// Who hears of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ears {
    /// Those who hear of everything at once.
    Soon,
    /// Those who are called when an incident goes on; where there are none, all.
    Later,
    /// Both.
    All,
}

/// Who hears of a word.
pub fn ears(word: Word<'_>) -> Ears {
    match word.act {
        Act::Escalated { .. } => Ears::Later,
        Act::Changed { incident, .. } if incident.escalated => Ears::All,
        _ => Ears::Soon,
    }
}

impl Place {
    /// What people are told. `issue` is the page of the incident's issue, `deployed` what was
    /// deployed in a week.
    pub fn news(&self, word: Word<'_>, issue: Option<String>, deployed: Option<&str>) -> News {
        let sight = &word.sight.said;
        let memory = word.memory;
        let whose = format!("{}, {}", self.app, self.environment);
        let mut news = News {
            run_url: self.run_url.clone(),
            app: Some(self.app.clone()),
            environment: Some(self.environment.clone()),
            facts: vec![
                ("app".to_owned(), self.app.clone()),
                ("environment".to_owned(), self.environment.clone()),
            ],
            ..News::default()
        };
        match word.act {
            Act::Changed {
                from,
                to,
                incident,
                ended,
            } => {
                news.severity = to.severity();
                news.decision = Some(to.name().to_owned());
                news.outcome = match to {
                    State::Up => Outcome::Good,
                    _ => Outcome::Failed,
                };
                news.title = format!("{}: {whose}", to.name());
                news.message = match ended {
                    Some(past) => format!("{}\n{sight}", over(past)),
                    None => format!(
                        "{sight}\nbefore: {}\nfirst seen: {}",
                        from.name(),
                        moment(incident.began)
                    ),
                };
                // Who heard that it began hears that it is over.
                news.for_those_of = Some(incident.worst.severity().max(from.severity()));
                news.incident = self.concern(*to, incident.worst);
            }
            Act::Escalated { after } => {
                news.severity = Severity::Critical;
                news.decision = Some(State::Down.name().to_owned());
                news.outcome = Outcome::Failed;
                news.title = format!("still down after {}: {whose}", long(*after));
                let began = memory.incident.as_ref().map(|it| it.began);
                news.message = format!(
                    "{sight}\nfirst seen: {}",
                    moment(began.unwrap_or(memory.since))
                );
                news.incident = self.concern(State::Down, State::Down);
            }
            Act::Missed(slots) => {
                news.severity = Severity::Warning;
                news.title = format!(
                    "{} of the health check did not come: {whose}",
                    text::count(slots.many, "run")
                );
                news.message = format!(
                    "{}\nnow: {}\nnext: is the workflow switched off, or its runner? GitHub starts no schedule for sure",
                    missed(*slots),
                    memory.state.name()
                );
            }
            Act::AllGood => {
                news.outcome = Outcome::Good;
                news.title = format!("all good: {whose}");
                news.message.clone_from(sight);
            }
            Act::Week(week) => {
                news.title = match available(week) {
                    Some(share) => {
                        format!("the week of {whose}: {} available", text::percent(share))
                    }
                    None => format!("the week of {whose}: nothing is known"),
                };
                news.message = self.week(week, deployed);
            }
        }
        news.facts
            .extend(issue.map(|url| ("issue".to_owned(), url)));
        news
    }

    /// That traffic was put back, or was not, because it was down.
    pub fn news_of_traffic(&self, title: &str, message: &str, issue: Option<String>) -> News {
        let fact = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut facts = vec![
            fact("app", &self.app),
            fact("environment", &self.environment),
        ];
        facts.extend(issue.map(|url| ("issue".to_owned(), url)));
        News {
            severity: Severity::Critical,
            title: format!("{title}: {}, {}", self.app, self.environment),
            message: message.to_owned(),
            facts,
            run_url: self.run_url.clone(),
            outcome: Outcome::Failed,
            app: Some(self.app.clone()),
            environment: Some(self.environment.clone()),
            incident: self.concern(State::Down, State::Down),
            ..News::default()
        }
    }

    /// What a state means to whoever keeps incidents. Not to know is no reason to call anybody.
    fn concern(&self, state: State, worst: State) -> Option<Concern> {
        let alert = match (state, worst) {
            (State::Unknown, _) | (State::Up, State::Unknown | State::Up) => return None,
            (State::Up, _) => Alert::Resolve,
            _ => Alert::Trigger,
        };
        Some(Concern::of(&self.app, &self.environment, "health", alert))
    }

    fn week(&self, week: &Tally, deployed: Option<&str>) -> String {
        let mut lines = vec![format!("since {}: {}", moment(week.from), looks(week))];
        lines.extend(runs(week).map(|it| format!("runs: {it}")));
        lines.push(match week.incidents {
            0 => "no incident ended".to_owned(),
            many => format!("incidents: {many}"),
        });
        lines.extend(week.past.iter().map(over));
        lines.extend(figures(week));
        lines.extend(deployed.map(|it| format!("deployments: {it}")));
        lines.join("\n")
    }
}
