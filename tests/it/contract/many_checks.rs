//! Many checks on a small machine: our own load must not make a service look down.

use super::program::{Program, Ran};
use crate::world::app::{App, Reply};

const CHECKS: usize = 600;

async fn run(files: u32, checks: usize) -> Ran {
    let app = App::start().await;
    app.route("/health", Reply::with(200, "fine"));
    let checks: String = (0..checks)
        .map(|n| format!("        - {{ kind: http, path: \"/health?{n}\", interval: 10ms }}\n"))
        .collect();
    let config = format!(
        "version: 1\napp: shop\nenvironments:\n  production:\n    url: {}\n    slots:\n      \
         blue: {{ url: \"http://127.0.0.1:1\" }}\n      green: {{ url: \"http://127.0.0.1:2\" }}\n    \
         release: {{ kind: header, name: X-Release }}\n    health:\n      checks:\n{checks}",
        app.url
    );
    let program = Program::in_a_workflow().config(&config);
    program.run_with_files(files, &["health-check"]).await
}

#[tokio::test]
async fn more_checks_than_files_pass_all_the_same() {
    let ran = run(64, CHECKS).await;
    ran.ends(0, "passed", "done");
    ran.says(&["600 checks passed"]);
    assert_eq!(ran.outputs["healthy"], "true");
}

#[tokio::test]
async fn a_machine_without_files_says_so_and_calls_nobody_down() {
    // Some are had by whoever only runs; what is left is too little for a connection.
    let fewest = 8..40;
    let mut seen = None;
    for files in fewest {
        let ran = run(files, 40).await;
        if ran.code == 10 {
            seen = Some(ran);
        } else if ran.code == 0 {
            break;
        }
    }
    let ran = seen.unwrap();
    ran.ends(10, "failed", "no-data");
    ran.says(&[
        "could not be made",
        "this process may open no more files (see `ulimit -n`)",
    ]);
    assert_ne!(
        ran.outputs.get("healthy").map(String::as_str),
        Some("false")
    );
}
