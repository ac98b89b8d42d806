//! Deployment windows: clocks decide, in every zone and in every night in which they are moved.

use cutover::config::calendar::{ClockTime, Days, Zone};
use cutover::config::preflight::Guardrails;
use cutover::judge::windows::{inside, judge, next_opening};
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::Config;
use serde_json::json;

const ZONES: [&str; 9] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Africa/Casablanca",
    "Antarctica/Troll",
];

const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// What a clock on the wall shows, by plain arithmetic: minutes since the first Monday.
fn wall_minutes(zone: &Zone, at: Timestamp) -> i64 {
    let seconds = at.as_second() + i64::from(zone.get().to_offset(at).seconds());
    // The first of January 1970 was a Thursday.
    seconds.div_euclid(60) + 3 * 1440
}

/// Every minute of the week that a window covers, one by one.
fn naive(days: &[bool; 7], from: u16, to: u16, minutes: i64) -> bool {
    const WEEK: i64 = 7 * 1440;
    let length = if from < to {
        to - from
    } else {
        to + 1440 - from
    };
    (0..7).filter(|day| days[*day as usize]).any(|day| {
        let begin = day * 1440 + i64::from(from);
        (minutes - begin).rem_euclid(WEEK) < i64::from(length)
    })
}

fn clock(minutes: u16) -> ClockTime {
    format!("{}:{:02}", minutes / 60, minutes % 60)
        .parse()
        .unwrap()
}

/// Instants of this century, many of them near a change of the clocks.
fn instants() -> impl Strategy<Value = (usize, i64)> {
    (
        0..ZONES.len(),
        946_684_800_i64..4_102_444_800,
        any::<bool>(),
        -7200_i64..7200,
    )
        .prop_map(|(zone, second, near, away)| {
            let at = Timestamp::from_second(second).unwrap();
            let of: Zone = ZONES[zone].parse().unwrap();
            let change = of.get().following(at).next().filter(|_| near);
            (
                zone,
                change.map_or(second, |change| change.timestamp().as_second() + away),
            )
        })
}

proptest! {
    #![proptest_config(Config { cases: 2000, failure_persistence: None, ..Config::default() })]

    #[test]
    fn a_window_is_what_the_clock_on_the_wall_says(
        (zone, second) in instants(),
        days in any::<[bool; 7]>(),
        from in 0_u16..1440,
        to in 0_u16..=1440,
    ) {
        prop_assume!(days.contains(&true) && from != to);
        let zone: Zone = ZONES[zone].parse().unwrap();
        let at = Timestamp::from_second(second).unwrap();
        let named: Vec<&str> =
            NAMES.iter().zip(days).filter(|(_, has)| *has).map(|(name, _)| *name).collect();
        let of: Days = named.join(",").parse().unwrap();
        let expected = naive(&days, from, to, wall_minutes(&zone, at));
        prop_assert_eq!(inside(&of, clock(from), clock(to), zone.get(), at), expected);
    }

    #[test]
    fn the_next_opening_is_open_and_later((zone, second) in instants(), from in 0_u16..1440, to in 0_u16..=1440) {
        prop_assume!(from != to);
        let window = json!({ "days": "tue,sat", "zone": ZONES[zone],
            "from": clock(from).to_string(), "to": clock(to).to_string() });
        let guardrails: Guardrails = serde_json::from_value(json!({ "windows": [window] })).unwrap();
        let now = Timestamp::from_second(second).unwrap();
        let said = next_opening(&guardrails, now).unwrap();
        let (local, name) = said.rsplit_once(' ').unwrap();
        let local: jiff::civil::DateTime = local[4..].parse().unwrap();
        let zone: Zone = name.parse().unwrap();
        let at = zone.get().to_zoned(local).unwrap().timestamp();
        prop_assert!(judge(&guardrails, at).0.is_empty(), "{}", said);
    }
}

/// `window` in Berlin: is it open at that instant?
fn open(window: &str, at: &str) -> bool {
    let (days, hours) = window.split_once(' ').unwrap();
    let (from, to) = hours.split_once('-').unwrap();
    let zone: Zone = "Europe/Berlin".parse().unwrap();
    inside(
        &days.parse().unwrap(),
        from.parse().unwrap(),
        to.parse().unwrap(),
        zone.get(),
        at.parse().unwrap(),
    )
}

#[test]
fn the_nights_in_which_clocks_are_moved() {
    // 29 March 2026, a Sunday: at 01:00 UTC clocks in Berlin go from 02:00 to 03:00.
    for (window, at, wanted) in [
        ("sun 01:00-03:00", "2026-03-29T00:59:59Z", true),
        ("sun 01:00-03:00", "2026-03-29T01:00:00Z", false),
        ("sun 02:00-03:00", "2026-03-29T00:59:59Z", false),
        ("sun 02:00-03:00", "2026-03-29T01:00:00Z", false),
        ("sun 03:00-04:00", "2026-03-29T01:00:00Z", true),
        ("sun 03:00-04:00", "2026-03-29T02:00:00Z", false),
        // 25 October: the hour from 02:00 comes twice, from 00:00 and from 01:00 UTC.
        ("sun 02:00-03:00", "2026-10-24T23:59:59Z", false),
        ("sun 02:00-03:00", "2026-10-25T00:00:00Z", true),
        ("sun 02:00-03:00", "2026-10-25T01:59:59Z", true),
        ("sun 02:00-03:00", "2026-10-25T02:00:00Z", false),
        // Over midnight: Saturday's window lasts until Sunday's clock says 04:00.
        ("sat 22:00-04:00", "2026-10-25T02:59:59Z", true),
        ("sat 22:00-04:00", "2026-10-25T03:00:00Z", false),
        ("sat 22:00-04:00", "2026-10-24T19:59:59Z", false),
        ("sat 22:00-04:00", "2026-10-24T20:00:00Z", true),
        ("sun 22:00-04:00", "2026-10-25T00:00:00Z", false),
        // The same hour on the clock in summer and in winter.
        ("mon-fri 02:00-16:00", "2026-07-01T13:59:00Z", true),
        ("mon-fri 02:00-16:00", "2026-07-01T14:00:00Z", false),
        ("mon-fri 02:00-16:00", "2026-12-01T14:00:00Z", true),
        ("mon-fri 02:00-16:00", "2026-12-05T12:00:00Z", false),
        ("daily 00:00-24:00", "2026-12-05T22:59:59Z", true),
    ] {
        assert_eq!(open(window, at), wanted, "{window} at {at}");
    }
}

#[test]
fn the_next_time_is_after_holiday_and_freeze() {
    let guardrails: Guardrails = serde_json::from_value(json!({
        "windows": [{ "days": "mon-fri", "from": "02:00", "to": "16:00", "zone": "Europe/Berlin" }],
        "holidays": ["2026-12-25", "2027-01-04"],
        "freeze": [{ "from": "2026-12-26", "to": "2027-01-02", "reason": "year's end" }],
    }))
    .unwrap();
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let next = |text| next_opening(&guardrails, at(text)).unwrap();
    assert_eq!(
        next("2026-12-24T16:00:00Z"),
        "Tue 2027-01-05 02:00 Europe/Berlin"
    );
    assert_eq!(
        next("2026-11-21T10:00:00Z"),
        "Mon 2026-11-23 02:00 Europe/Berlin"
    );
    let (shut, _) = judge(&guardrails, at("2026-12-25T10:00:00Z"));
    let told: Vec<_> = shut.iter().map(|one| one.measured.as_str()).collect();
    assert_eq!(told, ["2026-12-25 is a holiday"]);
    // In Berlin it is the 26th already, and Saturday.
    let (shut, open) = judge(&guardrails, at("2026-12-25T23:30:00Z"));
    let told: Vec<_> = shut.iter().map(|one| one.measured.as_str()).collect();
    assert_eq!(
        told,
        [
            "Sat 2026-12-26 00:30 Europe/Berlin",
            "2026-12-26 is in the freeze 2026-12-26 to 2027-01-02 (year's end)"
        ]
    );
    assert_eq!(open, [("holiday", "2026-12-26 is none".to_owned())]);
    let never: Guardrails =
        serde_json::from_value(json!({ "freeze": [{ "from": "2001-01-01", "to": "2999-12-31" }] }))
            .unwrap();
    assert_eq!(next_opening(&never, at("2026-11-21T10:00:00Z")), None);
}
