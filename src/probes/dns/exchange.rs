//! One question to the DNS: over UDP, again after a while, to the next server where one does not
//! know, and over TCP where the answer is too long.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use crate::probes::reach::Trouble;

/// Where servers listen.
pub(super) const PORT: u16 = 53;

/// How long an answer may take before the question is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// The servers that the system asks.
pub(super) async fn of_the_system() -> Result<Vec<SocketAddr>, Trouble> {
    let file = tokio::fs::read_to_string("/etc/resolv.conf").await;
    let file = match file {
        Ok(file) => file,
        Err(failed) if failed.kind() == io::ErrorKind::NotFound => String::new(),
        Err(failed) => return Err(Trouble::io("/etc/resolv.conf", &failed)),
    };
    let mut servers = servers(&file);
    if servers.is_empty() {
        servers.push(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)));
    }
    Ok(servers)
}

fn servers(file: &str) -> Vec<SocketAddr> {
    let lines = file.lines().map(str::split_whitespace);
    lines
        .filter_map(|mut words| match (words.next(), words.next()) {
            (Some("nameserver"), Some(address)) => address.parse::<IpAddr>().ok(),
            _ => None,
        })
        .map(|ip| SocketAddr::new(ip, PORT))
        .collect()
}

/// Asks until somebody answers. Returns who it was, and the answer as it came.
pub(super) async fn ask(
    servers: &[SocketAddr],
    name: &str,
    kind: TYPE,
) -> Result<(SocketAddr, Vec<u8>), Trouble> {
    let mut poor = None;
    let mut silent = 0_usize;
    loop {
        for server in servers {
            let answer = match tokio::time::timeout(AGAIN, once(*server, name, kind)).await {
                // It may only be slow, or the question got lost.
                Err(_) => continue,
                Ok(Ok(answer)) => answer,
                Ok(Err(failed)) => {
                    let who = format!("{server}");
                    poor = poor.or(Some(Err(Trouble::io(&who, &failed))));
                    silent += 1;
                    continue;
                }
            };
            let known = Packet::parse(&answer).is_ok_and(|packet| {
                !matches!(packet.rcode(), RCODE::ServerFailure | RCODE::Refused)
            });
            if known {
                return Ok((*server, answer));
            }
            poor = Some(Ok((*server, answer)));
            silent += 1;
        }
        if silent >= servers.len()
            && let Some(poor) = poor
        {
            return poor;
        }
    }
}

async fn once(server: SocketAddr, name: &str, kind: TYPE) -> io::Result<Vec<u8>> {
    let id = uuid::Uuid::new_v4().as_u128() as u16;
    let question = question(id, name, kind)?;
    let here: SocketAddr = if server.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(here).await?;
    socket.connect(server).await?;
    socket.send(&question).await?;
    let mut answer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut answer).await?;
        // Whoever only guesses that there is a question does not know its number.
        let ours = answer.get(..length).and_then(|it| it.get(..2)) == Some(&id.to_be_bytes());
        if ours && is_answer(&answer[..length]) {
            answer.truncate(length);
            break;
        }
    }
    let cut = answer.get(2).is_some_and(|flags| flags & 0b10 != 0);
    if cut {
        return over_tcp(server, &question).await;
    }
    Ok(answer)
}

async fn over_tcp(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let mut message = (question.len() as u16).to_be_bytes().to_vec();
    message.extend(question);
    stream.write_all(&message).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

fn is_answer(message: &[u8]) -> bool {
    message.get(2).is_some_and(|flags| flags & 0x80 != 0)
}

fn question(id: u16, name: &str, kind: TYPE) -> io::Result<Vec<u8>> {
    let name = Name::new(name).map_err(|failed| io::Error::other(failed.to_string()))?;
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let asked = Question::new(name, QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN), false);
    packet.questions.push(asked);
    packet
        .build_bytes_vec()
        .map_err(|failed| io::Error::other(failed.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_s_servers_are_read() {
        let file = "# nameserver 9.9.9.9\nsearch x\nnameserver 10.0.0.53\nnameserver ::1 # local\n";
        let found: Vec<String> = servers(file).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.0.0.53:53", "[::1]:53"]);
    }
}
