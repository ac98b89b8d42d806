//! The route for testers, looked at through the public URL: does a request that names a slot
//! get that slot? It is a way in beside the weights, so where it does not work people are warned,
//! and nothing stops. Users are not sent anywhere by it.

use std::time::Duration;

use crate::model::event::Event;
use crate::model::fault::Fault;
use crate::model::release::Release;
use crate::model::slot::Side;
use crate::routers::Sent;

use super::saga::{Made, Step};
use super::stage::Stage;

/// For one answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// So many answers are looked at, each on a new connection: behind one address may be several proxies.
const ANSWERS: u32 = 5;

/// A proxy that has just taken its configuration may need a moment.
const ONCE_MORE: Duration = Duration::from_millis(300);

/// Proves the way of testers into an idle slot that serves a release.
pub struct ProveTesters<'a> {
    /// The slot.
    pub slot: Side,
    /// What it serves.
    pub release: &'a Release,
}

impl Step for ProveTesters<'_> {
    type Value = ();
    const NAME: &'static str = "testers";
    const INTERRUPTIBLE: bool = true;

    async fn act(self, stage: &Stage) -> Result<Made<()>, Fault> {
        let said = match stage.testers_reach(self.slot, self.release).await {
            None => String::new(),
            Some(Ok(said)) => said,
            Some(Err(said)) => {
                stage.say(Event::Warned(said));
                "not proved".to_owned()
            }
        };
        Ok(Made { value: (), said })
    }
}

impl Stage {
    /// Whether testers reach a slot that serves a release, in words; `None` where they have no route.
    pub async fn testers_reach(
        &self,
        slot: Side,
        release: &Release,
    ) -> Option<Result<String, String>> {
        let ways = self.router.as_deref()?.testers()?.ways();
        let name = self.slots.name(slot);
        for by in &ways {
            let mut strange = self.strange_to(*by, name, release).await;
            if strange.is_some() {
                tokio::time::sleep(ONCE_MORE).await;
                strange = self.strange_to(*by, name, release).await;
            }
            let Some(answered) = strange else { continue };
            return Some(Err(format!(
                "the route for testers does not work: {} with {by} = {name} is answered by {answered}, not by {release}; `cutover router-config --environment {}` prints the lines for it",
                self.url, self.environment
            )));
        }
        let told: Vec<String> = ways.iter().map(ToString::to_string).collect();
        Some(Ok(format!(
            "{} = {name} reaches {release}, whatever the weight",
            told.join(" or ")
        )))
    }

    /// What else answers somebody who names a slot than its release.
    async fn strange_to(&self, by: Sent<'_>, slot: &str, release: &Release) -> Option<String> {
        let (name, value) = by.header(slot);
        for _ in 0..ANSWERS {
            let served = self.served_to(&name, &value, PATIENCE).await;
            if !served.release().is_some_and(|served| served.is(release)) {
                return Some(served.told());
            }
        }
        None
    }
}
