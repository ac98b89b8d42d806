//! A `reverse_proxy` handler of Caddy's JSON, and the split that it makes. Pure.
//!
//! With all traffic on one slot the other is not in the list at all: Caddy's weights are places
//! in the list of upstreams that are *available*, so beside one that failed its health check
//! even a weight of 0 can get requests. Shares are written in lowest terms, because Caddy
//! serves a weight's requests in a row: 3 and 1 instead of 75 and then 25. Each change has a
//! mark, an `@id` of the policy: after a lost answer it tells our change from somebody else's
//! to the same split. Of the handler only the upstreams and the policy by weights are ever
//! changed or saved; the rest may hold secrets.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::model::slot::Side;
use crate::model::split::{Split, Weight};
use crate::platform::text::excerpt;

/// What is dialled for the first and for the second slot.
pub(super) type Dials = [String; 2];

/// What our marks begin with. An `@id` is anybody's to set, and Caddy asks only that it is unique.
const OURS: &str = "cutover-";

/// The only policy by which Caddy divides by weights.
const BY_WEIGHTS: &str = "weighted_round_robin";

/// What a change is made of, and what is put back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pieces {
    /// The upstreams, each with its `dial` and whatever else it has.
    pub(super) upstreams: Vec<Value>,
    /// The weights; none where the policy is not [`BY_WEIGHTS`].
    pub(super) weights: Option<Vec<u32>>,
    /// The `@id` of the policy by weights.
    pub(super) mark: Option<String>,
}

/// The pieces of a handler.
///
/// # Errors
/// What is there instead, as a fragment: `an array`.
pub(super) fn pieces(handler: &Value) -> Result<Pieces, String> {
    match handler.get("handler").and_then(Value::as_str) {
        Some("reverse_proxy") => {}
        Some(other) => return Err(format!("a handler \"{}\"", excerpt(other, 40))),
        None => return Err(kind_of(handler).to_owned()),
    }
    if handler.get("dynamic_upstreams").is_some() {
        return Err("a reverse_proxy with dynamic_upstreams".to_owned());
    }
    let upstreams = handler.get("upstreams").and_then(Value::as_array);
    let by_weights = policy(handler).filter(|policy| {
        let name = policy.get("policy").and_then(Value::as_str);
        name == Some(BY_WEIGHTS)
    });
    let weights = by_weights.map(|policy| {
        let weights = policy.get("weights").cloned().unwrap_or(Value::Null);
        serde_json::from_value(weights).unwrap_or_default()
    });
    let mark = by_weights.and_then(|policy| policy.get("@id")?.as_str());
    Ok(Pieces {
        upstreams: upstreams.cloned().unwrap_or_default(),
        mark: mark.map(ToOwned::to_owned),
        weights,
    })
}

/// The split that the pieces make.
///
/// # Errors
/// What they are instead, as a fragment.
pub(super) fn split(pieces: &Pieces, dials: &Dials) -> Result<Split, String> {
    let dialled: Vec<&str> = pieces.upstreams.iter().map(dial).collect();
    let side_of = |dial: &str| match dials.iter().position(|known| known == dial) {
        Some(0) => Some(Side::First),
        Some(_) => Some(Side::Second),
        None => None,
    };
    let sides: Option<Vec<Side>> = dialled.iter().map(|dial| side_of(dial)).collect();
    let upstreams = || format!("the upstreams {}", excerpt(&dialled.join(" and "), 200));
    match (sides.as_deref(), &pieces.weights) {
        (Some([one]), _) => Ok(Split::all_to(*one)),
        (Some([one, other]), Some(weights)) if one != other => {
            let [weight, rest] = weights.as_slice() else {
                return Err(format!("{} weights for two upstreams", weights.len()));
            };
            let share = percent(*weight, *rest).ok_or_else(|| {
                format!("the weights {weight} and {rest}, which are not a share in whole percent")
            })?;
            Ok(Split::with(*one, share))
        }
        (Some([one, other]), None) if one != other => Err(format!(
            "both upstreams, and not by the policy {BY_WEIGHTS}"
        )),
        (Some([]), _) => Err("a reverse_proxy without upstreams".to_owned()),
        _ => Err(upstreams()),
    }
}

/// A mark that no other change has.
pub(super) fn new_mark() -> String {
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("{OURS}{}", random.get(..12).unwrap_or(&random))
}

/// The pieces for a split, made from those that are there. Where nobody chose a policy, or by
/// weights, it is by weights and has the mark.
pub(super) fn pieces_for(
    split: Split,
    now: &Pieces,
    dials: &Dials,
    by_weights: bool,
    mark: &str,
) -> Pieces {
    // Somebody's own name for the policy is theirs.
    let theirs = now.mark.clone().filter(|mark| !mark.starts_with(OURS));
    let mark = by_weights.then(|| theirs.unwrap_or_else(|| mark.to_owned()));
    let upstream = |side: Side| {
        let dialled = &dials[usize::from(side == Side::Second)];
        let there = now.upstreams.iter().find(|one| dial(one) == dialled);
        there.cloned().unwrap_or_else(|| {
            // What is said of one upstream, such as how many requests it takes, holds for both.
            let mut copy = now.upstreams.first().cloned().unwrap_or_else(|| json!({}));
            if let Some(copy) = copy.as_object_mut() {
                copy.insert("dial".to_owned(), Value::String(dialled.clone()));
                // There can be no two of them.
                copy.remove("@id");
            }
            copy
        })
    };
    if split.is_whole() {
        return Pieces {
            upstreams: vec![upstream(split.active())],
            weights: by_weights.then(|| vec![1]),
            mark,
        };
    }
    let both = [Side::First, Side::Second];
    let percents = both.map(|side| u32::from(split.weight(side).percent()));
    let divisor = common_divisor(percents[0], percents[1]);
    Pieces {
        upstreams: both.map(upstream).into(),
        weights: Some(percents.map(|percent| percent / divisor).into()),
        mark,
    }
}

/// Whether shares can be had of a handler: its policy is by weights, or nobody chose one.
///
/// # Errors
/// The policy that is in the way.
pub(super) fn can_share(handler: &Value) -> Result<(), String> {
    let name = policy(handler).map(|policy| policy.get("policy").and_then(Value::as_str));
    match name {
        None | Some(Some(BY_WEIGHTS)) => Ok(()),
        Some(other) => Err(excerpt(other.unwrap_or("without a name"), 40)),
    }
}

/// The handler with other pieces; a policy that is not by weights is left alone.
pub(super) fn with(handler: &Value, pieces: &Pieces) -> Value {
    let mut handler = handler.clone();
    let ours = can_share(&handler).is_ok();
    let Some(fields) = handler.as_object_mut() else {
        return handler;
    };
    let upstreams = Value::Array(pieces.upstreams.clone());
    fields.insert("upstreams".to_owned(), upstreams);
    match &pieces.weights {
        Some(weights) => {
            let balancing = fields
                .entry("load_balancing")
                .or_insert_with(|| Value::Object(Map::new()));
            if let Some(balancing) = balancing.as_object_mut() {
                let mut policy = json!({ "policy": BY_WEIGHTS, "weights": weights });
                if let Some(mark) = &pieces.mark {
                    policy["@id"] = Value::String(mark.clone());
                }
                balancing.insert("selection_policy".to_owned(), policy);
            }
        }
        None if ours => {
            let balancing = fields.get_mut("load_balancing");
            let left = balancing.and_then(Value::as_object_mut).map(|balancing| {
                balancing.remove("selection_policy");
                balancing.len()
            });
            if left == Some(0) {
                fields.remove("load_balancing");
            }
        }
        None => {}
    }
    handler
}

/// What an upstream dials.
pub(super) fn dial(upstream: &Value) -> &str {
    let dial = upstream.get("dial").and_then(Value::as_str);
    dial.unwrap_or_default()
}

fn policy(handler: &Value) -> Option<&Value> {
    handler.get("load_balancing")?.get("selection_policy")
}

/// The first of two weights in whole percent, if it is that.
fn percent(weight: u32, rest: u32) -> Option<Weight> {
    let (part, sum) = (u64::from(weight) * 100, u64::from(weight) + u64::from(rest));
    if sum == 0 || part % sum != 0 {
        return None;
    }
    u8::try_from(part / sum).ok().and_then(Weight::new)
}

/// The greatest number that divides both, by Euclid; at least one is not 0.
const fn common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

const fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object that is no handler",
        _ => "a single value",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dials() -> Dials {
        ["b:1".to_owned(), "g:2".to_owned()]
    }

    fn at(percent: u8) -> Split {
        Split {
            second: Weight::new(percent).unwrap(),
        }
    }

    #[test]
    fn every_split_is_written_and_read_back_and_the_rest_is_left_alone() {
        let plain = json!({
            "@id": "live", "handler": "reverse_proxy", "upstreams": [{ "dial": "b:1", "max_requests": 9 }],
            "headers": { "request": { "set": { "Authorization": ["secret"] } } },
        });
        let saved = pieces(&plain).unwrap();
        assert!(!serde_json::to_string(&saved).unwrap().contains("secret"));
        let mut handler = plain.clone();
        for percent in (0..=100).chain((0..=100).rev()) {
            let now = pieces(&handler).unwrap();
            handler = with(
                &handler,
                &pieces_for(at(percent), &now, &dials(), true, "cutover-1"),
            );
            let found = pieces(&handler).unwrap();
            assert_eq!(split(&found, &dials()), Ok(at(percent)));
            for upstream in &found.upstreams {
                assert_eq!(upstream["max_requests"], 9);
            }
            assert_eq!(handler["headers"], plain["headers"]);
            let back = with(&handler, &saved);
            assert_eq!(back, plain, "back from {percent}");
        }
    }

    #[test]
    fn nobody_is_in_the_list_who_gets_nothing_and_shares_are_in_lowest_terms() {
        let both = json!({ "handler": "reverse_proxy", "upstreams": [{ "dial": "b:1" }, { "dial": "g:2" }],
            "load_balancing": { "selection_policy": { "policy": BY_WEIGHTS, "weights": [75, 25] } } });
        let now = pieces(&both).unwrap();
        assert_eq!(split(&now, &dials()), Ok(at(25)));
        for (percent, upstreams, weights) in [
            (0, "[b:1]", vec![1]),
            (100, "[g:2]", vec![1]),
            (25, "[b:1 g:2]", vec![3, 1]),
            (50, "[b:1 g:2]", vec![1, 1]),
            (99, "[b:1 g:2]", vec![1, 99]),
        ] {
            let wanted = pieces_for(at(percent), &now, &dials(), true, "cutover-1");
            let listed: Vec<_> = wanted.upstreams.iter().map(dial).collect();
            assert_eq!(format!("[{}]", listed.join(" ")), upstreams);
            assert_eq!(wanted.weights, Some(weights));
            assert_eq!(wanted.mark.as_deref(), Some("cutover-1"));
        }
    }

    #[test]
    fn another_policy_is_kept_and_is_in_the_way_of_shares_only() {
        let handler = json!({ "handler": "reverse_proxy", "upstreams": [{ "dial": "b:1" }],
            "load_balancing": { "retries": 2, "selection_policy": { "policy": "cookie", "secret": "s" } } });
        assert_eq!(can_share(&handler), Err("cookie".to_owned()));
        let now = pieces(&handler).unwrap();
        let there = with(
            &handler,
            &pieces_for(at(100), &now, &dials(), false, "cutover-1"),
        );
        assert_eq!(there["load_balancing"], handler["load_balancing"]);
        assert_eq!(with(&there, &now), handler);
    }

    #[test]
    fn names_that_somebody_gave_stay_and_are_not_given_twice() {
        let handler = json!({ "handler": "reverse_proxy", "upstreams": [{ "@id": "b", "dial": "b:1" }],
            "load_balancing": { "selection_policy": { "@id": "p", "policy": BY_WEIGHTS, "weights": [1] } } });
        let now = pieces(&handler).unwrap();
        let half = pieces_for(at(50), &now, &dials(), true, "cutover-1");
        assert_eq!(half.mark.as_deref(), Some("p"));
        let named = half.upstreams.iter().map(|one| one.get("@id").is_some());
        assert_eq!(named.collect::<Vec<_>>(), [true, false]);
        assert_ne!(new_mark(), new_mark());
    }

    #[test]
    fn what_is_no_split_is_told() {
        for (handler, said) in [
            (json!(null), "nothing"),
            (json!([]), "an array"),
            (json!({ "routes": [] }), "an object that is no handler"),
            (json!({ "handler": "subroute" }), "a handler \"subroute\""),
            (
                json!({ "handler": "reverse_proxy", "upstreams": [] }),
                "a reverse_proxy without upstreams",
            ),
            (
                json!({ "handler": "reverse_proxy", "dynamic_upstreams": {} }),
                "a reverse_proxy with dynamic_upstreams",
            ),
            (
                json!({ "handler": "reverse_proxy", "upstreams": [{ "dial": "c:3" }] }),
                "the upstreams c:3",
            ),
            (
                json!({ "handler": "reverse_proxy", "upstreams": [{ "dial": "b:1" }, { "dial": "b:1" }] }),
                "the upstreams b:1 and b:1",
            ),
            (
                json!({ "handler": "reverse_proxy", "upstreams": [{ "dial": "b:1" }, { "dial": "g:2" }] }),
                "both upstreams, and not by the policy weighted_round_robin",
            ),
        ] {
            let found = pieces(&handler).and_then(|found| split(&found, &dials()));
            assert_eq!(found, Err(said.to_owned()));
        }
        for (weights, said) in [
            (json!([7, 1]), "7 and 1, which are not a share"),
            (json!([0, 0]), "0 and 0, which are not a share"),
            (json!([1]), "1 weights for two"),
            (json!(["x"]), "0 weights for two"),
        ] {
            let handler = json!({ "handler": "reverse_proxy", "upstreams": [{ "dial": "b:1" }, { "dial": "g:2" }],
                "load_balancing": { "selection_policy": { "policy": BY_WEIGHTS, "weights": weights } } });
            let found = pieces(&handler).and_then(|found| split(&found, &dials()));
            assert!(found.as_ref().unwrap_err().contains(said), "{found:?}");
        }
    }
}
