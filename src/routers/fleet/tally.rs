//! What all nodes of a fleet count together, slot by slot.
//!
//! One that begins anew is added from there on, and the others go on: their counts are not lost
//! with its own.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::future::join_all;

use crate::model::arms::{Counters, Stand};
use crate::platform::text::count;
use crate::routers::{RouterError, Tally};

/// The tallies of the nodes, with their names.
pub(super) struct Sum<'a> {
    nodes: Vec<(&'a str, Box<dyn Tally + 'a>)>,
    so_far: Mutex<Option<Looked>>,
}

impl<'a> Sum<'a> {
    /// Nobody has looked yet.
    pub(super) fn of(nodes: Vec<(&'a str, Box<dyn Tally + 'a>)>) -> Self {
        Self {
            nodes,
            so_far: Mutex::default(),
        }
    }
}

/// The last look at each node, and what they have counted together.
struct Looked {
    last: Vec<Stand>,
    total: Stand,
}

impl Looked {
    /// The first look: all that was ever counted.
    fn first(stands: Vec<Stand>) -> Self {
        let nothing = Stand {
            at: 0,
            first: Counters::default(),
            second: Counters::default(),
        };
        let mut total = nothing;
        for stand in &stands {
            include(&mut total, stand);
        }
        Self {
            last: stands,
            total,
        }
    }

    fn next(&mut self, stands: Vec<Stand>) {
        for (now, then) in stands.iter().zip(&self.last) {
            self.total.at = self.total.at.max(now.at);
            if let Some(more) = now.since(then) {
                include(&mut self.total, &more);
            }
        }
        self.last = stands;
    }
}

fn include(total: &mut Stand, more: &Stand) {
    total.at = total.at.max(more.at);
    total.first.include(&more.first);
    total.second.include(&more.second);
}

#[async_trait]
impl Tally for Sum<'_> {
    fn told(&self) -> String {
        let nodes = count(self.nodes.len() as u64, "node");
        match self.nodes.first() {
            Some((name, tally)) => format!("{nodes}, {name} being {}", tally.told()),
            None => nodes,
        }
    }

    async fn stand(&self) -> Result<Stand, RouterError> {
        let asked = self.nodes.iter().map(async |(name, tally)| {
            let stand = tally.stand().await;
            stand.map_err(|failed| failed.of(name))
        });
        let stands = join_all(asked)
            .await
            .into_iter()
            .collect::<Result<Vec<_>, _>>()?;
        let mut so_far = self.so_far.lock().unwrap_or_else(PoisonError::into_inner);
        let looked = match so_far.take() {
            None => Looked::first(stands),
            Some(mut looked) => {
                looked.next(stands);
                looked
            }
        };
        Ok(so_far.insert(looked).total.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stand(at: i64, blue: f64, green: f64) -> Stand {
        let counters = |requests| Counters {
            requests,
            ..Counters::default()
        };
        Stand {
            at,
            first: counters(blue),
            second: counters(green),
        }
    }

    #[test]
    fn a_node_that_begins_anew_takes_nothing_away() {
        let mut looked = Looked::first(vec![stand(1, 100.0, 10.0), stand(2, 1000.0, 20.0)]);
        assert_eq!(looked.total, stand(2, 1100.0, 30.0));
        // The first one was started again, and has counted since; the second one goes on.
        looked.next(vec![stand(3, 5.0, 1.0), stand(3, 1100.0, 30.0)]);
        assert_eq!(looked.total, stand(3, 1200.0, 40.0));
        looked.next(vec![stand(4, 15.0, 2.0), stand(4, 1100.0, 31.0)]);
        assert_eq!(looked.total, stand(4, 1210.0, 42.0));
    }
}
