//! From an environment's `members:` to a crew: who they are, and the router that takes them out.

use crate::config::file::Environment;
use crate::platform::host::Hosts;
use crate::rollout::stage::Crew;
use crate::routers::pool;

use super::{Misfit, Tools, fitting, named};

/// The members, where the environment has members.
pub(super) fn of(
    environment: &Environment,
    tools: &Tools,
    hosts: &Hosts,
    misfits: &mut Vec<Misfit>,
) -> Option<Crew> {
    if environment.members.is_empty() {
        return None;
    }
    let members = named(&environment.members);
    let with = pool::Tools {
        http: tools.http.clone(),
        members: members.clone(),
        directory: tools.directory.clone(),
        vault: tools.vault.clone(),
        hosts: hosts.clone(),
    };
    let block = environment.router.as_ref();
    let built = block.map(|block| pool::build(&block.0, &with));
    let pool = built.and_then(|built| fitting("router", built, misfits));
    Some(Crew { members, pool })
}
