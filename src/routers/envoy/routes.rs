//! The file of routes, as Envoy reads it. Pure.
//!
//! It is a `DiscoveryResponse` in JSON with one route configuration. The weights may stand in
//! several routes; all of them have to agree, for they are changed together.

use serde_json::{Map, Value, json};

use crate::model::slot::Side;
use crate::model::split::{Split, Weight};
use crate::platform::text::excerpt;
use crate::routers::testers::{Rule, Sent};

/// Both ways of writing a name that Envoy takes.
const VERSION: [&str; 2] = ["version_info", "versionInfo"];
const WEIGHTED: [&str; 2] = ["weighted_clusters", "weightedClusters"];
/// What would make the weights in the file mean something else.
const BY_RUNTIME: [&str; 2] = ["runtime_key_prefix", "runtimeKeyPrefix"];
const TOTAL: [&str; 2] = ["total_weight", "totalWeight"];

/// What a file holds.
pub(super) struct File(Value);

/// The route of a tester, which names one cluster alone and so never moves.
pub(super) fn of_tester(rule: Rule<'_>, clusters: &[String; 2]) -> Value {
    let (name, matches) = match rule.by {
        Sent::Header(name) => (name, json!({ "exact": rule.slot })),
        Sent::Cookie(name) => {
            let regex = format!("(.*;\\s*)?{name}={}(;.*)?", rule.slot);
            ("cookie", json!({ "safe_regex": { "regex": regex } }))
        }
    };
    json!({
        "match": { "prefix": "/", "headers": [{ "name": name, "string_match": matches }] },
        "route": { "cluster": clusters[usize::from(rule.side == Side::Second)] },
    })
}

fn of<'a>(value: &'a Value, names: &[&str; 2]) -> Option<&'a Value> {
    names.iter().find_map(|name| value.get(name))
}

fn is_one(name: &str, names: &[&str; 2]) -> bool {
    names.contains(&name)
}

impl File {
    /// What a person writes down before the first change.
    /// What testers go by comes first.
    pub(super) fn at_first(route: &str, clusters: &[String; 2], mut routes: Vec<Value>) -> String {
        let [first, second] = clusters;
        routes.push(json!({
            "match": { "prefix": "/" },
            "route": { "weighted_clusters": { "clusters": [
                { "name": first, "weight": 100 },
                { "name": second, "weight": 0 },
            ] } },
        }));
        let file = Self(json!({
            "version_info": "0",
            "resources": [{
                "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
                "name": route,
                "virtual_hosts": [{
                    "name": "shop",
                    "domains": ["*"],
                    "routes": routes,
                }],
            }],
        }));
        file.written()
    }

    /// Reads a file's content.
    ///
    /// # Errors
    /// When it is not JSON with that one route configuration.
    pub(super) fn read(content: &str, route: &str) -> Result<Self, String> {
        let value: Value =
            serde_json::from_str(content).map_err(|failed| format!("it is not JSON: {failed}"))?;
        let resources = value.get("resources").and_then(Value::as_array);
        match resources.map(Vec::as_slice) {
            Some([one]) if one.get("name").is_some_and(|name| name == route) => Ok(Self(value)),
            Some([one]) => {
                let name = one.get("name").and_then(Value::as_str).unwrap_or_default();
                let name = excerpt(name, 60);
                Err(format!(
                    "its routes are \"{name}\", and `route` says {route}"
                ))
            }
            _ => Err(format!(
                "it has not one resource, which is the routes {route}"
            )),
        }
    }

    /// The version that Envoy repeats when it has the file.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn version(&self) -> Result<String, String> {
        let version = of(&self.0, &VERSION).and_then(Value::as_str);
        version
            .map(str::to_owned)
            .ok_or_else(|| "it has no `version_info`, by which Envoy could tell it".to_owned())
    }

    /// How traffic is divided.
    ///
    /// # Errors
    /// When no route says, or not all of them say the same.
    pub(super) fn split(&self, clusters: &[String; 2]) -> Result<Split, String> {
        split_of(&self.0, clusters)
    }

    /// The next file after this one: other weights, another version, and all else as it is.
    ///
    /// # Errors
    /// As for reading.
    pub(super) fn followed_by(
        mut self,
        clusters: &[String; 2],
        split: Split,
    ) -> Result<String, String> {
        self.split(clusters)?;
        let version = self.version()?;
        let count = version.rsplit('-').nth(1).unwrap_or(&version);
        let count = count.parse().unwrap_or(0_u64).saturating_add(1);
        let random = uuid::Uuid::new_v4().simple().to_string();
        let next = format!("cutover-{count}-{}", &random[..8]);
        for name in VERSION {
            if let Some(version) = self.0.get_mut(name) {
                *version = next.clone().into();
            }
        }
        set(&mut self.0, clusters, split);
        Ok(self.written())
    }

    fn written(&self) -> String {
        format!("{:#}\n", self.0)
    }
}

/// How traffic is divided by the routes in a value.
///
/// # Errors
/// When none says, or not all of them say the same.
pub(super) fn split_of(value: &Value, clusters: &[String; 2]) -> Result<Split, String> {
    let mut found = Vec::new();
    weighted(value, clusters, &mut found)?;
    let [first, second] = clusters;
    match found.as_slice() {
        [] => Err(format!(
            "no route has `weighted_clusters` with {first} and {second}"
        )),
        [one, rest @ ..] => match rest.iter().find(|other| *other != one) {
            None => Ok(*one),
            Some(other) => Err(format!(
                "its routes disagree: {second} has {} in one and {} in another",
                one.second, other.second
            )),
        },
    }
}

/// Collects the splits of all weighted clusters that are ours.
fn weighted(value: &Value, ours: &[String; 2], found: &mut Vec<Split>) -> Result<(), String> {
    match value {
        Value::Array(all) => all.iter().try_for_each(|one| weighted(one, ours, found)),
        Value::Object(all) => all.iter().try_for_each(|(name, below)| {
            if is_one(name, &WEIGHTED) {
                found.extend(one_split(below, ours)?);
                Ok(())
            } else {
                weighted(below, ours, found)
            }
        }),
        _ => Ok(()),
    }
}

/// The split in one `weighted_clusters`; none if it is about other clusters.
fn one_split(weighted: &Value, ours: &[String; 2]) -> Result<Option<Split>, String> {
    let clusters = weighted.get("clusters").and_then(Value::as_array);
    let clusters = clusters.map(Vec::as_slice).unwrap_or_default();
    let name = |one: &Value| one.get("name").and_then(Value::as_str).map(str::to_owned);
    let names: Vec<_> = clusters.iter().filter_map(name).collect();
    if !names.iter().any(|name| ours.contains(name)) {
        return Ok(None);
    }
    let [first, second] = ours;
    if names.len() != 2 || !names.contains(first) || !names.contains(second) {
        let names = excerpt(&names.join(", "), 120);
        return Err(format!(
            "a route is shared by {names}; {first} and {second} alone are wanted"
        ));
    }
    if of(weighted, &BY_RUNTIME).is_some() {
        return Err(
            "`runtime_key_prefix` lets the runtime overrule the weights; take it out".to_owned(),
        );
    }
    let weight = |cluster: &String| {
        let one = clusters
            .iter()
            .find(|one| name(one).as_ref() == Some(cluster));
        one.and_then(|one| one.get("weight")?.as_u64())
    };
    let total = of(weighted, &TOTAL).and_then(Value::as_u64);
    match (weight(first), weight(second)) {
        (Some(a), Some(b)) if a.checked_add(b) == Some(100) && total.is_none_or(|t| t == 100) => {
            let second = u8::try_from(b).ok().and_then(Weight::new);
            Ok(second.map(|second| Split { second }))
        }
        (a, b) => {
            let told = |weight: Option<u64>| weight.map_or("none".to_owned(), |w| w.to_string());
            Err(format!(
                "the weights are {first} {} and {second} {}; a sum of 100 is wanted",
                told(a),
                told(b)
            ))
        }
    }
}

/// Sets the weights wherever both clusters share.
fn set(value: &mut Value, ours: &[String; 2], split: Split) {
    match value {
        Value::Array(all) => all.iter_mut().for_each(|one| set(one, ours, split)),
        Value::Object(all) => {
            for (name, below) in all.iter_mut() {
                if is_one(name, &WEIGHTED) {
                    let clusters = below.get_mut("clusters").and_then(Value::as_array_mut);
                    let objects = clusters
                        .into_iter()
                        .flatten()
                        .filter_map(Value::as_object_mut);
                    objects.for_each(|one| set_one(one, ours, split));
                } else {
                    set(below, ours, split);
                }
            }
        }
        _ => {}
    }
}

fn set_one(cluster: &mut Map<String, Value>, ours: &[String; 2], split: Split) {
    for (name, side) in ours.iter().zip([Side::First, Side::Second]) {
        if cluster.get("name").is_some_and(|found| found == name) {
            let weight = split.weight(side).percent();
            cluster.insert("weight".to_owned(), weight.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clusters() -> [String; 2] {
        ["blue", "green"].map(str::to_owned)
    }

    #[test]
    fn every_weight_reads_as_it_was_written_and_all_else_stays() {
        let first = File::at_first("live", &clusters(), Vec::new());
        // A second route that is shared, one that is not ours, and fields of the user's.
        let mut more: Value = serde_json::from_str(&first).unwrap();
        let routes = &mut more["resources"][0]["virtual_hosts"][0]["routes"];
        let mut second = routes[0].clone();
        second["match"] = json!({ "prefix": "/api" });
        second["route"]["timeout"] = "3s".into();
        let other = json!({ "match": { "prefix": "/old" }, "route": { "weighted_clusters": {
            "clusters": [{ "name": "a", "weight": 7 }, { "name": "b", "weight": 1 }] } } });
        routes
            .as_array_mut()
            .unwrap()
            .extend([second, other.clone()]);
        let mut content = more.to_string();
        for percent in 0..=100 {
            let split = Split {
                second: Weight::new(percent).unwrap(),
            };
            let file = File::read(&content, "live").unwrap();
            content = file.followed_by(&clusters(), split).unwrap();
            let file = File::read(&content, "live").unwrap();
            assert_eq!(file.split(&clusters()), Ok(split));
            let begin = format!("cutover-{}-", u64::from(percent) + 1);
            assert!(file.version().unwrap().starts_with(&begin), "{content}");
        }
        let routes =
            &File::read(&content, "live").unwrap().0["resources"][0]["virtual_hosts"][0]["routes"];
        assert_eq!(routes[1]["route"]["timeout"], "3s");
        assert_eq!(routes[2], other);
    }

    #[test]
    fn what_cannot_be_changed_is_told() {
        let good = File::at_first("live", &clusters(), Vec::new());
        for (from, to, word) in [
            ("\"live\"", "\"other\"", "\"other\""),
            ("version_info", "version", "version_info"),
            ("\"blue\"", "\"red\"", "red, green"),
            ("100", "99", "blue 99"),
            ("100", "\"all\"", "blue none"),
            (
                "\"clusters\"",
                "\"runtime_key_prefix\": \"x\", \"clusters\"",
                "runtime",
            ),
            (
                "\"clusters\"",
                "\"totalWeight\": 10, \"clusters\"",
                "sum of 100",
            ),
            ("weighted_clusters", "cluster_header", "no route"),
            ("{", "[", "not JSON"),
        ] {
            let changed = good.replace(from, to);
            assert_ne!(changed, good);
            let said = File::read(&changed, "live")
                .and_then(|file| file.followed_by(&clusters(), Split::all_to(Side::Second)));
            assert!(
                said.as_ref().unwrap_err().contains(word),
                "{word}: {said:?}"
            );
        }
        let mut twice: Value = serde_json::from_str(&good).unwrap();
        let routes = twice["resources"][0]["virtual_hosts"][0]["routes"]
            .as_array_mut()
            .unwrap();
        let mut other = routes[0].clone();
        set(&mut other, &clusters(), Split::all_to(Side::Second));
        routes.push(other);
        let said = split_of(&twice, &clusters()).unwrap_err();
        assert!(said.contains("disagree"), "{said}");
    }
}
