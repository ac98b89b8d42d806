//! A real Pushgateway, on a port of its own.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cutover::platform::http::{Http, Look};
use url::Url;

use super::patience::PATIENCE;
use super::ports;

pub(crate) struct Pushgateway {
    pub(crate) url: Url,
    child: Child,
}

impl Pushgateway {
    pub(crate) async fn start() -> Self {
        for _ in 0..5 {
            let port = ports::free();
            let child = Command::new("prometheus-pushgateway")
                .arg(format!("--web.listen-address=127.0.0.1:{port}"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let url = format!("http://127.0.0.1:{port}").parse().unwrap();
            let mut gateway = Self { url, child };
            if gateway.is_up().await {
                return gateway;
            }
        }
        panic!("no Pushgateway would start");
    }

    async fn is_up(&mut self) -> bool {
        let ready = self.url.join("/-/ready").unwrap();
        let began = Instant::now();
        while self.child.try_wait().unwrap().is_none() && began.elapsed() < PATIENCE {
            let look = Look::at(ready.clone(), Duration::from_secs(1));
            if Http::default()
                .look(&look)
                .await
                .is_ok_and(|answer| answer.status == 200)
            {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }

    /// The lines of what it holds that begin with a name, without their group's labels.
    pub(crate) async fn lines(&self, name: &str) -> Vec<String> {
        let look = Look::at(self.url.join("/metrics").unwrap(), Duration::from_secs(5));
        let answer = Http::default().look(&look).await.unwrap();
        let text = answer.text().into_owned();
        let found = text.lines().filter(|line| line.starts_with(name));
        found.map(ToOwned::to_owned).collect()
    }

    /// Pushes a text by hand.
    pub(crate) async fn push(&self, path: &str, text: &str) {
        let look = Look {
            method: reqwest::Method::PUT,
            body: Some(text.as_bytes().to_vec()),
            ..Look::at(self.url.join(path).unwrap(), Duration::from_secs(5))
        };
        assert_eq!(Http::default().look(&look).await.unwrap().status, 200);
    }
}

impl Drop for Pushgateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
