//! The step summary, and that nobody's text forms anything in it.

use cutover::model::event::Event;
use cutover::model::receipt::Receipt;
use cutover::platform::secret::Vault;
use cutover::report::summary::Summary;
use cutover::report::{Journal, Listener as _, Shared};
use insta::assert_snapshot;
use proptest::prelude::*;

use super::{all_saying, any_text, config, felt, promoted, receipt, rolled_back};

fn markdown(vault: &Vault, events: &[Event]) -> String {
    let mut summary = Summary::new(vault.clone());
    for event in events {
        summary.hear(event);
    }
    summary.markdown()
}

fn plain(events: &[Event]) -> String {
    markdown(&Vault::default(), events)
}

#[test]
fn a_good_run_reads_like_this() {
    assert_snapshot!(plain(&promoted()), @r"
    ### ✅ promoted: 3 of 3,012 requests failed, slowest 38 ms

    rollout · production · storefront 4f2a9c1 · blue-green

    | step | what happened | time |
    |---|---|--:|
    | ✅ preflight | 12 checks passed | 400 ms |
    | ✅ deploy | green &lt;- 4f2a9c1      ./scripts/deploy.sh ended with 0 | 21.3 s |
    | ✅ way back | blue serves 91be33d, healthy, restore prepared |  |
    | ✅ switch | green 0 % -&gt; 100 %    nginx flags w0 -&gt; w100 | 2.0 ms |

    #### Receipt

    | | measured |
    |---|---|
    | traffic | green 0 % → 100 % |
    | release | 91be33d → 4f2a9c1 |
    | router's write | 2.0 ms |
    | proved | 41 ms after the write |
    | last answer of the old release | none after the write |
    | requests failed | 3 of 3,012 (0.1 %) |
    | p50 | 12 ms |
    | p95 | 32 ms |
    | p99 | 36 ms |
    | slowest | 38 ms |

    - ℹ️ the lock was 2 m old
    - ⚠️ slack: no answer

    <details><summary>Output of the script: 2 lines</summary>

    ```text
    pulling ##\[error]
    ::error::not ours
    ```

    </details>
    ");
}

#[test]
fn a_failure_leads_with_its_four_lines() {
    assert_snapshot!(plain(&rolled_back()), @r"
    ### ↩️ rolled back: the public URL kept answering with the old release

    rollout · production · storefront 4f2a9c1 · blue-green

    - **measured** X-Release: 91be33d on 3 of 5 new connections
    - **wanted** 4f2a9c1, 5 in a row, within 10 s
    - **traffic** 100 % on blue (91be33d), proved at 12:04:31Z
    - **next** set \`release.path\` to one that is not cached

    | step | what happened | time |
    |---|---|--:|
    | ❌ proved | 3 of 5 answers still say 91be33d | 10 s |
    | ✅ back | green 100 % -&gt; 0 %    proved on blue | 38 ms |
    ");
}

#[test]
fn a_run_that_was_killed_is_not_finished() {
    assert!(plain(&rolled_back()[..2]).starts_with("### ⏳ not finished\n"));
    assert!(plain(&[]).starts_with("### ⏳ not finished\n"));
}

#[test]
fn several_shifts_are_told_apart() {
    let shift = |before, after, felt| {
        Event::Measured(Receipt {
            weight_before: before,
            weight_after: after,
            ..receipt(felt)
        })
    };
    let told = plain(&[
        shift(0, 10, None),
        shift(0, 10, Some(felt())),
        shift(10, 100, Some(felt())),
    ]);
    assert!(
        told.contains("| traffic | green 10 % → 100 % |\n"),
        "{told}"
    );
    assert!(told.contains("| green 0 % → 10 % | 2.0 ms | 41 ms | 3 of 3,012 (0.1 %) | 32 ms |\n"));
    assert_eq!(
        told.matches("0 % → 10 %").count(),
        1,
        "the first telling is replaced"
    );
}

#[test]
fn only_the_last_lines_of_a_long_output_are_kept() {
    let events: Vec<_> = (1..=1234)
        .map(|i| Event::Line(format!("{i} ```` {}", "ü".repeat(10_000))))
        .collect();
    let told = plain(&events);
    assert!(told.contains("Output of the script: last 200 of 1,234 lines"));
    assert!(
        told.contains("\n`````text\n1035 "),
        "a fence that the output cannot close"
    );
    assert!(told.len() < 300_000, "{}", told.len());
}

#[test]
fn many_steps_are_cut_and_counted() {
    let events: Vec<_> = (0..107).map(|_| super::done("watch", "fine", 1)).collect();
    let told = plain(&events);
    assert_eq!(told.matches("| ✅ watch |").count(), 100);
    assert!(told.contains("\n… and 7 more\n"));
}

#[test]
fn a_secret_that_is_learned_late_is_taken_out_of_what_was_heard_before() {
    let vault = Vault::default();
    let journal = Journal::default();
    let summary = Shared::new(Summary::new(vault.clone()));
    journal.add(summary.clone());
    let say = journal.say();
    for event in all_saying("x|s3cr|et_y") {
        say(event);
    }
    vault.keep("s3cr|et_");
    let told = summary.with(Summary::markdown);
    assert!(!told.contains("s3cr"), "{told}");
    assert!(told.contains("\\*\\*\\*"), "{told}");
}

#[test]
fn a_secret_is_found_behind_colours_and_before_it_is_cut() {
    let vault = Vault::default();
    vault.keep("s3cr|et_");
    for text in [
        "s3\x1b[31mcr|et_".to_owned(),
        format!("{}s3cr|et_", "x".repeat(996)),
        format!("{}s3\x1b[0mcr|et_", "x".repeat(496)),
    ] {
        let told = markdown(&vault, &all_saying(&text));
        assert!(!told.contains("s3") && !told.contains("cr&#124;"), "{told}");
    }
}

/// The cells of a row as a renderer splits it; entities and escapes are looked at by the caller.
fn cells(row: &str) -> usize {
    row.matches('|').count() - 1
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn nobodys_text_forms_anything(text in any_text()) {
        let told = plain(&all_saying(&text));
        let (tables, output) = told.split_once("<details>").unwrap();

        // The same lines as with a harmless text: none is torn apart, none is added.
        let harmless = plain(&all_saying("x"));
        let (expected, _) = harmless.split_once("<details>").unwrap();
        prop_assert_eq!(tables.lines().count(), expected.lines().count());
        for (line, like) in tables.lines().zip(expected.lines()) {
            let begins = |line: &str| line.chars().next();
            if like.starts_with(['|', '#', '-']) {
                prop_assert_eq!(begins(line), begins(like));
            }
            if like.starts_with('|') {
                prop_assert_eq!(cells(line), cells(like), "{}", line);
            }
        }
        prop_assert!(!tables.contains(['<', '>']), "no tag: {}", tables);
        let mut escaped = false;
        for c in tables.chars() {
            prop_assert!(escaped || !matches!(c, '[' | ']' | '`'), "no link, no image, no code: {}", tables);
            escaped = c == '\\' && !escaped;
        }

        // What the fence holds cannot close it.
        let (_, fenced) = output.split_once("</summary>\n\n").unwrap();
        let fence = fenced.split_once("text\n").unwrap().0;
        let (body, end) = fenced[fence.len() + 5..].rsplit_once(&format!("{fence}\n")).unwrap();
        prop_assert!(!body.contains(fence));
        prop_assert_eq!(end, "\n</details>\n");
    }
}
