//! An access log on a host: each look is a question for what was added, and mostly one.
//!
//! Nothing there is kept open. A log that was rotated is found by its inode as long as it is in the
//! same directory; of one that is not, what was added since the last look is lost.

use std::path::Path;

use super::{Counted, Rest};
use crate::platform::host::{Host, HostError, ReadTo};

/// How much travels at a time: a few seconds of a slow line.
const PIECE: u64 = 512 << 10;

/// How far it was read.
#[derive(Default)]
pub(super) struct There {
    current: Option<Place>,
    /// One that was rotated away at the last look.
    leaving: Option<Place>,
}

/// A log, read so far.
struct Place {
    to: ReadTo,
    rest: Rest,
}

impl There {
    /// Reads what was added since the last time; at the first time nothing, for that is the past.
    /// Given up, it goes on where it was.
    pub(super) async fn read(
        &mut self,
        host: &dyn Host,
        path: &Path,
        counted: &mut Counted,
    ) -> Result<(), HostError> {
        let Some(current) = &mut self.current else {
            let grown = host.read_on(path, None, 0).await?;
            let (Some(inode), Some(added)) = (grown.named, grown.added) else {
                return Err(HostError::Refused("No such file".to_owned()));
            };
            self.current = Some(Place::at(inode, added.size));
            return Ok(());
        };
        if let Some(leaving) = &mut self.leaving {
            leaving.read(host, path, counted).await?;
            self.leaving = None;
        }
        let named = current.read(host, path, counted).await?;
        if let Some(inode) = named.filter(|inode| *inode != current.to.inode) {
            let fresh = Place::at(inode, 0);
            self.leaving = Some(std::mem::replace(current, fresh));
            current.read(host, path, counted).await?;
        }
        Ok(())
    }
}

impl Place {
    fn at(inode: u64, at: u64) -> Self {
        Self {
            to: ReadTo { inode, at },
            rest: Rest::default(),
        }
    }

    /// Reads whole lines to where the file ended when it was first asked for. Returns the inode of
    /// the file that has the name.
    async fn read(
        &mut self,
        host: &dyn Host,
        path: &Path,
        counted: &mut Counted,
    ) -> Result<Option<u64>, HostError> {
        let mut end = None;
        loop {
            let grown = host.read_on(path, Some(self.to), PIECE).await?;
            let Some(added) = grown.added else {
                // What is given its inode now is another.
                self.to.at = 0;
                self.rest.forget();
                return Ok(grown.named);
            };
            // It was emptied where it is.
            if added.from < self.to.at {
                self.rest.forget();
            }
            self.to.at = added.from + added.content.len() as u64;
            self.rest.take(&added.content, counted);
            let end = *end.get_or_insert(added.size);
            if self.to.at >= end || added.content.is_empty() {
                return Ok(grown.named);
            }
        }
    }
}
