//! The story of a look that remembers the one before: what is remembered is read, the look is
//! judged, people are told of what changed, and it is written down again.
//!
//! Read after the look and written right after the judgement, so that two runs at once seldom meet;
//! where they do, a change belongs to the one whose word stood in the issue first. A run that
//! cannot remember says so, and its caller tells what the look saw.

use async_trait::async_trait;

use crate::config::clock::Clock;
use crate::judge::vigil::{self as judge, Round, Stale, Verdict};
use crate::model::event::{Event, Say};
use crate::model::vigil::{Act, Incident, Memory, Missed, Sight, State};
use crate::platform::text;

/// Something to be told, and what it follows from.
#[derive(Clone, Copy, Debug)]
pub struct Word<'a> {
    /// What happened.
    pub act: &'a Act,
    /// What is remembered from now on.
    pub memory: &'a Memory,
    /// What the look saw.
    pub sight: &'a Sight,
}

/// What is known from before.
#[derive(Clone, Debug, PartialEq)]
pub enum Recalled {
    /// This.
    Memory(Box<Memory>),
    /// Nothing was ever written down.
    Nothing,
    /// What was written down is not usable, and why.
    Spoiled(String),
}

/// Whose word it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// This run's.
    Ours,
    /// Another run's, which tells people: who.
    Others(String),
}

/// Where it is written down.
#[async_trait]
pub trait Diary: Send + Sync {
    /// What is remembered.
    ///
    /// # Errors
    /// When it could not be read, in a line with what to do.
    async fn recall(&self) -> Result<Recalled, String>;

    /// The incident that is open, where what is remembered does not say.
    ///
    /// # Errors
    /// As for [`Self::recall`].
    async fn open_incident(&self) -> Result<Option<(State, Incident)>, String>;

    /// Opens the issue of an incident, or finds it. Returns its number.
    ///
    /// # Errors
    /// As for [`Self::recall`].
    async fn open(&self, word: Word<'_>) -> Result<(u64, Whose), String>;

    /// Puts a word into the issue of an incident, and closes it where that is over.
    ///
    /// # Errors
    /// As for [`Self::recall`].
    async fn add(&self, issue: u64, word: Word<'_>) -> Result<Whose, String>;

    /// Remembers.
    ///
    /// # Errors
    /// As for [`Self::recall`].
    async fn keep(&self, memory: &Memory) -> Result<(), String>;
}

/// Who tells people.
#[async_trait]
pub trait Voice: Send + Sync {
    /// Tells those who are to hear of it. `issue` is the incident's.
    async fn tell(&self, word: Word<'_>, issue: Option<u64>);
}

/// What came of a look.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It was judged.
    Judged {
        /// What followed.
        verdict: Box<Verdict>,
        /// Whether this run is the one that found it down, and could write that down.
        went_down: bool,
    },
    /// A newer look was there already.
    Stale(Stale),
}

/// Judges a look by what is remembered, tells what changed, and remembers.
///
/// # Errors
/// When nothing could be read of what is remembered: why, and what to do.
pub async fn remember(
    diary: &dyn Diary,
    voice: &dyn Voice,
    sight: &Sight,
    round: &Round<'_>,
    clock: &Clock,
    say: &Say,
) -> Result<Outcome, String> {
    let before = before(diary, round, say).await?;
    let mut verdict = match judge::judge(&before, sight, round, clock) {
        Ok(verdict) => verdict,
        Err(stale) => return Ok(Outcome::Stale(stale)),
    };
    tell_of_the_clock(&verdict, clock, say);
    let acts = std::mem::take(&mut verdict.acts);
    let mut is_ours = false;
    for act in &acts {
        let whose = enter(diary, act, &mut verdict.memory, sight, say).await;
        if let Whose::Others(who) = &whose {
            say(Event::Noticed(format!(
                "{who} has seen the same, and tells people"
            )));
            continue;
        }
        let word = Word {
            act,
            memory: &verdict.memory,
            sight,
        };
        voice.tell(word, issue_of(act, &verdict.memory)).await;
        is_ours |= matches!(
            act,
            Act::Changed {
                to: State::Down,
                ..
            }
        );
    }
    let incident = verdict.memory.incident.as_mut();
    // Written down before anything is done about it, so that it is done once.
    let first = incident.filter(|it| is_ours && clock.rollback_on.is_some() && !it.went_back);
    let goes_back = first.is_some_and(|incident| {
        incident.went_back = true;
        true
    });
    let is_kept = keep(diary, &verdict.memory, !acts.is_empty(), say).await;
    if goes_back && !is_kept {
        say(Event::Warned(
            "traffic is not put back: what is not written down could be done twice".to_owned(),
        ));
    }
    verdict.acts = acts;
    Ok(Outcome::Judged {
        verdict: Box::new(verdict),
        went_down: goes_back && is_kept,
    })
}

/// What is remembered, or a memory that begins.
async fn before(diary: &dyn Diary, round: &Round<'_>, say: &Say) -> Result<Memory, String> {
    let spoiled = match diary.recall().await? {
        Recalled::Memory(memory) => match judge::check(&memory, round.at) {
            Ok(()) => return Ok(*memory),
            Err(said) => Some(said),
        },
        Recalled::Nothing => None,
        Recalled::Spoiled(said) => Some(said),
    };
    let open = diary.open_incident().await?;
    let goes_on = match &open {
        Some((state, incident)) => {
            let issue = incident.issue.map(|it| format!(" (#{it})"));
            let issue = issue.unwrap_or_default();
            format!("; it is {} still, by its issue{issue}", state.name())
        }
        None => String::new(),
    };
    say(match spoiled {
        Some(said) => Event::Warned(format!(
            "what was remembered is not usable: {said}. It begins anew{goes_on}"
        )),
        None => Event::Noticed(format!("nothing is remembered yet: it begins now{goes_on}")),
    });
    Ok(judge::begin(round.at, open))
}

/// Writes a word into the incident's issue, where it is one about an incident.
async fn enter(
    diary: &dyn Diary,
    act: &Act,
    memory: &mut Memory,
    sight: &Sight,
    say: &Say,
) -> Whose {
    let issue = issue_of(act, memory);
    let is_incident = matches!(act, Act::Changed { .. } | Act::Escalated { .. });
    if !is_incident {
        return Whose::Ours;
    }
    let word = Word { act, memory, sight };
    let entered = match issue {
        Some(issue) => diary.add(issue, word).await,
        None if memory.incident.is_none() => return Whose::Ours,
        None => match diary.open(word).await {
            Ok((issue, whose)) => {
                if let Some(incident) = &mut memory.incident {
                    incident.issue = Some(issue);
                }
                Ok(whose)
            }
            Err(said) => Err(said),
        },
    };
    entered.unwrap_or_else(|said| {
        say(Event::Warned(said));
        // Better told twice than not at all.
        Whose::Ours
    })
}

fn issue_of(act: &Act, memory: &Memory) -> Option<u64> {
    match act {
        Act::Changed {
            ended: Some(past), ..
        } => past.issue,
        _ => memory.incident.as_ref()?.issue,
    }
}

/// Writes it down, unless a newer look was written down meanwhile; whether it stands there now.
async fn keep(diary: &dyn Diary, memory: &Memory, took_long: bool, say: &Say) -> bool {
    // Telling people takes its time, in which another run may have come by.
    if took_long
        && let Ok(Recalled::Memory(now)) = diary.recall().await
        && judge::check(&now, memory.at).is_ok()
        && now.at > memory.at
    {
        say(Event::Noticed(
            "a newer look was written down meanwhile, and stays".to_owned(),
        ));
        return false;
    }
    match diary.keep(memory).await {
        Ok(()) => true,
        Err(said) => {
            say(Event::Warned(format!("the look is not remembered: {said}")));
            false
        }
    }
}

/// How late the run is, and which did not come.
fn tell_of_the_clock(verdict: &Verdict, clock: &Clock, say: &Say) {
    if let Some(late) = verdict.late {
        let late = std::time::Duration::from_secs(late.unsigned_abs());
        // Less than that stands in the line of what is remembered.
        if late >= clock.late_after.get() {
            say(Event::Warned(format!(
                "it began {} after its time; {} is allowed",
                text::long(late),
                clock.late_after
            )));
        }
    }
    if verdict.missed.many > 0 {
        say(Event::Warned(missed(verdict.missed)));
    }
}

/// `2 runs did not come: 10:15Z and 10:30Z`.
pub fn missed(missed: Missed) -> String {
    let runs = text::count(missed.many, "run");
    let (first, last) = (moment(missed.first), moment(missed.last));
    match missed.many {
        1 => format!("{runs} did not come: that of {first}"),
        2 => format!("{runs} did not come: those of {first} and {last}"),
        _ => format!("{runs} did not come: those from {first} to {last}"),
    }
}

/// `2026-03-02 10:15Z`.
pub fn moment(at: i64) -> String {
    match jiff::Timestamp::from_second(at) {
        Ok(at) => at.strftime("%Y-%m-%d %H:%MZ").to_string(),
        Err(_) => "an unknown time".to_owned(),
    }
}
