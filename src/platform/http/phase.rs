//! How far a request got: marks that the resolver and the connector leave on their way.
//!
//! A client has no say in who calls it, so the marks go through a variable of the task that
//! follows the request.

use std::error::Error as _;
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::platform::names;

/// How far a request got before it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Looking up the host's name.
    Dns,
    /// Opening the connection.
    Tcp,
    /// Agreeing on TLS.
    Tls,
    /// Sending the request and reading the answer.
    Http,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dns => "DNS",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Http => "HTTP",
        })
    }
}

tokio::task_local! {
    /// How far the request of this task got; written by the resolver and the connector below.
    static REACHED: Reached;
}

/// A phase that several owners see.
#[derive(Clone)]
pub(super) struct Reached(Arc<AtomicU8>);

impl Reached {
    const ORDER: [Phase; 4] = [Phase::Dns, Phase::Tcp, Phase::Tls, Phase::Http];

    fn set(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Relaxed);
    }

    /// Runs a request and lets the marks of its way be left here.
    pub(super) fn follow<F: Future>(&self, request: F) -> impl Future<Output = F::Output> + use<F> {
        REACHED.scope(self.clone(), request)
    }

    pub(super) fn get(&self) -> Phase {
        Self::ORDER[usize::from(self.0.load(Ordering::Relaxed)).min(3)]
    }
}

impl Default for Reached {
    /// A reused connection is marked by nobody: it starts where a new one ends.
    fn default() -> Self {
        Self(Arc::new(AtomicU8::new(Phase::Http as u8)))
    }
}

fn mark(phase: Phase) {
    // Outside of a look (octocrab's requests) nobody asks for the phase.
    let _ = REACHED.try_with(|reached| reached.set(phase));
}

/// The system's resolver (hosts file included), which marks when it begins and ends.
pub(super) struct SystemNames;

impl Resolve for SystemNames {
    fn resolve(&self, name: Name) -> Resolving {
        mark(Phase::Dns);
        let host = name.as_str().to_owned();
        Box::pin(async move {
            let addresses = names::addresses(&host, 0).await?;
            mark(Phase::Tcp);
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// A layer around reqwest's connector that marks the beginning and the end of a connection.
#[derive(Clone, Copy)]
pub(super) struct MarkConnected;

impl<S> tower::Layer<S> for MarkConnected {
    type Service = Connector<S>;

    fn layer(&self, inner: S) -> Connector<S> {
        Connector(inner)
    }
}

#[derive(Clone)]
pub(super) struct Connector<S>(S);

impl<S, R> tower::Service<R> for Connector<S>
where
    S: tower::Service<R>,
    S::Future: Send + 'static,
    S::Response: Send,
    S::Error: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        mark(Phase::Tcp);
        let connecting = self.0.call(request);
        Box::pin(async move {
            let connected = connecting.await;
            if connected.is_ok() {
                mark(Phase::Http);
            }
            connected
        })
    }
}

/// The phase an error belongs to: its own chain knows best, the marks are second.
pub(super) fn phase_of(failed: &reqwest::Error, reached: Phase) -> Phase {
    let mut source = failed.source();
    while let Some(cause) = source {
        if is_tls(cause) {
            return Phase::Tls;
        }
        source = cause.source();
    }
    match (reached, failed.is_connect()) {
        (Phase::Http, true) => Phase::Tcp,
        (reached, _) => reached,
    }
}

/// Whether a cause is one of TLS, also within I/O errors, whose `source` passes over what they
/// hold.
fn is_tls(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.is::<rustls::Error>()
        || cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .is_some_and(|inner| is_tls(inner))
}
