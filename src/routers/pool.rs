//! The seam beside the one for slots: which members of a pool get traffic.
//!
//! A pool is read, prepared, turned and confirmed, member by member; every verb can be repeated.
//! To add a kind: write its file, and its `POOL` into [`KINDS`]. Its options are those of the
//! router of the same name, so that a config has one `router:` block whatever is in front of what.
//! Nothing here knows why a member is taken out.

use std::path::PathBuf;

use async_trait::async_trait;

use crate::config::kinds::{Block, Kind};
use crate::model::pool::Place;
use crate::model::slot::Slot;
use crate::platform::host::Hosts;
use crate::platform::http::Http;
use crate::platform::secret::Vault;

use super::{Confirmed, RouterError, haproxy, nginx};

/// The kinds of routers that can take single members out.
pub const KINDS: &[Kind<dyn Pool, Tools>] = &[haproxy::POOL, nginx::POOL];

/// What a pool is built with.
pub struct Tools {
    /// The HTTP clients.
    pub http: Http,
    /// The members, in the order of the config.
    pub members: Vec<Slot>,
    /// What relative paths are relative to.
    pub directory: PathBuf,
    /// What must not be shown of what a command prints.
    pub vault: Vault,
    /// The machines that the config names.
    pub hosts: Hosts,
}

/// What a router said of its pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rota {
    /// Where each member stands, in the order of the config.
    pub places: Vec<Place>,
    /// Changes whenever anybody takes a member out or puts one in; a turn names the revision that
    /// it starts from. A member whose checks fail changes nothing in it.
    pub revision: String,
}

/// A change: these members, and no others, go out or come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Which, by their places in the config.
    pub members: Vec<usize>,
    /// Whether they come in.
    pub come_in: bool,
}

/// How many requests members still have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InFlight {
    /// So many.
    Known(u64),
    /// The router does not say; why.
    Untold(&'static str),
}

/// Which members of a pool get traffic.
#[async_trait]
pub trait Pool: Send + Sync {
    /// What it is, for a line of log: `haproxy backend shop`.
    fn told(&self) -> String;

    /// What a turn is known to cost, where it costs something.
    fn known_loss(&self) -> Option<String>;

    /// The lines that the proxy's own configuration needs once, with a word on where they go.
    fn one_time_lines(&self) -> String;

    /// Where each member stands now.
    ///
    /// # Errors
    /// When it cannot be reached, or does not know a member.
    async fn read(&self) -> Result<Rota, RouterError>;

    /// Checks that members could be taken out and put in, and does neither.
    ///
    /// # Errors
    /// When they could not.
    async fn prepare(&self) -> Result<(), RouterError>;

    /// Takes members out or puts them in, starting from what was read, or refuses. A member that
    /// is there already stays there.
    ///
    /// # Errors
    /// See [`RouterError`].
    async fn apply(&self, from: &Rota, turn: &Turn) -> Result<(), RouterError>;

    /// Reads back whether a turn is in force: those that came in get traffic, those that went out
    /// get nothing new. Does not wait for the router's own checks.
    ///
    /// # Errors
    /// When it is not, or cannot be told.
    async fn confirm(&self, turn: &Turn) -> Result<Confirmed, RouterError>;

    /// Makes the router's own parts agree, where a run was killed between two of them: what it has
    /// written goes on. Does nothing where they agree.
    ///
    /// # Errors
    /// When they do not, or cannot be asked.
    async fn reconcile(&self) -> Result<(), RouterError>;

    /// How many requests members still have.
    ///
    /// # Errors
    /// When it cannot be reached.
    async fn in_flight(&self, members: &[usize]) -> Result<InFlight, RouterError>;
}

/// Makes the pool that a router's block describes.
///
/// # Errors
/// When that kind of router cannot take single members out (with the list of those that can), or
/// refuses its options.
pub fn build(block: &Block, tools: &Tools) -> Result<Box<dyn Pool>, String> {
    match KINDS.iter().find(|kind| kind.name == block.kind) {
        Some(kind) => (kind.build)(block, tools),
        None => {
            let known: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
            Err(format!(
                "the router {} does not take single members out; {} can",
                block.kind,
                known.join(" and ")
            ))
        }
    }
}

/// The members whose names a mapping of the options has, each with what it says of it, or the
/// default.
pub(super) fn of_members(
    key: &str,
    given: Option<&indexmap::IndexMap<String, String>>,
    members: &[Slot],
    default: impl Fn(&Slot) -> String,
) -> Result<Vec<String>, String> {
    let stranger = given
        .into_iter()
        .flat_map(|given| given.keys())
        .find(|name| members.iter().all(|member| member.name != **name));
    if let Some(stranger) = stranger {
        return Err(format!("{key}: there is no member \"{stranger}\""));
    }
    let one = |member: &Slot| {
        let said = given.and_then(|given| given.get(&member.name)).cloned();
        said.unwrap_or_else(|| default(member))
    };
    let all: Vec<String> = members.iter().map(one).collect();
    let twice = all
        .iter()
        .enumerate()
        .find(|(at, one)| all[..*at].contains(one));
    match twice {
        Some((_, one)) => Err(format!("{key}: two members are {one}")),
        None => Ok(all),
    }
}
