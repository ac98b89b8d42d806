//! From the blocks `hooks` and `drain` to what a stage runs beside its steps and after a switch.

use crate::config::drain::After;
use crate::config::file::Environment;
use crate::config::hooks::Terms;
use crate::config::kinds::{HookBlock, build};
use crate::config::preflight::Migration;
use crate::config::template::fill;
use crate::config::units::HttpUrl;
use crate::hooks::{self, KINDS};
use crate::model::hook::Moment;
use crate::platform::host::Hosts;
use crate::rollout::drain::{Drain, IN_URL, Place, Retire};
use crate::rollout::hooks::{Hook, Hooks};
use crate::targets::Target;

use super::{Misfit, Tools, fitting};

/// A hook and the terms on which it is run.
type Made = (Terms, Box<dyn hooks::Hook>);

fn made(block: &HookBlock, tools: &Tools, hosts: &Hosts) -> Result<Made, String> {
    let with = hooks::Tools {
        http: tools.http.clone(),
        directory: tools.directory.clone(),
        vault: tools.vault.clone(),
        hosts: hosts.clone(),
    };
    let mut block = block.0.clone();
    let terms = block.take::<Terms>()?;
    Ok((terms, build(KINDS, &block, &with)?))
}

/// The hooks of an environment, in the order of a run.
pub(super) fn hooks(
    environment: &Environment,
    tools: &Tools,
    hosts: &Hosts,
    misfits: &mut Vec<Misfit>,
) -> Hooks {
    let mut all = Vec::new();
    for moment in Moment::ALL {
        for (i, block) in environment.hooks.at(moment).iter().enumerate() {
            let path = format!("hooks.{}[{i}]", moment.name());
            let Some((terms, does)) = fitting(&path, made(block, tools, hosts), misfits) else {
                continue;
            };
            if let Some((key, said)) = terms.meaning(moment) {
                misfits.push((format!("{path}.{key}"), said.to_owned()));
            }
            all.push(Hook {
                moment,
                name: terms.name.unwrap_or_else(|| does.told()),
                required: terms.required.unwrap_or_else(|| moment.is_before()),
                migration: terms.migration,
                does,
            });
        }
    }
    Hooks::new(all)
}

/// When the old slot is let go.
pub(super) fn drain(
    environment: &Environment,
    tools: &Tools,
    hosts: &Hosts,
    target: Option<&dyn Target>,
    misfits: &mut Vec<Misfit>,
) -> Option<Drain> {
    let block = environment.drain.as_ref()?;
    let wrong = block.meaning().into_iter();
    misfits.extend(wrong.map(|(key, said)| (format!("drain.{key}"), said)));
    if let Some(url) = &block.url {
        let sample = fill(url, &IN_URL, |_| Ok("x".to_owned()));
        let sample = sample.and_then(|sample| sample.parse::<HttpUrl>());
        fitting("drain.url", sample, misfits);
    }
    let does = block.retire.as_ref().and_then(|retire| {
        let path = "drain.retire";
        let (terms, does) = fitting(path, made(retire, tools, hosts), misfits)?;
        if terms.required.is_some() || terms.migration != Migration::None {
            let said = "neither `required` nor `migration` means anything here: the release is final by then";
            misfits.push((path.to_owned(), said.to_owned()));
        }
        Some(does)
    });
    if block.after == After::Stop
        && block.retire.is_none()
        && let Some(said) = nobody_stops(environment, target)
    {
        misfits.push(("drain.after".to_owned(), said.to_owned()));
    }
    let retire = (block.after != After::Keep).then(|| Retire {
        after: block.after,
        delay: block.delay.get(),
        does,
    });
    let path = block.path.clone().map(Place::Path);
    Some(Drain {
        deadline: block.deadline.get(),
        place: path.or_else(|| block.url.clone().map(Place::Url)),
        field: block.field.clone(),
        retire,
    })
}

/// Why the target cannot stop the old slot; one that could not be built has been told of.
fn nobody_stops(environment: &Environment, target: Option<&dyn Target>) -> Option<&'static str> {
    if environment.failover.is_some() {
        return Some(
            "needs `retire`: with a `failover`, which target has put the old release there is not known",
        );
    }
    let able = target.is_some_and(|target| target.stops().is_some());
    let unknown = target.is_none() && environment.target.is_some();
    (!able && !unknown)
        .then_some("needs `retire`: the command or request that does it, for this target cannot")
}
