//! What an exec prints, as the engine sends it: pieces with 8 bytes in front of each, the first of
//! which says where it was printed and the last four how long it is. A [`Pipe`] is both ways.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use reqwest::Upgraded;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf, WriteHalf};

use crate::platform::docker::Engine;

/// What was printed beside the output.
pub(super) const STDERR: u8 = 2;

/// No engine sends longer pieces, in bytes.
const LONGEST: usize = 1 << 20;

/// How much is read at a time, in bytes.
const PIECE: usize = 32 << 10;

/// The pieces, one by one.
pub(super) struct Frames {
    /// Nobody else reads it; the lock makes it one that can be handed on.
    wire: Mutex<ReadHalf<Upgraded>>,
    held: Vec<u8>,
}

impl Frames {
    pub(super) fn of(wire: ReadHalf<Upgraded>) -> Self {
        Self {
            wire: Mutex::new(wire),
            held: Vec::new(),
        }
    }

    /// The next piece, and where it was printed; `None` at the end. Given up, it has taken nothing.
    pub(super) async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<(u8, Vec<u8>)>> {
        loop {
            match taken(&mut self.held) {
                Ok(Some(piece)) => return Poll::Ready(Some(piece)),
                Ok(None) => {}
                Err(()) => return Poll::Ready(None),
            }
            let mut room = [0; PIECE];
            let mut read = ReadBuf::new(&mut room);
            let wire = self.wire.get_mut().unwrap_or_else(PoisonError::into_inner);
            match ready!(Pin::new(wire).poll_read(context, &mut read)) {
                Ok(()) if !read.filled().is_empty() => self.held.extend_from_slice(read.filled()),
                // How it broke off, the engine is asked.
                _ => return Poll::Ready(None),
            }
        }
    }
}

/// Takes a whole piece out of what was read; an error is what no engine sends.
fn taken(held: &mut Vec<u8>) -> Result<Option<(u8, Vec<u8>)>, ()> {
    let Some(([kind, _, _, _, length @ ..], rest)) = held.split_first_chunk::<8>() else {
        return Ok(None);
    };
    let (kind, length) = (*kind, u32::from_be_bytes(*length) as usize);
    if length > LONGEST || kind > STDERR {
        return Err(());
    }
    let Some(piece) = rest.get(..length).map(<[u8]>::to_vec) else {
        return Ok(None);
    };
    held.drain(..8 + length);
    Ok(Some((kind, piece)))
}

/// A connection that an exec makes: its output is what comes, its input what goes.
pub(super) struct Pipe {
    frames: Frames,
    heard: Vec<u8>,
    mouth: WriteHalf<Upgraded>,
    /// The way to it is the engine's.
    _engine: Arc<Engine>,
}

impl Pipe {
    pub(super) fn new(
        frames: Frames,
        heard: Vec<u8>,
        mouth: WriteHalf<Upgraded>,
        engine: Arc<Engine>,
    ) -> Self {
        Self {
            frames,
            heard,
            mouth,
            _engine: engine,
        }
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.heard.is_empty() {
            match ready!(self.frames.poll(context)) {
                Some((STDERR, _)) => {}
                Some((_, piece)) => self.heard = piece,
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = self.heard.len().min(into.remaining());
        into.put_slice(&self.heard[..length]);
        self.heard.drain(..length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.mouth).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.mouth).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.mouth).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_whole_or_not_there_yet() {
        let mut held = b"\x01\0\0\0\0\0\0\x03ab\n\x02\0\0\0\0\0\0\x02c".to_vec();
        assert_eq!(taken(&mut held), Ok(Some((1, b"ab\n".to_vec()))));
        assert_eq!(taken(&mut held), Ok(None));
        held.push(b'd');
        assert_eq!(taken(&mut held), Ok(Some((STDERR, b"cd".to_vec()))));
        assert_eq!(taken(&mut held), Ok(None));
        assert_eq!(taken(&mut b"HTTP/1.1 500".to_vec()), Err(()));
    }
}
