//! Faults to order: what goes wrong, in which step of a story, and how often.
//!
//! A step is known by what the saga says when it begins. A fault ends when its step has failed,
//! so that the way back meets a world in order; faults of the way back itself are ordered there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use cutover::model::event::Event;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

/// A call that something may happen to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// The router is read at the beginning.
    Read,
    /// A slot is asked which release it serves.
    Ask,
    /// The release goes into the slot.
    Deploy,
    /// The slot is asked until it serves the release.
    Serves,
    /// A smoke check looks.
    Smoke,
    /// The router checks that the change could be made.
    Prepare,
    /// The old slot is asked whether one could go back to it.
    LookBack,
    /// The router's write.
    Apply,
    /// The router is read back.
    Confirm,
    /// The public URL is asked.
    Prove,
    /// A health check looks while the release is watched.
    Watch,
    /// What the user has us run beside the steps: four times, once at each moment of a rollout.
    Hook,
    /// A slot is asked what it serves, before a canary begins.
    Start,
    /// A health check looks while a step of a canary is watched.
    Step,
    /// The counters of both slots are looked at while a step of a canary is watched.
    Look,
    /// They are looked at, whenever that is.
    Count,
    /// The router is read on the way back.
    ReadBack,
    /// The router's state is put back.
    Restore,
}

impl Call {
    /// The step that makes the call; none for the way back, and for what any step does.
    pub(super) const fn step(self) -> Option<&'static str> {
        Some(match self {
            Self::Read => "traffic",
            Self::Ask => "asked",
            Self::Deploy => "deploy",
            Self::Serves => "serves",
            Self::Smoke => "smoke",
            Self::Prepare | Self::LookBack => "way back",
            Self::Apply | Self::Confirm => "switch",
            Self::Prove => "proved",
            Self::Watch => "watch",
            Self::Hook => "hook",
            Self::Start => "start",
            Self::Step | Self::Look => "step",
            Self::Count | Self::ReadBack | Self::Restore => return None,
        })
    }
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It fails and does nothing.
    Before,
    /// It does its work and says that it failed.
    After,
    /// It does its work and its answer is lost.
    Lost,
    /// It is lost on its way.
    LostBefore,
    /// There is no answer, and no end of the connection.
    Silent,
    /// It is made twice; the second answer counts.
    Repeated,
    /// The run is cancelled as the step begins.
    CancelBefore,
    /// The run is cancelled when the work is done.
    CancelAfter,
    /// The run is cancelled, and there is no answer.
    CancelSilent,
    /// The program panics instead.
    PanicBefore,
    /// The program panics when the work is done.
    PanicAfter,
    /// Somebody else moves that share of traffic to the second slot first.
    Other(u8),
    /// Somebody else does so afterwards.
    ThenOther(u8),
}

/// A fault to order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    pub(super) call: Call,
    pub(super) fault: Fault,
    /// How many calls it happens to.
    pub(super) times: u32,
    /// How often the step begins before that; where any step makes the call, how often it is made.
    pub(super) later: u32,
}

/// The orders of a run, shared by everything that calls.
#[derive(Clone)]
pub(super) struct Orders(Arc<Mutex<Kept>>, pub(super) CancellationToken);

struct Kept {
    orders: Vec<Order>,
    step: &'static str,
    /// How often each step has begun.
    begun: HashMap<&'static str, u32>,
    unwinding: bool,
    happened: u32,
}

impl Orders {
    pub(super) fn of(orders: &[Order]) -> Self {
        let kept = Kept {
            orders: orders.to_vec(),
            step: "",
            begun: HashMap::new(),
            unwinding: false,
            happened: 0,
        };
        Self(Arc::new(Mutex::new(kept)), CancellationToken::new())
    }

    /// How many faults have happened.
    pub(super) fn happened(&self) -> u32 {
        self.0.lock().unwrap().happened
    }

    /// Whether a step has failed, so that what follows is the way back.
    pub(super) fn is_unwinding(&self) -> bool {
        self.0.lock().unwrap().unwinding
    }

    /// Hears what the saga says.
    pub(super) fn hear(&self, event: &Event) {
        let mut kept = self.0.lock().unwrap();
        match event {
            Event::Working { step, said } if said.is_empty() => {
                kept.step = step;
                let begun = *kept.begun.entry(step).and_modify(|n| *n += 1).or_insert(1);
                let before = |order: &Order| {
                    order.fault == Fault::CancelBefore
                        && order.call.step() == Some(*step)
                        && begun > order.later
                };
                if kept.orders.iter().any(before) {
                    kept.happened += 1;
                    self.1.cancel();
                }
            }
            Event::Failed { .. } => {
                kept.unwinding = true;
                kept.orders.retain(|order| order.call.step().is_none());
            }
            _ => {}
        }
    }

    /// What happens to a call that is made now.
    pub(super) fn take(&self, call: Call) -> Option<Fault> {
        let mut kept = self.0.lock().unwrap();
        let now = kept.step;
        let begun = kept.begun.get(now).copied().unwrap_or_default();
        let order = kept.orders.iter_mut().find(|order| {
            let in_time = |step| step == now && begun > order.later;
            order.call == call && order.times > 0 && order.call.step().is_none_or(in_time)
        })?;
        if call.step().is_none() && order.later > 0 {
            order.later -= 1;
            return None;
        }
        let fault = order.fault;
        if fault == Fault::CancelBefore && call.step().is_some() {
            return None;
        }
        order.times -= 1;
        kept.happened += 1;
        Some(fault)
    }

    /// Makes a call with what was ordered for it.
    pub(super) async fn call<'a, T, E>(
        &self,
        call: Call,
        act: impl Fn() -> BoxFuture<'a, Result<T, E>>,
        other: impl AsyncFnOnce(u8),
        errors: Errors<E>,
    ) -> Result<T, E> {
        match self.take(call) {
            None => act().await,
            Some(Fault::Before) => Err((errors.unreached)()),
            Some(Fault::LostBefore) => Err((errors.lost)()),
            Some(Fault::Silent) => std::future::pending().await,
            Some(Fault::After) => {
                act().await?;
                Err((errors.refused)())
            }
            Some(Fault::Lost) => {
                act().await?;
                Err((errors.lost)())
            }
            Some(Fault::Repeated) => {
                act().await?;
                act().await
            }
            Some(Fault::CancelBefore) => {
                self.1.cancel();
                act().await
            }
            Some(Fault::CancelAfter) => {
                let answer = act().await;
                self.1.cancel();
                answer
            }
            Some(Fault::CancelSilent) => {
                self.1.cancel();
                std::future::pending().await
            }
            Some(Fault::PanicBefore) => panic!("ordered, before {call:?}"),
            Some(Fault::PanicAfter) => {
                act().await?;
                panic!("ordered, after {call:?}")
            }
            Some(Fault::Other(weight)) => {
                other(weight).await;
                act().await
            }
            Some(Fault::ThenOther(weight)) => {
                let answer = act().await;
                other(weight).await;
                answer
            }
        }
    }
}

/// The errors of a seam.
pub(super) struct Errors<E> {
    pub(super) unreached: fn() -> E,
    pub(super) refused: fn() -> E,
    pub(super) lost: fn() -> E,
}
