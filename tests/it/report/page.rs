//! The page: that it stands alone, shows what the summary shows, and forms nothing of anybody's text.

use cutover::model::event::Event;
use cutover::platform::secret::Vault;
use cutover::report::Listener as _;
use cutover::report::page::{Imprint, LIMIT, html};
use cutover::report::summary::Summary;
use insta::assert_snapshot;
use proptest::prelude::*;

use super::made_up;
use crate::contract::{all_saying, any_text, config, promoted, rolled_back};

/// All elements that a page may have.
const ELEMENTS: [&str; 44] = [
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "header",
    "main",
    "footer",
    "section",
    "h1",
    "h2",
    "h3",
    "p",
    "a",
    "b",
    "i",
    "span",
    "dl",
    "dt",
    "dd",
    "div",
    "ul",
    "li",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "details",
    "summary",
    "pre",
    "figure",
    "figcaption",
    "svg",
    "desc",
    "path",
    "line",
    "rect",
    "circle",
    "text",
    "tspan",
    "!DOCTYPE",
];

/// The page of a run that ended at a time that does not change.
fn page(events: &[Event], vault: &Vault) -> String {
    let mut summary = Summary::new(vault.clone());
    for event in events {
        summary.hear(event);
    }
    let imprint = Imprint {
        run_url: Some("https://github.com/shop/storefront/actions/runs/7"),
        at: "2026-03-04T12:05:06Z".parse().unwrap(),
    };
    html(summary.heard(), &imprint, vault)
}

fn plain(events: &[Event]) -> String {
    page(events, &Vault::default())
}

/// What is between the style and the end.
fn body(page: &str) -> &str {
    page.split_once("<body>").unwrap().1
}

/// That every element is one of ours and closed, and that nothing is loaded or run.
fn stands_alone(page: &str) {
    let mut open = Vec::new();
    let mut outside = String::new();
    let (before, style) = page.split_once("<style>").unwrap();
    let (style, after) = style.split_once("</style>").unwrap();
    assert!(!style.contains("url(") && !style.contains("@import") && !style.contains('<'));
    let elements = [before, after].concat();
    for piece in elements.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap_or_else(|| panic!("<{piece}"));
        let name = tag
            .trim_start_matches('/')
            .split([' ', '/', '\n'])
            .next()
            .unwrap();
        assert!(!name.is_empty() && ELEMENTS.contains(&name), "<{tag}>");
        // Attributes with text in them are quoted, and text has no quotes.
        assert_eq!(tag.matches('"').count() % 2, 0, "<{tag}>");
        for banned in [" on", " src", "style=", "srcset", "javascript:", "xlink"] {
            assert!(!tag.to_lowercase().contains(banned), "<{tag}>");
        }
        let link =
            "a href=\"https://github.com/shop/storefront/actions/runs/7\" rel=\"noreferrer\"";
        assert!(!tag.contains("href") || tag == link, "<{tag}>");
        match (tag.starts_with('/'), tag.ends_with('/'), name) {
            (_, true, _) | (_, _, "meta" | "!DOCTYPE") => {}
            (true, ..) => assert_eq!(open.pop(), Some(name), "</{name}> in {page}"),
            (false, ..) => open.push(name),
        }
        outside.push_str(text);
    }
    assert!(open.is_empty(), "{open:?}");
    assert!(
        !outside.contains('"') || !outside.contains('>'),
        "{outside}"
    );
    assert!(page.len() <= LIMIT, "{}", page.len());
}

#[test]
fn the_page_of_a_canary_that_was_taken_back() {
    let page = plain(&made_up::rolled_back());
    stands_alone(&page);
    assert!(page.len() < 60_000, "{}", page.len());
    assert_snapshot!(body(&page));
}

#[test]
fn every_page_stands_alone() {
    for events in [made_up::promoted(), promoted(), rolled_back(), Vec::new()] {
        let page = plain(&events);
        stands_alone(&page);
        assert!(
            page.contains("content=\"default-src 'none'; style-src 'sha256-"),
            "{page}"
        );
    }
    let none = plain(&promoted());
    assert!(
        !none.contains("<figure>") && none.contains("Receipt"),
        "{none}"
    );
}

#[test]
fn the_page_says_what_the_summary_says() {
    let events = made_up::rolled_back();
    let page = plain(&events);
    let mut summary = Summary::new(Vault::default());
    events.iter().for_each(|event| summary.hear(event));
    let summary = summary.markdown();
    let table = summary.split("in numbers</summary>\n\n").nth(1).unwrap();
    for row in table.lines().skip(2).take_while(|row| row.starts_with('|')) {
        for cell in row.trim_matches('|').split('|') {
            assert!(
                page.contains(&format!(">{}</td>", cell.trim())),
                "{cell} of {row}"
            );
        }
    }
    let first = summary.lines().next().unwrap().trim_start_matches("### ");
    let (word, said) = first.split_once(": ").unwrap();
    assert!(
        page.contains(&format!("<span class=\"word\">{word}</span> {said}</h1>")),
        "{first}"
    );
}

#[test]
fn a_long_run_has_a_page_that_is_not_too_long() {
    let mut events = made_up::promoted();
    for nth in 0..3000 {
        let said = format!("{nth} {}", "<&\">".repeat(400));
        events.push(Event::Line(said.clone()));
        events.push(Event::Warned(said.clone()));
        events.push(Event::Done {
            step: "watch",
            said,
            took: std::time::Duration::from_secs(1),
        });
    }
    for nth in 0..40 {
        for mut look in made_up::looks(|_| 0.008) {
            look.at += f64::from(nth) * 540.0;
            events.push(Event::Glanced(Box::new(look)));
        }
    }
    let page = plain(&events);
    stands_alone(&page);
    assert!(
        page.contains("Left out, being too long: "),
        "{}",
        page.len()
    );
    assert_eq!(page.matches("<figure>").count(), 5);
}

#[test]
fn no_secret_is_on_the_page() {
    let vault = Vault::default();
    vault.keep("s3cr3t<&\"word");
    let said = page(&all_saying("a s3cr3t<&\"word\u{1b}[0m b"), &vault);
    stands_alone(&said);
    assert!(
        !said.contains("s3cr3t") && said.contains("a *** b"),
        "{said}"
    );
}

/// For `tests/look`, which says where they go; else there is nothing to do.
#[test]
fn pages_to_look_at() {
    let Some(place) = std::env::var_os("CUTOVER_LOOK") else {
        return;
    };
    let place = std::path::PathBuf::from(place);
    let all = [
        ("promoted", made_up::promoted()),
        ("rolled-back", made_up::rolled_back()),
        ("blue-green", promoted()),
    ];
    let mut charts = String::new();
    for (name, events) in all {
        std::fs::write(place.join(name).with_extension("html"), plain(&events)).unwrap();
        let mut summary = Summary::new(Vault::default());
        events.iter().for_each(|event| summary.hear(event));
        if name == "rolled-back" {
            let summary = summary.markdown();
            for part in summary.split("```mermaid\n").skip(1) {
                let (source, _) = part.split_once("\n```").unwrap();
                let source = source.replace('<', "&lt;");
                charts.push_str(&format!("<pre class=\"mermaid\">\n{source}\n</pre>\n"));
            }
        }
    }
    std::fs::write(place.join("charts.html"), charts).unwrap();
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn nobodys_text_forms_anything(text in any_text()) {
        stands_alone(&plain(&all_saying(&text)));
    }
}
