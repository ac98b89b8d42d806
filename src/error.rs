//! What stops a run at the door: the inputs or the config are wrong, and nothing was touched.

use crate::config::problem::Problem;
use crate::model::ending::{Account, Decision, Ending, Reason};
use crate::model::event::{Event, Say};
use crate::platform::text;

/// All that is wrong, and with what.
#[derive(Debug)]
pub struct Refusal {
    /// What is wrong; at least one.
    pub problems: Vec<Problem>,
    /// The file that the problems with a line are in.
    pub file: Option<String>,
}

impl Refusal {
    /// Problems with the inputs.
    pub const fn of_inputs(problems: Vec<Problem>) -> Self {
        Self {
            problems,
            file: None,
        }
    }

    /// One problem with an input.
    pub fn of_input(name: &str, said: impl Into<String>) -> Self {
        Self::of_inputs(vec![Problem::with_input(name, said)])
    }

    /// Problems with a file.
    pub fn of_file(file: &str, problems: Vec<Problem>) -> Self {
        Self {
            problems,
            file: Some(file.to_owned()),
        }
    }

    /// Says every problem, and returns the ending.
    pub fn tell(&self, say: &Say) -> Ending {
        for problem in &self.problems {
            let (file, line) = match problem.place {
                Some(place) => (self.file.clone(), Some(place.line)),
                None => (None, None),
            };
            let said = match problem.path.as_str() {
                "" => problem.said.clone(),
                path => format!("{path}: {}", problem.said),
            };
            say(Event::Wrong { file, line, said });
        }
        let count = text::count(self.problems.len() as u64, "problem");
        let place = self.file.as_deref().unwrap_or("the inputs");
        Ending {
            decision: Decision::Failed,
            reason: Reason::BadInput,
            said: format!("{count} in {place}"),
            account: Account {
                traffic: Some("not touched".to_owned()),
                next: Some(match &self.file {
                    Some(file) => {
                        format!("correct the file; `cutover check --config {file}` checks it alone")
                    }
                    None => "correct the inputs; `cutover --help` lists them".to_owned(),
                }),
                ..Account::default()
            },
        }
    }
}
