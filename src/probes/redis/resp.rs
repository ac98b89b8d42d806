//! The protocol of Redis, as far as a look needs it: a command is an array of texts, an answer
//! is a line or one text. What is refused is told by the word that it begins with.

use std::io;

use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};

use crate::probes::reach::Trouble;

/// The longest answer that is read.
const LONGEST: u64 = 64 << 10;

/// What a conversation goes over, secure or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A conversation.
pub(super) struct Talk(BufReader<Box<dyn Stream>>);

impl Talk {
    pub(super) fn over(stream: Box<dyn Stream>) -> Self {
        Self(BufReader::new(stream))
    }

    /// Says a command and returns its answer.
    pub(super) async fn ask(&mut self, words: &[&str]) -> Result<String, Trouble> {
        // Who is turned away at the door cannot write any more, but can read why.
        let sent = async {
            self.0.write_all(&command(words)).await?;
            self.0.flush().await
        }
        .await;
        let stage = words.first().copied().unwrap_or_default();
        match (self.answer().await, sent) {
            (Ok(Answer::Text(text)), _) => Ok(text),
            (Ok(Answer::Refused(said)), _) => Err(refused(&said)),
            (Ok(Answer::Odd), _) => Err(Trouble::wrong("what answers there is not Redis")),
            (Err(failed), _) if failed.kind() == io::ErrorKind::UnexpectedEof => Err(
                Trouble::silent(format!("{stage}: it closed the connection without a word")),
            ),
            (Err(_), Err(failed)) | (Err(failed), Ok(())) => Err(Trouble::io(stage, &failed)),
        }
    }

    async fn answer(&mut self) -> io::Result<Answer> {
        let line = self.line().await?;
        let (kind, rest) = line.split_at_checked(1).unwrap_or_default();
        Ok(match kind {
            "+" => Answer::Text(rest.to_owned()),
            "-" => Answer::Refused(rest.to_owned()),
            "$" => match rest.parse::<u64>() {
                Ok(length) if length <= LONGEST => Answer::Text(self.text(length).await?),
                _ => Answer::Odd,
            },
            _ => Answer::Odd,
        })
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        (&mut self.0)
            .take(LONGEST)
            .read_until(b'\n', &mut line)
            .await?;
        if line.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(String::from_utf8_lossy(line.trim_ascii_end()).into_owned())
    }

    async fn text(&mut self, length: u64) -> io::Result<String> {
        let mut text = Vec::new();
        (&mut self.0)
            .take(length + 2)
            .read_to_end(&mut text)
            .await?;
        Ok(String::from_utf8_lossy(text.trim_ascii_end()).into_owned())
    }
}

enum Answer {
    Text(String),
    Refused(String),
    /// Nothing that Redis says to these commands.
    Odd,
}

fn command(words: &[&str]) -> Vec<u8> {
    let mut command = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        command.extend(format!("${}\r\n{word}\r\n", word.len()).into_bytes());
    }
    command
}

/// What a refusal means.
fn refused(said: &str) -> Trouble {
    let begins = |with: &str| said.starts_with(with);
    let words = match said.split_whitespace().next().unwrap_or_default() {
        "NOAUTH" => "it wants a password, and none is given",
        "WRONGPASS" => "the user or the password is wrong",
        "LOADING" => "it is still loading its data",
        "MISCONF" => "it cannot save its data and takes no writes",
        "MASTERDOWN" => "its link to the master is down, and it serves nothing stale",
        "BUSY" => "a script keeps it busy",
        "NOPERM" => "the user may not ask that",
        "DENIED" => "it is in protected mode and lets in nobody from another machine",
        "ERR" if begins("ERR max number of clients") => "it has no connection left to give",
        "ERR" if begins("ERR invalid password") => "the password is wrong",
        "ERR" if begins("ERR AUTH") || begins("ERR Client sent AUTH") => {
            "a password is given, and it has none"
        }
        _ => "it refused",
    };
    Trouble::wrong(format!("{words}: {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_an_array_of_texts() {
        assert_eq!(
            command(&["AUTH", "p w\r\n"]),
            b"*2\r\n$4\r\nAUTH\r\n$5\r\np w\r\n\r\n"
        );
    }

    #[tokio::test]
    async fn answers_of_all_sorts() {
        let answers = "+PONG\r\n$7\r\na:b\r\nc\n\r\n-LOADING Redis is loading\r\n*1\r\n:1\r\n+cut";
        let (mut there, here) = tokio::io::duplex(1 << 10);
        there.write_all(answers.as_bytes()).await.unwrap();
        let mut talk = Talk::over(Box::new(here));
        assert_eq!(talk.ask(&["PING"]).await.unwrap(), "PONG");
        assert_eq!(talk.ask(&["INFO"]).await.unwrap(), "a:b\r\nc");
        let said = format!("{:?}", talk.ask(&["PING"]).await.unwrap_err());
        assert!(said.contains("still loading"), "{said}");
        let said = format!("{:?}", talk.ask(&["PING"]).await.unwrap_err());
        assert!(said.contains("not Redis"), "{said}");
    }
}
