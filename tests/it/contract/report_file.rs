//! The page of a run as a file: written whatever the ending is, never outside of the workspace
//! unasked, and never the reason for an ending.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use super::program::{Program, REPORT, Ran};
use crate::world::app::{App, Reply};
use crate::world::children::ended_meanwhile;
use crate::world::patience::within;

fn page(program: &Program, path: &str) -> String {
    let page = fs::read_to_string(program.path(path)).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>"), "{page}");
    assert!(page.ends_with("</html>\n"), "{page}");
    page
}

fn named(ran: &Ran) -> &str {
    &ran.outputs["report-file"]
}

/// Somebody who answers well at `/` and badly at `/bad`.
async fn app() -> App {
    let app = App::start().await;
    app.route("/", Reply::with(200, "well"));
    app.route("/bad", Reply::with(500, "badly"));
    app
}

#[tokio::test]
async fn a_page_is_written_whatever_the_ending_is() {
    let app = app().await;
    let program = Program::in_a_workflow().with("INPUT_REPORT-FILE", "out/of/page.html");
    let bad = "--checks=[{ kind: http, path: /bad, retries: 0 }]";
    for (arguments, code) in [
        (&["smoke-test", "--url", app.url.as_str()][..], 0),
        (&["smoke-test", "--url", app.url.as_str(), bad], 10),
        (&["rollout"], 64),
    ] {
        let ran = program.run(arguments).await;
        assert_eq!(ran.code, code, "{ran:#?}");
        let word = ran.outputs["decision"].replace('-', " ");
        assert_eq!(named(&ran), "out/of/page.html");
        assert!(
            page(&program, "out/of/page.html").contains(&format!(" {word}</span>")),
            "{arguments:?}"
        );
    }
    let beside = fs::read_dir(program.path("out/of")).unwrap().count();
    assert_eq!(beside, 1);
}

#[tokio::test]
async fn a_cancelled_run_has_a_page_too() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let program = Program::in_a_workflow().with("INPUT_REPORT-FILE", REPORT);
    let running = program
        .command(&["smoke-test", "--url", &url])
        .spawn()
        .unwrap();
    let (mut asked, _) = within("it asks", silent.accept()).await.unwrap();
    asked.read_u8().await.unwrap();
    let pid = running.id().unwrap().to_string();
    let kill = tokio::process::Command::new("kill")
        .args(["-INT", &pid])
        .status();
    assert!(kill.await.unwrap().success());
    let ended = ended_meanwhile(running).await;
    assert_eq!(ended.status.code(), Some(130));
    assert!(page(&program, REPORT).contains("cancelled"));
}

#[tokio::test]
async fn a_path_that_leads_out_of_the_workspace_is_not_taken() {
    let app = app().await;
    let url = app.url.as_str();
    let program = Program::in_a_workflow();
    let ran = program
        .run(&["smoke-test", "--url", url, "--report-file", "../page.html"])
        .await;
    ran.ends(64, "failed", "bad-input");
    ran.says(&["report-file: must be a path in the workspace"]);

    let elsewhere = tempfile::tempdir().unwrap();
    symlink(elsewhere.path(), program.path("link")).unwrap();
    let ran = program
        .run(&[
            "smoke-test",
            "--url",
            url,
            "--report-file",
            "link/new/page.html",
        ])
        .await;
    ran.ends(0, "passed", "done");
    ran.says(&[
        "link/new/page.html was not written",
        "leads out of the workspace",
    ]);
    assert_eq!(named(&ran), "");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);

    // A link in the page's own place is replaced, not followed.
    let other = elsewhere.path().join("other");
    fs::write(&other, "theirs").unwrap();
    symlink(&other, program.path("page.html")).unwrap();
    let ran = program
        .run(&["smoke-test", "--url", url, "--report-file", "page.html"])
        .await;
    assert_eq!(named(&ran), "page.html");
    assert_eq!(fs::read_to_string(&other).unwrap(), "theirs");
    page(&program, "page.html");

    // Who names an absolute path means it.
    let asked = elsewhere.path().join("page.html");
    let asked = asked.to_str().unwrap();
    let ran = program
        .run(&["smoke-test", "--url", url, "--report-file", asked])
        .await;
    assert_eq!(named(&ran), asked);
    assert!(fs::read_to_string(asked).unwrap().contains("passed</span>"));
    let inside = program.path("inside.html");
    let ran = program
        .run(&[
            "smoke-test",
            "--url",
            url,
            "--report-file",
            inside.to_str().unwrap(),
        ])
        .await;
    assert_eq!(named(&ran), "inside.html");
}

#[tokio::test]
async fn a_page_that_cannot_be_written_changes_nothing() {
    let app = app().await;
    let url = app.url.as_str();
    let program = Program::in_a_workflow().file("page/of", "");
    let ran = program
        .run(&["smoke-test", "--url", url, "--report-file", "page"])
        .await;
    ran.ends(0, "passed", "done");
    ran.says(&["report-file: page was not written"]);
    assert_eq!(named(&ran), "");
}

#[tokio::test]
async fn the_post_step_leaves_the_page_as_it_is() {
    let program = Program::in_a_workflow()
        .with("INPUT_REPORT-FILE", REPORT)
        .file(REPORT, "what the run wrote");
    let ran = program.run(&["finish"]).await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_eq!(
        fs::read_to_string(program.path(REPORT)).unwrap(),
        "what the run wrote"
    );
}

#[tokio::test]
async fn a_recording_is_drawn() {
    let mut recording = String::new();
    for nth in 1..=60 {
        let errors = if nth > 20 { 9 } else { 1 };
        writeln!(
            recording,
            "{{\"at\": {}, \"canary\": {{\"requests\": 100, \"errors\": {errors}, \"slow\": 5}}, \
             \"stable\": {{\"requests\": 900, \"errors\": 9, \"slow\": 45}}}}",
            nth * 10
        )
        .unwrap();
    }
    let program = Program::in_a_workflow().file("canary.jsonl", &recording);
    let ran = program
        .run(&["replay", "canary.jsonl", "--report-file", REPORT])
        .await;
    assert_eq!(ran.code, 10, "{ran:#?}");
    assert_eq!(
        ran.summary.matches("```mermaid").count(),
        3,
        "{}",
        ran.summary
    );
    let page = page(&program, REPORT);
    assert_eq!(page.matches("<figure>").count(), 3);
    assert!(page.contains("❌ rollback"), "{page}");
}
