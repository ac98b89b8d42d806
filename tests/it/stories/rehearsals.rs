//! A rehearsal of a canary: the good release climbs the ladder, and the bad one is seen by the judge, who
//! looks at each slot, and not only by whoever asks the public URL.

use std::process::{Command, Stdio};

use crate::world::shop::{Ran, program};

const CONFIG: &str = "\
version: 1
app: storefront
environments:
  production:
    url: https://shop.example.com
    slots:
      blue: { url: 'https://blue.shop.example.com' }
      green: { url: 'https://green.shop.example.com' }
    release: { kind: header, name: X-Release }
    target: { kind: command, run: ./deploy.sh }
    router: { kind: nginx, flags: /etc/nginx/live }
    metrics: [{ kind: prometheus, url: 'http://10.0.0.9:9090', by-slot: { requests: 'a{slot=\"{{slot}}\"}', errors: 'b{slot=\"{{slot}}\"}' } }]
    strategy: { kind: canary, steps: [10%, { weight: 50%, manual: true }, 100%], watch: 2s, max-error-rate: 50%, source: prometheus }
    proof: { answers: 3, within: 20s }
";

fn rehearse(arguments: &[&str]) -> Ran {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("cutover.yml"), CONFIG).unwrap();
    let mut command = Command::new(program());
    command
        .arg("rehearse")
        .args(arguments)
        .env_clear()
        .env("INPUT_CONFIG", "cutover.yml")
        .current_dir(home.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    Ran::of(command.spawn().unwrap())
}

#[test]
fn a_canary_is_rehearsed_in_two_acts() {
    let ran = rehearse(&[]);
    assert_eq!(ran.code, 0, "{}", ran.log);
    for said in [
        "the wait for a person before 50 %",
        "green 50 % -> 100 %",
        "blue 0 % -> 10 %",
        "the good release was promoted, the bad one was taken back",
    ] {
        assert!(ran.log.contains(said), "{said}: {}", ran.log);
    }
    // Ten percent of traffic with a few errors are not what users feel at once.
    assert!(
        ran.log
            .contains("the canary is worse than the stable release"),
        "{}",
        ran.log
    );
    assert!(!ran.log.contains("users felt"), "{}", ran.log);
}

#[test]
fn a_slow_canary_is_seen_by_the_judge() {
    let ran = rehearse(&["--fault", "slow=100ms"]);
    assert_eq!(ran.code, 20, "{}", ran.log);
    assert!(ran.log.contains("p95 ratio"), "{}", ran.log);
    assert!(ran.log.contains("green 10 % -> 0 %"), "{}", ran.log);
}
