//! Connections to what only another machine reaches: that machine makes them.
//!
//! A client connects by itself, and takes no connection of ours. So there is a socket of our own,
//! in a folder that nobody else may enter, and each connection to it goes on over the host. The one
//! over there is made first: where it cannot be, nothing was sent, and the client is told why.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::UnixListener;
use tokio::task::JoinSet;

use crate::platform::host::{Host, Socket, Stream};

/// The socket's name in its folder.
const NAME: &str = "tunnel.sock";

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A socket here that is one over there. It ends with the client that goes through it.
pub(super) struct Tunnel {
    folder: TempDir,
    host: Arc<dyn Host>,
    to: Socket,
    /// One connects at a time, so that it is known whose connection is taken.
    listener: tokio::sync::Mutex<UnixListener>,
    open: Mutex<JoinSet<()>>,
}

impl Tunnel {
    /// Opens it. The host is asked when somebody connects.
    pub(super) fn open(host: Arc<dyn Host>, to: Socket) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let listener = UnixListener::bind(folder.path().join(NAME))?;
        Ok(Self {
            folder,
            host,
            to,
            listener: tokio::sync::Mutex::new(listener),
            open: Mutex::default(),
        })
    }

    /// Where it is.
    pub(super) fn socket(&self) -> PathBuf {
        self.folder.path().join(NAME)
    }

    /// Connects over there, then here, and carries what goes to and fro.
    async fn connect<T>(
        &self,
        connecting: impl Future<Output = Result<T, BoxError>>,
    ) -> Result<T, BoxError> {
        let far = self.host.connect(&self.to).await?;
        let listener = self.listener.lock().await;
        // Who gave up after it had connected is of no interest any more.
        while listener.accept().now_or_never().is_some() {}
        let accepting = async {
            self.carry(listener.accept().await?.0, far);
            drop(listener);
            Ok(())
        };
        // The agreement on TLS is a part of it, and wants to be carried, too.
        let (connected, ()) = futures_util::try_join!(connecting, accepting)?;
        Ok(connected)
    }

    fn carry(&self, mut near: tokio::net::UnixStream, mut far: Box<dyn Stream>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        while open.try_join_next().is_some() {}
        open.spawn(async move {
            // How it broke off, if it did, both ends see by themselves.
            let _ = copy_bidirectional(&mut near, &mut far).await;
        });
    }
}

/// A layer around reqwest's connector, which connects to the tunnel's socket.
#[derive(Clone)]
pub(super) struct Through(pub(super) Arc<Tunnel>);

impl<S> tower::Layer<S> for Through {
    type Service = Connector<S>;

    fn layer(&self, inner: S) -> Connector<S> {
        Connector {
            inner,
            tunnel: Arc::clone(&self.0),
        }
    }
}

#[derive(Clone)]
pub(super) struct Connector<S> {
    inner: S,
    tunnel: Arc<Tunnel>,
}

impl<S, R> tower::Service<R> for Connector<S>
where
    S: tower::Service<R, Error = BoxError> + Clone + Send + 'static,
    S::Future: Send,
    S::Response: Send,
    R: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        // The one that is ready is this one; its clone may not be.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let tunnel = Arc::clone(&self.tunnel);
        Box::pin(async move { tunnel.connect(inner.call(request)).await })
    }
}
