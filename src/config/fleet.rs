//! Several of a kind as one: either each with a block of its own, or one block for many hosts.
//!
//! What the blocks make, and how several of them act together, is the seam's own matter.

use indexmap::IndexMap;

use super::kinds::Block;

/// The key that a block of many gets, for each of them.
const HOST: &str = "host";

/// The blocks of a fleet by name, each with its place below the fleet's own block.
///
/// # Errors
/// When there is none, when it is said twice, or when a fleet is in a fleet.
pub fn nodes(
    named: IndexMap<String, Block>,
    hosts: &[String],
    each: Option<Block>,
) -> Result<Vec<(String, String, Block)>, String> {
    let nodes: Vec<(String, String, Block)> = match (named.is_empty(), hosts, each) {
        (false, [], None) => {
            let below = |(name, block)| (format!("nodes.{name}"), name, block);
            named.into_iter().map(below).collect()
        }
        (true, [_, ..], Some(each)) => {
            if each.options.contains_key(HOST) {
                return Err("each.host: `hosts` says on which; leave it out".to_owned());
            }
            if let Some(twice) = twice(hosts) {
                return Err(format!("hosts: {twice} is there twice"));
            }
            let on = |name: &String| {
                let mut block = each.clone();
                block.options.insert(HOST.to_owned(), name.as_str().into());
                ("each".to_owned(), name.clone(), block)
            };
            hosts.iter().map(on).collect()
        }
        (true, [], None) => {
            return Err("there is nobody in it: say `nodes`, or `hosts` and `each`".to_owned());
        }
        (true, _, _) => {
            return Err("`hosts` and `each` belong together; one of them is missing".to_owned());
        }
        (false, _, _) => {
            return Err(
                "`nodes` is one way, `hosts` and `each` another; take one of them".to_owned(),
            );
        }
    };
    match nodes.iter().find(|(_, _, block)| block.kind == "fleet") {
        Some((path, _, _)) => Err(format!("{path}: a fleet has no fleets in it")),
        None => Ok(nodes),
    }
}

fn twice(names: &[String]) -> Option<&str> {
    let again = |(i, name): &(usize, &String)| names[..*i].contains(name);
    names
        .iter()
        .enumerate()
        .find(again)
        .map(|(_, name)| name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn block(value: serde_json::Value) -> Block {
        serde_json::from_value(value).unwrap()
    }

    fn names(all: &[&str]) -> Vec<String> {
        all.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn one_block_is_for_each_host() {
        let each = block(json!({ "kind": "command", "run": "x" }));
        let made = nodes(IndexMap::new(), &names(&["a", "b"]), Some(each)).unwrap();
        let told: Vec<_> = made
            .iter()
            .map(|(path, name, block)| format!("{path} {name} {}", block.options["host"]))
            .collect();
        assert_eq!(told, ["each a \"a\"", "each b \"b\""]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let command = || block(json!({ "kind": "command", "run": "x" }));
        let own = || IndexMap::from([("n".to_owned(), command())]);
        let none = IndexMap::new;
        let said = |named, hosts: &[&str], each| nodes(named, &names(hosts), each).unwrap_err();
        assert!(said(none(), &[], None).contains("nobody"));
        assert!(said(none(), &["a"], None).contains("belong together"));
        assert!(said(none(), &[], Some(command())).contains("belong together"));
        assert!(said(own(), &["a"], None).contains("one way"));
        assert!(said(own(), &[], Some(command())).contains("one way"));
        assert!(said(none(), &["a", "b", "a"], Some(command())).contains("a is there twice"));
        let placed = block(json!({ "kind": "command", "run": "x", "host": "a" }));
        assert!(said(none(), &["a"], Some(placed)).contains("each.host"));
        let fleet = block(json!({ "kind": "fleet" }));
        assert!(said(none(), &["a"], Some(fleet)).contains("no fleets"));
    }
}
