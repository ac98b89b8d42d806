//! Whether hosts can be reached and have room. The environment's own are logged in to; those that
//! `preflight` names are reached by the command that it gives, and measured there by a script
//! that changes nothing.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::config::gates::Host;
use crate::model::finding::{Finding, Group};
use crate::platform::process::{End, Script, run};
use crate::platform::remote_machine::{self, Figures};
use crate::platform::text;

use super::{Circumstances, machine};
use crate::rollout::stage::Stage;

/// A host that prints more than this has something else to say than figures.
const LINES: usize = 200;

/// Whether each of the environment's own hosts can be reached, and is who it should be. The
/// connections stay open for what comes after.
pub(super) async fn reach(stage: &Stage) -> Vec<Finding> {
    let reach = stage.hosts.all().map(async |(name, host)| {
        let began = Instant::now();
        let name = &format!("host {name}");
        match host.reach().await {
            Ok(told) => {
                let said = format!("{told}, logged in after {}", text::duration(began.elapsed()));
                Finding::passed(Group::Network, name, said)
            }
            Err(failed) => {
                let next = "is it up, may this machine go there, and are its address, its key and ours right in `hosts`?";
                Finding::failed(Group::Network, name, failed.to_string(), "a login", next)
            }
        }
    });
    join_all(reach).await
}

pub(super) async fn look(with: &Circumstances) -> Vec<Finding> {
    if !with.machine {
        return Vec::new();
    }
    let hosts = with.thresholds.hosts.iter();
    let looked = join_all(hosts.map(|host| look_at(host, with))).await;
    looked.into_iter().flatten().collect()
}

async fn look_at(host: &Host, with: &Circumstances) -> Vec<Finding> {
    let figures = match measure(host, with).await {
        Ok(figures) => figures,
        Err(failed) => return vec![failed],
    };
    let limits = &with.thresholds;
    let name = |what: &str| format!("{what} of {}", host.name);
    let cpu = host.cpu.unwrap_or(limits.cpu);
    let memory = host.memory.unwrap_or(limits.memory);
    let disk = host.disk.unwrap_or(limits.disk);
    let mut all = vec![
        machine::cpu(&name("cpu"), Ok(figures.cpu), cpu),
        machine::memory(
            &name("memory"),
            Ok((figures.memory_used, figures.memory)),
            memory,
        ),
        machine::disk(&name("disk"), Ok(figures.free_disk), &host.path, disk),
    ];
    if let Some(greeting) = figures.greeting {
        let said = format!(
            "it says more than it is asked, and that was passed over: {greeting}; let its login scripts print for terminals alone"
        );
        all.push(Finding::skipped(Group::Runner, &host.name, said));
    }
    all
}

async fn measure(host: &Host, with: &Circumstances) -> Result<Figures, Finding> {
    let reach = host.reach.trim();
    // The command stands on a line of its own, so that whatever it ends with, the script goes
    // into it and is not run here.
    let run_there = format!(
        "printf %s {} | {{\n{reach} sh -s\n}}",
        text::shell_word(&remote_machine::script(&host.path))
    );
    let script = Script {
        run: &run_there,
        directory: &with.directory,
        variables: &[],
        timeout: host.timeout.get(),
        grace: Duration::ZERO,
        vault: &with.vault,
    };
    let printed = Mutex::new(Vec::new());
    let keep = |line: String| {
        if let Ok(mut printed) = printed.lock()
            && printed.len() < LINES
        {
            printed.push(line);
        }
    };
    // Dropping this future ends the command, so nothing here has to be cancelled.
    let ran = run(&script, &keep, &CancellationToken::new()).await;
    let no = |measured: String, wanted: &str, next: String| {
        Finding::failed(Group::Runner, &host.name, measured, wanted, next)
    };
    let figures = "its figures";
    let ran = match ran {
        Ok(ran) => ran,
        Err(failed) => {
            let said = format!("`{reach}` could not be begun: {failed}");
            let next = format!("see that `{reach} true` works where this job runs");
            return Err(no(said, figures, next));
        }
    };
    let printed = printed.into_inner().unwrap_or_default();
    let words = text::excerpt(&ran.last_lines.join(" "), 200);
    let said = if words.is_empty() {
        "it said nothing".to_owned()
    } else {
        format!("it said: {words}")
    };
    match ran.end {
        End::Code(0) => remote_machine::read(&printed).map_err(|said| {
            let next = format!(
                "`{reach} sh -s` must run a POSIX shell on Linux, with head, grep, df and tail, and print nothing but what it is asked"
            );
            no(said, figures, next)
        }),
        End::TimedOut => {
            let limit = text::duration(host.timeout.get());
            let next = format!(
                "is it up, and does `{reach} true` ask for something (a password, a host key)? `ssh -o BatchMode=yes` says so at once; `timeout` gives it longer"
            );
            let wanted = format!("its figures within {limit}");
            Err(no(format!("no answer after {limit}; {said}"), &wanted, next))
        }
        end => {
            let next = format!("see that `{reach} true` works where this job runs");
            Err(no(format!("`{reach}` {end}; {said}"), figures, next))
        }
    }
}
