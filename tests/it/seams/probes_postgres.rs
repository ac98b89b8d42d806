//! Looks at a real PostgreSQL: each way in, each way to be turned away, and what a person reads
//! of it.

use std::time::Instant;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::looks::{at as look_at, begins, ends, told, well};
use crate::world::authority::Authority;
use crate::world::patience::{PATIENCE, until, until_blocking};
use crate::world::postgres::Cluster;

const HBA: &str = "local all all trust\n\
    host all trusty 127.0.0.1/32 trust\n\
    host all plain 127.0.0.1/32 password\n\
    host all md 127.0.0.1/32 md5\n\
    host all scram 127.0.0.1/32 scram-sha-256\n\
    hostssl all secure 127.0.0.1/32 scram-sha-256\n";

const ROLES: &str = "SET password_encryption = 'md5'; \
    CREATE ROLE md LOGIN PASSWORD 's3cret-word'; \
    SET password_encryption = 'scram-sha-256'; \
    CREATE ROLE trusty LOGIN; CREATE ROLE sleepy NOLOGIN; \
    CREATE ROLE plain LOGIN PASSWORD 's3cret-word'; \
    CREATE ROLE scram LOGIN PASSWORD 's3cret-word'; \
    CREATE ROLE secure LOGIN PASSWORD 's3cret-word'";

fn cluster() -> Cluster {
    let mut cluster = Cluster::new();
    cluster.write("pg_hba.conf", HBA);
    cluster.start(&["max_connections=6", "superuser_reserved_connections=3"]);
    cluster.wait_until_it_answers();
    cluster.sql(ROLES);
    cluster
}

fn usual(cluster: &Cluster) -> Value {
    json!({ "kind": "postgres", "address": cluster.address(), "database": "postgres",
        "timeout": "10s" })
}

#[tokio::test]
async fn postgres_lets_in_or_says_why_not() {
    let cluster = cluster();
    let at = usual(&cluster);
    let word = "s3cret-word";
    let said = well(&at, json!({ "user": "trusty" })).await;
    begins(&said, "`SELECT 1` gave 1 in ");
    for user in ["plain", "md", "scram"] {
        well(&at, json!({ "user": user, "password": word })).await;
        let said = told(&at, json!({ "user": user, "password": "wr0ng-word" })).await;
        let why = format!("the password of {user} is wrong, or there is no such role: ");
        begins(&said, &why);
        assert!(
            said.contains("(28P01)") && !said.contains("wr0ng"),
            "{said}"
        );
        ends(
            &said,
            &format!("wanted a session of {user} in postgres within 10 s"),
        );
        let said = told(&at, json!({ "user": user })).await;
        begins(
            &said,
            "the server wants a password, and none is given, wanted a `password`",
        );
    }
    let said = told(&at, json!({ "user": "nobody" })).await;
    begins(&said, "nobody is not let in: no pg_hba.conf entry for host");
    ends(
        &said,
        "wanted an entry in pg_hba.conf for a connection without TLS, or TLS",
    );
    let said = told(&at, json!({ "user": "trusty", "database": "gone" })).await;
    begins(&said, "there is no database gone: ");
    let said = told(&at, json!({ "user": "trusty", "tls": "require" })).await;
    begins(&said, "the server does not offer TLS, wanted TLS");
    let said = told(&at, json!({ "user": "secure", "password": word })).await;
    begins(&said, "secure is not let in: no pg_hba.conf entry");
}

#[tokio::test]
async fn postgres_answers_the_query_that_is_asked() {
    let cluster = cluster();
    let at = usual(&cluster);
    let asked = async |query: &str, expect: Value| {
        let more = json!({ "user": "trusty", "query": query, "expect": expect });
        match look_at(&at, more).await {
            Ok(pulse) => pulse.said,
            Err(ailment) => ailment.to_string(),
        }
    };
    for (query, expect) in [
        ("SELECT count(*) FROM pg_database", json!(3)),
        ("SELECT true", json!(true)),
        ("SELECT 'up', 1", json!("up")),
        ("SELECT null", Value::Null),
    ] {
        begins(&asked(query, expect).await, &format!("`{query}` gave "));
    }
    let said = asked("SELECT 2", json!(1)).await;
    assert_eq!(said, "`SELECT 2` gave 2, wanted 1");
    let said = asked("SELECT 1 WHERE false", json!(1)).await;
    assert_eq!(said, "`SELECT 1 WHERE false` gave no row, wanted 1");
    let said = asked("SELECT * FROM gone", json!(1)).await;
    begins(
        &said,
        "it refused: relation \"gone\" does not exist (42P01)",
    );
    let said = asked("SELECT * FROM pg_authid", json!(1)).await;
    begins(&said, "trusty may not do that: permission denied");

    let slow = json!({ "user": "trusty", "query": "SELECT pg_sleep(600)", "timeout": "300ms" });
    let ailment = look_at(&at, slow).await.unwrap_err();
    assert!(ailment.silent, "{ailment:?}");
    begins(
        &ailment.measured,
        "query: no answer, it was cancelled after ",
    );
    assert_eq!(ailment.wanted, "`SELECT pg_sleep(600)` within 300 ms");
    let still = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%(600)%' AND state = 'active' AND pid <> pg_backend_pid()";
    until_blocking("the query is over", || cluster.sql(still) == "0");

    let writes = json!({ "user": "trusty", "writable": true });
    well(&at, writes.clone()).await;
    cluster.sql("ALTER ROLE trusty SET default_transaction_read_only = on");
    let said = told(&at, writes).await;
    assert_eq!(
        said,
        "its transactions are read-only, wanted a server that takes writes"
    );
    let said = asked("CREATE TABLE t (n int)", json!(1)).await;
    begins(&said, "it takes no writes: ");
}

#[tokio::test]
async fn postgres_over_tls_is_whom_the_config_trusts() {
    let authority = Authority::new();
    let mut cluster = cluster();
    let word = "s3cret-word";
    let mut at = usual(&cluster);
    at["user"] = json!("secure");
    at["password"] = json!(word);
    let show = |name: &str, until: i64, names: &str| {
        authority.issue(name, -10, until, names);
        let read = |kind| std::fs::read(authority.path(&format!("{name}.{kind}"))).unwrap();
        cluster.write("server.key", read("key"));
        cluster.write("server.crt", read("pem"));
        cluster.sql("ALTER SYSTEM SET ssl = on");
        cluster.sql("SELECT pg_reload_conf()");
    };
    show("good", 90, "DNS:localhost,IP:127.0.0.1");
    let began = Instant::now();
    while look_at(&at, json!({ "tls": "require" })).await.is_err() {
        assert!(began.elapsed() < PATIENCE, "TLS is not on");
    }
    let ca = json!({ "ca": authority.ca() });
    for more in [json!({}), json!({ "tls": "require" }), ca.clone()] {
        well(&at, more).await;
    }
    let said = told(&at, json!({ "tls": "verify" })).await;
    begins(
        &said,
        "TLS: the certificate is not trusted: nobody known vouches for it",
    );
    let said = told(&at, json!({ "tls": "off" })).await;
    begins(&said, "secure is not let in: no pg_hba.conf entry");

    show("other", 90, "DNS:db.example.com");
    let said = until(&at, &ca, "another name").await;
    begins(&said, "TLS: the certificate is not for 127.0.0.1 but for ");
    show("old", -3, "IP:127.0.0.1");
    let said = until(&at, &ca, "expired").await;
    begins(&said, "TLS: the certificate is expired after ");
    cluster.wait_until_it_answers();

    async fn until(at: &Value, ca: &Value, what: &str) -> String {
        let began = Instant::now();
        loop {
            let looked = look_at(at, ca.clone()).await;
            let said = looked.map_or_else(|ailment| ailment.to_string(), |pulse| pulse.said);
            // A reload takes its time; the certificate before is still shown until then.
            if said.contains("expired") == (what == "expired") && said.contains("certificate") {
                return said;
            }
            assert!(began.elapsed() < PATIENCE, "{what}: {said}");
        }
    }
}

#[tokio::test]
async fn postgres_is_full_is_starting_or_takes_no_writes() {
    let mut first = cluster();
    let at = usual(&first);
    let ready = json!({ "kind": "postgres", "address": first.address(), "timeout": "10s" });
    let said = well(&ready, json!({})).await;
    begins(
        &said,
        "accepts connections, though not this one (no pg_hba.conf entry for host ",
    );
    let slow = json!({ "user": "trusty", "query": "SELECT pg_sleep(600)" });
    // Each place that comes free is taken again.
    let hold = async || loop {
        let _ = look_at(&at, slow.clone()).await;
    };
    let held = async { tokio::join!(hold(), hold(), hold()) };
    let full = async {
        let many = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'trusty'";
        until("it is full", || first.sql(many) == "3").await;
        told(&at, json!({ "user": "trusty" })).await
    };
    let said = tokio::select! {
        said = full => said,
        _ = held => unreachable!(),
    };
    begins(&said, "it has no connection left to give: ");
    assert!(said.contains("(53300)"), "{said}");

    first.stop();
    let said = told(&ready, json!({})).await;
    begins(&said, "TCP: Connection refused");
    ends(&said, "wanted it to accept connections within 10 s");

    // A standby that is given no log, and one that waits for it for ever.
    let mut standby = first.copy();
    standby.write("standby.signal", "");
    standby.start(&["restore_command=false", "hot_standby=on"]);
    standby.wait_until_it_answers();
    let at = usual(&standby);
    well(&at, json!({ "user": "trusty" })).await;
    let said = told(&at, json!({ "user": "trusty", "writable": true })).await;
    assert_eq!(
        said,
        "it is a standby and takes no writes, wanted a server that takes writes"
    );

    let mut starting = first.copy();
    starting.write("standby.signal", "");
    starting.start(&["restore_command=sleep 600"]);
    starting.wait("it listens", |it| {
        std::net::TcpStream::connect(it.address()).is_ok()
    });
    let at = usual(&starting);
    let said = told(&at, json!({ "user": "trusty" })).await;
    begins(
        &said,
        "it rejects connections: the database system is starting up (57P03)",
    );
    let ready = json!({ "kind": "postgres", "address": starting.address() });
    let said = told(&ready, json!({})).await;
    begins(
        &said,
        "it rejects connections: the database system is starting up (57P03)",
    );
}

#[tokio::test]
async fn what_is_neither_is_told_apart() {
    // It answers anybody with what is no answer to them.
    let stranger = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = stranger.local_addr().unwrap().to_string();
    let answers = async move {
        loop {
            let (mut stream, _) = stranger.accept().await.unwrap();
            let mut asked = [0; 512];
            let _ = stream.read(&mut asked).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    };
    let asks = async {
        for (block, said) in [
            (
                json!({ "kind": "postgres", "address": address }),
                "what answers there is not PostgreSQL",
            ),
            (
                json!({ "kind": "postgres", "address": address, "user": "x", "tls": "off" }),
                "what answers there is not PostgreSQL",
            ),
            (
                json!({ "kind": "postgres", "address": address, "user": "x", "tls": "require" }),
                "the server does not offer TLS",
            ),
            (
                json!({ "kind": "redis", "address": address }),
                "what answers there is not Redis",
            ),
            (
                json!({ "kind": "redis", "address": "no-such-host.invalid:1" }),
                "DNS: ",
            ),
            (
                json!({ "kind": "postgres", "address": "no-such-host.invalid:1", "user": "x" }),
                "DNS: ",
            ),
            (
                json!({ "kind": "postgres", "address": "127.0.0.1:1", "user": "x" }),
                "TCP: Connection refused",
            ),
        ] {
            begins(&told(&block, json!({ "timeout": "2s" })).await, said);
        }
    };
    tokio::select! {
        () = asks => {}
        () = answers => unreachable!(),
    }
}
