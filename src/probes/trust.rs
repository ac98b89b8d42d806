//! TLS of a look: whose certificate it takes (the CA file of the config, or the system's), and
//! the agreement itself.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::reach::{Progress, Trouble};
use crate::platform::tls::{self, Trust};

/// How long the file system may take with a CA's file.
const READ: Duration = Duration::from_secs(5);

/// The file of a CA, if the config names one, as a path to read.
pub(super) fn file(named: Option<&str>, directory: &Path) -> Option<PathBuf> {
    named.map(|name| directory.join(name))
}

/// Those who may vouch for a server: who is in the file, or whom the system trusts.
pub(super) async fn with(file: Option<&Path>) -> Result<Trust, Trouble> {
    let Some(file) = file else {
        return Ok(Trust::System);
    };
    match tokio::time::timeout(READ, tokio::fs::read(file)).await {
        Ok(Ok(pem)) => Ok(Trust::Only(pem)),
        Ok(Err(failed)) => Err(Trouble::here(format!("{}: {failed}", file.display()))),
        Err(_) => Err(Trouble::here(format!("{}: no answer", file.display()))),
    }
}

/// Agrees on TLS over a connection.
pub(super) async fn secure(
    stream: TcpStream,
    host: &str,
    trust: &Trust,
    progress: &Progress,
) -> Result<TlsStream<TcpStream>, Trouble> {
    progress.at("TLS");
    let config = tls::client(trust).map_err(Trouble::here)?;
    agree(stream, host, config).await
}

/// The same, with settings of one's own.
pub(super) async fn agree(
    stream: TcpStream,
    host: &str,
    config: ClientConfig,
) -> Result<TlsStream<TcpStream>, Trouble> {
    let agreed = handshake(stream, host, config).await;
    agreed.map_err(|failed| match tls::failure(&failed) {
        Some(said) => Trouble::silent(format!("TLS: {said}")),
        None if failed.kind() == io::ErrorKind::UnexpectedEof => {
            Trouble::silent("TLS: the connection was closed; does it speak TLS there?")
        }
        None => Trouble::io("TLS", &failed),
    })
}

/// The same, for those who have their own words for its failure.
pub(super) async fn handshake(
    stream: TcpStream,
    host: &str,
    config: ClientConfig,
) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| io::Error::other(format!("\"{host}\" is no name for a server")))?;
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}
