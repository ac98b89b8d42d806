//! How long the way back takes over SSH: over the connection that the rollout has opened, and by a
//! run that has to log in first. Figures of this machine; nothing is held to them.

use super::over_ssh::{cutover, shop};
use crate::world::shop::Way;
use crate::world::sshd::Sshd;

/// The time at the end of a row of the log.
fn row<'l>(log: &'l str, word: &str) -> &'l str {
    let row = log.lines().find(|line| line.trim_start().starts_with(word));
    row.and_then(|row| row.rsplit_once("  "))
        .map_or("none", |(_, time)| time)
}

#[test]
#[ignore = "a measurement"]
fn the_way_back_over_ssh() {
    for way in [Way::Map, Way::Flags] {
        let sshd = Sshd::start();
        let shop = shop(&sshd, way, true);
        shop.configure(
            "path: /release }",
            "path: /release }\n    health: { checks: [{ kind: command, host: web1, run: 'exit 1', retries: 0, fall: 1 }] }",
        );
        shop.configure("watch: 0s }", "watch: 10s }");
        let ran = cutover(&shop, &sshd, "rollout --version=v2");
        assert_eq!(ran.code, 20, "{}", ran.log);
        println!(
            "{way:?}: back over the warm connection {}",
            row(&ran.log, "back")
        );
        let ran = cutover(&shop, &sshd, "switch-traffic --to=green");
        assert_eq!(ran.code, 0, "{}", ran.log);
        println!("{way:?}: a switch {}", row(&ran.log, "switch"));
        let began = std::time::Instant::now();
        let ran = cutover(&shop, &sshd, "rollback");
        assert_eq!(ran.code, 0, "{}", ran.log);
        println!(
            "{way:?}: a rollback as a run of its own {:.2?}",
            began.elapsed()
        );
    }
}
