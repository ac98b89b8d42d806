//! Telling people at the end: all at once, each in time, and without a secret.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use cutover::model::news::News;
use cutover::model::severity::Severity;
use cutover::notifiers::{Notifier, NotifyError, Routing};
use cutover::platform::secret::Vault;
use cutover::report::news::send;
use tokio::sync::Barrier;

/// Waits until all have been told, and keeps what it heard.
struct Together {
    all: Arc<Barrier>,
    heard: Arc<Mutex<Vec<News>>>,
    answer: Result<(), NotifyError>,
}

#[async_trait]
impl Notifier for Together {
    fn told(&self) -> String {
        "pigeon".to_owned()
    }

    async fn tell(&self, news: &News) -> Result<(), NotifyError> {
        self.heard.lock().unwrap().push(news.clone());
        self.all.wait().await;
        self.answer.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn all_are_told_at_once_and_no_secret_leaves() {
    let vault = Vault::default();
    vault.keep("hunter22");
    let all = Arc::new(Barrier::new(2));
    let heard = Arc::new(Mutex::new(Vec::new()));
    let with = |from, answer| {
        let notifier = Together {
            all: Arc::clone(&all),
            heard: Arc::clone(&heard),
            answer,
        };
        (Routing { from }, Box::new(notifier) as Box<dyn Notifier>)
    };
    let refused = NotifyError::Refused("404 hunter22".into());
    let to = [
        with(Severity::Info, Ok(())),
        with(Severity::Warning, Err(refused)),
        with(Severity::Critical, Ok(())),
    ];
    let secret = || "so hunter22 it is".to_owned();
    let news = News {
        severity: Severity::Warning,
        title: secret(),
        message: secret(),
        decision: Some(secret()),
        facts: vec![(secret(), secret())],
        run_url: Some(secret()),
    };
    let warnings = send(&news, &to, &vault).await;
    assert_eq!(warnings, ["pigeon was not told: refused: 404 ***"]);
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 2, "critical only is not for this");
    let said = format!("{heard:?}");
    assert_eq!(said.matches("so *** it is").count(), 12, "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_never_answers_is_a_warning() {
    let notifier = Together {
        all: Arc::new(Barrier::new(2)),
        heard: Arc::default(),
        answer: Ok(()),
    };
    let to = [(Routing::default(), Box::new(notifier) as Box<dyn Notifier>)];
    let warnings = send(&News::default(), &to, &Vault::default()).await;
    assert_eq!(warnings, ["pigeon was not told: no answer after 10 s"]);
}
