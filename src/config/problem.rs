//! What is wrong with the inputs or the config, where, and what would be right.

use std::fmt;

/// A place in the config file, both counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where in the structure: `environments.production.router.kind`, or an input's name.
    pub path: String,
    /// Where in the file, if it is about a file.
    pub place: Option<Place>,
    /// What is wrong and what would be right.
    pub said: String,
}

impl Problem {
    /// A problem with an input.
    pub fn with_input(name: &str, said: impl Into<String>) -> Self {
        Self {
            path: name.to_owned(),
            place: None,
            said: said.into(),
        }
    }

    /// A problem at a place of the file.
    pub fn at(path: impl Into<String>, place: Place, said: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            place: Some(place),
            said: said.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.place {
            write!(f, "line {}, ", place.line)?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.said)
    }
}
