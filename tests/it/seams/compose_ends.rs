//! How a project of Docker Compose ends that does not get well, or whose run is cancelled at the last
//! moment: what is quoted, and what is known afterwards.

use std::fs;

use cutover::targets::TargetError;
use serde_json::json;

use super::compose::Yard;

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
