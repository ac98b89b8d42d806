//! The cast that a step may touch: the router, the target, the checks, and a voice.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use url::Url;

use crate::config::file::{Prober, Proof};
use crate::model::ending::Reason;
use crate::model::event::{Event, Fact, Say};
use crate::model::fault::Fault;
use crate::model::release::{Mark, Release};
use crate::model::slot::{Side, Slot, Slots};
use crate::model::split::Split;
use crate::platform::host::Hosts;
use crate::platform::http::Http;
use crate::probes::Subject;
use crate::routers::Router;
use crate::routers::pool::Pool;
use crate::targets::Target;

use super::anomaly::Sentry;
use super::drain::Drain;
use super::failover::Failover;
use super::gauges::Gauges;
use super::hooks::Hooks;
use super::ledger::Ledger;
use super::lock::keeper::Keeper;
use super::patience::Check;
use super::rolling;

/// How long the router may take to say where traffic is, when all else is over.
const LAST_LOOK: Duration = Duration::from_secs(2);

/// An environment with everything that acts in it.
pub struct Stage {
    /// The application's name.
    pub app: String,
    /// The environment's name.
    pub environment: String,
    /// Where users reach it.
    pub url: Url,
    /// Its two slots. An environment of members has none: these are its first two members then, the
    /// router is missing, and no mode that is about slots gets as far as here.
    pub slots: Slots,
    /// Its members, in the place of slots.
    pub crew: Option<Crew>,
    /// How an answer says which release it comes from.
    pub mark: Mark,
    /// Who decides which slot gets traffic.
    pub router: Option<Box<dyn Router>>,
    /// The machines that the config names.
    pub hosts: Hosts,
    /// How a release gets into a slot.
    pub target: Option<Box<dyn Target>>,
    /// Who puts it there when the target cannot.
    pub failover: Option<Failover>,
    /// What is run beside the steps.
    pub hooks: Hooks,
    /// When the old slot is let go after a switch.
    pub drain: Option<Drain>,
    /// What must be right on a slot before it gets traffic.
    pub smoke: Vec<Check>,
    /// What must be right while the environment is live.
    pub health: Vec<Check>,
    /// Figures, and what is too much of them.
    pub gauges: Gauges,
    /// What is held against the days before.
    pub anomaly: Option<Sentry>,
    /// When a switch counts as done.
    pub proof: Proof,
    /// The program's own requests while it switches and watches.
    pub prober: Prober,
    /// What the last record says about the active slot, where there is a record.
    pub recorded: Option<Recorded>,
    /// The lock that keeps other runs away.
    pub lock: Keeper,
    /// What the run has promised, on disk.
    pub ledger: Ledger,
    /// The HTTP clients.
    pub http: Http,
    /// Where events are said.
    pub say: Say,
    /// Cancelled when the run is.
    pub cancelled: CancellationToken,
}

/// The members that share the traffic of an environment.
pub struct Crew {
    /// All of them, in the order of the config.
    pub members: Vec<Slot>,
    /// Who decides which of them get traffic.
    pub pool: Option<Box<dyn Pool>>,
}

/// What a record says: that this slot was given the traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The slot's name.
    pub slot: String,
    /// The release that it had.
    pub version: String,
    /// Where the record is: `GitHub Deployment 4711`.
    pub place: String,
}

impl Stage {
    /// Says an event.
    pub fn say(&self, event: Event) {
        (self.say)(event);
    }

    /// Says a fact for the outputs.
    pub fn learned(&self, fact: Fact) {
        self.say(Event::Learned(fact));
    }

    /// The router.
    ///
    /// # Errors
    /// When the config has none.
    pub fn router(&self) -> Result<&dyn Router, Fault> {
        self.router.as_deref().ok_or_else(|| self.missing("router"))
    }

    /// The target.
    ///
    /// # Errors
    /// When the config has none.
    pub fn target(&self) -> Result<&dyn Target, Fault> {
        self.target.as_deref().ok_or_else(|| self.missing("target"))
    }

    /// The members, and who decides which of them get traffic.
    ///
    /// # Errors
    /// When the environment has slots, or the config has no router.
    pub fn pool(&self) -> Result<(&[Slot], &dyn Pool), Fault> {
        let crew = self.crew.as_ref().ok_or_else(|| self.missing("members"))?;
        let pool = crew.pool.as_deref();
        Ok((&crew.members, pool.ok_or_else(|| self.missing("router"))?))
    }

    fn missing(&self, block: &str) -> Fault {
        Fault::new(
            Reason::BadInput,
            format!(
                "environments.{}.{block} is missing in the config",
                self.environment
            ),
        )
        .next(format!(
            "add a `{block}:` block; `cutover schema` lists its kinds"
        ))
    }

    /// A slot as something to look at.
    pub fn subject(&self, side: Side, release: Option<&Release>) -> Subject {
        self.subject_of(self.slots.on(side), release)
    }

    /// A slot or a member as something to look at.
    pub fn subject_of(&self, slot: &Slot, release: Option<&Release>) -> Subject {
        let mut subject = self.subject_at(slot.url.clone(), Some(&slot.name), release);
        if self.crew.is_some() {
            let variables = &mut subject.variables;
            variables.push(("MEMBER".to_owned(), slot.name.clone()));
        }
        subject
    }

    /// The environment as users see it, as something to look at.
    pub fn public(&self) -> Subject {
        self.subject_at(self.url.clone(), None, None)
    }

    fn subject_at(&self, url: Url, slot: Option<&str>, release: Option<&Release>) -> Subject {
        let mut variables = vec![
            ("APP".to_owned(), self.app.clone()),
            ("ENVIRONMENT".to_owned(), self.environment.clone()),
            ("URL".to_owned(), url.to_string()),
        ];
        variables.extend(slot.map(|name| ("SLOT".to_owned(), name.to_owned())));
        variables
            .extend(release.map(|release| ("VERSION".to_owned(), release.as_str().to_owned())));
        Subject { url, variables }
    }

    /// How the router divides traffic, if it says so within a moment.
    pub async fn split_now(&self) -> Option<Split> {
        let router = self.router.as_deref()?;
        let reading = tokio::time::timeout(LAST_LOOK, router.read()).await;
        Some(reading.ok()?.ok()?.split)
    }

    /// Where traffic is now, for the account of a failure; `None` where there is no router.
    pub async fn traffic_now(&self) -> Option<String> {
        if self.crew.is_some() {
            return Some(rolling::told_now(self, LAST_LOOK).await);
        }
        let router = self.router.as_deref()?;
        let read = router.read_soon();
        Some(match tokio::time::timeout(LAST_LOOK, read).await {
            Ok(Ok(reading)) => {
                let side = reading.split.active();
                self.learned(Fact::ActiveSlot(self.slots.name(side).to_owned()));
                self.learned(Fact::PreviousSlot(self.slots.name(side.other()).to_owned()));
                format!("{}, says the router", reading.split.told(&self.slots))
            }
            Ok(Err(failed)) => format!("unknown: {failed}"),
            Err(_) => "unknown: the router does not answer".to_owned(),
        })
    }
}
