//! The blocks of targets and probes as a person writes them: through YAML, the schema and the
//! table, as in a real run.

use std::path::PathBuf;

use cutover::config::docker_host::Engine;
use cutover::config::file::{Config, read};
use cutover::config::kinds::build;
use cutover::config::schema::{Seam, assemble};
use cutover::platform::http::Http;
use cutover::platform::secret::Vault;
use cutover::{probes, targets};

fn config(target: &str, checks: &str) -> Result<(Config, Vault), Vec<String>> {
    let text = format!(
        "version: 1
app: shop
environments:
  production:
    url: https://shop.example.com
    slots:
      blue: {{ url: https://blue.example.com }}
      green: {{ url: https://green.example.com }}
    release: {{ kind: header, name: X-Release }}
    target: {target}
    smoke:
{checks}
"
    );
    let seam = |name, kinds| Seam {
        name,
        kinds,
        shared: None,
    };
    let schema = assemble(&[
        seam(
            "target",
            targets::KINDS.iter().map(|kind| kind.outline()).collect(),
        ),
        seam(
            "check",
            probes::KINDS.iter().map(|kind| kind.outline()).collect(),
        ),
    ]);
    let environment = |name: &str| (name == "TOKEN").then(|| "s3cr3t-token".to_owned());
    let vault = Vault::default();
    match read(&text, &schema, &environment, &vault) {
        Ok(config) => Ok((config, vault)),
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
    }
}

const CHECKS: &str = r#"
      - { kind: http, path: /health, expect: { status: 200, json: { .status: healthy, .n: 1.5, .ok: true, .none: ~, .text: "1" } } }
      - { kind: http, url: https://x.dev/, method: POST, headers: { Authorization: "Bearer ${TOKEN}", X-N: 5 }, body: x, timeout: 2s,
          redirects: true, verify-tls: false, expect: { status: [200, 204], text: ready, header: { X-Slot: 1 }, under: 500ms } }
      - { kind: tcp, address: "db.internal:5432", timeout: 1s }
      - { kind: command, run: 'curl "$URL"', timeout: 1m, env: { A: 1, B: "${TOKEN}" } }
      - { kind: file, path: /run/ready, contains: yes, newer-than: 5m }"#;

const TARGETS: [&str; 8] = [
    "{ kind: command, run: ./deploy.sh }",
    "{ kind: command, run: 'x \"$SLOT\"', timeout: 1h, directory: ops, env: { REGION: eu } }",
    "{ kind: directory, from: dist, to: /srv/shop }",
    "{ kind: directory, from: dist, to: /srv/shop, keep: 5 }",
    "{ kind: docker, image: registry.example.com/shop }",
    "{ kind: docker, image: 'r.example.com:5000/shop:$VERSION', registry: { user: robot, password: '${TOKEN}' }, ports: { blue: '127.0.0.1:8001:8080', green: ['127.0.0.1:8002:8080'] }, env: { KEY: '${TOKEN}' }, mounts: ['data:/data'], networks: [front], health: { command: [wget, localhost], retries: 2 }, limits: { memory: 512MB, cpus: 1.5, pids: 200 }, restart: always, keep: 2, engine: 'tcp://docker.internal:2376', tls: { certificate: c.pem, key: '${TOKEN}' } }",
    "{ kind: http, url: 'https://x.dev/{{slot}}/deploy' }",
    "{ kind: http, url: 'https://{{slot}}.x.dev/', method: PUT, headers: { X-Token: '${TOKEN}' }, body: '{\"v\": \"{{version}}\"}', timeout: 1m, expect-status: 202 }",
];

#[test]
fn what_is_written_by_the_book_is_built() {
    for target in TARGETS {
        let (config, vault) = config(target, CHECKS).unwrap();
        let production = &config.file.environments["production"];
        let tools = targets::Tools {
            hosts: cutover::platform::host::Hosts::default(),
            http: Http::default(),
            directory: PathBuf::from("/"),
            vault: vault.clone(),
            engine: Engine::default(),
        };
        let block = &production.target.as_ref().unwrap().0;
        let told = build(targets::KINDS, block, &tools).unwrap().told();
        assert!(!told.contains("s3cr3t"), "{told}");
        let tools = probes::Tools {
            hosts: cutover::platform::host::Hosts::default(),
            http: Http::default(),
            directory: PathBuf::from("/"),
            vault,
        };
        let told: Vec<_> = production
            .smoke
            .iter()
            .map(|block| build(probes::KINDS, &block.0, &tools).unwrap().told())
            .collect();
        assert_eq!(
            told,
            [
                "GET /health",
                "POST https://x.dev/",
                "TCP db.internal:5432",
                "curl \"$URL\"",
                "file /run/ready",
            ]
        );
    }
}

#[test]
fn what_is_not_is_refused_with_its_line() {
    let good = TARGETS[0];
    for (target, check, said) in [
        (
            good,
            "{ kind: http, path: /, expect: { status: ok } }",
            "expect.status: \"ok\" is not a whole number or a list",
        ),
        (
            good,
            "{ kind: http, path: /, expect: { status: [200, 700] } }",
            "expect.status[1]: 700 is out of range",
        ),
        (
            good,
            "{ kind: http, path: /, expect: { json: { .a: [1] } } }",
            "expect.json..a: this must be a text or a number or true or false",
        ),
        (
            good,
            "{ kind: http, path: /, expect: { sttaus: 200 } }",
            "did you mean \"status\"?",
        ),
        (
            good,
            "{ kind: http, path: /, method: psot }",
            "did you mean \"POST\"?",
        ),
        (
            good,
            "{ kind: http, path: /, timeout: 5 }",
            "is not a duration",
        ),
        (
            good,
            "{ kind: http, path: /, headers: { X: [] } }",
            "headers.X: this must be a text",
        ),
        (good, "{ kind: tcp }", "`address` is missing"),
        (
            good,
            "{ kind: file, path: x, newer-than: soon }",
            "is not a duration",
        ),
        (
            "{ kind: command, run: '' }",
            "{ kind: file, path: x }",
            "target.run: this is empty",
        ),
        (
            "{ kind: directory, from: a, to: b, keep: 0 }",
            "{ kind: file, path: x }",
            "0 is too small",
        ),
        (
            "{ kind: docker, image: '' }",
            "{ kind: file, path: x }",
            "target.image: this is empty",
        ),
        (
            "{ kind: docker, image: x, limits: { memroy: 1GB } }",
            "{ kind: file, path: x }",
            "did you mean \"memory\"?",
        ),
        (
            "{ kind: http, url: x }",
            "{ kind: file, path: x }",
            "this is not a URL",
        ),
        (
            "{ kind: comand, run: x }",
            "{ kind: file, path: x }",
            "did you mean \"command\"?",
        ),
    ] {
        let problems = config(target, &format!("      - {check}"))
            .map(drop)
            .unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with("line 1"), "{problems:?}");
        assert!(problems[0].contains(said), "{problems:?}");
    }
}
