//! What comments on an approval's issue come to. Pure: the same comments, the same verdict.
//!
//! A command is a line of its own, exactly as it is asked for. What is quoted, or in a block of
//! code, is no command; nor is a comment that was edited, for nobody knows what it said before.

use crate::model::approval::{Circle, Remark};

/// The longest reason that is taken over, in characters.
const REASON: usize = 500;

/// What somebody said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// `/approve`.
    Approve,
    /// `/reject`, and why.
    Reject(Option<String>),
}

/// How an approval stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stand {
    /// Not enough have approved: those who have.
    Open(Vec<String>),
    /// Enough have.
    Approved(Vec<String>),
    /// Somebody rejected it.
    Rejected(String, Option<String>),
}

/// A command that does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// The comment.
    pub id: u64,
    /// Who wrote it.
    pub author: String,
    /// Why it does not count: `started the run`.
    pub why: String,
}

/// The command in a comment. `/reject` beats `/approve`.
pub fn word_of(body: &str) -> Option<Word> {
    let mut fence: Option<(char, usize)> = None;
    let mut is_hidden = false;
    let mut approve = None;
    for line in body.lines() {
        let line = line.trim_end();
        if is_hidden {
            is_hidden = !line.contains("-->");
            continue;
        }
        if let Some(mark) = fence_of(line) {
            fence = match fence {
                None => Some(mark),
                Some((sign, length)) if mark.0 == sign && mark.1 >= length => None,
                open => open,
            };
            continue;
        }
        if fence.is_some() {
            continue;
        }
        if let Some((_, hidden)) = line.split_once("<!--") {
            is_hidden = !hidden.contains("-->");
            continue;
        }
        match line.strip_prefix("/reject") {
            Some("") => return Some(Word::Reject(None)),
            Some(rest) if rest.starts_with([' ', '\t']) => {
                let reason: String = rest.trim().chars().take(REASON).collect();
                return Some(Word::Reject(Some(reason).filter(|why| !why.is_empty())));
            }
            _ => {}
        }
        if line == "/approve" {
            approve = Some(Word::Approve);
        }
    }
    approve
}

/// The sign and the length of a fence, if the line begins or ends a block of code.
fn fence_of(line: &str) -> Option<(char, usize)> {
    let line = line.trim_start_matches(' ');
    let sign = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let length = line.chars().take_while(|c| *c == sign).count();
    (length >= 3).then_some((sign, length))
}

/// How an approval stands that was asked for at `asked`, and which commands do not count.
pub fn stand(remarks: &[Remark], circle: &Circle, asked: i64) -> (Stand, Vec<PassedOver>) {
    let mut approved: Vec<String> = Vec::new();
    let mut rejected = None;
    let mut passed_over = Vec::new();
    for remark in remarks {
        let Some(word) = word_of(&remark.body) else {
            continue;
        };
        let objection = if remark.at < asked {
            Some("wrote it before the run asked".to_owned())
        } else if !remark.as_written {
            Some("edited the comment; a new one counts".to_owned())
        } else if !remark.by_person {
            Some("is a program".to_owned())
        } else {
            circle.objection(&remark.author)
        };
        if let Some(why) = objection {
            passed_over.push(PassedOver {
                id: remark.id,
                author: remark.author.clone(),
                why,
            });
            continue;
        }
        match word {
            Word::Approve => {
                if !approved.iter().any(|who| Circle::same(who, &remark.author)) {
                    approved.push(remark.author.clone());
                }
            }
            Word::Reject(why) => {
                rejected.get_or_insert((remark.author.clone(), why));
            }
        }
    }
    let stand = match rejected {
        Some((who, why)) => Stand::Rejected(who, why),
        None if approved.len() >= circle.minimum.max(1) => Stand::Approved(approved),
        None => Stand::Open(approved),
    };
    (stand, passed_over)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_a_line_of_its_own() {
        let reject = |why: &str| Some(Word::Reject(Some(why.to_owned())));
        for (body, word) in [
            ("/approve", Some(Word::Approve)),
            (
                "Looks good.\r\n/approve \r\n\r\nThanks!",
                Some(Word::Approve),
            ),
            ("/reject", Some(Word::Reject(None))),
            ("/reject   ", Some(Word::Reject(None))),
            ("/reject not on a Friday", reject("not on a Friday")),
            ("/approve\n/reject wait", reject("wait")),
            ("/approve please", None),
            ("I /approve", None),
            (" /approve", None),
            ("    /approve", None),
            ("> /approve", None),
            ("/Approve", None),
            ("/approved", None),
            ("/rejected", None),
            ("`/approve`", None),
            ("```\n/approve\n```", None),
            ("~~~~\n```\n/approve\n~~~~", None),
            ("````\n```\n/approve\n````\n", None),
            ("```\nx\n```\n/approve", Some(Word::Approve)),
            ("<!-- \n/approve\n-->", None),
            ("<!-- x --> \n/approve", Some(Word::Approve)),
            ("\u{feff}/approve", None),
            ("/appr\u{43e}ve", None),
            ("", None),
        ] {
            assert_eq!(word_of(body), word, "{body:?}");
        }
        let long = format!("/reject {}", "x".repeat(9000));
        let Some(Word::Reject(Some(why))) = word_of(&long) else {
            panic!("it is a rejection");
        };
        assert_eq!(why.len(), REASON);
    }

    fn remark(id: u64, author: &str, body: &str) -> Remark {
        Remark {
            id,
            author: author.into(),
            by_person: true,
            body: body.into(),
            at: 100,
            as_written: true,
        }
    }

    fn circle(minimum: usize) -> Circle {
        Circle {
            approvers: ["Bo", "cy", "ana"].map(ToOwned::to_owned).to_vec(),
            barred: vec![("ana".into(), "started the run".into())],
            minimum,
        }
    }

    #[test]
    fn only_those_who_may_count_and_each_once() {
        let by = |who: &[&str]| who.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let two = [remark(1, "bo", "/approve"), remark(2, "BO", "/approve")];
        let judged = |remarks: &[Remark], minimum| stand(remarks, &circle(minimum), 100).0;
        assert_eq!(judged(&two, 2), Stand::Open(by(&["bo"])));
        assert_eq!(judged(&two, 1), Stand::Approved(by(&["bo"])));
        let both = [remark(1, "bo", "/approve"), remark(2, "cy", "/approve")];
        assert_eq!(judged(&both, 2), Stand::Approved(by(&["bo", "cy"])));
        let mixed = [remark(1, "bo", "/approve"), remark(2, "cy", "/reject no")];
        assert_eq!(
            judged(&mixed, 1),
            Stand::Rejected("cy".into(), Some("no".into()))
        );
        assert_eq!(judged(&[], 0), Stand::Open(Vec::new()));
        let edited = Remark {
            as_written: false,
            ..remark(3, "bo", "/approve")
        };
        let before = Remark {
            at: 99,
            ..remark(4, "bo", "/approve")
        };
        let program = Remark {
            by_person: false,
            ..remark(5, "bo", "/approve")
        };
        let none = [
            remark(1, "mallory", "/reject"),
            remark(2, "Ana", "/approve"),
            edited,
            before,
            program,
            remark(6, "mallory", "hello"),
        ];
        let (stand, passed_over) = stand(&none, &circle(1), 100);
        assert_eq!(stand, Stand::Open(Vec::new()));
        let why: Vec<String> = passed_over
            .iter()
            .map(|it| format!("{} {} {}", it.id, it.author, it.why))
            .collect();
        assert_eq!(
            why,
            [
                "1 mallory is none of those who may approve",
                "2 Ana started the run",
                "3 bo edited the comment; a new one counts",
                "4 bo wrote it before the run asked",
                "5 bo is a program",
            ]
        );
    }
}
