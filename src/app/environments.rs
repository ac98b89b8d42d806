//! The mode `environments`: which environments are meant, and with which token they are looked at.

use futures_util::future::join_all;

use crate::config::inputs::Inputs;
use crate::config::problem::Problem;
use crate::error::Refusal;
use crate::github::environments::Environments;
use crate::model::ending::Ending;
use crate::model::event::{Event, Fact, Headline};
use crate::modes::environments::{Piece, Scene, Seen, Stop, Wish, together};

use super::choice::{self, Choice};
use super::session::Session;

/// The mode's name.
const MODE: &str = "environments";

impl Session {
    /// The mode, for the environment that is named, or all that say how they are protected.
    pub(super) async fn environments(&self, inputs: &Inputs) -> Result<Ending, Refusal> {
        let choices = self.protected(inputs)?;
        let environments = self.github_environments(inputs)?;
        let scene = Scene {
            environments: &environments,
            say: &self.say,
            cancelled: &self.cancelled,
        };
        let page = self.settings_page();
        let wish = match (inputs.apply, inputs.dry_run) {
            (false, _) => Wish::Show,
            (true, true) => Wish::Plan,
            (true, false) => Wish::Apply,
        };
        let pieces: Vec<(&Choice, Piece<'_>)> = choices
            .iter()
            .filter_map(|choice| {
                let wanted = choice.environment().protection.as_ref()?;
                let (name, page) = (choice.name.as_str(), page.as_str());
                Some((
                    choice,
                    Piece {
                        name,
                        wanted,
                        page,
                        wish,
                    },
                ))
            })
            .collect();
        let looks = pieces.iter().map(|(_, piece)| scene.look(piece));
        let mut seen = Vec::new();
        let mut wrong = Vec::new();
        for ((choice, _), look) in pieces.iter().zip(join_all(looks).await) {
            match look {
                Ok(found) => seen.push(Ok(found)),
                Err(Stop::Fault(fault)) => seen.push(Err(*fault)),
                Err(Stop::Wrong(reviewers)) => wrong.extend(of_reviewers(choice, reviewers)),
            }
        }
        if !wrong.is_empty() {
            return Err(Refusal::of_file(&inputs.config, wrong));
        }
        self.begin(headline(&choices));
        if let [only] = choices.as_slice() {
            (self.say)(Event::Learned(Fact::Environment(only.name.clone())));
        }
        // Where one cannot be seen, none is changed.
        let careful = seen.iter().any(Result::is_err) && wish == Wish::Apply;
        let mut endings = Vec::new();
        for ((choice, piece), seen) in pieces.into_iter().zip(seen) {
            let wish = if careful { Wish::Show } else { piece.wish };
            let piece = Piece { wish, ..piece };
            endings.push(self.one(choice, &scene, &piece, seen).await);
        }
        let ending = together(endings);
        self.ended(&ending);
        Ok(ending)
    }

    /// One of them, with an audit of its own.
    async fn one(
        &self,
        choice: &Choice,
        scene: &Scene<'_>,
        piece: &Piece<'_>,
        seen: Result<Seen, crate::model::fault::Fault>,
    ) -> Ending {
        self.open_audit(MODE, choice, true).await;
        self.tell_audit(&Event::Began(headline(std::slice::from_ref(choice))));
        let ending = scene.run(piece, seen).await;
        self.tell_audit(&Event::Ended(ending.clone()));
        self.close_audit().await;
        ending
    }

    /// The environments that are meant.
    fn protected(&self, inputs: &Inputs) -> Result<Vec<Choice>, Refusal> {
        let config = choice::read(
            inputs,
            &self.context.workspace,
            &self.environment,
            &self.vault,
        )?;
        if inputs.environment.is_some() {
            let chosen = choice::choose(config, inputs)?;
            if chosen.environment().protection.is_none() {
                let path = format!("environments.{}", chosen.name);
                let said = "`protection` is missing, and environments needs it";
                let problem = chosen.config.problem(&path, said);
                return Err(Refusal::of_file(&inputs.config, vec![problem]));
            }
            return Ok(vec![chosen]);
        }
        let all = config.file.environments.iter();
        let all = all.filter(|(_, one)| one.protection.is_some());
        let choices: Vec<Choice> = all
            .map(|(name, _)| Choice {
                config: config.clone(),
                path: inputs.config.clone(),
                name: name.clone(),
            })
            .collect();
        if choices.is_empty() {
            let said = "none has `protection`, which says how GitHub shall protect it; `cutover environments` holds GitHub against it";
            let problem = config.problem("environments", said);
            return Err(Refusal::of_file(&inputs.config, vec![problem]));
        }
        Ok(choices)
    }

    /// The environments of this repository.
    pub(super) fn github_environments(&self, inputs: &Inputs) -> Result<Environments, Refusal> {
        let missing = "is missing, and the environments are on GitHub";
        let token = inputs.token.as_ref();
        let token = token.ok_or_else(|| Refusal::of_input("token", missing))?;
        let said = "is not an owner and a name, so there is no repository to look at";
        let repository = self.repository();
        let repository = repository.ok_or_else(|| Refusal::of_input("GITHUB_REPOSITORY", said))?;
        let environments = Environments::new(&self.http, token, &repository);
        environments.map_err(|failed| Refusal::of_input("token", failed.to_string()))
    }

    /// Where a person changes environments.
    pub(super) fn settings_page(&self) -> String {
        let context = &self.context;
        let part = |part: &Option<String>| part.clone().unwrap_or_default();
        format!(
            "{}/{}/{}/settings/environments",
            context.server_url,
            part(&context.owner),
            part(&context.repository)
        )
    }
}

fn headline(choices: &[Choice]) -> Headline {
    let only = match choices {
        [only] => Some(only.name.clone()),
        _ => None,
    };
    Headline {
        mode: MODE,
        environment: only,
        app: choices.first().map(|choice| choice.config.file.app.clone()),
        ..Headline::default()
    }
}

/// Reviewers who do not exist, with their places.
fn of_reviewers(choice: &Choice, reviewers: Vec<(usize, String)>) -> impl Iterator<Item = Problem> {
    reviewers.into_iter().map(|(i, said)| {
        let path = format!("environments.{}.protection.reviewers[{i}]", choice.name);
        choice.config.problem(&path, said)
    })
}
