//! The readable log, at a terminal, in a file and in a workflow.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use cutover::model::event::Event;
use cutover::platform::secret::Vault;
use cutover::report::Listener as _;
use cutover::report::log::{Log, Style};
use insta::assert_snapshot;
use proptest::prelude::*;

use super::commands::{as_the_runner_reads, lines};
use super::{all_saying, any_text, config, done, promoted, rolled_back};

/// A page that the log writes on and the test reads.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut page = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        page.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const PLAIN: Style = Style {
    workflow: false,
    live: false,
    color: false,
};

fn written(style: Style, vault: &Vault, events: &[Event]) -> String {
    let page = Page::default();
    let mut log = Log::new(Box::new(page.clone()), style, vault.clone());
    for event in events {
        log.hear(event);
    }
    let bytes = page.0.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn plain(events: &[Event]) -> String {
    written(PLAIN, &Vault::default(), events)
}

#[test]
fn a_good_run_reads_like_this() {
    assert_snapshot!(plain(&promoted()), @r"
    cutover · rollout · production · storefront 4f2a9c1 · blue-green
      preflight  12 checks passed                                             400 ms
    | pulling ##\[error]
    | ::error::not ours
      deploy     green <- 4f2a9c1      ./scripts/deploy.sh ended with 0       21.3 s
      way back   blue serves 91be33d, healthy, restore prepared
      switch     green 0 % -> 100 %    nginx flags w0 -> w100                 2.0 ms
      notice     the lock was 2 m old
      warning    slack: no answer
      promoted   3 of 3,012 requests failed, slowest 38 ms
    ");
}

#[test]
fn a_failure_says_four_things() {
    assert_snapshot!(plain(&rolled_back()), @r"
    cutover · rollout · production · storefront 4f2a9c1 · blue-green
      proved     3 of 5 answers still say 91be33d                               10 s
      back       green 100 % -> 0 %    proved on blue                          38 ms
    rolled back: the public URL kept answering with the old release
      measured   X-Release: 91be33d on 3 of 5 new connections
      wanted     4f2a9c1, 5 in a row, within 10 s
      traffic    100 % on blue (91be33d), proved at 12:04:31Z
      next       set `release.path` to one that is not cached
    ");
}

#[test]
fn in_a_workflow_there_are_annotations_and_groups() {
    let style = Style {
        workflow: true,
        ..PLAIN
    };
    let log = written(style, &Vault::default(), &promoted());
    assert_snapshot!(log, @r"
    cutover · rollout · production · storefront 4f2a9c1 · blue-green
      preflight  12 checks passed                                             400 ms
    ::group::deploy output
    | pulling ##\[error]
    | ::error::not ours
    ::endgroup::
      deploy     green <- 4f2a9c1      ./scripts/deploy.sh ended with 0       21.3 s
      way back   blue serves 91be33d, healthy, restore prepared
      switch     green 0 % -> 100 %    nginx flags w0 -> w100                 2.0 ms
    ::notice::the lock was 2 m old
    ::warning::slack: no answer
      promoted   3 of 3,012 requests failed, slowest 38 ms
    ");
    let failed = written(style, &Vault::default(), &rolled_back());
    let errors: Vec<_> = failed.lines().filter_map(as_the_runner_reads).collect();
    assert_eq!(errors.len(), 1, "{failed}");
    assert_eq!(
        errors[0].properties[0].1,
        "rolled back: the public URL kept answering with the old release"
    );
    let labels = ["measured", "wanted", "traffic", "next"];
    for (line, label) in errors[0].data.lines().zip(labels) {
        assert!(line.starts_with(label), "{line}");
        assert!(failed.contains(&format!("\n  {line}\n")), "{line}");
    }
    assert_eq!(errors[0].data.lines().count(), labels.len());
}

/// A machine of several has come to its end, and the others go on with the step.
#[test]
fn what_comes_after_a_row_within_a_step_is_still_the_steps() {
    let style = Style {
        workflow: true,
        ..PLAIN
    };
    let line = |said: &str| Event::Line(said.to_owned());
    let events = [
        Event::Working {
            step: "deploy",
            said: String::new(),
        },
        line("web1: pulling"),
        done("node", "web1: ./deploy.sh ended with 0", 1000),
        line("web2: pulling"),
        done("deploy", "green <- v2", 2000),
        line("pruning"),
    ];
    let said = written(style, &Vault::default(), &events);
    let groups: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("::group::"))
        .collect();
    let deploy = "::group::deploy output";
    assert_eq!(groups, [deploy, deploy, "::group::script output"], "{said}");
}

#[test]
fn a_long_row_keeps_its_time() {
    let long = "x".repeat(100);
    let row = plain(&[done("deploy", &long, 41)]);
    assert_eq!(row, format!("  deploy     {long}  41 ms\n"));
}

#[test]
fn at_a_terminal_a_line_is_overwritten() {
    let events = &promoted()[4..6];
    let style = Style::of(false, true, true);
    assert_eq!(
        written(style, &Vault::default(), events),
        "\r\x1b[2K  deploy     running ./scripts/deploy.sh\r\x1b[2K| pulling ##\\[error]\n"
    );
    let long = Event::Working {
        step: "deploy",
        said: "ü".repeat(500),
    };
    let line = written(style, &Vault::default(), &[long]);
    assert!(line.trim_start_matches("\r\x1b[2K").chars().count() < 80);
}

#[test]
fn colours_are_for_those_who_see_them() {
    let color = |style| written(style, &Vault::default(), &rolled_back()).contains("\x1b[31m");
    assert!(color(Style::of(false, true, false)));
    assert!(!color(Style::of(false, true, true)), "NO_COLOR");
    assert!(!color(Style::of(false, false, false)), "a pipe");
    assert!(color(Style::of(true, false, false)), "the runner");
    assert!(!Style::of(true, true, false).live, "act's terminal");
}

#[test]
fn no_secret_is_written_however_it_is_wrapped() {
    let vault = Vault::default();
    vault.keep("50%::s3cr3t");
    for style in [
        PLAIN,
        Style::of(true, false, false),
        Style::of(false, true, false),
    ] {
        // Cut after a few letters, quoted within escapes, and at the end of a long line.
        for text in [
            "50%::s3cr3t".to_owned(),
            "50%::s3\x1b[0mcr3t".to_owned(),
            format!("{}50%::s3cr3t", "x".repeat(4090)),
            format!("{}50%::s3cr3t", "x".repeat(60)),
        ] {
            let log = written(style, &vault, &all_saying(&text));
            for part in ["s3c", "cr3t", "50%", "50%25"] {
                assert!(!log.contains(part), "{part} of {text} in {log}");
            }
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn nobody_elses_text_is_a_command(text in any_text()) {
        let style = Style { workflow: true, ..PLAIN };
        let events = all_saying(&text);
        let log = written(style, &Vault::default(), &events);
        let commands: Vec<String> =
            lines(&log).filter_map(as_the_runner_reads).map(|it| it.name).collect();
        prop_assert_eq!(commands, ["group", "endgroup", "notice", "warning", "warning", "error"]);
        let outside = written(PLAIN, &Vault::default(), &events);
        prop_assert_eq!(lines(&outside).filter_map(as_the_runner_reads).count(), 0);
    }
}
