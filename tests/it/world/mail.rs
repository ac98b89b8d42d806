//! A real SMTP server: aiosmtpd, with STARTTLS, TLS and authentication.

use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;

use super::patience::PATIENCE;
use super::tls::certificate;

/// The password of `deploy`.
pub(crate) const PASSWORD: &str = "m4il/p4ss+word=";

/// The server. It ends when it is dropped.
pub(crate) struct MailServer {
    pub(crate) port: u16,
    lines: UnboundedReceiver<String>,
    folder: TempDir,
    _server: Child,
    _tasks: JoinSet<()>,
}

impl MailServer {
    /// Begins to listen on a free port; `security` is `starttls`, `tls` or `none`.
    pub(crate) async fn start(security: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        certificate(&folder).await;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/world/mail.py");
        // Debian's own Python, which has Debian's packages.
        let mut server = Command::new("/usr/bin/python3")
            .args([script, security, "cert.pem", "key.pem"])
            .current_dir(folder.path())
            .env("MAIL_PASSWORD", PASSWORD)
            .env("PYTHONWARNINGS", "ignore")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(server.stdout.take().unwrap()).lines();
        let (sender, lines) = unbounded_channel();
        let mut tasks = JoinSet::new();
        // Read at once, or a large mail would not fit between the two.
        tasks.spawn(async move {
            while let Ok(Some(line)) = said.next_line().await {
                let _ = sender.send(line);
            }
        });
        let mut started = Self {
            port: 0,
            lines,
            folder,
            _server: server,
            _tasks: tasks,
        };
        let said = started.line().await;
        started.port = said.parse().unwrap_or_else(|_| panic!("no port: {said:?}"));
        started
    }

    /// The file with the certificate that must be trusted.
    pub(crate) fn ca(&self) -> String {
        self.folder.path().join("cert.pem").display().to_string()
    }

    /// The next mail that was taken.
    pub(crate) async fn next(&mut self) -> Value {
        serde_json::from_str(&self.line().await).unwrap()
    }

    async fn line(&mut self) -> String {
        let patience = PATIENCE;
        let line = tokio::time::timeout(patience, self.lines.recv()).await;
        line.expect("the mail server says nothing")
            .expect("the mail server ended; is the package python3-aiosmtpd installed?")
    }
}
