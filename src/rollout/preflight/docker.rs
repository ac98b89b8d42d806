//! Whether the Docker engine answers and Compose is there, by the very command that a deployment
//! would call: contexts, `DOCKER_HOST` and TLS are its matter.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::model::finding::{Finding, Group};
use crate::platform::process::{End, Script, run};
use crate::platform::text;

use super::Circumstances;

/// How long each may take.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) async fn look(with: &Circumstances) -> Vec<Finding> {
    if !with.thresholds.docker {
        return Vec::new();
    }
    let (engine, compose) = tokio::join!(
        ask(
            with,
            "engine",
            "docker version --format '{{.Server.Version}}'",
            "start the Docker engine, or give this job its socket and the `docker` command",
        ),
        ask(
            with,
            "compose",
            "docker compose version --short",
            "install the Compose plugin where this job runs",
        ),
    );
    vec![engine, compose]
}

/// A command that prints a version and ends with 0.
async fn ask(with: &Circumstances, name: &str, command: &str, next: &str) -> Finding {
    let script = Script {
        run: command,
        directory: &with.directory,
        variables: &[],
        timeout: TIMEOUT,
        grace: Duration::ZERO,
        vault: &with.vault,
    };
    // Dropping this future ends the command, so nothing here has to be cancelled.
    let ran = run(&script, &|_| {}, &CancellationToken::new()).await;
    let said = match ran {
        Ok(ran) => {
            let words = text::excerpt(&ran.last_lines.join(" "), 200);
            if ran.end == End::Code(0) {
                return Finding::passed(Group::Docker, name, words);
            }
            match ran.end {
                End::TimedOut => format!(
                    "`{command}` did not answer within {}",
                    text::duration(TIMEOUT)
                ),
                end => format!("`{command}` {end}; it said: {words}"),
            }
        }
        Err(failed) => format!("`{command}` could not be begun: {failed}"),
    };
    Finding::failed(Group::Docker, name, said, "a version and 0", next)
}
