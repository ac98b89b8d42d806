//! A comment on the pull request or issue that a run is about, edited as it goes on and by the
//! runs after it: the newest word stands in one place.
//!
//! Texts are shown as they are: what GitHub would take for markup, a mention or a reference to
//! an issue is escaped. Where and how comments are kept is handed in.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::config::kinds::{Kind, plain_schema};
use crate::model::news::{News, Outcome};
use crate::model::severity::Severity;
use crate::platform::text;

use super::hook::{run_link, title, within};
use super::{Comments, Form, Notifier, NotifyError, Tools};

/// Its line in the table.
pub(super) const KIND: Kind<dyn Notifier, Tools> = Kind {
    name: "github-comment",
    about: "A comment on the run's pull request or issue, edited in place.",
    schema: plain_schema::<Options>,
    build: |block, tools| {
        let options: Options = block.options()?;
        let number = match &options.number {
            None => None,
            Some(Value::String(text)) if text.trim().is_empty() => None,
            Some(given) => {
                let number = match given {
                    Value::String(text) => text.trim().trim_start_matches('#').parse().ok(),
                    other => other.as_u64(),
                };
                let number = number.filter(|number| *number > 0);
                Some(number.ok_or("number: this is not the number of a pull request or an issue")?)
            }
        };
        Ok(Box::new(GithubComment {
            number,
            comments: tools.comments.clone(),
        }))
    },
};

/// What the kind takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The number of the pull request or issue. Default: that of the event, or of the commit's
    /// pull request.
    #[schemars(with = "Option<String>")]
    number: Option<Value>,
}

const TITLE: usize = 300;
const MESSAGE: usize = 20_000;
const FACTS: usize = 40;
const CELL: usize = 500;

/// A comment on a pull request or an issue.
struct GithubComment {
    number: Option<u64>,
    comments: Option<Arc<dyn Comments>>,
}

#[async_trait]
impl Notifier for GithubComment {
    fn told(&self) -> String {
        "github-comment".to_owned()
    }

    fn form(&self) -> Form {
        Form::Edited
    }

    async fn tell(&self, news: &News) -> Result<(), NotifyError> {
        let Some(comments) = &self.comments else {
            return Err(NotifyError::OutOfReach(
                "there is no `token`, or no GITHUB_REPOSITORY".to_owned(),
            ));
        };
        let marker = news.thread.as_deref().map(marker);
        let body = body(news, marker.as_deref());
        comments.leave(self.number, marker.as_deref(), &body).await
    }
}

/// What a comment begins with that is edited later; nobody sees it.
fn marker(thread: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/') {
            c
        } else {
            '_'
        }
    };
    let thread: String = thread.chars().map(plain).take(200).collect();
    format!("<!-- cutover:{thread} -->")
}

/// The comment, at most about 45,000 of the 65,536 characters that GitHub takes.
fn body(news: &News, marker: Option<&str>) -> String {
    // GitHub's own boxes, which can be read in every theme.
    let tone = match (news.severity, news.outcome) {
        (Severity::Critical, _) => "CAUTION",
        (Severity::Warning, _) => "WARNING",
        (_, Outcome::Good) => "TIP",
        _ => "NOTE",
    };
    let mut out = marker.map_or_else(String::new, |marker| format!("{marker}\n"));
    let headline = escaped(&title(news, TITLE), 2 * TITLE);
    out.push_str(&format!("> [!{tone}]\n> **{headline}**\n"));
    let message = within(&news.message, MESSAGE, |c| {
        (c.is_control() && c != '\n').then_some(" ")
    });
    if !message.is_empty() {
        let longest = message.split(|c| c != '`').map(str::len).max().unwrap_or(0);
        let fence = "`".repeat(longest.max(2) + 1);
        out.push_str(&format!("\n{fence}text\n{message}\n{fence}\n"));
    }
    if !news.facts.is_empty() {
        out.push_str("\n| | |\n|---|---|\n");
        for (name, value) in news.facts.iter().take(FACTS) {
            out.push_str(&format!(
                "| {} | {} |\n",
                escaped(name, CELL),
                escaped(value, CELL)
            ));
        }
    }
    let mut footer = vec![news.severity.to_string()];
    footer.extend(news.decision.iter().map(|word| escaped(word, 100)));
    if news.facts.len() > FACTS {
        let left_out = (news.facts.len() - FACTS) as u64;
        footer.push(format!("{} not shown", text::count(left_out, "fact")));
    }
    let run = run_link(news).filter(|url| !url.contains(['(', ')', '<', '>', ' ']));
    footer.extend(run.map(|url| format!("[the run]({url})")));
    out.push_str(&format!("\n<sub>{}</sub>\n", footer.join(" · ")));
    out
}

/// Text within a line or a cell, of which GitHub makes nothing else.
fn escaped(line: &str, max: usize) -> String {
    within(&text::excerpt(line, max), max, |c| {
        Some(match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '|' => "&#124;",
            '\\' => "\\\\",
            '`' => "\\`",
            '*' => "\\*",
            '_' => "\\_",
            '[' => "\\[",
            ']' => "\\]",
            '~' => "\\~",
            '$' => "\\$",
            // An unseen space behind it: nobody is called up, and no issue referred to.
            '@' => "@&#8203;",
            '#' => "#&#8203;",
            _ => return None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms_nothing() {
        let news = News {
            title: "@ops <img src=x> #7 **b** | c".into(),
            message: "```\n@ops\n````\n<b>".into(),
            facts: vec![("a|b".into(), "[x](http://evil)\n| y".into())],
            run_url: Some("https://x/) [y](http://evil".into()),
            ..News::default()
        };
        let body = body(&news, Some(&marker("shop/--> <b>/ü")));
        assert_eq!(
            body,
            "<!-- cutover:shop/_____b_/_ -->\n\
             > [!NOTE]\n> **@&#8203;ops &lt;img src=x&gt; #&#8203;7 \\*\\*b\\*\\* &#124; c**\n\n\
             `````text\n```\n@ops\n````\n<b>\n`````\n\n\
             | | |\n|---|---|\n| a&#124;b | \\[x\\](http://evil) &#124; y |\n\n\
             <sub>info</sub>\n"
        );
    }
}
