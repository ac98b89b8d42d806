//! Mail, handed to a real SMTP server with STARTTLS, TLS and authentication.

use std::time::Duration;

use cutover::config::kinds::{self, Block};
use cutover::model::news::{News, Outcome};
use cutover::notifiers::{KINDS, Notifier, NotifyError, Tools};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::notifiers::news;
use crate::world::mail::{MailServer, PASSWORD};

fn block(server: &MailServer, security: &str) -> Block {
    let mut options = json!({
        "kind": "email", "server": format!("localhost:{}", server.port), "security": security,
        "sender": "Deployments <deploy@shop.example>", "to": ["ops@shop.example"],
    });
    if security != "none" {
        options["user"] = "deploy".into();
        options["password"] = PASSWORD.into();
        options["ca"] = server.ca().into();
    }
    serde_json::from_value(options).unwrap()
}

fn with(mut block: Block, key: &str, value: Value) -> Box<dyn Notifier> {
    block.options.insert(key.into(), value);
    built(&block)
}

fn built(block: &Block) -> Box<dyn Notifier> {
    kinds::build(KINDS, block, &Tools::default()).unwrap()
}

fn refusal(options: Value) -> String {
    let mut all = json!({
        "kind": "email", "server": "mail.example", "sender": "a@b.example", "to": ["c@d.example"],
    });
    all.as_object_mut()
        .unwrap()
        .extend(options.as_object().unwrap().clone());
    let block: Block = serde_json::from_value(all).unwrap();
    let made = kinds::build(KINDS, &block, &Tools::default());
    made.err().unwrap()
}

fn header<'m>(mail: &'m Value, name: &str) -> Vec<&'m str> {
    let all = mail["headers"].as_array().unwrap().iter();
    all.filter(|one| one[0].as_str().unwrap().eq_ignore_ascii_case(name))
        .map(|one| one[1].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_mail_says_what_happened_twice() {
    for (security, encrypted) in [("starttls", true), ("tls", true), ("none", false)] {
        let mut server = MailServer::start(security).await;
        let to = json!(["ops@shop.example", "Night shift <night@shop.example>"]);
        let email = with(block(&server, security), "to", to);
        email.tell(&news()).await.unwrap();
        let mail = server.next().await;
        assert_eq!(mail["encrypted"], encrypted, "{security}");
        assert_eq!(mail["login"], encrypted, "{security}");
        assert_eq!(mail["from"], "deploy@shop.example");
        assert_eq!(
            mail["to"],
            json!(["ops@shop.example", "night@shop.example"])
        );
        assert_eq!(header(&mail, "subject"), [news().title]);
        assert_eq!(header(&mail, "from"), ["Deployments <deploy@shop.example>"]);
        assert_eq!(header(&mail, "auto-submitted"), ["auto-generated"]);
        assert_eq!(header(&mail, "importance"), ["high"]);
        assert_eq!(header(&mail, "date").len(), 1);
        assert_eq!(header(&mail, "message-id").len(), 1);
        assert_eq!(
            mail["plain"].as_str().unwrap(),
            "rolled back: the public URL kept answering with the old release\n\n\
             measured: 3 of 5 say 91be33d\nnext: look at the cache\n\n\
             environment: production\nversion: 4f2a9c1\ndecision: rolled-back\n\
             severity: critical\n\nhttps://github.com/shop/storefront/actions/runs/7\n"
        );
        let html = mail["html"].as_str().unwrap();
        for part in [
            "measured: 3 of 5 say 91be33d\nnext: look at the cache",
            "<strong>environment</strong></td><td>production</td>",
            "<a href=\"https://github.com/shop/storefront/actions/runs/7\">",
            "content=\"light dark\"",
            "#cf222e",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
        // The theme's own paper and ink: only the bar has a colour.
        assert!(
            !html.contains("background") && !html.contains(" color:"),
            "{html}"
        );
    }
}

#[tokio::test]
async fn nothing_in_the_news_becomes_a_header_or_markup() {
    let mut server = MailServer::start("none").await;
    let email = built(&block(&server, "none"));
    let hostile = "x\r\nBcc: thief@evil.example\r\n\r\n.\r\nQUIT\r\n<script>alert(1)</script> ü 🚀";
    let news = News {
        title: hostile.into(),
        message: hostile.into(),
        decision: Some(hostile.into()),
        facts: vec![(hostile.into(), hostile.into())],
        run_url: Some(format!("https://x.example/{hostile}")),
        ..news()
    };
    email.tell(&news).await.unwrap();
    let mail = server.next().await;
    assert_eq!(mail["to"], json!(["ops@shop.example"]));
    assert!(header(&mail, "bcc").is_empty(), "{mail:#}");
    let subject = "x Bcc: thief@evil.example . QUIT <script>alert(1)</script> ü 🚀";
    assert_eq!(header(&mail, "subject"), [subject]);
    let known = [
        "from",
        "subject",
        "message-id",
        "auto-submitted",
        "importance",
        "to",
        "date",
        "mime-version",
        "content-type",
    ];
    for one in mail["headers"].as_array().unwrap() {
        let name = one[0].as_str().unwrap().to_lowercase();
        assert!(known.contains(&name.as_str()), "{name}");
    }
    assert!(mail["plain"].as_str().unwrap().contains("QUIT"));
    let html = mail["html"].as_str().unwrap();
    assert!(
        !html.contains("<script>") && html.contains("&lt;script&gt;"),
        "{html}"
    );
    // News of any shape are taken.
    let long = "<!channel> \u{0} é".repeat(3000);
    for news in [
        News::default(),
        News {
            title: long.clone(),
            message: long.clone(),
            facts: vec![(long.clone(), long); 50],
            ..news
        },
    ] {
        email.tell(&news).await.unwrap();
        let mail = server.next().await;
        let raw = mail["raw"].as_str().unwrap();
        assert!(
            raw.lines().all(|line| line.len() <= 998),
            "a line is too long for SMTP"
        );
    }
}

#[tokio::test]
async fn a_refused_recipient_is_told_and_the_others_get_it() {
    let mut server = MailServer::start("starttls").await;
    let to = json!([
        "nobody@shop.example",
        "ops@shop.example",
        "nobody.else@shop.example"
    ]);
    let told = with(block(&server, "starttls"), "to", to)
        .tell(&news())
        .await;
    assert_eq!(server.next().await["to"], json!(["ops@shop.example"]));
    let said = "2 of 3 recipients refused: nobody@shop.example (550 5.1.1 no such user here), \
                nobody.else@shop.example (550 5.1.1 no such user here)";
    assert_eq!(told, Err(NotifyError::Partly(said.into())));
    let nobody = with(
        block(&server, "starttls"),
        "to",
        json!(["nobody@shop.example"]),
    );
    let told = nobody.tell(&news()).await.unwrap_err().to_string();
    let port = server.port;
    assert_eq!(
        told,
        format!(
            "refused: localhost:{port} takes no mail for nobody@shop.example (550 5.1.1 no such user here)"
        )
    );
    let news = News {
        message: "POISON".into(),
        ..news()
    };
    let told = built(&block(&server, "starttls"))
        .tell(&news)
        .await
        .unwrap_err();
    assert_eq!(
        told.to_string(),
        format!("refused: localhost:{port} while handing over the message: 554 5.7.1 not this")
    );
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_not_quoted() {
    let server = MailServer::start("starttls").await;
    let wrong = with(
        block(&server, "starttls"),
        "password",
        json!("n0t-the-p4ssword"),
    );
    let told = wrong.tell(&news()).await.unwrap_err();
    let port = server.port;
    assert_eq!(
        told.to_string(),
        format!("refused: localhost:{port} while logging in: 535 5.7.8 wrong password ***")
    );
    assert!(!format!("{told:?}").contains("n0t-the"));
}

#[tokio::test]
async fn what_must_be_encrypted_is_not_sent_in_the_clear() {
    let server = MailServer::start("none").await;
    let mut clear = block(&server, "none");
    clear.options.insert("security".into(), json!("starttls"));
    let told = built(&clear).tell(&news()).await.unwrap_err().to_string();
    let port = server.port;
    assert_eq!(
        told,
        format!(
            "refused: localhost:{port} offers no STARTTLS, and nothing was sent in the clear; if it speaks TLS from the first byte, set `security: tls`"
        )
    );
    // A server that wants to know who it is, and a config that does not say.
    let server = MailServer::start("starttls").await;
    let mut nobody = block(&server, "starttls");
    nobody.options.remove("user");
    nobody.options.remove("password");
    let told = built(&nobody).tell(&news()).await.unwrap_err().to_string();
    assert!(told.contains("while naming the sender: 530"), "{told}");
    let said = refusal(json!({ "security": "none", "user": "a", "password": "t0ps3cret" }));
    assert_eq!(
        said,
        "password: it is not sent in the clear; set `security` to starttls or tls"
    );
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    for (security, step) in [("starttls", "asking for STARTTLS"), ("tls", "connecting")] {
        let server = MailServer::start(security).await;
        let mut stranger = block(&server, security);
        stranger.options.remove("ca");
        let told = built(&stranger)
            .tell(&news())
            .await
            .unwrap_err()
            .to_string();
        let wanted = format!("no answer: localhost:{} while {step}: ", server.port);
        assert!(told.starts_with(&wanted), "{told}");
        assert!(
            told.contains("certificate") && told.contains("UnknownIssuer"),
            "{told}"
        );
        // Nor is one for another name.
        let mut other = block(&server, security);
        other
            .options
            .insert("server".into(), json!(format!("127.0.0.2:{}", server.port)));
        let told = built(&other).tell(&news()).await.unwrap_err().to_string();
        assert!(told.starts_with("no answer: 127.0.0.2:"), "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_left_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let options = json!({
        "kind": "email", "server": format!("127.0.0.1:{port}"), "security": "none",
        "sender": "a@b.example", "to": ["c@d.example"],
    });
    let email = built(&serde_json::from_value(options).unwrap());
    let told = tokio::time::timeout(Duration::from_secs(9), email.tell(&news())).await;
    let told = told.unwrap().unwrap_err().to_string();
    assert_eq!(
        told,
        format!("no answer: 127.0.0.1:{port} said nothing for 8 s while connecting")
    );
    drop(silent);
    let told = email.tell(&news()).await.unwrap_err().to_string();
    assert!(
        told.contains("while connecting: Connection refused"),
        "{told}"
    );
}

#[test]
fn wrong_options_are_refused_with_their_key() {
    for (options, said) in [
        (
            json!({ "server": "me:t0ps3cret@mail.example" }),
            "server: write it as smtp.example.com or smtp.example.com:587",
        ),
        (
            json!({ "sender": "nobody" }),
            "sender: this is not an address; write it as deploy@example.com or Name <deploy@example.com>",
        ),
        (
            json!({ "to": ["a@b.example", "c@d.example\nBcc: e@f.example"] }),
            "to[1]: this is not an address; write it as deploy@example.com or Name <deploy@example.com>",
        ),
        (json!({ "user": "a" }), "`user` and `password` go together"),
    ] {
        assert_eq!(refusal(options), said);
    }
    assert!(refusal(json!({ "tls": true })).contains("tls"));
}

#[tokio::test]
async fn a_cancelled_run_has_a_calm_colour() {
    let mut server = MailServer::start("none").await;
    let news = News {
        outcome: Outcome::Cancelled,
        severity: Default::default(),
        ..news()
    };
    built(&block(&server, "none")).tell(&news).await.unwrap();
    let mail = server.next().await;
    assert!(mail["html"].as_str().unwrap().contains("#6e7781"));
    assert!(header(&mail, "importance").is_empty());
}
