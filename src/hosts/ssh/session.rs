//! A channel with a command behind it, over the one connection to a host.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::sync::OwnedSemaphorePermit;

use super::connection::Warm;
use crate::hosts::shell::{News, Speaker, Talk, Voice};
use crate::platform::process::End;

/// A channel with a command behind it. Dropped, it is closed, which ends the command.
pub(super) struct Session {
    hears: ChannelReadHalf,
    pub(super) speaks: Arc<ChannelWriteHalf<Msg>>,
    _seat: Option<OwnedSemaphorePermit>,
    _warm: Arc<Warm>,
}

impl Session {
    pub(super) fn new(
        channel: Channel<Msg>,
        seat: Option<OwnedSemaphorePermit>,
        warm: Arc<Warm>,
    ) -> Self {
        let (hears, speaks) = channel.split();
        Self {
            hears,
            speaks: Arc::new(speaks),
            _seat: seat,
            _warm: warm,
        }
    }
}

#[async_trait]
impl Talk for Session {
    async fn next(&mut self) -> Option<News> {
        Some(match self.hears.wait().await? {
            ChannelMsg::Close => return None,
            ChannelMsg::Data { data } => News::Output(data.to_vec()),
            // Ours has one stream only; this is what a login script complains of.
            ChannelMsg::ExtendedData { data, .. } => News::Beside(data.to_vec()),
            ChannelMsg::ExitStatus { exit_status } => {
                News::Ended(End::Code(i32::try_from(exit_status).unwrap_or(i32::MAX)))
            }
            ChannelMsg::ExitSignal { .. } => News::Ended(End::Signal(9)),
            ChannelMsg::Failure => News::Refused("it runs no commands for this key".to_owned()),
            _ => News::Nothing,
        })
    }

    fn speaker(&self) -> Speaker {
        Speaker::new(Mouth(Arc::clone(&self.speaks)))
    }
}

struct Mouth(Arc<ChannelWriteHalf<Msg>>);

#[async_trait]
impl Voice for Mouth {
    async fn send(&self, bytes: Vec<u8>) -> io::Result<()> {
        self.0.data_bytes(bytes).await.map_err(io::Error::other)
    }

    async fn finish(&self) -> io::Result<()> {
        self.0.eof().await.map_err(io::Error::other)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Both are put into a queue, which has room but for a connection that is lost anyway.
        let _ = self.speaks.eof().now_or_never();
        let _ = self.speaks.close().now_or_never();
    }
}
