//! Whether this machine has room: processors, memory, disk.

use std::io;

use crate::config::preflight::Preflight;
use crate::model::finding::{Finding, Group};
use crate::platform::{machine, text};

use super::Circumstances;

pub(super) async fn look(with: &Circumstances) -> Vec<Finding> {
    if !with.machine {
        return Vec::new();
    }
    let limits = &with.thresholds;
    vec![
        cpu(machine::cpu().await, limits),
        memory(machine::memory(), limits),
        disk(
            machine::free_disk(&with.directory),
            &with.directory.display().to_string(),
            limits,
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

fn cpu(measured: io::Result<f64>, limits: &Preflight) -> Finding {
    let used = match measured {
        Ok(used) => used,
        Err(failed) => return unseen("cpu", &failed),
    };
    let said = format!("{} in use", text::percent(used));
    if used <= limits.cpu.share() {
        return Finding::passed(Group::Runner, "cpu", said);
    }
    let wanted = format!("at most {}", text::percent(limits.cpu.share()));
    let next = "run it again when the machine is less busy, or raise `preflight.cpu`";
    Finding::failed(Group::Runner, "cpu", said, wanted, next)
}

fn memory(measured: io::Result<(f64, u64)>, limits: &Preflight) -> Finding {
    let (used, all) = match measured {
        Ok(measured) => measured,
        Err(failed) => return unseen("memory", &failed),
    };
    let said = format!("{} of {} in use", text::percent(used), text::bytes(all));
    if used <= limits.memory.share() {
        return Finding::passed(Group::Runner, "memory", said);
    }
    let wanted = format!("at most {}", text::percent(limits.memory.share()));
    let next = "end what takes it, or raise `preflight.memory`";
    Finding::failed(Group::Runner, "memory", said, wanted, next)
}

fn disk(measured: io::Result<u64>, place: &str, limits: &Preflight) -> Finding {
    let free = match measured {
        Ok(free) => free,
        Err(failed) => return unseen("disk", &failed),
    };
    let said = format!("{} free at {place}", text::bytes(free));
    if free >= limits.disk.bytes() {
        return Finding::passed(Group::Runner, "disk", said);
    }
    let wanted = format!("at least {}", limits.disk);
    let next = "make room there (`docker system prune`, old workspaces), or lower `preflight.disk`";
    Finding::failed(Group::Runner, "disk", said, wanted, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_says_what_it_saw_and_what_it_wants() {
        let limits = Preflight::default();
        assert_eq!(
            cpu(Ok(0.914), &limits).told(),
            "cpu: 91.4 % in use; wanted at most 80 %; next: run it again when the machine is less busy, or raise `preflight.cpu`"
        );
        assert_eq!(
            memory(Ok((0.85, 8_000_000_000)), &limits).told(),
            "memory: 85 % of 8 GB in use; wanted at most 80 %; next: end what takes it, or raise `preflight.memory`"
        );
        assert_eq!(
            disk(Ok(9_900_000_000), "/work", &limits).told(),
            "disk: 9.9 GB free at /work; wanted at least 10 GB; next: make room there (`docker system prune`, old workspaces), or lower `preflight.disk`"
        );
    }

    #[test]
    fn a_limit_is_reached_before_it_is_passed() {
        let limits = Preflight::default();
        assert_eq!(cpu(Ok(0.8), &limits).told(), "cpu: 80 % in use");
        assert_eq!(
            memory(Ok((0.8, 4_000_000_000)), &limits).told(),
            "memory: 80 % of 4 GB in use"
        );
        assert_eq!(
            disk(Ok(10_000_000_000), "/", &limits).told(),
            "disk: 10 GB free at /"
        );
        let none = || io::Error::other("no /proc");
        assert_eq!(
            cpu(Err(none()), &limits).told(),
            "cpu: cannot be measured here: no /proc"
        );
    }
}
