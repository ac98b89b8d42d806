//! Whether this machine has room: processors, memory, disk.

use std::io;

use crate::config::units::{Percent, Size};
use crate::model::finding::{Finding, Group};
use crate::platform::{machine, text};

use super::Circumstances;

pub(super) async fn look(with: &Circumstances) -> Vec<Finding> {
    if !with.machine {
        return Vec::new();
    }
    let limits = &with.thresholds;
    let place = with.directory.display().to_string();
    vec![
        cpu("cpu", machine::cpu().await, limits.cpu),
        memory("memory", machine::memory(), limits.memory),
        disk(
            "disk",
            machine::free_disk(&with.directory),
            &place,
            limits.disk,
        ),
    ]
}

fn unseen(name: &str, failed: &io::Error) -> Finding {
    Finding::skipped(
        Group::Runner,
        name,
        format!("cannot be measured here: {failed}"),
    )
}

pub(super) fn cpu(name: &str, measured: io::Result<f64>, at_most: Percent) -> Finding {
    let used = match measured {
        Ok(used) => used,
        Err(failed) => return unseen(name, &failed),
    };
    let said = format!("{} in use", text::percent(used));
    if used <= at_most.share() {
        return Finding::passed(Group::Runner, name, said);
    }
    let wanted = format!("at most {}", text::percent(at_most.share()));
    let next = "run it again when the machine is less busy, or raise `preflight.cpu`";
    Finding::failed(Group::Runner, name, said, wanted, next)
}

pub(super) fn memory(name: &str, measured: io::Result<(f64, u64)>, at_most: Percent) -> Finding {
    let (used, all) = match measured {
        Ok(measured) => measured,
        Err(failed) => return unseen(name, &failed),
    };
    let said = format!("{} of {} in use", text::percent(used), text::bytes(all));
    if used <= at_most.share() {
        return Finding::passed(Group::Runner, name, said);
    }
    let wanted = format!("at most {}", text::percent(at_most.share()));
    let next = "end what takes it, or raise `preflight.memory`";
    Finding::failed(Group::Runner, name, said, wanted, next)
}

pub(super) fn disk(name: &str, measured: io::Result<u64>, place: &str, least: Size) -> Finding {
    let free = match measured {
        Ok(free) => free,
        Err(failed) => return unseen(name, &failed),
    };
    let said = format!("{} free at {place}", text::bytes(free));
    if free >= least.bytes() {
        return Finding::passed(Group::Runner, name, said);
    }
    let wanted = format!("at least {least}");
    let next = "make room there (`docker system prune`, old workspaces), or lower `preflight.disk`";
    Finding::failed(Group::Runner, name, said, wanted, next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::preflight::Preflight;

    #[test]
    fn each_says_what_it_saw_and_what_it_wants() {
        let limits = Preflight::default();
        assert_eq!(
            cpu("cpu", Ok(0.914), limits.cpu).told(),
            "cpu: 91.4 % in use; wanted at most 80 %; next: run it again when the machine is less busy, or raise `preflight.cpu`"
        );
        assert_eq!(
            memory("memory", Ok((0.85, 8_000_000_000)), limits.memory).told(),
            "memory: 85 % of 8 GB in use; wanted at most 80 %; next: end what takes it, or raise `preflight.memory`"
        );
        assert_eq!(
            disk("disk", Ok(9_900_000_000), "/work", limits.disk).told(),
            "disk: 9.9 GB free at /work; wanted at least 10 GB; next: make room there (`docker system prune`, old workspaces), or lower `preflight.disk`"
        );
    }

    #[test]
    fn a_limit_is_reached_before_it_is_passed() {
        let limits = Preflight::default();
        assert_eq!(cpu("cpu", Ok(0.8), limits.cpu).told(), "cpu: 80 % in use");
        assert_eq!(
            memory("memory", Ok((0.8, 4_000_000_000)), limits.memory).told(),
            "memory: 80 % of 4 GB in use"
        );
        assert_eq!(
            disk("disk", Ok(10_000_000_000), "/", limits.disk).told(),
            "disk: 10 GB free at /"
        );
        let none = || io::Error::other("no /proc");
        assert_eq!(
            cpu("cpu", Err(none()), limits.cpu).told(),
            "cpu: cannot be measured here: no /proc"
        );
    }
}
