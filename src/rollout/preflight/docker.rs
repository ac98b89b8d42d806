//! Whether the Docker engine answers, asked at its own API, so that no `docker` command has to be
//! here; and whether Compose is there, which only that command can say.

use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::config::docker_host::Engine;
use crate::model::finding::{Finding, Group};
use crate::platform::http::{Http, Look, below};
use crate::platform::process::{End, Script, run};
use crate::platform::text;

use super::Circumstances;

/// How long each question may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What a shell ends with where it does not find a command.
const NOT_FOUND: End = End::Code(127);

/// What the engine says of itself.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    version: String,
    api_version: String,
}

/// Why there is no engine: what was seen, and what to do.
struct No {
    measured: String,
    next: String,
}

pub(super) async fn look(http: &Http, with: &Circumstances) -> Vec<Finding> {
    if !with.thresholds.docker {
        return Vec::new();
    }
    let (engine, compose) = tokio::join!(engine(http, with), compose(with));
    vec![engine, compose]
}

async fn engine(http: &Http, with: &Circumstances) -> Finding {
    let answered = match &with.engine {
        Engine::Socket(path) => by_socket(http, path).await,
        Engine::Port(url) => by_port(http, url).await,
        Engine::Client(why) => by_client(why, with).await,
        Engine::Wrong(said) => Err(No {
            measured: said.clone(),
            next: "correct DOCKER_HOST, or leave it out".to_owned(),
        }),
    };
    match answered {
        Ok(said) => Finding::passed(Group::Docker, "engine", said),
        Err(no) => {
            let wanted = "an engine that answers";
            Finding::failed(Group::Docker, "engine", no.measured, wanted, no.next)
        }
    }
}

async fn by_socket(http: &Http, path: &Path) -> Result<String, No> {
    let place = path.display();
    let connected = tokio::time::timeout(TIMEOUT, UnixStream::connect(path)).await;
    let failed = match connected {
        Ok(Ok(_)) => {
            // What the engine is called behind its socket, it does not ask.
            let base = Url::parse("http://localhost").map_err(|failed| No {
                measured: failed.to_string(),
                next: String::new(),
            })?;
            return ask(http, Some(path), &base, &place.to_string()).await;
        }
        Ok(Err(failed)) => failed,
        Err(_) => ErrorKind::TimedOut.into(),
    };
    Err(no_socket(path, &failed))
}

fn no_socket(path: &Path, failed: &io::Error) -> No {
    let place = path.display();
    match failed.kind() {
        ErrorKind::PermissionDenied => {
            let me = rustix::process::geteuid().as_raw();
            let owner = std::fs::metadata(path).map_or_else(
                |_| "it cannot even be looked at".to_owned(),
                |it| {
                    format!(
                        "it is for user {} and group {}, mode {:o}",
                        it.uid(),
                        it.gid(),
                        it.mode() & 0o777
                    )
                },
            );
            No {
                measured: format!("this job may not open {place}: it runs as user {me}, and {owner}"),
                next: "add that user to the socket's group (`sudo usermod -aG docker USER`) and start the runner anew, or name an engine that it may ask with DOCKER_HOST; whoever may ask is root on that machine".to_owned(),
            }
        }
        ErrorKind::NotFound => No {
            measured: format!("nothing is at {place}"),
            next: "start the Docker engine; inside of a container mount its socket, or name it with DOCKER_HOST".to_owned(),
        },
        ErrorKind::ConnectionRefused => {
            let socket = std::fs::metadata(path).is_ok_and(|it| it.file_type().is_socket());
            let what = if socket {
                "is a socket that nobody listens at"
            } else {
                "is no socket"
            };
            No {
                measured: format!("{place} {what}"),
                next: "start the Docker engine (`sudo systemctl start docker`)".to_owned(),
            }
        }
        _ => No {
            measured: format!("{place}: {failed}"),
            next: "see that the Docker engine runs and is named rightly".to_owned(),
        },
    }
}

async fn by_port(http: &Http, url: &Url) -> Result<String, No> {
    let place = format!(
        "{}:{}",
        url.host_str().unwrap_or_default(),
        url.port_or_known_default().unwrap_or_default()
    );
    ask(http, None, url, &place).await
}

/// Asks whether it is an engine, and which.
async fn ask(http: &Http, socket: Option<&Path>, base: &Url, place: &str) -> Result<String, No> {
    let get = async |path: &str| {
        let look = Look::at(below(base, path), TIMEOUT);
        let answered = match socket {
            Some(socket) => http.look_through(socket, &look).await,
            None => http.look(&look).await,
        };
        answered.map_err(|none| No {
            measured: format!("{place}: {none}"),
            next: "see that the Docker engine runs there and is not stuck: `docker version`"
                .to_owned(),
        })
    };
    let other = |path: &str, status: u16, body: &str| No {
        measured: format!(
            "{place} answered {path} with {status} {}",
            text::excerpt(body, 120)
        ),
        next: "is that a Docker engine? Its log says more".to_owned(),
    };
    let pong = get("/_ping").await?;
    if pong.status != 200 || pong.text().trim() != "OK" {
        return Err(other("/_ping", pong.status, &pong.text()));
    }
    let answer = get("/version").await?;
    match serde_json::from_slice::<Version>(&answer.body) {
        Ok(said) if answer.status == 200 => Ok(format!(
            "{} (API {}) at {place}",
            text::excerpt(&said.version, 40),
            text::excerpt(&said.api_version, 20)
        )),
        _ => Err(other("/version", answer.status, &answer.text())),
    }
}

/// By the very command that a deployment would call.
async fn by_client(why: &str, with: &Circumstances) -> Result<String, No> {
    let command = "docker version --format '{{.Server.Version}}'";
    match said_by(command, with).await {
        Ok((End::Code(0), words)) => Ok(format!("{words}, by {why}")),
        Ok((NOT_FOUND, _)) => Err(No {
            measured: format!("{why} is set, which only the `docker` command knows, and it is not here"),
            next: "install that command where this job runs, or name a socket or a plain port with DOCKER_HOST".to_owned(),
        }),
        Ok((End::TimedOut, _)) => Err(No {
            measured: format!(
                "`{command}` did not answer within {}",
                text::duration(TIMEOUT)
            ),
            next: format!("see that the engine runs behind {why}"),
        }),
        Ok((end, words)) => Err(No {
            measured: format!("`{command}` {end}; it said: {words}"),
            next: format!("see that the engine runs behind {why}"),
        }),
        Err(failed) => Err(No {
            measured: format!("`{command}` could not be begun: {failed}"),
            next: format!("see that the engine runs behind {why}"),
        }),
    }
}

async fn compose(with: &Circumstances) -> Finding {
    let command = "docker compose version --short";
    let measured = match said_by(command, with).await {
        Ok((End::Code(0), words)) => return Finding::passed(Group::Docker, "compose", words),
        Ok((NOT_FOUND, _)) => {
            let said = "there is no `docker` command here, and nobody else can say; what is deployed over the network does not need it";
            return Finding::skipped(Group::Docker, "compose", said);
        }
        Ok((End::TimedOut, _)) => format!(
            "`{command}` did not answer within {}",
            text::duration(TIMEOUT)
        ),
        Ok((end, words)) => format!("`{command}` {end}; it said: {words}"),
        Err(failed) => format!("`{command}` could not be begun: {failed}"),
    };
    let next = "install the Compose plug-in where this job runs (the package docker-compose-plugin or docker-compose-v2)";
    Finding::failed(Group::Docker, "compose", measured, "its version", next)
}

/// How a command ended, and its last words.
async fn said_by(command: &str, with: &Circumstances) -> io::Result<(End, String)> {
    let script = Script {
        run: command,
        directory: &with.directory,
        variables: &[],
        timeout: TIMEOUT,
        grace: Duration::ZERO,
        vault: &with.vault,
    };
    // Dropping this future ends the command, so nothing here has to be cancelled.
    let ran = run(&script, &|_| {}, &CancellationToken::new()).await?;
    Ok((ran.end, text::excerpt(&ran.last_lines.join(" "), 200)))
}
