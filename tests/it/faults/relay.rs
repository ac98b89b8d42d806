//! A relay before a slot or the public URL, for the steps that ask there by themselves.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use url::Url;

use super::orders::{Call, Fault, Orders};

/// What the prober asks; faults of other calls do not meet it.
pub(super) const PROBER: &str = "/prober";

/// A relay. Dropping it closes it.
pub(super) struct Relay {
    pub(super) url: Url,
    _serving: JoinSet<()>,
}

impl Relay {
    /// Relays to `to`; requests are these calls, each while its step is at work.
    pub(super) async fn to(to: &Url, calls: &'static [Call], orders: &Orders) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let address = format!("{}:{}", to.host_str().unwrap(), to.port().unwrap());
        let mut serving = JoinSet::new();
        let orders = orders.clone();
        serving.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (address, orders) = (address.clone(), orders.clone());
                open.spawn(async move {
                    // Who goes away is not a failure of the test.
                    let _ = relay(stream, &address, calls, &orders).await;
                });
                while open.try_join_next().is_some() {}
            }
        });
        Self {
            url: url.parse().unwrap(),
            _serving: serving,
        }
    }
}

async fn relay(
    mut client: TcpStream,
    address: &str,
    calls: &[Call],
    orders: &Orders,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if client.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let fault = if head.starts_with(format!("GET {PROBER} ").as_bytes()) {
        None
    } else {
        calls.iter().find_map(|call| orders.take(*call))
    };
    match fault {
        Some(Fault::Before | Fault::LostBefore) => return client.set_zero_linger(),
        Some(silent @ (Fault::Silent | Fault::CancelSilent)) => {
            if silent == Fault::CancelSilent {
                orders.1.cancel();
            }
            while client.read_buf(&mut head).await? > 0 {}
            return Ok(());
        }
        Some(Fault::Repeated) => drop(asked(address, &head).await?),
        _ => {}
    }
    let answer = asked(address, &head).await?;
    match fault {
        Some(Fault::After | Fault::Lost) => return client.set_zero_linger(),
        Some(Fault::CancelAfter) => orders.1.cancel(),
        _ => {}
    }
    client.write_all(&answer).await?;
    client.shutdown().await
}

/// The whole answer; the stand-in closes when it is asked to.
async fn asked(address: &str, head: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(address).await?;
    let end = head.len() - 2;
    server.write_all(&head[..end]).await?;
    server.write_all(b"Connection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await?;
    Ok(answer)
}
