//! The protocol of HAProxy's stats socket: one line of commands a connection, and no exit codes.
//!
//! Every answer ends with an empty line, also the empty answer that means success. A connection
//! that closes without it was lost: silence is not success. Whatever text comes back from an
//! order is an error. What the commands mean is known to `map` and `weights`.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

use crate::platform::host::{Host, Socket, on};
use crate::platform::text::{duration, excerpt};
use crate::routers::RouterError;

/// How long a line of commands may take, connection included. HAProxy answers in a millisecond;
/// on a host that is short of CPU, while it reloads, that can be seconds.
const DEADLINE: Duration = Duration::from_secs(10);

/// More than any answer that is asked for here.
const ANSWER_CAP: u64 = 16 << 20;

/// Where the stats socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// A socket in the file system.
    Unix(PathBuf),
    /// `host:port`, without authentication.
    Tcp(String),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text
            .strip_prefix("unix:")
            .or_else(|| text.starts_with('/').then_some(text))
        {
            plain("address", path)?;
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let endpoint = text.strip_prefix("tcp:").unwrap_or(text);
        plain("address", endpoint)?;
        match endpoint.rsplit_once(':') {
            Some((host, port))
                if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) =>
            {
                Ok(Self::Tcp(endpoint.to_owned()))
            }
            _ => Err(format!(
                "address: \"{text}\" is not a stats socket; write it as unix:/run/haproxy/admin.sock or tcp:127.0.0.1:9999"
            )),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(endpoint) => write!(f, "tcp:{endpoint}"),
        }
    }
}

impl Address {
    fn socket(&self) -> Socket {
        match self {
            Self::Unix(path) => Socket::Unix(path.clone()),
            Self::Tcp(endpoint) => {
                // Its form was looked at when it was read.
                let (host, port) = endpoint.rsplit_once(':').unwrap_or_default();
                let host = host.trim_start_matches('[').trim_end_matches(']');
                Socket::Tcp(host.to_owned(), port.parse().unwrap_or_default())
            }
        }
    }

    /// A shell command that sends a line of commands, for a person.
    pub(super) fn by_hand(&self, commands: &str) -> String {
        let to = match self {
            Self::Unix(path) => format!("UNIX-CONNECT:{}", path.display()),
            Self::Tcp(endpoint) => format!("TCP:{endpoint}"),
        };
        format!("echo '{commands}' | socat -t5 - {to}")
    }

    /// The line of `global` that opens this socket.
    pub(super) fn one_time_line(&self) -> String {
        match self {
            Self::Unix(path) => format!(
                "stats socket {} mode 600 level admin expose-fd listeners",
                path.display()
            ),
            Self::Tcp(endpoint) => format!(
                "# no authentication and no TLS: loopback or an ssh tunnel only\n    stats socket {}@{endpoint} level admin",
                if endpoint.starts_with('[') {
                    "ipv6"
                } else {
                    "ipv4"
                }
            ),
        }
    }
}

/// Refuses words that would end or split a command, or need quotes in a shell or in haproxy.cfg.
pub(super) fn plain(option: &str, word: &str) -> Result<(), String> {
    let wrong = word
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || "_-./:@+[]".contains(*c)));
    match wrong {
        _ if word.is_empty() => Err(format!("{option}: this is empty")),
        Some(c) => Err(format!(
            "{option}: \"{word}\" has a {c:?}; letters, digits and _ - . / : @ + are safe in HAProxy's commands"
        )),
        None => Ok(()),
    }
}

/// The command line of one HAProxy.
pub(super) struct Cli {
    /// Where it is.
    pub(super) address: Address,
    /// From which machine it is asked.
    pub(super) host: Arc<dyn Host>,
}

impl Cli {
    /// Where it is: `unix:/run/haproxy/admin.sock on web1`.
    pub(super) fn told(&self) -> String {
        format!("{}{}", self.address, on(&*self.host))
    }

    /// Asks questions in one line and returns their answers, each without its last line's end.
    /// Nothing is changed by a question, so a lost answer is no more than out of reach.
    pub(super) async fn ask<const N: usize>(
        &self,
        questions: [&str; N],
    ) -> Result<[String; N], RouterError> {
        let text = self.line(&questions.join("; ")).await;
        let text = text.map_err(harmless)?;
        let answers: Vec<String> = if N == 1 {
            vec![text.trim_end().to_owned()]
        } else {
            answers_in(&text)
        };
        answers.try_into().map_err(|found: Vec<String>| {
            RouterError::Refused(format!(
                "{} gave {} answers to {N} commands: {}",
                self.address,
                found.len(),
                excerpt(&text, 200)
            ))
        })
    }

    /// Sends an order and returns what was said to it; nothing is success.
    pub(super) async fn send(&self, order: &str) -> Result<String, RouterError> {
        Ok(self.line(order).await?.trim().to_owned())
    }

    /// Sends an order. Any text back is a refusal.
    pub(super) async fn order(&self, order: &str) -> Result<(), RouterError> {
        let said = self.send(order).await?;
        if said.is_empty() {
            Ok(())
        } else {
            Err(refused(order, &said))
        }
    }

    async fn line(&self, commands: &str) -> Result<String, RouterError> {
        let until = Instant::now() + DEADLINE;
        let no_way = |said: String| RouterError::OutOfReach(format!("{}: {said}", self.address));
        let late = || no_way(format!("no connection within {}", duration(DEADLINE)));
        let to = self.address.socket();
        match timeout_at(until, self.host.connect(&to)).await {
            Ok(Ok(stream)) => self.talk(stream, commands, until).await,
            Ok(Err(failed)) => Err(no_way(failed.to_string())),
            Err(_) => Err(late()),
        }
    }

    async fn talk(
        &self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        commands: &str,
        until: Instant,
    ) -> Result<String, RouterError> {
        let lost =
            |said: &str| RouterError::Lost(format!("{}: {said} after `{commands}`", self.address));
        let talk = async {
            stream.write_all(format!("{commands}\n").as_bytes()).await?;
            let mut answer = Vec::new();
            stream.take(ANSWER_CAP).read_to_end(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer = match timeout_at(until, talk).await {
            Ok(Ok(answer)) => String::from_utf8_lossy(&answer).into_owned(),
            Ok(Err(failed)) => return Err(lost(&failed.to_string())),
            Err(_) => return Err(lost(&format!("no answer within {}", duration(DEADLINE)))),
        };
        if answer == "\n" || answer.ends_with("\n\n") {
            Ok(answer)
        } else {
            Err(lost("the connection was closed before the answer ended"))
        }
    }
}

/// What is lost where nothing was to change: no more than out of reach.
pub(super) fn harmless(failed: RouterError) -> RouterError {
    match failed {
        RouterError::Lost(said) => RouterError::OutOfReach(said),
        other => other,
    }
}

/// A refusal, with what is usually behind it.
pub(super) fn refused(command: &str, said: &str) -> RouterError {
    let hint = if said.starts_with("Permission denied") {
        "; the `stats socket` needs `level admin`"
    } else if said.contains("static LB algorithm") {
        "; use `balance roundrobin`, `leastconn` or `random`"
    } else {
        ""
    };
    RouterError::Refused(format!(
        "`{command}` was answered with \"{}\"{hint}",
        excerpt(said, 200)
    ))
}

/// The answers in a text: each ends with an empty line, and an empty one is only that.
fn answers_in(text: &str) -> Vec<String> {
    let mut answers = Vec::new();
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines() {
        if line.is_empty() {
            answers.push(lines.join("\n"));
            lines.clear();
        } else {
            lines.push(line);
        }
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_two_forms_and_their_short_ones() {
        let unix = Address::Unix(PathBuf::from("/run/a.sock"));
        assert_eq!("unix:/run/a.sock".parse(), Ok(unix.clone()));
        assert_eq!("/run/a.sock".parse(), Ok(unix));
        let tcp = Address::Tcp("[::1]:99".to_owned());
        assert_eq!("tcp:[::1]:99".parse(), Ok(tcp.clone()));
        assert_eq!("[::1]:99".parse(), Ok(tcp));
        for wrong in [
            "",
            "run/a.sock",
            "tcp:",
            ":99",
            "host:0",
            "host:70000",
            "unix:",
            "/a b",
        ] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_word_cannot_smuggle_in_a_command() {
        for wrong in ["", "a b", "a;shutdown", "a\nb", "a'b", "$x", "a\\"] {
            assert!(plain("key", wrong).is_err(), "{wrong:?}");
        }
        assert!(plain("key", "/etc/haproxy/w-1.map").is_ok());
    }

    #[test]
    fn an_empty_answer_is_an_answer() {
        assert_eq!(answers_in("\n\na b\nc\n\n"), ["", "", "a b\nc"]);
        assert_eq!(answers_in("cut"), [""; 0]);
    }
}
