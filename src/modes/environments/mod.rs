//! `environments`: is each environment at GitHub protected as the config says? With `apply` it is
//! made so.
//!
//! What the config does not name stays as it is. Everything is read before anything is changed,
//! every change is said, and what came of it is read back. A run that was interrupted is run
//! again: what is done is seen, and only the rest is asked for.

mod told;

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::config::protection::{Name, Protection};
use crate::github::GithubError;
use crate::github::environments::{Environments, Found};
use crate::judge::protection::{differences, intended, unprotected};
use crate::model::ending::{Account, Decision, Ending, Reason};
use crate::model::event::{Event, Say};
use crate::model::fault::Fault;
use crate::model::protection::{Comparison, Difference, Origins, Pattern, Reviewer, Standing, Who};
use crate::platform::text;

use told::{cancelled, not_so, not_taken, unread, unseen, unwritten};
pub use told::{quoted, together};

/// How often what was changed is read back, and the pause between: GitHub may be a moment behind.
const READINGS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);

/// What is to be done where something differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// It is told.
    Show,
    /// It is told what would be changed.
    Plan,
    /// It is changed.
    Apply,
}

/// An environment and its block.
pub struct Piece<'a> {
    /// Its name, here and at GitHub.
    pub name: &'a str,
    /// How it shall be protected.
    pub wanted: &'a Protection,
    /// Where a person can change it.
    pub page: &'a str,
    /// What is to be done.
    pub wish: Wish,
}

/// What GitHub has.
pub struct Seen {
    found: Option<Found>,
    /// The block's reviewers, as far as they are known.
    reviewers: Vec<Reviewer>,
    /// Those who could not be looked up, and why.
    unknown: Vec<String>,
}

/// Why an environment cannot be dealt with.
pub enum Stop {
    /// GitHub does not answer as it should.
    Fault(Box<Fault>),
    /// The block names who does not exist: which one of `reviewers`, and what is wrong.
    Wrong(Vec<(usize, String)>),
}

/// Whom a mode speaks to and listens to.
pub struct Scene<'a> {
    /// GitHub.
    pub environments: &'a Environments,
    /// Where events are said.
    pub say: &'a Say,
    /// Cancelled when the run is.
    pub cancelled: &'a CancellationToken,
}

impl Scene<'_> {
    /// Reads an environment and looks up its reviewers. Nothing is changed.
    ///
    /// # Errors
    /// When it cannot be read, or a reviewer does not exist.
    pub async fn look(&self, piece: &Piece<'_>) -> Result<Seen, Stop> {
        let stop = |fault: Fault| Stop::Fault(Box::new(fault));
        let work = async {
            let found = self.environments.read(piece.name).await;
            let found = found.map_err(|failed| stop(unread(piece.name, &failed)))?;
            self.with_reviewers(piece, found).await
        };
        tokio::select! {
            biased;
            () = self.cancelled.cancelled() => Err(stop(Fault::cancelled())),
            seen = work => seen,
        }
    }

    async fn with_reviewers(&self, piece: &Piece<'_>, found: Option<Found>) -> Result<Seen, Stop> {
        let known = found.iter().flat_map(|found| &found.standing.reviewers);
        let known: Vec<Reviewer> = known.cloned().collect();
        let mut seen = Seen {
            found,
            reviewers: Vec::new(),
            unknown: Vec::new(),
        };
        let mut wrong = Vec::new();
        for (i, name) in piece.wanted.reviewers.iter().flatten().enumerate() {
            if let Some(one) = known.iter().find(|one| name.is(one.who, &one.name)) {
                seen.reviewers.push(one.clone());
                continue;
            }
            match self.reviewer(name).await {
                Ok(one) => seen.reviewers.push(one),
                // Whoever only looks needs no more than names.
                Err(Unknown::Hidden(said)) if piece.wish == Wish::Show => seen.unknown.push(said),
                Err(Unknown::Unseen(failed)) if piece.wish == Wish::Show => {
                    seen.unknown.push(failed.to_string());
                }
                Err(Unknown::Nobody(said) | Unknown::Hidden(said)) => wrong.push((i, said)),
                Err(Unknown::Unseen(failed)) => {
                    return Err(Stop::Fault(Box::new(unseen(piece.name, &failed))));
                }
            }
        }
        match wrong.is_empty() {
            true => Ok(seen),
            false => Err(Stop::Wrong(wrong)),
        }
    }

    async fn reviewer(&self, name: &Name) -> Result<Reviewer, Unknown> {
        let owner = self.environments.owner();
        let found = match name.who {
            Who::User => self.environments.user(&name.name).await,
            Who::Team => {
                if let Some(other) = &name.owner
                    && !other.eq_ignore_ascii_case(owner)
                {
                    return Err(Unknown::Nobody(format!(
                        "the repository is {owner}'s, and only teams of its owner can review, not those of {other}"
                    )));
                }
                self.environments.team(&name.name).await
            }
        };
        match (found, name.who) {
            (Ok(Some(one)), _) => Ok(one),
            (Ok(None), Who::User) => Err(Unknown::Nobody(format!(
                "GitHub has no user {}; a team is written as team:{}",
                name.name, name.name
            ))),
            (Ok(None), Who::Team) => Err(Unknown::Hidden(format!(
                "{owner} has no team {}, or the token may not see it (Members: read of the organization); a team goes by the name in its address",
                name.name
            ))),
            (Err(failed), _) => Err(Unknown::Unseen(failed)),
        }
    }

    /// Holds an environment against its block, and does what is wished.
    pub async fn run(&self, piece: &Piece<'_>, seen: Result<Seen, Fault>) -> Ending {
        let done = match seen {
            Ok(seen) => self.act(piece, seen).await,
            Err(fault) => Err(fault),
        };
        done.unwrap_or_else(|fault| Ending {
            decision: Decision::Failed,
            reason: fault.reason,
            said: fault.said,
            account: Account {
                measured: fault.measured,
                wanted: fault.wanted,
                traffic: Some("not touched".to_owned()),
                next: fault.next,
            },
        })
    }

    async fn act(&self, piece: &Piece<'_>, seen: Seen) -> Result<Ending, Fault> {
        let name = piece.name;
        for said in &seen.unknown {
            (self.say)(Event::Noticed(format!("{said}; only its name is compared")));
        }
        let standing = seen.found.as_ref().map(|found| &found.standing);
        let differ = self.compare(piece, standing, false);
        if differ.is_empty() {
            let (reason, more) = match piece.wish {
                Wish::Apply => (Reason::AlreadyThere, "; nothing was changed"),
                _ => (Reason::Done, ""),
            };
            let said = format!("{name} is as the config says{more}");
            return Ok(Ending::good(Decision::Passed, reason, said));
        }
        match piece.wish {
            Wish::Show => Err(not_so(piece, &differ)),
            Wish::Plan => {
                let count = text::count(differ.len() as u64, "difference");
                let said = format!("{name} would be made as the config says: {count}");
                Ok(Ending::good(Decision::Planned, Reason::DryRun, said))
            }
            Wish::Apply => {
                let mut made = 0;
                let applied = self.apply(piece, &seen, &differ, &mut made).await;
                applied.map_err(|failed| unwritten(piece, &failed, made))?;
                if self.cancelled.is_cancelled() {
                    return Err(cancelled(name, made));
                }
                self.prove(piece).await?;
                let made = text::count(made, "change");
                let said = format!("{name} is as the config says, after {made}");
                Ok(Ending::good(Decision::Passed, Reason::Done, said))
            }
        }
    }

    fn compare(
        &self,
        piece: &Piece<'_>,
        found: Option<&Standing>,
        read_back: bool,
    ) -> Vec<Difference> {
        let differences = differences(piece.wanted, found);
        (self.say)(Event::Compared(Comparison {
            environment: piece.name.to_owned(),
            differences: differences.clone(),
            read_back,
        }));
        differences
    }

    /// Asks for what differs, and counts what was done.
    async fn apply(
        &self,
        piece: &Piece<'_>,
        seen: &Seen,
        differ: &[Difference],
        made: &mut u64,
    ) -> Result<(), GithubError> {
        let was = seen.found.as_ref().map(|found| found.standing.clone());
        let was = was.unwrap_or_else(unprotected);
        let shall = intended(piece.wanted, &was, seen.reviewers.clone());
        let is_by_names = |origins: &Origins| matches!(origins, Origins::Named(_));
        let both_by_names = is_by_names(&was.origins) && is_by_names(&shall.origins);
        // What a person has to change, and a list that only has other names in it, are left out.
        let apart = |one: &&Difference| one.by_hand || (one.key == "branches" && both_by_names);
        let whole: Vec<&Difference> = differ.iter().filter(|one| !apart(one)).collect();
        if !whole.is_empty() && !self.cancelled.is_cancelled() {
            let began = Instant::now();
            self.environments.put(piece.name, &shall, &was).await?;
            for one in whole {
                let should = match one.key {
                    "branches" if is_by_names(&shall.origins) => "by name",
                    _ => &one.should,
                };
                *made += 1;
                self.changed(piece, one.key, &one.is, should, began);
            }
        }
        let Origins::Named(patterns) = &shall.origins else {
            return Ok(());
        };
        if !differ.iter().any(|one| one.key == "branches") {
            return Ok(());
        }
        // Those of a time before may still be there.
        let there = self.environments.policies(piece.name).await?;
        for pattern in patterns {
            if there.iter().any(|(_, one)| one == pattern) || self.cancelled.is_cancelled() {
                continue;
            }
            let began = Instant::now();
            self.environments.allow(piece.name, pattern).await?;
            *made += 1;
            self.changed(piece, &listing(pattern), "not listed", "listed", began);
        }
        for (id, pattern) in &there {
            if patterns.contains(pattern) || self.cancelled.is_cancelled() {
                continue;
            }
            let began = Instant::now();
            self.environments.forbid(piece.name, *id, pattern).await?;
            *made += 1;
            self.changed(piece, &listing(pattern), "listed", "not listed", began);
        }
        Ok(())
    }

    fn changed(&self, piece: &Piece<'_>, what: &str, before: &str, after: &str, began: Instant) {
        (self.say)(Event::Changed {
            what: format!("{what} of environment {} at GitHub", piece.name),
            before: Some(before.to_owned()),
            after: after.to_owned(),
        });
        (self.say)(Event::Done {
            step: "changed",
            said: format!("{}: {what} {before} -> {after}", piece.name),
            took: began.elapsed(),
        });
    }

    /// Reads back what was changed.
    async fn prove(&self, piece: &Piece<'_>) -> Result<(), Fault> {
        let mut nth = 1;
        loop {
            let found = self.environments.read(piece.name).await;
            let found = found.map_err(|failed| {
                let fault = unread(piece.name, &failed);
                Fault {
                    said: format!("{} was changed, and could not be read back", piece.name),
                    ..fault
                }
            })?;
            let standing = found.as_ref().map(|found| &found.standing);
            let behind = differences(piece.wanted, standing)
                .iter()
                .any(|one| !one.by_hand);
            if behind && nth < READINGS {
                nth += 1;
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            let left = self.compare(piece, standing, true);
            return match (behind, left.is_empty()) {
                (_, true) => Ok(()),
                (true, _) => Err(not_taken(piece, &left)),
                (false, _) => Err(not_so(piece, &left)),
            };
        }
    }
}

/// Why somebody is not known.
enum Unknown {
    /// There is nobody of that name.
    Nobody(String),
    /// There is nobody, or the token may not see them: teams are shown to few.
    Hidden(String),
    /// GitHub does not say.
    Unseen(GithubError),
}

/// A branch policy, as a line names it: `branch main`, `tag v*`.
fn listing(pattern: &Pattern) -> String {
    match pattern {
        Pattern::Branch(_) => format!("branch {pattern}"),
        Pattern::Tag(_) => pattern.to_string(),
    }
}
