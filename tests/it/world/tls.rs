//! A real TLS server with a certificate that nobody vouches for.

use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::patience::PATIENCE;

/// The server. It answers 200 to everything, and ends when it is dropped.
pub(crate) struct Tls {
    pub(crate) url: String,
    _server: Child,
    _folder: TempDir,
}

impl Tls {
    /// Makes a certificate and begins to listen on a free port.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        certificate(&folder).await;
        let serve = "s_server -accept 127.0.0.1:0 -www -key key.pem -cert cert.pem";
        let mut server = openssl(&folder, serve).spawn().unwrap();
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let address = async {
            loop {
                let line = lines.next_line().await.unwrap().unwrap();
                if let Some(address) = line.strip_prefix("ACCEPT ") {
                    return address.to_owned();
                }
            }
        };
        let patience = PATIENCE;
        let address = tokio::time::timeout(patience, address).await.unwrap();
        Self {
            url: format!("https://{address}/"),
            _server: server,
            _folder: folder,
        }
    }
}

/// Makes `cert.pem` and `key.pem`, for this machine's loopback.
pub(crate) async fn certificate(folder: &TempDir) {
    let make = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
        -subj /CN=nobody-vouches.test -addext subjectAltName=IP:127.0.0.1,DNS:localhost \
        -addext basicConstraints=critical,CA:FALSE -keyout key.pem -out cert.pem";
    let made = openssl(folder, make).output().await.unwrap();
    assert!(made.status.success(), "{made:?}");
}

fn openssl(folder: &TempDir, arguments: &str) -> Command {
    let mut command = Command::new("openssl");
    command
        .args(arguments.split_whitespace())
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    command
}
