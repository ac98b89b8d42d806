//! Requests to what only a host reaches: they go over it, they fail with a word on where, and what
//! was given up leaves nothing behind that another request could take for its own.

use std::time::Duration;

use cutover::platform::http::{Answer, Cause, Http, Look, Manner, NoAnswer, Phase};
use url::Url;

use super::hosts::at;
use crate::world::app::{App, Reply};
use crate::world::patience::within;
use crate::world::sshd::Sshd;
use crate::world::tls::Tls;

/// A name that the host alone knows.
const NAME: &str = "app.web1";

/// The same place by that name.
fn named(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_host(Some(NAME)).unwrap();
    url
}

fn over(sshd: &Sshd, urls: &[&Url]) -> Http {
    let ports = urls.iter().map(|url| url.port().unwrap());
    Http::with_tunnels(ports.map(|port| ((NAME.to_owned(), port), at(sshd, "deploy"))))
}

async fn ask(http: &Http, url: Url) -> Result<Answer, NoAnswer> {
    http.look(&Look::at(url, Duration::from_secs(20))).await
}

#[tokio::test]
async fn what_only_a_host_reaches_is_asked_over_it() {
    let (sshd, app) = (Sshd::start_knowing(NAME), App::start().await);
    app.route("/health", Reply::with(200, "well"));
    let url = named(&app.url.join("/health").unwrap());
    let failed = ask(&Http::default(), url.clone()).await.unwrap_err();
    assert_eq!(failed.phase, Phase::Dns, "{failed}");

    let http = over(&sshd, &[&app.url]);
    let keeping = Manner {
        keep_alive: true,
        ..Manner::PROBE
    };
    for manner in [Manner::PROBE, keeping, keeping] {
        let look = Look {
            manner,
            body: Some(b"to whom it may concern".to_vec()),
            ..Look::at(url.clone(), Duration::from_secs(20))
        };
        let answer = http.look(&look).await.unwrap();
        assert_eq!((answer.status, &*answer.text()), (200, "well"));
    }
    let seen = app.seen();
    assert_eq!(seen.len(), 3);
    for seen in seen {
        let port = app.url.port().unwrap();
        assert_eq!(seen.headers["host"], format!("{NAME}:{port}"));
        assert_eq!(seen.body, "to whom it may concern");
    }
    // What no tunnel leads to goes the usual way.
    let other = App::start().await;
    other.route("/", Reply::with(204, ""));
    assert_eq!(ask(&http, other.url.clone()).await.unwrap().status, 204);
}

#[tokio::test]
async fn many_at_once_each_get_their_own_answer() {
    let (sshd, app) = (Sshd::start_knowing(NAME), App::start().await);
    let http = over(&sshd, &[&app.url]);
    let paths: Vec<String> = (0..40).map(|n| format!("/{n}")).collect();
    for path in &paths {
        app.route(path, Reply::with(200, path));
    }
    app.route("/hang", Reply::Hang);
    let given_up = (0..20).map(|_| {
        let url = named(&app.url.join("/hang").unwrap());
        let look = Look::at(url, Duration::from_millis(300));
        let http = http.clone();
        async move { http.look(&look).await.unwrap_err() }
    });
    let answered = paths.iter().map(|path| {
        let url = named(&app.url.join(path).unwrap());
        let http = &http;
        async move { (path, ask(http, url).await.unwrap().text().into_owned()) }
    });
    let both = async {
        tokio::join!(
            futures_util::future::join_all(given_up),
            futures_util::future::join_all(answered)
        )
    };
    let (given_up, answered) = within("all are answered", both).await;
    for (path, answer) in answered {
        assert_eq!(*path, answer);
    }
    for failed in given_up {
        assert_eq!(failed.cause, Cause::Timeout, "{failed}");
    }
}

#[tokio::test]
async fn tls_is_spoken_with_whom_is_there() {
    let (sshd, server) = (Sshd::start_knowing(NAME), Tls::start().await);
    let url: Url = server.url.parse().unwrap();
    let http = over(&sshd, &[&url]);
    let mut look = Look::at(named(&url), Duration::from_secs(20));
    let failed = http.look(&look).await.unwrap_err();
    assert_eq!(failed.phase, Phase::Tls, "{failed}");
    look.manner.verify = false;
    assert_eq!(http.look(&look).await.unwrap().status, 200);
}

#[tokio::test]
async fn what_the_host_does_not_reach_is_said_to_be_there() {
    let (mut sshd, app) = (Sshd::start_knowing(NAME), App::start().await);
    app.route("/", Reply::with(200, ""));
    let http = over(&sshd, &[&app.url]);
    assert!(ask(&http, named(&app.url)).await.is_ok());
    let url = app.url.clone();
    drop(app);
    let failed = ask(&http, named(&url)).await.unwrap_err();
    assert!(
        failed.phase == Phase::Tcp && !failed.may_have_arrived,
        "{failed:?}"
    );
    let words = format!("{NAME}:{} cannot be opened over there", url.port().unwrap());
    assert!(failed.said.contains(&words), "{failed}");
    sshd.vanish();
    let failed = ask(&http, named(&url)).await.unwrap_err();
    assert_eq!(failed.phase, Phase::Tcp, "{failed}");
    assert!(failed.said.starts_with("web1 (root@127.0.0.1:"), "{failed}");
}

#[tokio::test]
async fn a_redirect_leads_no_further_than_the_tunnel() {
    let (sshd, app) = (Sshd::start_knowing(NAME), App::start().await);
    let http = over(&sshd, &[&app.url]);
    app.route("/old", Reply::with(302, "").header("Location", "/new"));
    app.route("/new", Reply::with(200, "here"));
    app.route(
        "/away",
        Reply::with(302, "").header("Location", app.at("/new")),
    );
    let follow = |path: &str| {
        let mut look = Look::at(named(&app.url.join(path).unwrap()), Duration::from_secs(20));
        look.manner.follow = true;
        look
    };
    let answer = http.look(&follow("/old")).await.unwrap();
    assert_eq!((answer.status, &*answer.text()), (200, "here"));
    let failed = http.look(&follow("/away")).await.unwrap_err();
    assert!(
        failed.said.contains("redirects to another address"),
        "{failed}"
    );
    assert_eq!(app.seen().len(), 3);
}
