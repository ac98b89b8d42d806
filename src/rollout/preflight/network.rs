//! Whether everything that the config names can be reached: its name is known, and something
//! takes connections there. No request is made; nothing can be changed by it.

use std::io;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::config::address::Address;
use crate::config::endpoints::Endpoint;
use crate::model::finding::{Finding, Group};
use crate::platform::host::Socket;
use crate::platform::http::Phase;
use crate::platform::text;

use super::Circumstances;
use crate::rollout::stage::Stage;

/// How it went, in the order of the endpoints.
pub(super) type Reached = Vec<Result<Duration, NotReached>>;

/// A connection that did not come about.
pub(super) struct NotReached {
    phase: Phase,
    said: String,
}

pub(super) async fn look(stage: &Stage, with: &Circumstances) -> Reached {
    let limit = with.thresholds.network.get();
    let reach = with
        .endpoints
        .iter()
        .map(|endpoint| reach(endpoint, stage, limit));
    join_all(reach).await
}

async fn reach(
    endpoint: &Endpoint,
    stage: &Stage,
    limit: Duration,
) -> Result<Duration, NotReached> {
    // That host is logged in to beside this, which takes what it takes.
    let over = endpoint.over.as_deref();
    let over = over.and_then(|name| stage.hosts.named(Some(name)).ok());
    if let Some(host) = &over {
        let _ = host.reach().await;
    }
    let began = Instant::now();
    let mut phase = Phase::Dns;
    let connecting = async {
        if let Some(host) = &over {
            phase = Phase::Tcp;
            let to = Address::try_from(endpoint.address.clone()).map_err(io::Error::other)?;
            let to = Socket::Tcp(to.host().to_owned(), to.port());
            return host.connect(&to).await.map(drop).map_err(io::Error::other);
        }
        let found: Vec<_> = tokio::net::lookup_host(&endpoint.address).await?.collect();
        phase = Phase::Tcp;
        TcpStream::connect(&found[..]).await.map(drop)
    };
    match tokio::time::timeout(limit, connecting).await {
        Ok(Ok(())) => Ok(began.elapsed()),
        Ok(Err(failed)) => Err(NotReached {
            phase,
            said: failed.to_string(),
        }),
        Err(_) => Err(NotReached {
            phase,
            said: format!("no connection after {}", text::duration(limit)),
        }),
    }
}

/// What it means. The idle slot may be down before it gets its release, and what a proxy
/// reaches for us need not be reachable without one.
pub(super) fn findings(reached: Reached, idle: Option<&str>, with: &Circumstances) -> Vec<Finding> {
    let finding = |(endpoint, reached): (&Endpoint, _)| {
        let name = &endpoint.address;
        let what = endpoint.what.join(", ");
        let failed: NotReached = match reached {
            Ok(took) => {
                let over = endpoint.over.as_ref();
                let over = over.map_or(String::new(), |host| format!(" over {host}"));
                let said = format!("{what}, connected{over} in {}", text::duration(took));
                return Finding::passed(Group::Network, name, said);
            }
            Err(failed) => failed,
        };
        if with.proxied && endpoint.by_proxy && endpoint.over.is_none() {
            let said = format!("{what}: requests there go through the proxy");
            return Finding::skipped(Group::Network, name, said);
        }
        let said = format!("{what}: {}: {}", failed.phase, failed.said);
        if idle.is_some() && endpoint.slot.as_deref() == idle && failed.phase == Phase::Tcp {
            let said = format!("{said}; it is idle, and may be down before it is deployed to");
            return Finding::skipped(Group::Network, name, said);
        }
        if endpoint.optional {
            let said = format!("{said}; a run goes on without it");
            return Finding::skipped(Group::Network, name, said);
        }
        let next = match failed.phase {
            Phase::Dns => "is the name in the config right, and known where this runs?",
            _ if endpoint.over.is_some() => {
                "is it up, and may the host of its tunnel go there? Then correct the config or the firewall"
            }
            _ => "is it up, and may this machine go there? Then correct the config or the firewall",
        };
        let limit = text::duration(with.thresholds.network.get());
        let wanted = format!("a connection within {limit}");
        Finding::failed(Group::Network, name, said, wanted, next)
    };
    with.endpoints.iter().zip(reached).map(finding).collect()
}
