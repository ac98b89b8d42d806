//! What follows from looks, held to rules that must hold whatever is seen: a change is told once,
//! a single bad look never, and what was not seen counts for nothing.

use cutover::config::clock::{AllGood, Clock};
use cutover::judge::vigil::{Round, Stale, begin, check, judge};
use cutover::model::vigil::{Act, Memory, Seen, Sight, State};
use proptest::prelude::*;
use proptest::test_runner::Config;

const START: i64 = 1_772_409_600;

fn sight(seen: Seen, kinds: usize) -> Sight {
    let all = ["http", "postgres", "prometheus"];
    let kinds = match seen {
        Seen::Bad => kinds.max(1),
        _ => 0,
    };
    Sight {
        seen,
        kinds: all[..kinds].iter().map(|kind| (*kind).to_owned()).collect(),
        said: format!("{seen:?}"),
        figures: Vec::new(),
    }
}

fn looks() -> impl Strategy<Value = Vec<(Seen, usize)>> {
    let seen = prop_oneof![
        4 => Just(Seen::Well),
        4 => Just(Seen::Bad),
        2 => Just(Seen::Degraded),
        1 => Just(Seen::Nothing),
    ];
    prop::collection::vec((seen, 1_usize..3), 1..60)
}

fn terms(rise: u32, fall: u32, evidence: u32) -> Clock {
    Clock {
        rise,
        fall,
        evidence,
        ..Clock::default()
    }
}

/// One look after the other, a minute apart: the states, and what was told at each.
fn play(looks: &[(Seen, usize)], clock: &Clock) -> Vec<(Memory, Vec<Act>)> {
    let mut memory = begin(START, None);
    let mut all = Vec::new();
    for (i, (seen, kinds)) in looks.iter().enumerate() {
        let at = START + 60 * i as i64;
        let round = Round { at, schedule: None };
        let verdict = judge(&memory, &sight(*seen, *kinds), &round, clock).unwrap();
        memory = verdict.memory;
        check(&memory, at).unwrap();
        all.push((memory.clone(), verdict.acts));
    }
    all
}

fn changes(acts: &[Act]) -> Vec<(State, State)> {
    let change = |act: &Act| match act {
        Act::Changed { from, to, .. } => Some((*from, *to)),
        _ => None,
    };
    acts.iter().filter_map(change).collect()
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    #[test]
    fn each_change_is_told_once_and_nothing_else_is_a_change(looks in looks(), rise in 1_u32..4, fall in 1_u32..4) {
        let clock = terms(rise, fall, 2);
        let mut state = State::Up;
        for (memory, acts) in play(&looks, &clock) {
            let told = changes(&acts);
            prop_assert!(told.len() <= 1);
            match told.first() {
                Some((from, to)) => {
                    prop_assert_eq!(*from, state);
                    prop_assert!(from != to);
                    prop_assert_eq!(*to, memory.state);
                }
                None => prop_assert_eq!(memory.state, state),
            }
            state = memory.state;
        }
    }

    #[test]
    fn fewer_bad_looks_than_it_takes_call_nobody(looks in looks(), fall in 2_u32..5) {
        // Each look has one kind of evidence at most.
        let looks: Vec<_> = looks.into_iter().map(|(seen, _)| (seen, 1)).collect();
        let clock = terms(1, fall, 2);
        let mut bad = 0;
        for ((memory, acts), (seen, _)) in play(&looks, &clock).iter().zip(&looks) {
            bad = match seen {
                Seen::Bad => bad + 1,
                Seen::Nothing => bad,
                Seen::Well | Seen::Degraded => 0,
            };
            let down = changes(acts).iter().any(|(_, to)| *to == State::Down);
            prop_assert!(!down || bad >= fall, "{memory:?}");
        }
    }

    #[test]
    fn an_end_is_told_of_what_began(looks in looks(), rise in 1_u32..4) {
        let (mut open, mut last_called) = (false, false);
        for (memory, acts) in play(&looks, &terms(rise, 2, 2)) {
            for act in acts {
                match act {
                    Act::Changed { to: State::Up, ended, .. } => {
                        let past = ended.unwrap();
                        prop_assert!(open && past.began <= past.until && past.until <= memory.at);
                        (open, last_called) = (false, false);
                    }
                    Act::Changed { ended, .. } => {
                        prop_assert_eq!(ended, None);
                        open = true;
                    }
                    Act::Escalated { .. } => {
                        prop_assert!(memory.state == State::Down && !last_called, "twice in an incident");
                        last_called = true;
                    }
                    _ => {}
                }
            }
            prop_assert_eq!(memory.incident.is_some(), open);
        }
    }

    #[test]
    fn what_was_not_seen_is_never_down(count in 1_usize..50) {
        let looks = vec![(Seen::Nothing, 1); count];
        for (memory, _) in play(&looks, &terms(2, 2, 2)) {
            prop_assert!(memory.state != State::Down);
        }
    }
}

#[test]
fn two_kinds_of_evidence_are_enough_and_one_look_is_not() {
    let clock = terms(2, 3, 2);
    let bad = |kinds| (Seen::Bad, kinds);
    let well = (Seen::Well, 1);
    let states = |looks: &[(Seen, usize)]| -> Vec<&str> {
        let all = play(looks, &clock);
        all.iter().map(|(memory, _)| memory.state.name()).collect()
    };
    assert_eq!(states(&[bad(2), well, well]), ["down", "down", "up"]);
    assert_eq!(states(&[bad(1), well, bad(1)]), ["up", "up", "up"]);
    assert_eq!(states(&[bad(1), bad(1), bad(1)]), ["up", "up", "down"]);
    // What was not seen takes nothing back.
    let gap = (Seen::Nothing, 1);
    assert_eq!(
        states(&[bad(1), bad(1), gap, bad(1)]),
        ["up", "up", "up", "down"]
    );
    let warned = (Seen::Degraded, 1);
    assert_eq!(
        states(&[warned, bad(1), warned]),
        ["up", "up", "degraded"],
        "bad and degraded looks together are something"
    );
    assert_eq!(
        states(&[gap, gap, gap, well]),
        ["up", "up", "unknown", "unknown"]
    );
}

#[test]
fn an_older_look_changes_nothing() {
    let memory = begin(START, None);
    let clock = Clock::default();
    let of = |at| Round { at, schedule: None };
    let good = sight(Seen::Well, 1);
    let newer = judge(&memory, &good, &of(START + 60), &clock)
        .unwrap()
        .memory;
    for at in [START, START + 60] {
        let stale = judge(&newer, &sight(Seen::Bad, 2), &of(at), &clock);
        assert_eq!(stale, Err(Stale { newer: START + 60 }));
    }
}

#[test]
fn all_good_is_said_once_in_an_hour_of_the_clock() {
    let clock = Clock {
        all_good: AllGood::Hourly,
        ..Clock::default()
    };
    let looks = vec![(Seen::Well, 1); 150];
    let said = play(&looks, &clock)
        .into_iter()
        .enumerate()
        .filter(|(_, (_, acts))| acts.contains(&Act::AllGood))
        .map(|(minute, _)| minute)
        .collect::<Vec<_>>();
    assert_eq!(said, [0, 60, 120]);
    // While it is not well nobody hears that it is.
    let mut looks = vec![(Seen::Bad, 2); 70];
    looks.extend(vec![(Seen::Well, 1); 3]);
    let all = play(&looks, &clock);
    assert!(!all.iter().any(|(_, acts)| acts.contains(&Act::AllGood)));
}
