//! How a project of Docker Compose ends that does not get well, or whose run is cancelled at the last
//! moment: what is quoted, and what is known afterwards.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use cutover::targets::TargetError;
use serde_json::json;

use super::compose::Yard;
use super::targets::order;
use crate::world::patience::until_blocking;

/// Two that say more than is kept, and one of them ends.
const TALKATIVE: &str = r#"
x-talk: &talk
  image: shop:${VERSION}
  environment: { THEN: "exit 4" }
  entrypoint: ["sh", "-c", "i=0; while [ $$i -lt 30 ]; do i=$$((i+1)); echo line $$i; done; $$THEN"]
services:
  web: *talk
  worker: { <<: *talk, environment: { THEN: "sleep 1000" } }
"#;

#[test]
fn how_its_containers_are_is_quoted_however_much_they_say() {
    let yard = Yard::open();
    fs::write(yard.folder.path().join("compose.yml"), TALKATIVE).unwrap();
    let target = yard.target(json!({}), json!({ "steady": "2s" }));
    let TargetError::Failed { last_words, .. } = yard.bad(&*target, "v1") else {
        panic!("it ended otherwise");
    };
    for (of, wanted) in [("shop-blue-web-1 ", "Exited (4)"), ("web", "line 30")] {
        let seen = |line: &String| line.contains(of) && line.contains(wanted);
        assert!(last_words.iter().any(seen), "{of}: {last_words:?}");
    }
    let escaped = |line: &String| line.contains('\u{1b}');
    assert!(!last_words.iter().any(escaped), "{last_words:?}");
    let last = last_words.last().unwrap();
    assert!(last.starts_with("shop-blue-worker-1 Up "), "{last_words:?}");
}

#[test]
fn a_cancelled_one_that_is_up_is_what_is_put_back_from_then_on() {
    let yard = Yard::open();
    yard.good(&*yard.target(json!({}), json!({})), "v1");
    // A move of files that takes its time.
    let folder = yard.folder.path();
    let (tools, moving, go) = (folder.join("bin"), folder.join("moving"), folder.join("go"));
    fs::create_dir(&tools).unwrap();
    let mv = format!(
        "#!/bin/sh\ncase \"$*\" in *.next*) : > {}; until test -e {}; do sleep 0.01; done; sleep 0.5;; esac\nexec /bin/mv \"$@\"\n",
        moving.display(),
        go.display()
    );
    fs::write(tools.join("mv"), mv).unwrap();
    fs::set_permissions(tools.join("mv"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", tools.display());
    let v2 = yard.target(json!({ "PATH": path }), json!({}));
    let (ended, lines) = yard.world.cancelled_by(&*v2, &order("v2"), |cancelled| {
        until_blocking("it is written down", || moving.exists());
        cancelled.cancel();
        fs::write(&go, "").unwrap();
    });
    assert!(ended.is_ok(), "{ended:?} {lines:?}");
    assert!(
        !lines.iter().any(|line| line.contains("not written down")),
        "{lines:?}"
    );
    assert_eq!(yard.left(), ["shop-blue.yml"]);
    let kept = fs::read_to_string(folder.join("state/cutover/shop-blue.yml")).unwrap();
    assert!(kept.contains("shop:v2"), "{kept}");
}
