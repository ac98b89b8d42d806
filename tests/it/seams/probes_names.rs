//! Looks at the DNS and at certificates: a real dnsmasq, real TLS servers, and a CA of our own.

use serde_json::{Value, json};
use tokio::net::UdpSocket;

use super::looks::{begins, look, made, tools};
use crate::world::app::App;
use crate::world::authority::Authority;
use crate::world::dns::Dns;

/// What a look says, well or ill.
async fn said(block: Value) -> String {
    match look(block, &App::start().await).await {
        Ok(pulse) => {
            let (said, _) = pulse.said.rsplit_once(" in ").unwrap();
            said.to_owned()
        }
        Err(ailment) => ailment.to_string(),
    }
}

fn long() -> Vec<String> {
    (0..40)
        .map(|n| format!("--txt-record=long.test,{n:02}-{}", "x".repeat(80)))
        .collect()
}

#[tokio::test]
async fn the_dns_has_the_records_or_says_what_it_has() {
    let long = long();
    let mut options = vec![
        "--address=/shop.test/203.0.113.7",
        "--host-record=both.test,203.0.113.8,2001:db8::8",
        "--host-record=both.test,203.0.113.9",
        "--cname=www.test,both.test",
        "--txt-record=shop.test,v=spf1 -all",
        "--mx-host=shop.test,mail.shop.test,10",
        "--local=/test/",
        // An NS record, in its bytes: ns.zone.test.
        "--dns-rr=zone.test,2,026e73047a6f6e65047465737400",
    ];
    options.extend(long.iter().map(String::as_str));
    let dns = Dns::start(&options);
    let ask = async |more: Value| {
        let mut block = json!({ "kind": "dns", "server": dns.server, "timeout": "4s" });
        for (key, value) in more.as_object().unwrap() {
            block[key] = value.clone();
        }
        said(block).await
    };
    let by = format!("says {}", dns.server);
    for (more, wanted) in [
        (json!({ "name": "shop.test" }), "203.0.113.7"),
        (
            json!({ "name": "shop.test.", "expect": ["203.0.113.7"], "only": true }),
            "203.0.113.7",
        ),
        (
            json!({ "name": "both.test", "expect": ["203.0.113.9"] }),
            "203.0.113.8, 203.0.113.9",
        ),
        (json!({ "name": "www.test" }), "203.0.113.8, 203.0.113.9"),
        (
            json!({ "name": "both.test", "record": "AAAA", "expect": ["2001:0DB8::0008"] }),
            "2001:db8::8",
        ),
        (
            json!({ "name": "www.test", "record": "CNAME", "expect": ["BOTH.test."] }),
            "both.test",
        ),
        (
            json!({ "name": "zone.test", "record": "NS", "expect": ["ns.zone.test."] }),
            "ns.zone.test",
        ),
        (
            json!({ "name": "shop.test", "record": "TXT", "expect": ["v=spf1 -all"] }),
            "v=spf1 -all",
        ),
        (
            json!({ "name": "shop.test", "record": "MX", "expect": ["10 mail.shop.test"] }),
            "10 mail.shop.test",
        ),
    ] {
        assert_eq!(ask(more).await, wanted);
    }
    let all = ask(json!({ "name": "long.test", "record": "TXT" })).await;
    assert!(all.starts_with("00-xxx") && all.contains("01-xxx"), "{all}");

    let none = ask(json!({ "name": "gone.test" })).await;
    assert_eq!(
        none,
        format!("there is no name gone.test (NXDOMAIN), {by}, wanted any A record within 4 s")
    );
    let none = ask(json!({ "name": "long.test", "record": "MX" })).await;
    assert_eq!(
        none,
        format!("long.test has no MX record, {by}, wanted any MX record within 4 s")
    );
    let other = ask(json!({ "name": "shop.test", "expect": ["203.0.113.99"] })).await;
    assert_eq!(
        other,
        format!("203.0.113.7, {by}, wanted 203.0.113.99 among the A records within 4 s")
    );
    let more = ask(json!({ "name": "both.test", "expect": ["203.0.113.8"], "only": true })).await;
    assert_eq!(
        more,
        format!(
            "203.0.113.8, 203.0.113.9, {by}, wanted 203.0.113.8 and no other A record within 4 s"
        )
    );
    let refused = ask(json!({ "name": "elsewhere.example" })).await;
    assert_eq!(
        refused,
        format!(
            "{} refuses to answer (REFUSED), wanted any A record within 4 s",
            dns.server
        )
    );
}

#[tokio::test]
async fn a_dns_server_that_fails_or_is_not_there() {
    let deaf = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = deaf.local_addr().unwrap().to_string();
    let block = json!({ "kind": "dns", "name": "x.test", "server": server, "timeout": "300ms" });
    let told = said(block).await;
    assert!(told.starts_with("DNS: no answer after 3"), "{told}");
    drop(deaf);
    let block = json!({ "kind": "dns", "name": "x.test", "server": server });
    let told = said(block).await;
    assert!(
        told.starts_with(&format!("{server}: Connection refused")),
        "{told}"
    );

    // One that always fails, as a resolver does whose zone is broken.
    let failing = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = failing.local_addr().unwrap().to_string();
    let answers = async {
        let mut question = [0; 512];
        let (length, from) = failing.recv_from(&mut question).await.unwrap();
        let mut answer = question[..length].to_vec();
        (answer[2], answer[3]) = (0x81, 0x82);
        failing.send_to(&answer, from).await.unwrap();
        std::future::pending::<()>().await;
    };
    let block = json!({ "kind": "dns", "name": "x.test", "server": server });
    let told = tokio::select! {
        told = said(block) => told,
        () = answers => unreachable!(),
    };
    assert!(
        told.starts_with(&format!("{server} could not find out (SERVFAIL)")),
        "{told}"
    );
}

#[tokio::test]
async fn a_certificate_has_days_left_and_is_trusted_or_is_told_why_not() {
    let authority = Authority::new();
    let names = "DNS:localhost,DNS:shop.test,IP:127.0.0.1";
    authority.issue("long", -1, 60, names);
    authority.issue("short", -80, 9, names);
    authority.issue("expired", -90, -3, names);
    authority.issue("early", 2, 60, names);
    authority.issue("other", -1, 60, "DNS:other.test");
    let ca = authority.ca();
    let look = async |name: &str, more: Value| {
        let server = authority.serve(name, "").await;
        let mut block = json!({ "kind": "tls-expiry", "address": server.address, "ca": ca });
        for (key, value) in more.as_object().unwrap() {
            block[key] = value.clone();
        }
        block
            .as_object_mut()
            .unwrap()
            .retain(|_, value| !value.is_null());
        said(block).await
    };
    let well = look("long", json!({})).await;
    begins(&well, "60 days left (");
    let rest = "), issued by CN=tests-ca, for localhost, shop.test, 127.0.0.1,";
    assert!(well.ends_with(rest), "{well}");
    let well = look(
        "long",
        json!({ "server-name": "shop.test", "days-left": 60 }),
    )
    .await;
    begins(&well, "60 days left");
    let ill = look("long", json!({ "days-left": 61 })).await;
    assert!(ill.ends_with(", wanted at least 61 days left"), "{ill}");
    begins(&look("short", json!({})).await, "9 days left (");
    begins(&look("expired", json!({})).await, "expired 2 days ago (");
    begins(
        &look("expired", json!({ "verify-tls": false, "ca": null })).await,
        "expired 2 days ago (",
    );
    begins(&look("early", json!({})).await, "not valid before ");

    let ill = look("other", json!({})).await;
    begins(&ill, "the certificate is not for 127.0.0.1 but for ");
    assert!(ill.contains("; 60 days left"), "{ill}");
    let ill = look("long", json!({ "ca": null })).await;
    begins(
        &ill,
        "the certificate is not trusted: nobody known vouches for it; 60 days left (",
    );
    assert!(
        ill.ends_with(", wanted a certificate that is trusted for 127.0.0.1"),
        "{ill}"
    );
    let well = look("long", json!({ "ca": null, "verify-tls": false })).await;
    begins(&well, "60 days left (");

    // One that wants a certificate of us has shown its own.
    let server = authority.serve("long", "-Verify 1").await;
    let block = json!({ "kind": "tls-expiry", "address": server.address, "ca": ca });
    begins(&said(block).await, "60 days left (");

    let app = App::start().await;
    let plain = app
        .url
        .as_str()
        .trim_start_matches("http://")
        .trim_end_matches('/');
    let told = said(json!({ "kind": "tls-expiry", "address": plain, "ca": ca })).await;
    begins(&told, "TLS: ");
    let told = said(json!({ "kind": "tls-expiry", "address": "127.0.0.1:1", "ca": ca })).await;
    begins(&told, "TCP: Connection refused");
}

#[test]
fn blocks_that_do_not_fit_together_are_refused() {
    for (block, said) in [
        (
            json!({ "kind": "postgres", "address": "db" }),
            "address: \"db\" is not an address; write it as host:port",
        ),
        (
            json!({ "kind": "postgres", "address": "db:1", "password": "x" }),
            "password: `user` is missing",
        ),
        (
            json!({ "kind": "postgres", "address": "db:1", "query": "x" }),
            "query: `user` is missing",
        ),
        (
            json!({ "kind": "postgres", "address": "db:1", "user": "x", "ca": "x", "tls": "prefer" }),
            "ca: it is only looked at",
        ),
        (
            json!({ "kind": "postgres", "address": "db:1", "user": " " }),
            "user: there is nothing in it",
        ),
        (
            json!({ "kind": "redis", "address": "h:1", "user": "x" }),
            "user: `password` is missing",
        ),
        (
            json!({ "kind": "redis", "address": "h:1", "role": "master", "max-lag": "5s" }),
            "max-lag: a master has none",
        ),
        (
            json!({ "kind": "dns", "name": "bücher.example" }),
            "name: \"bücher.example\" is not a name",
        ),
        (
            json!({ "kind": "dns", "name": "x", "server": "dns.example" }),
            "server: \"dns.example\" is not a server's address",
        ),
        (
            json!({ "kind": "dns", "name": "x", "only": true }),
            "only: `expect` is missing",
        ),
        (
            json!({ "kind": "tls-expiry", "address": "h:1", "ca": "x", "verify-tls": false }),
            "ca: ",
        ),
    ] {
        let refused = made(block, &tools("/")).map(drop).unwrap_err();
        begins(&refused, said);
    }
}
