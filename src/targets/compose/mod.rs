//! A release gets into a slot as a project of Docker Compose, one for each slot: `shop-blue`.
//!
//! Compose has no API, so its command does it, where the file is. The file is read with the version,
//! and the images are there, before anything is stopped. What was last well is kept as Compose has
//! understood it, and is brought up again if the new one does not get well.

mod options;
mod watch;
mod words;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use self::options::{Options, Pull};
use super::shell::{Said, Shell, Words};
use super::{Desk, Order, Stops, Target, TargetError, Tools, of_every_version};
use crate::config::kinds::{Kind, plain_schema};
use crate::config::script::{Pairs, and};
use crate::platform::host::on;
use crate::platform::process::{End, Sink};
use crate::platform::text;

/// The kind's entry in the table.
pub(super) const KIND: Kind<dyn Target, Tools> = Kind {
    name: "compose",
    about: "Runs the release as a project of Docker Compose: read, pull, up, watch, put back.",
    schema: plain_schema::<Options>,
    build: |block, tools| {
        let options: Options = block.options()?;
        if options.file.trim().is_empty() {
            return Err("file: there is no path".to_owned());
        }
        if !options.project.contains("$SLOT") {
            return Err(format!(
                "project: \"{}\" is the same for both slots; put $SLOT into it",
                options.project
            ));
        }
        of_every_version("project", &options.project)?;
        let hidden = options.env.split(&tools.vault).0;
        if let (Some((name, _)), Some(_)) = (hidden.first(), &options.host) {
            return Err(format!(
                "env.{name}: on a host a secret belongs into a file there, which the service names as its `env_file`"
            ));
        }
        let host = tools.hosts.named(options.host.as_deref())?;
        Ok(Box::new(Compose {
            told: format!("compose {}{}", options.file, on(&*host)),
            directory: match options.host {
                None => tools.directory.clone(),
                Some(_) => PathBuf::new(),
            },
            shell: Shell {
                host,
                vault: tools.vault.clone(),
                sudo: false,
            },
            options,
        }))
    },
};

/// How long may take what only looks.
const SOON: Duration = Duration::from_secs(60);

struct Compose {
    options: Options,
    shell: Shell,
    told: String,
    directory: PathBuf,
}

/// A slot's project, and what its file finds in the environment.
struct Project {
    name: String,
    file: String,
    variables: Pairs,
}

#[async_trait]
impl Target for Compose {
    fn told(&self) -> String {
        self.told.clone()
    }

    fn ends_what_it_begins(&self) -> bool {
        true
    }

    async fn prepare(&self, order: &Order) -> Result<(), TargetError> {
        let project = self.project(order)?;
        self.look(&project, &CancellationToken::new()).await
    }

    async fn deploy(&self, order: &Order, desk: &Desk<'_>) -> Result<String, TargetError> {
        let project = self.project(order)?;
        self.look(&project, desk.cancelled).await?;
        self.pull(&project, desk).await?;
        let begun = self.ask(words::BEGIN, &project, desk.cancelled).await;
        // Nothing of the project was touched so far.
        begun?;
        let wait = self.options.wait.get();
        let up = self.up(words::UP, &project, wait, desk.say, desk.cancelled);
        let why = match up.await {
            Ok(well) => {
                // Also where the run is cancelled by now: left as it was, it would be what a later
                // failure goes back to.
                let never = CancellationToken::new();
                if let Err(failed) = self.ask(words::KEEP, &project, &never).await {
                    (desk.say)(format!("what runs was not written down: {failed}"));
                }
                return Ok(format!("{} {well}{}", project.name, on(&*self.shell.host)));
            }
            Err(why) => why,
        };
        let cancelled = why == TargetError::Cancelled;
        let words = match &why {
            TargetError::Cancelled => Vec::new(),
            _ => self.last_words(&project).await,
        };
        let back = self.put_back(&project, cancelled).await;
        Err(self.ended(&project, why, words, back, desk))
    }

    fn stops(&self) -> Option<&dyn Stops> {
        Some(self)
    }
}

#[async_trait]
impl Stops for Compose {
    async fn stop(&self, order: &Order, desk: &Desk<'_>) -> Result<String, TargetError> {
        let project = self.project(order)?;
        let wait = self.options.wait.get();
        let said = self
            .run(words::STOP, &project, wait, desk.say, desk.cancelled)
            .await?;
        self.done(&project, said, "stop", wait)?;
        Ok(format!(
            "{} is stopped{}",
            project.name,
            on(&*self.shell.host)
        ))
    }
}

impl Compose {
    fn project(&self, order: &Order) -> Result<Project, TargetError> {
        let name = order.fill(&self.options.project);
        let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
        let begins = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        if !begins || !name.chars().all(letters) {
            return Err(TargetError::OutOfReach(format!(
                "\"{name}\" cannot be the name of a project: small letters, digits, _ and - can"
            )));
        }
        let (hidden, open) = self.options.env.split(&self.shell.vault);
        let own = hidden.into_iter().chain(open).collect();
        let port = order.slot_url.port_or_known_default().unwrap_or_default();
        let variables = and(own, [("SLOT_PORT", port.to_string().as_str())]);
        Ok(Project {
            name,
            file: order.fill(&self.options.file),
            variables: and(variables, order.variables()),
        })
    }

    /// Makes sure that the file can be read with the version, and that the engine answers.
    async fn look(
        &self,
        project: &Project,
        cancelled: &CancellationToken,
    ) -> Result<(), TargetError> {
        let said = self
            .run(words::LOOK, project, SOON, &|_| {}, cancelled)
            .await?;
        if said.end == End::Code(0) {
            return Ok(());
        }
        let next = match said.end {
            End::Code(3) => {
                "; the action's image has none: name the machine that has it with `host`, or run the program in a step of a runner that has it"
            }
            _ => "",
        };
        // What is only a warning comes first.
        let why = text::ending(&said.last(), 400);
        Err(TargetError::OutOfReach(format!(
            "{}: {why}{next}",
            self.told
        )))
    }

    async fn pull(&self, project: &Project, desk: &Desk<'_>) -> Result<(), TargetError> {
        let script = match self.options.pull {
            Pull::Always => words::PULL,
            Pull::Missing => words::PULL_MISSING,
            Pull::Never => return Ok(()),
        };
        let limit = self.options.timeout.get();
        let said = self
            .run(script, project, limit, desk.say, desk.cancelled)
            .await?;
        self.done(project, said, "pull", limit)
    }

    async fn run(
        &self,
        script: &str,
        project: &Project,
        timeout: Duration,
        say: Sink<'_>,
        cancelled: &CancellationToken,
    ) -> Result<Said, TargetError> {
        let script = words::with_command(script);
        let words = Words {
            script: &script,
            arguments: &[&project.name, &project.file, &self.options.command],
            variables: &project.variables,
            directory: &self.directory,
            timeout,
        };
        self.shell.run(&words, say, cancelled).await
    }

    /// Has something done that only takes a moment, and returns the lines that are printed.
    async fn ask(
        &self,
        script: &str,
        project: &Project,
        cancelled: &CancellationToken,
    ) -> Result<Vec<String>, TargetError> {
        let said = self.run(script, project, SOON, &|_| {}, cancelled).await?;
        let lines = said.lines.clone();
        self.done(project, said, "what it takes", SOON)?;
        Ok(lines)
    }

    /// That something ended well.
    fn done(
        &self,
        project: &Project,
        said: Said,
        what: &str,
        limit: Duration,
    ) -> Result<(), TargetError> {
        let name = format!("{}{}", project.name, on(&*self.shell.host));
        match said.end {
            End::Code(0) => Ok(()),
            End::TimedOut => Err(TargetError::TimedOut {
                said: format!("{name}: {what} was ended after {}", text::duration(limit)),
                after: limit,
                last_words: said.last(),
            }),
            end => Err(TargetError::Failed {
                said: format!("{name}: {what} {end}, wanted 0"),
                last_words: said.last(),
            }),
        }
    }

    /// The last that the containers said, and how they are.
    async fn last_words(&self, project: &Project) -> Vec<String> {
        let never = CancellationToken::new();
        match self.run(words::LAST, project, SOON, &|_| {}, &never).await {
            Ok(said) => said.last().iter().map(|line| plain(line)).collect(),
            Err(failed) => vec![format!("its containers cannot be looked at: {failed}")],
        }
    }

    /// Brings up what was well before, or stops what was not up; a cancelled run does not wait for it.
    async fn put_back(
        &self,
        project: &Project,
        cancelled: bool,
    ) -> Result<&'static str, TargetError> {
        let never = CancellationToken::new();
        let lines = self.ask(words::BEFORE, project, &never).await?;
        let before = lines.iter().rev().find(|line| line.starts_with("before "));
        match before.map(String::as_str) {
            Some("before known") if cancelled => {
                self.ask(words::BACK_SOON, project, &never).await?;
                Ok("the project before is starting again")
            }
            Some("before known") => {
                // It was well once; that it is again must not fail for want of time.
                let wait = self.options.wait.get().max(SOON);
                self.up(words::BACK, project, wait, &|_| {}, &never).await?;
                self.ask(words::FORGET, project, &never).await?;
                Ok("the project before runs again")
            }
            Some("before unknown") => {
                Ok("what ran before was not put there by Cutover, so it could not be put back")
            }
            _ => {
                self.ask(words::STOP_SOON, project, &never).await?;
                Ok("the project is stopped, as it was before")
            }
        }
    }

    /// What it came to, after the project before was put back or was not.
    fn ended(
        &self,
        project: &Project,
        why: TargetError,
        mut words: Vec<String>,
        back: Result<&str, TargetError>,
        desk: &Desk<'_>,
    ) -> TargetError {
        let said = format!("{why}");
        if let TargetError::Failed { last_words, .. } | TargetError::TimedOut { last_words, .. } =
            &why
        {
            words.splice(0..0, last_words.iter().cloned());
        }
        let note = match back {
            Ok(note) => note,
            Err(also) => {
                return TargetError::Lost {
                    said: format!(
                        "{said}; and the project before could not be put back: {also}; see `docker compose -p {} ps -a`",
                        project.name
                    ),
                    last_words: words,
                };
            }
        };
        match why {
            TargetError::Cancelled => {
                (desk.say)(format!("{}: {note}", project.name));
                TargetError::Cancelled
            }
            TargetError::TimedOut { after, .. } => TargetError::TimedOut {
                said: format!("{said}; {note}"),
                after,
                last_words: words,
            },
            // What was lost may be pulling or building still, and start its containers after that.
            TargetError::Lost { .. } => TargetError::Lost {
                said: format!("{said}; {note}, and what was lost may still be at work"),
                last_words: words,
            },
            _ => TargetError::Failed {
                said: format!("{said}; {note}"),
                last_words: words,
            },
        }
    }
}

/// A line of a log without the escape that Compose begins it with, also where it is told not to.
fn plain(line: &str) -> String {
    line.trim_start_matches("\u{1b}[2K").to_owned()
}
