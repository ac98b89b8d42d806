//! `rehearse`: a rollout against a stand-in inside this process, to be watched.
//!
//! Without a fault to order it plays two acts: a good release is promoted, then a bad one is
//! taken back. The rollout is the real one, and so are the `http` router, target and probes;
//! only the environment is made up. It ends with the summary that a workflow would show.

use crate::cast::{self, Tools};
use crate::config::file::Environment;
use crate::config::inputs::Inputs;
use crate::error::Refusal;
use crate::model::ending::{Decision, Ending, Reason};
use crate::model::event::{Event, Headline};
use crate::model::release::Release;
use crate::rehearsal::environment::Script;
use crate::rehearsal::faults::Faults;
use crate::rehearsal::world::World;

use super::rollout;

/// The release that is live when the curtain rises.
const LIVE: &str = "91be33d";
/// The good release.
const GOOD: &str = "4f2a9c1";
/// The bad release.
const BAD: &str = "c0ffee5";
/// What is wrong with it, where nothing else was ordered.
const BAD_BY_DEFAULT: &str = "errors=8%";

/// What is rehearsed.
pub struct Piece<'a> {
    /// The application's name.
    pub app: &'a str,
    /// The environment's name.
    pub name: &'a str,
    /// The environment.
    pub environment: &'a Environment,
}

/// Plays the piece.
///
/// # Errors
/// When a fault is ordered that there is not, or the environment cannot be staged.
pub async fn run(piece: &Piece<'_>, inputs: &Inputs, tools: &Tools) -> Result<Ending, Refusal> {
    let faults = Faults::read(inputs.faults.iter().map(String::as_str));
    let faults = faults.map_err(|said| Refusal::of_input("fault", said))?;
    let say = &tools.say;
    if !piece.environment.members.is_empty() {
        return Err(Refusal::of_input(
            "rehearse",
            format!(
                "{} has members, and the stand-in has two slots: `cutover rollout --dry-run` says what a rolling rollout would do",
                piece.name
            ),
        ));
    }
    let mut script = Script::of(piece.environment);
    let mut names = piece.environment.slots.keys().cloned();
    let (Some(first), Some(second)) = (names.next(), names.next()) else {
        return Err(Refusal::of_input(
            "config",
            "an environment has exactly two slots",
        ));
    };
    let world = World::open([first, second], script.answers(), LIVE).await;
    let world = world.map_err(|failed| {
        Refusal::of_input("rehearse", format!("loopback could not be used: {failed}"))
    })?;
    let staged = script.staged(piece.environment, &world);
    for left_out in &script.left_out {
        say(Event::Noticed(format!("not rehearsed: {left_out}")));
    }
    let act = Act {
        piece,
        staged: &staged,
        world: &world,
        inputs,
        tools,
    };
    if !faults.is_none() {
        let told = inputs.faults.join(", ");
        say(Event::Noticed(format!("ordered: {told}")));
        let version = inputs.version.as_deref().unwrap_or(BAD);
        return act.play(version, faults).await;
    }
    let version = inputs.version.as_deref().unwrap_or(GOOD);
    let good = act.play(version, Faults::default()).await?;
    if good.decision != Decision::Promoted {
        return Ok(good);
    }
    say(Event::Ended(good));
    let bad = Faults::read([BAD_BY_DEFAULT]).map_err(|said| Refusal::of_input("fault", said))?;
    say(Event::Began(headline(piece, BAD)));
    say(Event::Noticed(format!(
        "now a bad release: {BAD_BY_DEFAULT}"
    )));
    let bad = act.play(BAD, bad).await?;
    if bad.decision != Decision::RolledBack {
        return Ok(bad);
    }
    say(Event::Ended(bad));
    let said = "the good release was promoted, the bad one was taken back";
    Ok(Ending::good(Decision::Passed, Reason::Done, said))
}

/// The headline of an act.
pub fn headline(piece: &Piece<'_>, version: &str) -> Headline {
    Headline {
        mode: "rehearse",
        environment: Some(piece.name.to_owned()),
        app: Some(piece.app.to_owned()),
        release: Some(version.to_owned()),
        strategy: Some(piece.environment.strategy.name().to_owned()),
    }
}

/// The version of the first act.
pub fn first_version(inputs: &Inputs) -> &str {
    let otherwise = if inputs.faults.is_empty() { GOOD } else { BAD };
    inputs.version.as_deref().unwrap_or(otherwise)
}

struct Act<'a> {
    piece: &'a Piece<'a>,
    staged: &'a Environment,
    world: &'a World,
    inputs: &'a Inputs,
    tools: &'a Tools,
}

impl Act<'_> {
    async fn play(&self, version: &str, faults: Faults) -> Result<Ending, Refusal> {
        self.world.order(faults, version);
        let stage = cast::stage(self.piece.app, self.piece.name, self.staged, self.tools);
        let stage = stage.map_err(|misfits| {
            let problems = misfits
                .into_iter()
                .map(|(path, said)| crate::config::problem::Problem::with_input(&path, said));
            Refusal::of_inputs(problems.collect())
        })?;
        let inputs = Inputs {
            dry_run: false,
            expect_active: None,
            migration: None,
            ..self.inputs.clone()
        };
        Ok(rollout::run(
            &stage,
            &inputs,
            &self.staged.strategy,
            Release::new(version),
            None,
            None,
        )
        .await)
    }
}
