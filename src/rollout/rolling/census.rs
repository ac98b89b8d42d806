//! Who the members are before anything changes: where each stands and what it serves, whom a
//! rollout may begin with, and what there is to go back to.

use futures_util::future::join_all;

use crate::model::ending::Reason;
use crate::model::event::Event;
use crate::model::fault::Fault;
use crate::model::pool::{Place, listed};
use crate::model::release::Release;
use crate::model::slot::Slot;
use crate::platform::text;
use crate::rollout::looks::Served;
use crate::rollout::saga::{Made, Step};
use crate::rollout::stage::Stage;
use crate::rollout::steps::{LOOK, order_for};
use crate::routers::pool::Rota;

/// What was found of all members, in the order of the config.
pub struct Census {
    pub(super) rota: Rota,
    pub(super) served: Vec<Served>,
}

impl Census {
    pub(super) fn serves(&self, member: usize, release: &Release) -> bool {
        let served = self.served[member].release();
        served.is_some_and(|served| served.is(release))
    }

    pub(super) fn is_in(&self, member: usize) -> bool {
        self.rota.places[member].is_in()
    }

    /// Those that are not in rotation with the release yet. Who gets no traffic comes first: it
    /// costs nobody anything.
    pub fn to_do(&self, release: &Release) -> Vec<usize> {
        let all = 0..self.served.len();
        let open = |member: &usize| !(self.is_in(*member) && self.serves(*member, release));
        let mut all: Vec<usize> = all.filter(open).collect();
        all.sort_by_key(|member| self.is_in(*member));
        all
    }

    /// The batches, none of which has members that get traffic beside others that do not.
    pub(super) fn batches(&self, to_do: &[usize], size: usize) -> Vec<Vec<usize>> {
        let (within, outside): (Vec<usize>, Vec<usize>) =
            to_do.iter().partition(|member| self.is_in(**member));
        let chunks = |members: Vec<usize>| -> Vec<Vec<usize>> {
            members.chunks(size).map(<[usize]>::to_vec).collect()
        };
        let mut all = chunks(outside);
        all.extend(chunks(within));
        all
    }

    /// Whether anybody at all serves anything.
    pub(super) fn is_live(&self) -> bool {
        self.served.iter().any(|served| served.release().is_some())
    }

    /// Refuses what nobody would want to begin with.
    fn check(&self, members: &[Slot]) -> Result<(), Fault> {
        for (member, place) in members.iter().zip(&self.rota.places) {
            if let Place::Barred(why) = place {
                return Err(Fault::new(
                    Reason::NotAsExpected,
                    format!("{} is kept out of rotation by somebody else", member.name),
                )
                .measured(format!("{}: {why}", member.name))
                .wanted("in rotation, or out as a rollout leaves members out")
                .next("give it back to the router, or take it out of `members`; then run again"));
            }
        }
        let mute = |member: &usize| self.is_in(*member) && self.served[*member].release().is_none();
        match (0..members.len()).find(mute) {
            Some(at) if self.is_live() => {
                let member = &members[at];
                Err(Fault::new(
                    Reason::Unhealthy,
                    format!(
                        "{} gets traffic and does not say which release it serves",
                        member.name
                    ),
                )
                .measured(format!("{}: {}", member.name, self.served[at].told()))
                .wanted("its release, so that there is something to go back to")
                .next(format!(
                    "repair {0}, or correct its URL; a rollout begins with members that are out, so taking {0} out lets it repair it",
                    member.name
                )))
            }
            _ => Ok(()),
        }
    }
}

/// `v1 on web1 and web2; v2 on web3 (out)`.
pub(super) fn told(members: &[Slot], places: &[Place], served: &[Served]) -> String {
    let mut groups: Vec<(String, &Place, Vec<&str>)> = Vec::new();
    for ((member, place), served) in members.iter().zip(places).zip(served) {
        let what = match served {
            Served::Release(release) => release.to_string(),
            other => format!("no release ({})", text::excerpt(&other.told(), 80)),
        };
        let group = groups
            .iter_mut()
            .find(|(known, at, _)| *known == what && *at == place);
        match group {
            Some((_, _, names)) => names.push(&member.name),
            None => groups.push((what, place, vec![&member.name])),
        }
    }
    let one = |(what, place, names): &(String, &Place, Vec<&str>)| {
        let names = listed(names.iter().copied());
        match place {
            Place::In => format!("{what} on {names}"),
            other => format!("{what} on {names} ({})", other.told()),
        }
    };
    groups.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// Asks the router for its members, and each member for its release.
pub struct TakeCensus;

impl Step for TakeCensus {
    type Value = Census;
    const NAME: &'static str = "members";
    const INTERRUPTIBLE: bool = true;

    async fn act(self, stage: &Stage) -> Result<Made<Census>, Fault> {
        let (members, pool) = stage.pool()?;
        let rota = pool.read().await?;
        let served = members
            .iter()
            .map(|member| stage.served_at(&member.url, LOOK));
        let value = Census {
            rota,
            served: join_all(served).await,
        };
        let said = told(members, &value.rota.places, &value.served);
        value.check(members).map_err(|mut fault| {
            fault.measured = Some(format!(
                "{} ({said})",
                fault.measured.as_deref().unwrap_or_default()
            ));
            fault
        })?;
        Ok(Made { value, said })
    }
}

/// Makes sure that members can be turned, and that each could be given its old release again.
pub struct PrepareWayBack<'a> {
    /// What was found.
    pub census: &'a Census,
    /// Those that will change.
    pub to_do: &'a [usize],
    /// What they will change to.
    pub release: &'a Release,
    /// Whether there is to be a way back at all.
    pub wanted: bool,
}

impl Step for PrepareWayBack<'_> {
    /// What each member would go back to; `None` where nothing is known.
    type Value = Vec<Option<Release>>;
    const NAME: &'static str = "way back";
    const INTERRUPTIBLE: bool = true;

    async fn act(self, stage: &Stage) -> Result<Made<Self::Value>, Fault> {
        let (members, pool) = stage.pool()?;
        pool.prepare().await?;
        let target = stage.target()?;
        for member in self.to_do {
            let order = order_for(stage, &members[*member], self.release);
            target.prepare(&order).await?;
        }
        let own = |served: &Served| served.release().filter(|it| !it.is(self.release)).cloned();
        let known: Vec<Option<Release>> = self.census.served.iter().map(own).collect();
        // Who says nothing, or serves the new release and has to be brought in, would get what
        // most of the others have.
        let usual = most(&known);
        let value: Vec<Option<Release>> = known
            .iter()
            .map(|own| own.clone().or_else(|| usual.clone()))
            .collect();
        let mut releases: Vec<&Release> = Vec::new();
        for member in self.to_do {
            if let Some(old) = &value[*member]
                && !releases.iter().any(|known| known.is(old))
            {
                releases.push(old);
            }
        }
        let told: Vec<String> = releases.iter().map(ToString::to_string).collect();
        if releases.len() > 1 {
            stage.say(Event::Warned(format!(
                "the members serve different releases ({}); each would get its own again",
                told.join(", ")
            )));
        }
        let said = match (self.wanted, told.is_empty()) {
            (false, _) => "none: where a batch fails, the rollout stops there".to_owned(),
            (true, true) => "none: nothing is live yet".to_owned(),
            (true, false) => format!(
                "{} on {}, {} can put it there again",
                told.join(", "),
                text::count(self.to_do.len() as u64, "member"),
                target.told()
            ),
        };
        Ok(Made { value, said })
    }
}

/// The release that most have.
fn most(known: &[Option<Release>]) -> Option<Release> {
    let all = known.iter().flatten();
    let many = |release: &&Release| known.iter().flatten().filter(|it| it.is(release)).count();
    all.max_by_key(many).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::looks::Served;

    fn census(all: &[(Place, &str)]) -> Census {
        let served = |(_, release): &(Place, &str)| match *release {
            "" => Served::Unclear("503".to_owned()),
            release => Served::Release(Release::new(release)),
        };
        Census {
            rota: Rota {
                places: all.iter().map(|(place, _)| place.clone()).collect(),
                revision: String::new(),
            },
            served: all.iter().map(served).collect(),
        }
    }

    fn members(number: usize) -> Vec<Slot> {
        let one = |at: usize| Slot {
            name: format!("web{}", at + 1),
            url: format!("http://web{at}.test").parse().unwrap(),
        };
        (0..number).map(one).collect()
    }

    #[test]
    fn who_gets_no_traffic_comes_first_and_in_batches_of_its_own() {
        let down = Place::Down("DOWN".to_owned());
        let census = census(&[
            (Place::In, "v1"),
            (Place::Out, "v1"),
            (Place::In, "v2"),
            (Place::In, "v1"),
            (down, ""),
            (Place::Out, "v2"),
            (Place::In, "v1"),
        ]);
        let to_do = census.to_do(&Release::new("v2"));
        assert_eq!(to_do, [1, 4, 5, 0, 3, 6]);
        assert_eq!(
            census.batches(&to_do, 2),
            [vec![1, 4], vec![5], vec![0, 3], vec![6]]
        );
    }

    #[test]
    fn members_are_told_by_what_they_serve_and_where_they_stand() {
        let census = census(&[
            (Place::In, "v1"),
            (Place::In, "v2"),
            (Place::In, "v1"),
            (Place::Out, "v1"),
            (Place::In, ""),
        ]);
        assert_eq!(
            told(&members(5), &census.rota.places, &census.served),
            "v1 on web1 and web3; v2 on web2; v1 on web4 (out); no release (503) on web5"
        );
    }

    #[test]
    fn who_is_not_in_order_stops_a_rollout() {
        let check = |all: &[(Place, &str)]| {
            let checked = census(all).check(&members(all.len()));
            checked.map_err(|fault| fault.reason)
        };
        assert_eq!(check(&[(Place::In, "v1"), (Place::Out, "")]), Ok(()));
        assert_eq!(
            check(&[(Place::In, "v1"), (Place::In, "")]),
            Err(Reason::Unhealthy)
        );
        let barred = Place::Barred("in maintenance".to_owned());
        assert_eq!(
            check(&[(Place::In, "v1"), (barred, "v1")]),
            Err(Reason::NotAsExpected)
        );
        // Nothing is live: it is the first deployment.
        assert_eq!(check(&[(Place::In, ""), (Place::In, "")]), Ok(()));
    }

    #[test]
    fn what_most_serve_is_what_a_mute_member_would_get() {
        let known = ["v1", "v0", "v1"].map(|release| Some(Release::new(release)));
        assert_eq!(most(&known), Some(Release::new("v1")));
        assert_eq!(most(&[None]), None);
    }
}
