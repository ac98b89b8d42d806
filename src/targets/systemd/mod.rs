//! A release gets into a slot as a systemd unit, such as an instance of a template: `shop@blue.service`.
//!
//! A drop-in tells the unit its version, and the unit is restarted and watched until it runs on. If
//! it does not, the drop-in before is put back and the unit with it. Whoever calls systemd is not
//! waited for by it: a restart is ordered, and then looked at, so that every wait can be ended.

mod unit;
mod watch;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use self::unit::{LOOK, State, Unit};
use super::shell::{Said, Shell, Words};
use super::{Desk, Order, Stops, Target, TargetError, Tools, of_every_version};
use crate::config::kinds::{Kind, plain_schema};
use crate::config::script::Variables;
use crate::config::units::Span;
use crate::platform::host::on;
use crate::platform::process::End;
use crate::platform::text;

/// The kind's entry in the table.
pub(super) const KIND: Kind<dyn Target, Tools> = Kind {
    name: "systemd",
    about: "Runs the release as a systemd unit: drop-in, restart, watch, put back.",
    schema: plain_schema::<Options>,
    build: |block, tools| {
        let options: Options = block.options()?;
        if !options.unit.contains("$SLOT") || !options.unit.ends_with(".service") {
            return Err(format!(
                "unit: \"{}\" is not a service of one slot; write it as shop@$SLOT.service",
                options.unit
            ));
        }
        of_every_version("unit", &options.unit)?;
        if options.steady > options.wait {
            return Err(format!(
                "steady: {} is longer than wait, which is {}",
                options.steady, options.wait
            ));
        }
        if let Some((name, _)) = options.env.split(&tools.vault).0.first() {
            return Err(format!(
                "env.{name}: a secret would stand in a file that everybody on the machine may read; the unit has `EnvironmentFile=` and `LoadCredential=` for it"
            ));
        }
        let host = tools.hosts.named(options.host.as_deref())?;
        Ok(Box::new(Systemd {
            told: format!("{}{}", options.unit, on(&*host)),
            shell: Shell {
                host,
                vault: tools.vault.clone(),
                sudo: options.sudo,
            },
            options,
        }))
    },
};

/// How long systemd may take for an answer.
const SOON: Duration = Duration::from_secs(60);

/// Writes the drop-in and orders a restart. What was there before stands aside until all is well;
/// where a run was killed meanwhile, it stands there still.
const REPLACE: &str = r#"set -e; echo "Since=$(date +%s)"; mkdir -p -- "$2"; cd "$2"
if ! test -e 50-cutover.before; then
  if test -e 50-cutover.conf; then cp -p 50-cutover.conf 50-cutover.aside; else : > 50-cutover.aside; fi
  mv -f 50-cutover.aside 50-cutover.before
fi
umask 022; printf %s "$3" > 50-cutover.new; mv -f 50-cutover.new 50-cutover.conf
systemctl daemon-reload
systemctl reset-failed -- "$1" >/dev/null 2>&1 || :
systemctl restart --no-block -- "$1""#;

/// Puts the drop-in before back, and orders what is in `$3`. Where nothing stands aside, the exchange
/// did not get as far as to change anything.
const PUT_BACK: &str = r#"set -e
if ! test -e "$2/50-cutover.before"; then
  rm -f -- "$2/50-cutover.aside"; rmdir -- "$2" 2>/dev/null || :; echo Untouched; exit 0
fi
cd -- "$2"
if test -s 50-cutover.before; then mv -f 50-cutover.before 50-cutover.conf; else rm -f 50-cutover.conf 50-cutover.before; fi
rm -f 50-cutover.new 50-cutover.aside; cd /; rmdir -- "$2" 2>/dev/null || :
systemctl daemon-reload
systemctl reset-failed -- "$1" >/dev/null 2>&1 || :
systemctl "$3" --no-block -- "$1""#;

/// Forgets the drop-in before.
const KEEP: &str = r#"rm -f -- "$2/50-cutover.before""#;

/// Stops the unit.
const STOP: &str = r#"systemctl stop --no-block -- "$1""#;

/// The unit's last words since then.
const JOURNAL: &str = r#"journalctl --sync >/dev/null 2>&1; journalctl -q --no-pager -o cat -n 20 --since "@$2" -u "$1""#;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    /// The slot's unit, such as `shop@$SLOT.service`, the same for every version. `$APP`, `$ENVIRONMENT` and
    /// `$SLOT` are filled in; in the values of `env` `$VERSION` is, too.
    #[schemars(length(min = 1))]
    unit: String,
    /// The machine on which it runs, one of `hosts`. Default: this one.
    host: Option<String>,
    /// Whether it is done by `sudo -n`, for a login that is not root's. Default false.
    #[serde(default)]
    sudo: bool,
    /// Variables of the unit, beside `VERSION`. Everybody on the machine may read them.
    #[serde(default)]
    env: Variables,
    /// How long it may take until the unit is active, the end of what ran before included. Default 60s.
    #[serde(default = "a_minute")]
    wait: Span,
    /// How long it has to run on without a restart. Default 5s.
    #[serde(default = "five_seconds")]
    steady: Span,
}

fn a_minute() -> Span {
    Span::secs(60)
}

fn five_seconds() -> Span {
    Span::secs(5)
}

struct Systemd {
    options: Options,
    shell: Shell,
    told: String,
}

#[async_trait]
impl Target for Systemd {
    fn told(&self) -> String {
        self.told.clone()
    }

    fn ends_what_it_begins(&self) -> bool {
        true
    }

    async fn prepare(&self, order: &Order) -> Result<(), TargetError> {
        let unit = Unit::of(&self.options.unit, &self.options.env, order)?;
        self.look(&unit, &CancellationToken::new()).await.map(drop)
    }

    async fn deploy(&self, order: &Order, desk: &Desk<'_>) -> Result<String, TargetError> {
        let unit = Unit::of(&self.options.unit, &self.options.env, order)?;
        let before = self.look(&unit, desk.cancelled).await?;
        let replaced = self
            .ask(
                REPLACE,
                &[&unit.name, &unit.folder, &unit.text],
                desk.cancelled,
            )
            .await;
        let (why, since) = match replaced {
            // Nothing was begun.
            Err(TargetError::OutOfReach(said)) => return Err(TargetError::OutOfReach(said)),
            Err(why) => (why, None),
            Ok(said) => {
                let since = said.iter().find_map(|line| line.strip_prefix("Since="));
                let since = since.unwrap_or("0").to_owned();
                match self
                    .gets_well(&unit, self.options.wait.get(), desk.cancelled)
                    .await
                {
                    Ok(well) => {
                        let words = [unit.name.as_str(), &unit.folder];
                        // Also where the run is cancelled by now: left there, it would be what a
                        // later failure goes back to.
                        let never = CancellationToken::new();
                        if let Err(failed) = self.ask(KEEP, &words, &never).await {
                            (desk.say)(format!(
                                "{}/50-cutover.before was not removed: {failed}",
                                unit.folder
                            ));
                        }
                        return Ok(format!("{} is {well}{}", unit.name, on(&*self.shell.host)));
                    }
                    Err(why) => (why, Some(since)),
                }
            }
        };
        let last_words = match since {
            Some(since) if why != TargetError::Cancelled => self.journal(&unit, &since).await,
            _ => Vec::new(),
        };
        let back = self.put_back(&unit, &before, desk.run).await;
        Err(ended(&unit, why, last_words, back, desk))
    }

    fn stops(&self) -> Option<&dyn Stops> {
        Some(self)
    }
}

#[async_trait]
impl Stops for Systemd {
    async fn stop(&self, order: &Order, desk: &Desk<'_>) -> Result<String, TargetError> {
        let unit = Unit::of(&self.options.unit, &self.options.env, order)?;
        self.look(&unit, desk.cancelled).await?;
        self.ask(STOP, &[&unit.name], desk.cancelled).await?;
        self.ends(&unit, self.options.wait.get(), desk.cancelled)
            .await?;
        Ok(format!("{} is stopped{}", unit.name, on(&*self.shell.host)))
    }
}

impl Systemd {
    /// Makes sure that the unit can be deployed to, and says how it is. Nothing is changed.
    async fn look(&self, unit: &Unit, cancelled: &CancellationToken) -> Result<State, TargetError> {
        let words = [unit.name.as_str(), &unit.folder];
        let said = self.run(LOOK, &words, cancelled).await?;
        if said.end != End::Code(0) {
            let why = said.last().join(" ");
            return Err(TargetError::OutOfReach(self.refused(unit, &said, &why)));
        }
        let state = State::read(&said.lines);
        match state.not_loaded(&unit.name) {
            None => Ok(state),
            Some(why) => Err(TargetError::OutOfReach(why + &on(&*self.shell.host))),
        }
    }

    /// Why it was not even begun, and what to do.
    fn refused(&self, unit: &Unit, said: &Said, why: &str) -> String {
        let next = match said.end {
            _ if self.shell.sudo && why.contains("sudo:") => {
                "; let that login run `sudo` without a password (NOPASSWD in sudoers), or log in as root; whoever may write a unit is root on that machine anyway"
            }
            _ if self.shell.sudo && why.contains("not found") => {
                "; install sudo there, or log in as root and leave `sudo` out"
            }
            End::Code(3) => "; name the machine on which the units are with `host`",
            End::Code(4) => "; log in as root, or say `sudo: true`",
            _ => "",
        };
        format!("{}{}: {why}{next}", unit.name, on(&*self.shell.host))
    }

    async fn run(
        &self,
        script: &str,
        words: &[&str],
        cancelled: &CancellationToken,
    ) -> Result<Said, TargetError> {
        let words = Words::of(script, words, SOON);
        self.shell.run(&words, &|_| {}, cancelled).await
    }

    /// Has something done, and returns the lines that are printed.
    async fn ask(
        &self,
        script: &str,
        words: &[&str],
        cancelled: &CancellationToken,
    ) -> Result<Vec<String>, TargetError> {
        let said = self.run(script, words, cancelled).await?;
        match said.end {
            End::Code(0) => Ok(said.lines),
            end => Err(TargetError::Failed {
                said: format!(
                    "{}{}: what it takes {end}: {}",
                    words.first().unwrap_or(&""),
                    on(&*self.shell.host),
                    text::excerpt(&said.last().join(" "), 200)
                ),
                last_words: said.last(),
            }),
        }
    }

    async fn journal(&self, unit: &Unit, since: &str) -> Vec<String> {
        let never = CancellationToken::new();
        match self.run(JOURNAL, &[&unit.name, since], &never).await {
            Ok(said) if said.lines.is_empty() => vec!["its journal has no line of it".to_owned()],
            Ok(said) => said.last(),
            Err(failed) => vec![format!("its journal cannot be read: {failed}")],
        }
    }

    /// Puts the drop-in before back, and the unit as it was, if anything of them was changed. Only a
    /// cancelled run does not wait for it: after a failover's deadline the secondary would begin
    /// while systemd is at work in the same slot.
    async fn put_back(
        &self,
        unit: &Unit,
        before: &State,
        run: &CancellationToken,
    ) -> Result<&'static str, TargetError> {
        let never = CancellationToken::new();
        let ran = before.ran();
        // It was well once; that it is again must not fail for want of time.
        let wait = self.options.wait.get().max(SOON);
        let verb = if ran { "restart" } else { "stop" };
        let words = [unit.name.as_str(), &unit.folder, verb];
        let said = self.ask(PUT_BACK, &words, &never).await?;
        if said.iter().any(|line| line == "Untouched") {
            return Ok("the unit was left as it was");
        }
        let waited_for = async {
            if ran {
                let well = self.gets_well(unit, wait, &never).await;
                well.map(|_| "the release before runs again")
            } else {
                let ended = self.ends(unit, wait, &never).await;
                ended.map(|()| "the unit is stopped, as it was before")
            }
        };
        tokio::select! {
            biased;
            () = run.cancelled() => Ok(if ran {
                "the release before is starting again"
            } else {
                "the unit is being stopped, as it was before"
            }),
            back = waited_for => back,
        }
    }
}

/// What it came to, after the release before was put back or was not.
fn ended(
    unit: &Unit,
    why: TargetError,
    mut words: Vec<String>,
    back: Result<&str, TargetError>,
    desk: &Desk<'_>,
) -> TargetError {
    if let TargetError::Failed { last_words, .. } | TargetError::Lost { last_words, .. } = &why
        && words.is_empty()
    {
        words.clone_from(last_words);
    }
    let note = match back {
        Ok(note) => note,
        Err(also) => {
            let look = text::shell_word(&unit.name);
            return TargetError::Lost {
                said: format!(
                    "{why}; and the release before could not be put back: {also}; see `systemctl status {look}`"
                ),
                last_words: words,
            };
        }
    };
    match why {
        TargetError::Cancelled => {
            (desk.say)(format!("{}: {note}", unit.name));
            TargetError::Cancelled
        }
        TargetError::TimedOut { said, after, .. } => TargetError::TimedOut {
            said: format!("{said}; {note}"),
            after,
            last_words: words,
        },
        // Its end was not known, and is now.
        why => TargetError::Failed {
            said: format!("{why}; {note}"),
            last_words: words,
        },
    }
}

/// The folder of a unit's drop-ins.
fn folder(unit: &str) -> String {
    Path::new("/etc/systemd/system")
        .join(format!("{unit}.d"))
        .display()
        .to_string()
}
