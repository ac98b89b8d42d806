//! Members of a pool, and where each of them stands: in rotation, out of it, or unfit for it.

use serde::{Deserialize, Serialize};

/// Where a member stands, as its router sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// It gets traffic.
    In,
    /// It was taken out as Cutover takes members out: it gets nothing new.
    Out,
    /// It is to be in, and gets nothing: the router's own checks say why.
    Down(String),
    /// Somebody else keeps it out, and why: in maintenance, say.
    Barred(String),
}

impl Place {
    /// Whether it gets traffic.
    pub const fn is_in(&self) -> bool {
        matches!(self, Self::In)
    }

    /// In a word or a few.
    pub fn told(&self) -> String {
        match self {
            Self::In => "in".to_owned(),
            Self::Out => "out".to_owned(),
            Self::Down(why) | Self::Barred(why) => why.clone(),
        }
    }
}

/// `a`, `a and b`, `a, b and c`; of more than five, the first three and how many more.
pub fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    match names.as_slice() {
        [] => "none".to_owned(),
        [only] => (*only).to_owned(),
        [first @ .., last] if names.len() <= 5 => format!("{} and {last}", first.join(", ")),
        [first, second, third, rest @ ..] => {
            format!("{first}, {second}, {third} and {} more", rest.len())
        }
        _ => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_listed_as_people_do() {
        for (names, wanted) in [
            (vec![], "none"),
            (vec!["a"], "a"),
            (vec!["a", "b"], "a and b"),
            (vec!["a", "b", "c"], "a, b and c"),
            (vec!["a", "b", "c", "d", "e", "f"], "a, b, c and 3 more"),
        ] {
            assert_eq!(listed(names), wanted);
        }
    }
}
