//! The include file: what is written into it, and what is read out of it.
//!
//! It is read by its directives, as nginx reads it, and by the names of the slots, so that
//! neither a comment that lies nor slots that changed places in the config mislead. No two files
//! ever written have the same generation, so an answer that carries it can come from that file only.

use super::loader::generation_after;
use crate::model::slot::{Side, Slots};
use crate::model::split::{Split, Weight};

/// What an include file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Live {
    /// Which of all files ever written it is.
    pub(super) generation: String,
    /// How traffic is divided by it.
    pub(super) split: Split,
}

impl Live {
    /// What a person writes down before the first change.
    pub(super) fn at_first() -> Self {
        Self {
            generation: "0".to_owned(),
            split: Split::all_to(Side::First),
        }
    }

    /// The next file after this one.
    pub(super) fn followed_by(&self, split: Split) -> Self {
        Self {
            generation: generation_after(&self.generation),
            split,
        }
    }

    /// The file's content.
    pub(super) fn written(&self, slots: &Slots, split_by: &str) -> String {
        let (generation, second) = (&self.generation, self.split.second.percent());
        let [a, b] = [Side::First, Side::Second].map(|side| slots.name(side));
        let live = if self.split.is_whole() {
            let active = slots.name(self.split.active());
            format!("map \"\" $live_slot {{ default \"{active}\"; }}")
        } else {
            format!("split_clients \"{split_by}\" $live_slot {{ {second}% \"{b}\"; * \"{a}\"; }}")
        };
        format!(
            "# cutover gen={generation} weight={second}\n\
             # Cutover writes this file at every change of traffic; what is edited here is lost.\n\
             {live}\n\
             map \"\" $cutover_generation {{ default \"{generation}\"; }}\n"
        )
    }

    /// Reads a file's content.
    ///
    /// # Errors
    /// What is missing in it or does not fit these slots.
    pub(super) fn read(content: &str, slots: &Slots) -> Result<Self, String> {
        let (mut splits, mut generations) = (Vec::new(), Vec::new());
        for line in content.lines().map(str::trim) {
            if let Some(body) = body_of(line, "split_clients ", "$live_slot") {
                splits.push(divided(&body, slots)?);
            } else if let Some(body) = body_of(line, "map \"\" ", "$live_slot") {
                splits.push(whole(&body, slots)?);
            } else if let Some(body) = body_of(line, "map \"\" ", "$cutover_generation")
                && let [("default", generation)] = body.as_slice()
            {
                generations.push((*generation).to_owned());
            }
        }
        match (splits.as_slice(), generations.as_slice()) {
            ([split], [generation]) => Ok(Self {
                generation: generation.clone(),
                split: *split,
            }),
            ([_], _) => Err(format!(
                "it sets $cutover_generation {} times, not once",
                generations.len()
            )),
            _ => Err(format!(
                "it sets $live_slot {} times, not once",
                splits.len()
            )),
        }
    }
}

/// The pairs in `DIRECTIVE … VARIABLE { key "value"; … }`, if the line is one.
fn body_of<'a>(line: &'a str, directive: &str, variable: &str) -> Option<Vec<(&'a str, &'a str)>> {
    let (_, rest) = line.strip_prefix(directive)?.split_once(variable)?;
    let body = rest.trim().strip_prefix('{')?.strip_suffix('}')?;
    body.split(';')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once(char::is_whitespace)?;
            Some((key, value.trim().trim_matches('"')))
        })
        .collect()
}

fn divided(body: &[(&str, &str)], slots: &Slots) -> Result<Split, String> {
    if let [(share, one), ("*", rest)] = body
        && let Some(weight) = share.strip_suffix('%').and_then(|w| w.parse().ok())
        && let Some(weight) = Weight::new(weight)
    {
        let (side, other) = (side_of(one, slots)?, side_of(rest, slots)?);
        if side != other {
            return Ok(Split::with(side, weight));
        }
    }
    Err("its split_clients is not one share and a rest".to_owned())
}

fn whole(body: &[(&str, &str)], slots: &Slots) -> Result<Split, String> {
    match body {
        [("default", name)] => side_of(name, slots).map(Split::all_to),
        _ => Err("its map of $live_slot has more than a default".to_owned()),
    }
}

fn side_of(name: &str, slots: &Slots) -> Result<Side, String> {
    slots.side_of(name).ok_or_else(|| {
        format!(
            "it names the slot \"{name}\", and the slots are {} and {}",
            slots.first.name, slots.second.name
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::slot::Slot;

    fn slots(first: &str, second: &str) -> Slots {
        let slot = |name: &str| Slot {
            name: name.to_owned(),
            url: "http://127.0.0.1:1/".parse().unwrap(),
        };
        Slots {
            first: slot(first),
            second: slot(second),
        }
    }

    #[test]
    fn every_weight_reads_as_it_was_written_also_when_the_slots_changed_places() {
        let mut live = Live::at_first();
        for percent in 0..=100 {
            let second = Weight::new(percent).unwrap();
            live = live.followed_by(Split { second });
            let content = live.written(&slots("blue", "green"), "$request_id");
            let head = format!("# cutover gen={} weight={percent}\n", live.generation);
            assert!(content.starts_with(&head), "{content}");
            assert_eq!(
                Live::read(&content, &slots("blue", "green")),
                Ok(live.clone())
            );
            let swapped = Live::read(&content, &slots("green", "blue")).unwrap();
            assert_eq!(swapped.split.second, second.rest());
        }
        assert!(live.generation.starts_with("101-"), "{}", live.generation);
    }

    #[test]
    fn the_directives_count_and_not_the_comment() {
        let content = "# cutover gen=7 weight=0\nsplit_clients \"$request_id\" $live_slot { 30% \"green\"; * \"blue\"; }\nmap \"\" $cutover_generation { default \"7\"; }\n";
        let live = Live::read(content, &slots("blue", "green")).unwrap();
        assert_eq!((live.split.second.percent(), &*live.generation), (30, "7"));
        let refused = |from: &str, to: &str| {
            Live::read(&content.replace(from, to), &slots("blue", "green")).unwrap_err()
        };
        assert!(refused("green", "pink").contains("\"pink\""));
        assert!(refused("30%", "130%").contains("one share"));
        assert!(refused("\"blue\"", "\"green\"").contains("one share"));
        assert!(refused("$live_slot", "$other").contains("0 times"));
        assert!(refused("$cutover_generation", "$other").contains("0 times"));
        assert!(
            refused("\nmap", "\nmap \"\" $live_slot { default blue; }\nmap").contains("2 times")
        );
    }
}
