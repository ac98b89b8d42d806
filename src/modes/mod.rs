//! What Cutover does: one file a mode, each tells its own story.
//!
//! The modes stay strictly separate: `deploy-slot` never moves traffic, `switch-traffic` never
//! deploys. `rollout` is the composition for those who want one step.

pub mod deploy_slot;
pub mod environments;
pub mod finish;
pub mod health_check;
pub mod notify;
pub mod preflight;
pub mod rehearse;
pub mod rollback;
pub mod rollout;
pub mod smoke_test;
pub mod switch_traffic;

/// The modes, with a line for each, in the order in which people meet them.
pub const MODES: &[(&str, &str)] = &[
    (
        "deploy-slot",
        "put the version into the idle slot and wait until the slot serves it",
    ),
    (
        "smoke-test",
        "run the smoke checks against a slot, or look at a URL",
    ),
    (
        "switch-traffic",
        "move traffic to a slot, wholly or by weight, and prove it",
    ),
    ("health-check", "check the live service, or a URL"),
    ("notify", "tell people"),
    (
        "preflight",
        "may and can this be deployed now? changes nothing",
    ),
    (
        "rollout",
        "deploy, smoke, switch, watch, and promote or take back, in one step",
    ),
    (
        "environments",
        "are the environments at GitHub protected as the config says? with `apply`, make them so",
    ),
    ("rollback", "put traffic back on the previous slot, at once"),
    (
        "finish",
        "the post step: close what an interrupted run left open",
    ),
    (
        "rehearse",
        "run a rollout against a stand-in inside this process, with faults to order",
    ),
];
