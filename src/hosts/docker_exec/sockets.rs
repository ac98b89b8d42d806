//! A connection to something in a container, made by what is there: `socat`, or `nc`. An engine's
//! API has no such verb, and an address of the container would lead past what listens on its loopback
//! alone, or in its file system.

use std::time::Duration;

use tokio::time::timeout;

use super::Container;
use crate::hosts::posix::{self, Heard, Mark, quoted};
use crate::hosts::shell::{News, Shell as _, Talk as _};
use crate::platform::host::{HostError, Socket, Stream};
use crate::platform::text;

/// How long it may take until it is open.
const DEADLINE: Duration = Duration::from_secs(15);

/// What is said before it is handed over.
const OPEN: &[u8] = b"open";

/// What is said where nothing there can do it.
const NONE: &[u8] = b"none";

/// Opens a connection there.
pub(super) async fn connect(
    container: &Container,
    to: &Socket,
) -> Result<Box<dyn Stream>, HostError> {
    let (script, place, tools) = match to {
        Socket::Unix(path) => (
            unix(&path.to_string_lossy()),
            format!("unix:{}", path.display()),
            "`socat` nor an `nc` that knows unix sockets",
        ),
        Socket::Tcp(host, port) => (
            tcp(host, *port),
            format!("{host}:{port}"),
            "`socat` nor `nc`",
        ),
    };
    let (line, mark) = posix::question(&script);
    let mut exec = container.exec(&line).await?;
    let opening = async {
        let mut heard = Vec::new();
        while let Some(news) = exec.next().await {
            match news {
                News::Output(said) | News::Beside(said) => heard.extend(said),
                _ => break,
            }
            if let Some(split) = told(&mark, &heard) {
                return Ok(split);
            }
        }
        Err(heard)
    };
    let odd = |said: &str| container.out(&format!("{place} cannot be opened in it: {said}"));
    match timeout(DEADLINE, opening).await {
        Ok(Ok((word, rest))) if word == OPEN => match exec.into_pipe(rest) {
            Some(pipe) => Ok(Box::new(pipe)),
            None => Err(odd("it is in use")),
        },
        Ok(Ok((word, _))) if word == NONE => Err(odd(&format!(
            "it has neither {tools}, by which connections into a container are made; put one into its image, or publish the port and name it without `host`"
        ))),
        Ok(Ok((word, _))) => Err(odd(&text::excerpt(&String::from_utf8_lossy(&word), 200))),
        Ok(Err(heard)) => {
            let words = text::excerpt(&String::from_utf8_lossy(&heard), 200);
            Err(container.out(&container.mute(&words)))
        }
        Err(_) => Err(odd("no answer")),
    }
}

/// The line behind the mark, and what came after it.
fn told(mark: &Mark, heard: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let Heard::Ready(at) = mark.find(heard) else {
        return None;
    };
    let ours = &heard[at..];
    let end = ours.iter().position(|byte| *byte == b'\n')?;
    Some((ours[..end].to_vec(), ours[end + 1..].to_vec()))
}

// A connection of their own shows first whether anybody listens: neither says when it is through.
// When one side has ended, socat waits half a second for the other: longer, and an answer that ends
// with its connection would not be over.

fn unix(path: &str) -> String {
    let at = quoted(path);
    format!(
        "p={at}; test -S \"$p\" || {{ echo there is no such socket; exit 1; }}; \
         if command -v socat >/dev/null; then \
         e=$(socat -u OPEN:/dev/null UNIX-CONNECT:\"$p\" 2>&1) || {{ echo nobody listens: $e; exit 1; }}; \
         echo open; exec socat -t 0.5 - UNIX-CONNECT:\"$p\" 2>/dev/null; fi; \
         if nc -h 2>&1 | grep -qi unix; then echo open; exec nc -U \"$p\" 2>/dev/null; fi; echo none"
    )
}

fn tcp(host: &str, port: u16) -> String {
    let bracketed = match host.contains(':') {
        true => format!("[{host}]"),
        false => host.to_owned(),
    };
    let (host, at) = (quoted(host), quoted(&format!("TCP:{bracketed}:{port}")));
    format!(
        "if command -v socat >/dev/null; then \
         e=$(socat -u OPEN:/dev/null {at},connect-timeout=5 2>&1) || {{ echo nobody listens: $e; exit 1; }}; \
         echo open; exec socat -t 0.5 - {at} 2>/dev/null; fi; \
         command -v nc >/dev/null || {{ echo none; exit 1; }}; \
         nc -z -w 5 {host} {port} </dev/null >/dev/null 2>&1 || nc -w 5 {host} {port} </dev/null >/dev/null 2>&1 || \
         {{ echo nobody listens; exit 1; }}; echo open; exec nc {host} {port} 2>/dev/null"
    )
}
