//! What `pg_isready` does: begins a session as far as the server's first answer, and ends it.
//! That the server asks who it is, or refuses whoever it is, shows that it accepts connections.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::words::STARTING;
use crate::config::address::Address;
use crate::probes::reach::{self, Progress, Trouble};

/// Version 3.0 of the protocol.
const PROTOCOL: i32 = 3 << 16;

/// The longest answer that is read.
const LONGEST: usize = 16 << 10;

/// Asks, and returns what the answer shows.
pub(super) async fn ask(address: &Address, progress: &Progress) -> Result<String, Trouble> {
    let mut stream = reach::connect(address, progress).await?;
    progress.at("start-up");
    exchange(&mut stream).await
}

async fn exchange(stream: &mut TcpStream) -> Result<String, Trouble> {
    let lost = |failed: std::io::Error| {
        if failed.kind() == std::io::ErrorKind::UnexpectedEof {
            return Trouble::silent("start-up: it closed the connection without a word");
        }
        Trouble::io("start-up", &failed)
    };
    stream.write_all(&start_up()).await.map_err(lost)?;
    let kind = stream.read_u8().await.map_err(lost)?;
    match kind {
        // It asks who this is, or which protocol.
        b'R' | b'v' => Ok("accepts connections".to_owned()),
        b'E' => {
            let length = stream.read_u32().await.map_err(lost)? as usize;
            if !(4..=LONGEST).contains(&length) {
                return Err(stranger());
            }
            let mut fields = vec![0; length - 4];
            stream.read_exact(&mut fields).await.map_err(lost)?;
            let (code, said) = (field(&fields, b'C'), field(&fields, b'M'));
            if code == STARTING {
                return Err(Trouble::wrong(format!(
                    "it rejects connections: {said} ({code})"
                )));
            }
            Ok(format!(
                "accepts connections, though not this one ({said}),"
            ))
        }
        _ => Err(stranger()),
    }
}

fn stranger() -> Trouble {
    Trouble::wrong("what answers there is not PostgreSQL")
}

fn start_up() -> Vec<u8> {
    let mut body = PROTOCOL.to_be_bytes().to_vec();
    body.extend(b"user\0cutover\0database\0postgres\0application_name\0cutover\0\0");
    let length = body.len() as u32 + 4;
    let mut message = length.to_be_bytes().to_vec();
    message.extend(body);
    message
}

/// A field of an error: each is a letter and a text that ends with a zero.
fn field(fields: &[u8], letter: u8) -> String {
    let found = fields
        .split(|byte| *byte == 0)
        .find_map(|field| field.strip_prefix(&[letter]));
    String::from_utf8_lossy(found.unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_an_error_are_told_apart() {
        let fields = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0";
        assert_eq!(field(fields, b'C'), STARTING);
        assert_eq!(field(fields, b'M'), "the database system is starting up");
        assert_eq!(field(fields, b'H'), "");
    }
}
