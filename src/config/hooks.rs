//! `hooks:` of an environment: what is run before and after the steps of a rollout, and at its end.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::hook::Moment;

use super::kinds::HookBlock;
use super::preflight::Migration;

/// What is run when. The hooks of a list are run one after the other, as they stand there.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Hooks {
    /// Before the release goes into the slot: migrations that only add. A failure stops the run, unless
    /// it is `required: false`.
    pub before_deploy: Vec<HookBlock>,
    /// When the slot serves the release.
    pub after_deploy: Vec<HookBlock>,
    /// Before the first traffic is moved. A failure stops the run, unless it is `required: false`.
    pub before_switch: Vec<HookBlock>,
    /// When the release has all its traffic and was watched: with `required: true` a failure takes
    /// it back. A `migration: contract` is run after that, when the release is final.
    pub after_switch: Vec<HookBlock>,
    /// When traffic is back on the slot that it came from.
    pub on_rollback: Vec<HookBlock>,
    /// At the end of every run that could change something, also of one that failed.
    pub always: Vec<HookBlock>,
}

impl Hooks {
    /// The hooks of a moment.
    pub fn at(&self, moment: Moment) -> &[HookBlock] {
        match moment {
            Moment::BeforeDeploy => &self.before_deploy,
            Moment::AfterDeploy => &self.after_deploy,
            Moment::BeforeSwitch => &self.before_switch,
            Moment::AfterSwitch => &self.after_switch,
            Moment::OnRollback => &self.on_rollback,
            Moment::Always => &self.always,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        Moment::ALL.iter().all(|moment| self.at(*moment).is_empty())
    }

    /// Whether one of them takes away what the old release needs.
    pub fn contract(&self) -> bool {
        let all = Moment::ALL.iter().flat_map(|moment| self.at(*moment));
        let word = all.filter_map(|hook| hook.0.options.get("migration")?.as_str());
        let mut contracts = word.filter(|word| *word == "contract");
        contracts.next().is_some()
    }
}

/// The keys that all kinds of hooks share.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Terms {
    /// What people call it. Default: what it runs or asks.
    pub name: Option<String>,
    /// Whether the run stops, or takes traffic back, when it fails; else that is a warning. Default:
    /// true under `before-deploy` and `before-switch`, false elsewhere.
    pub required: Option<bool>,
    /// What it does to data that the old release uses, too. `expand` belongs under `before-deploy`,
    /// `contract` under `after-switch`. Default none.
    pub migration: Migration,
}

impl Terms {
    /// What is wrong with it at a moment: the key, and why.
    pub fn meaning(&self, moment: Moment) -> Option<(&'static str, &'static str)> {
        if moment.is_the_end() && self.required == Some(true) {
            return Some((
                "required",
                "the verdict is there by then, and traffic is where it stays: nothing can be stopped any more",
            ));
        }
        match (self.migration, moment) {
            (Migration::None, _)
            | (Migration::Expand | Migration::Contract, Moment::BeforeDeploy)
            | (Migration::Contract, Moment::AfterSwitch) => None,
            (Migration::Expand, _) => Some((
                "migration",
                "an expand is what the new release needs, so it comes before that: under `before-deploy`",
            )),
            (Migration::Contract, _) => Some((
                "migration",
                "a contract takes away what the old release needs: under `after-switch` it is run when the new one is final",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_has_its_place() {
        let wrong = |migration, moment| {
            let terms = Terms {
                migration,
                ..Terms::default()
            };
            terms.meaning(moment).is_some()
        };
        for moment in Moment::ALL {
            let expand = moment == Moment::BeforeDeploy;
            let contract = expand || moment == Moment::AfterSwitch;
            assert!(!wrong(Migration::None, moment));
            assert_eq!(wrong(Migration::Expand, moment), !expand, "{moment:?}");
            assert_eq!(wrong(Migration::Contract, moment), !contract, "{moment:?}");
            let required = Terms {
                required: Some(true),
                ..Terms::default()
            };
            let is_end = matches!(moment, Moment::OnRollback | Moment::Always);
            assert_eq!(required.meaning(moment).is_some(), is_end);
        }
    }
}
