//! A run as one HTML file: the same as the summary, with the charts drawn.
//!
//! The file stands alone. It loads nothing, runs nothing, and says so to the browser; it is as
//! readable on a phone as on a desk, by day as by night, and without seeing the charts. What
//! strangers wrote is shown as text. It has an upper bound in size: what would go beyond it is
//! left out, and named.

mod canary;
mod element;
mod sections;
mod svg;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::model::ending::Decision;
use crate::platform::secret::Vault;

use super::heard::Heard;
use super::words;
use element::{escaped, text};

/// The largest page, in bytes.
pub const LIMIT: usize = 300_000;

/// What the end of the page needs, with the names of all that was left out.
const END: usize = 2_000;

/// Colours and places; the browser takes no other style.
const STYLE: &str = include_str!("style.css");

/// Where and when a page was made.
pub struct Imprint<'a> {
    /// The page of the run at GitHub.
    pub run_url: Option<&'a str>,
    /// When the run ended.
    pub at: Timestamp,
}

/// The page of what was heard so far.
pub fn html(heard: &Heard, imprint: &Imprint<'_>, vault: &Vault) -> String {
    let safe = |it: &str| text(it, vault);
    let title = words::headline(&heard.headline);
    let title = match &heard.ending {
        Some(ending) => format!("{}: {title}", words::decision(ending.decision)),
        None => title,
    };
    let mut page = Page {
        out: format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n{}\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <meta name=\"referrer\" content=\"no-referrer\">\n\
             <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
            policy(),
            safe(&title)
        ),
        left_out: Vec::new(),
    };
    page.add("", vault, head(heard, imprint, &safe));
    page.add("canary", vault, canary::looks(heard, &safe));
    page.add("steps", vault, sections::steps(heard, &safe));
    page.add("receipt", vault, sections::receipt(heard, &safe));
    page.add("figures", vault, sections::figures(heard, &safe));
    page.add("environments", vault, sections::environments(heard, &safe));
    page.add("remarks", vault, sections::remarks(heard, &safe));
    page.add("looks", vault, canary::numbers(heard));
    page.add("checks", vault, sections::checks(heard, &safe));
    page.add("output", vault, sections::output(heard, vault));
    page.end()
}

/// A page in the making.
struct Page {
    out: String,
    left_out: Vec<&'static str>,
}

impl Page {
    /// Adds a part, if there is room for it. Its pieces were redacted before they were escaped;
    /// here that is done for what only the whole shows.
    fn add(&mut self, name: &'static str, vault: &Vault, part: String) {
        let part = vault.redact(&part);
        if self.out.len() + part.len() + END > LIMIT {
            self.left_out.push(name);
        } else {
            self.out.push_str(&part);
        }
    }

    fn end(mut self) -> String {
        self.out.push_str("</main>\n<footer><p>");
        if !self.left_out.is_empty() {
            let names = self.left_out.join(", ");
            self.out.push_str(&format!(
                "Left out, being too long: {names}. The log has it. "
            ));
        }
        self.out.push_str(concat!(
            "Cutover ",
            env!("CARGO_PKG_VERSION"),
            ". This file stands alone: it loads nothing and runs nothing.</p></footer>\n</body>\n</html>\n"
        ));
        self.out
    }
}

/// What the browser may do: use our own style.
fn policy() -> String {
    let digest = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    format!(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{digest}'; \
         base-uri 'none'; form-action 'none'\">\n"
    )
}

fn head(heard: &Heard, imprint: &Imprint<'_>, safe: &impl Fn(&str) -> String) -> String {
    let (class, sign, word, said) = match &heard.ending {
        None => ("quiet", "⏳", "not finished", String::new()),
        Some(ending) => {
            let decision = ending.decision;
            (
                class(decision),
                words::sign(decision),
                words::decision(decision),
                safe(&ending.said),
            )
        }
    };
    let headline = safe(&words::headline(&heard.headline));
    let at = imprint.at.strftime("%Y-%m-%d %H:%M UTC");
    // Whatever the environment says, only a page of the web is led to.
    let run = imprint
        .run_url
        .filter(|url| url.starts_with("https://") || url.starts_with("http://"));
    let run = run.map_or_else(String::new, |url| {
        format!(
            " · <a href=\"{}\" rel=\"noreferrer\">the run</a>",
            escaped(url)
        )
    });
    let mut out = format!(
        "<header class=\"{class}\">\n<h1><span class=\"word\">{sign} {word}</span> {said}</h1>\n\
         <p>{headline}</p>\n<p class=\"dim\">{at}{run}</p>\n</header>\n<main>\n"
    );
    let account = heard.ending.iter().map(|ending| &ending.account);
    let rows: Vec<(&str, String)> = account
        .flat_map(words::account)
        .map(|(label, said)| (label, safe(said)))
        .collect();
    out.push_str(&element::pairs("account", &rows));
    out
}

const fn class(decision: Decision) -> &'static str {
    match decision {
        Decision::Passed | Decision::Promoted => "good",
        Decision::RolledBack | Decision::Held => "warn",
        Decision::Failed | Decision::Stuck => "bad",
        Decision::Skipped | Decision::Planned | Decision::Paused => "quiet",
    }
}
