//! What a rollout over members knows of itself: who is out, who was changed, what users feel. The
//! story writes it, and the promise reads it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::rolling::Rolling;
use crate::model::event::{Event, Fact};
use crate::model::figures::Figures;
use crate::model::receipt::Receipt;
use crate::model::release::Release;
use crate::model::slot::Slot;
use crate::rollout::ledger::{AtWork, Noted};
use crate::rollout::prober::Prober;
use crate::rollout::stage::Stage;

/// What the records and the outputs call all members together.
pub(super) const MEMBERS: &str = "members";

/// A rollout under way. The prober runs as long as this lives.
pub(super) struct Course {
    pub(super) release: Release,
    /// What each member served before, or would be given.
    pub(super) before: Vec<Option<Release>>,
    /// Whether each member was to be in rotation before.
    pub(super) was_in: Vec<bool>,
    /// How many members are out at a time.
    pub(super) batch: usize,
    pub(super) settings: Rolling,
    /// Whether members that were changed are to get their old release again where it stops.
    pub(super) goes_back: bool,
    /// Whether anybody served anything before: in a first deployment nobody does.
    pub(super) live: bool,
    /// How many serve the release already.
    pub(super) served_before: usize,
    /// Whether another process began it, which does not say whom it has changed.
    pub(super) is_resumed: bool,
    prober: Option<Prober>,
    state: Mutex<State>,
}

#[derive(Clone, Default)]
struct State {
    /// Those that may be out, or whose batch is not over.
    at_work: Vec<usize>,
    /// Those that were deployed to, in their order, and have not got back what they had.
    changed: Vec<usize>,
    /// Whether those at work were found to be bad under traffic.
    condemned: bool,
    /// When the router was written first, if it was.
    turned: Option<Instant>,
    /// When it was proved that all members serve the release.
    proved: Option<Instant>,
    /// How long the router's writes took in all.
    writes: Duration,
    /// How often it was tried to take it back.
    tries: u32,
}

impl Course {
    pub(super) fn begin(
        stage: &Stage,
        release: Release,
        settings: Rolling,
        before: Vec<Option<Release>>,
        was_in: Vec<bool>,
    ) -> Self {
        Self {
            batch: settings.batch.of(was_in.len()),
            goes_back: true,
            live: true,
            served_before: 0,
            is_resumed: false,
            prober: Prober::begin(stage),
            state: Mutex::default(),
            release,
            before,
            was_in,
            settings,
        }
    }

    /// One that was cut off, as far as it was written down: who was at work.
    pub(super) fn resumed(members: &[Slot], note: &AtWork) -> Self {
        let noted = |member: &Slot| note.members.iter().find(|it| it.name == member.name);
        let noted: Vec<Option<&Noted>> = members.iter().map(noted).collect();
        let at_work = (0..noted.len()).filter(|member| noted[*member].is_some());
        let state = State {
            at_work: at_work.collect(),
            ..State::default()
        };
        let before = |it: &Option<&Noted>| it.and_then(|it| it.before.clone());
        Self {
            release: note.release.clone(),
            before: noted.iter().map(before).collect(),
            was_in: noted
                .iter()
                .map(|it| it.is_some_and(|it| it.was_in))
                .collect(),
            is_resumed: true,
            batch: 1,
            settings: Rolling::default(),
            goes_back: false,
            live: true,
            served_before: 0,
            prober: None,
            state: Mutex::new(state),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A batch begins: from now on its members may be out.
    pub(super) fn works_on(&self, members: &[usize]) {
        let mut state = self.lock();
        let more = members
            .iter()
            .filter(|member| !state.at_work.contains(member));
        let more: Vec<usize> = more.copied().collect();
        state.at_work.extend(more);
    }

    /// A batch is over, and its members are in.
    pub(super) fn is_done_with(&self, members: &[usize]) {
        let mut state = self.lock();
        state.at_work.retain(|member| !members.contains(member));
        state.condemned = false;
    }

    /// They are deployed to, from now on.
    pub(super) fn changes(&self, members: &[usize]) {
        let mut state = self.lock();
        state.changed.retain(|member| !members.contains(member));
        state.changed.extend(members);
    }

    /// They serve what they did before.
    pub(super) fn is_as_before(&self, member: usize) {
        self.lock().changed.retain(|changed| *changed != member);
    }

    /// Those at work are bad under traffic.
    pub(super) fn condemn(&self) {
        self.lock().condemned = true;
    }

    /// The router was written: that began at `at`.
    pub(super) fn turned(&self, at: Instant) {
        let mut state = self.lock();
        state.turned.get_or_insert(at);
        state.writes += at.elapsed();
    }

    /// It is tried to take it back; how often that makes.
    pub(super) fn is_taken_back(&self) -> u32 {
        let mut state = self.lock();
        state.tries += 1;
        state.tries
    }

    /// All members serve the release, and users get nothing else.
    pub(super) fn is_proved(&self) {
        self.lock().proved = Some(Instant::now());
    }

    pub(super) fn at_work(&self) -> Vec<usize> {
        self.lock().at_work.clone()
    }

    pub(super) fn changed(&self) -> Vec<usize> {
        self.lock().changed.clone()
    }

    pub(super) fn is_condemned(&self) -> bool {
        self.lock().condemned
    }

    /// Whether anything was changed at all.
    pub(super) fn has_begun(&self) -> bool {
        let state = self.lock();
        state.turned.is_some() || !state.changed.is_empty()
    }

    /// What somebody needs to know who has to put them in when this process cannot.
    pub(super) fn note(&self, stage: &Stage) -> AtWork {
        let members = stage.crew.iter().flat_map(|crew| &crew.members);
        let names: Vec<&String> = members.map(|member| &member.name).collect();
        let one = |at: usize| {
            Some(Noted {
                name: (*names.get(at)?).clone(),
                before: self.before[at].clone(),
                was_in: self.was_in[at],
            })
        };
        AtWork {
            release: self.release.clone(),
            members: self.at_work().into_iter().filter_map(one).collect(),
        }
    }

    /// What users felt since a moment.
    pub(super) fn felt_since(&self, moment: Instant) -> Option<Figures> {
        self.prober.as_ref().map(|prober| prober.since(moment))
    }

    /// What users felt in all.
    pub(super) fn felt(&self) -> Option<Figures> {
        self.prober.as_ref().map(Prober::all)
    }

    /// Another release that answered a request since a moment.
    pub(super) fn other_since(&self, moment: Instant) -> Option<Release> {
        let prober = self.prober.as_ref()?;
        prober.other_since(&self.release, moment)
    }

    /// Stops the prober and says the receipt, if anything was changed.
    pub(super) async fn settle(&self, stage: &Stage) {
        if let Some(prober) = &self.prober {
            prober.end().await;
        }
        if !self.has_begun() {
            return;
        }
        let state = self.lock().clone();
        let after = self.share(self.served_before + state.changed.len());
        let proved = state.turned.zip(state.proved);
        let last_old = proved.and_then(|(from, until)| {
            let prober = self.prober.as_ref()?;
            prober.last_other(&self.release, from, until)
        });
        stage.learned(Fact::Weight(after));
        stage.say(Event::Measured(Receipt {
            slot: MEMBERS.to_owned(),
            weight_before: self.share(self.served_before),
            weight_after: after,
            release_before: self.before.iter().flatten().next().map(named),
            release_after: Some(named(&self.release)),
            switch_ms: ms(state.writes),
            proved_ms: proved.map(|(from, until)| ms(until - from)),
            last_old_ms: last_old.map(ms),
            felt: self.felt().map(|figures| figures.summary()),
            known_loss: stage
                .crew
                .as_ref()
                .and_then(|crew| crew.pool.as_deref()?.known_loss()),
        }));
    }

    fn share(&self, members: usize) -> u8 {
        let all = self.was_in.len().max(1);
        u8::try_from(members * 100 / all).unwrap_or(100).min(100)
    }
}

/// Milliseconds with two decimals.
fn ms(d: Duration) -> f64 {
    (d.as_secs_f64() * 1e5).round() / 100.0
}

fn named(release: &Release) -> String {
    release.as_str().to_owned()
}
