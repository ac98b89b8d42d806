//! `preflight`: may and can this be deployed now? Everything is looked at and nothing is changed.
//!
//! The same checks stand before a rollout whose config has `preflight` or `guardrails`.

use crate::model::ending::{Decision, Ending, Reason};
use crate::model::event::Fact;
use crate::rollout::preflight::{Circumstances, preflight};
use crate::rollout::saga::Saga;
use crate::rollout::stage::Stage;

/// Looks at everything.
pub async fn run(stage: &Stage, with: &Circumstances) -> Ending {
    Saga::tell(stage, async |saga: &mut Saga<'_>| {
        let looked = preflight(saga, with).await;
        stage.learned(Fact::Healthy(looked.is_ok()));
        let said = looked?;
        let said = match &with.release {
            Some(release) => format!("{release} may go out: {said}"),
            None => format!("a release may go out: {said}"),
        };
        Ok(Ending::good(Decision::Passed, Reason::Done, said))
    })
    .await
}
