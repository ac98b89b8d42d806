//! TLS for a session, on the one stack of this program, with what SCRAM binds itself to.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls::ClientConfig;
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_rustls::client;

use crate::platform::certificate::{self, Hash};
use crate::probes::trust;

/// Makes a connection secure.
pub(super) struct Secure {
    pub(super) host: String,
    pub(super) config: ClientConfig,
}

impl TlsConnect<TcpStream> for Secure {
    type Stream = Secured;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Secured>> + Send>>;

    fn connect(self, stream: TcpStream) -> Self::Future {
        Box::pin(async move {
            let agreed = trust::handshake(stream, &self.host, self.config).await?;
            Ok(Secured(agreed))
        })
    }
}

/// A secure connection.
pub(super) struct Secured(client::TlsStream<TcpStream>);

impl TlsStream for Secured {
    fn channel_binding(&self) -> ChannelBinding {
        let shown = self
            .0
            .get_ref()
            .1
            .peer_certificates()
            .and_then(<[_]>::first);
        let hash = shown.and_then(|der| Some((der, certificate::read(der)?.hash?)));
        match hash {
            Some((der, Hash::Sha256)) => bound(Sha256::digest(der).to_vec()),
            Some((der, Hash::Sha384)) => bound(Sha384::digest(der).to_vec()),
            Some((der, Hash::Sha512)) => bound(Sha512::digest(der).to_vec()),
            None => ChannelBinding::none(),
        }
    }
}

fn bound(digest: Vec<u8>) -> ChannelBinding {
    ChannelBinding::tls_server_end_point(digest)
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
