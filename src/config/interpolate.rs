//! `${NAME}` in the config: a value from the environment, and a secret from then on.
//!
//! `$NAME` without braces is left alone, for it belongs to the shell of a `run:`; `$${NAME}`
//! is a literal `${NAME}` for the same purpose.

use crate::platform::secret::Vault;

use super::problem::Problem;
use super::yaml::{Node, What, join};

/// Where `${NAME}` is looked up; a map in tests, the process's environment in life.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Replaces every `${NAME}` in the values (not the keys) below `node`, and registers what it
/// found as a secret. Returns a problem for each name that is not set or is empty.
pub fn interpolate(node: &mut Node, environment: Lookup<'_>, vault: &Vault) -> Vec<Problem> {
    let mut problems = Vec::new();
    walk(node, "", environment, vault, &mut problems);
    problems
}

fn walk(
    node: &mut Node,
    path: &str,
    environment: Lookup<'_>,
    vault: &Vault,
    problems: &mut Vec<Problem>,
) {
    match &mut node.what {
        What::Scalar { text, plain } => {
            if !text.contains("${") {
                return;
            }
            match replace(text, environment, vault) {
                Ok(replaced) => {
                    // A secret that looks like a number stays the text that it is.
                    *plain = false;
                    *text = replaced;
                }
                Err(said) => problems.extend(
                    said.into_iter()
                        .map(|said| Problem::at(path, node.place, said)),
                ),
            }
        }
        What::List(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                walk(item, &format!("{path}[{i}]"), environment, vault, problems);
            }
        }
        What::Map(entries) => {
            for (key, value) in entries {
                walk(value, &join(path, &key.name), environment, vault, problems);
            }
        }
    }
}

fn replace(text: &str, environment: Lookup<'_>, vault: &Vault) -> Result<String, Vec<String>> {
    let mut out = String::with_capacity(text.len());
    let mut problems = Vec::new();
    let mut rest = text;
    while let Some(dollar) = rest.find("${") {
        let escaped = rest[..dollar].ends_with('$');
        let Some(length) = rest[dollar..].find('}') else {
            problems.push("`${` without a `}`".to_owned());
            break;
        };
        let name = &rest[dollar + 2..dollar + length];
        let after = &rest[dollar + length + 1..];
        if escaped {
            out.push_str(&rest[..dollar - 1]);
            out.push_str(&rest[dollar..=dollar + length]);
            rest = after;
            continue;
        }
        out.push_str(&rest[..dollar]);
        rest = after;
        let is_name =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_name {
            problems.push(format!(
                "`${{{name}}}` is not the name of a variable; for a shell's own write `$${{…}}`"
            ));
            continue;
        }
        match environment(name).filter(|value| !value.is_empty()) {
            Some(value) => {
                vault.keep(&value);
                vault.keep_user_info(&value);
                out.push_str(&value);
            }
            None => problems.push(format!(
                "the variable {name} is not set or empty; give it to the step with `env:`, or write `$${{{name}}}` if a shell is to read it"
            )),
        }
    }
    out.push_str(rest);
    if problems.is_empty() {
        Ok(out)
    } else {
        Err(problems)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;

    fn environment(name: &str) -> Option<String> {
        match name {
            "TOKEN" => Some("12345".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    fn text_of(yaml: &str) -> (Result<String, Vec<String>>, Vault) {
        let vault = Vault::default();
        let mut node = yaml::read(yaml).unwrap();
        let problems = interpolate(&mut node, &environment, &vault);
        let What::Scalar { text, .. } = node.what else {
            panic!()
        };
        if problems.is_empty() {
            (Ok(text), vault)
        } else {
            (
                Err(problems.iter().map(|p| p.said.clone()).collect()),
                vault,
            )
        }
    }

    #[test]
    fn a_value_is_taken_and_is_a_secret_from_then_on() {
        let (text, vault) = text_of("Bearer ${TOKEN}.");
        assert_eq!(text.unwrap(), "Bearer 12345.");
        assert_eq!(vault.redact("12345"), "***");
    }

    #[test]
    fn a_shell_keeps_its_own_dollars() {
        assert_eq!(
            text_of("run $SLOT $${VERSION} ${TOKEN}").0.unwrap(),
            "run $SLOT ${VERSION} 12345"
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let said = text_of("${NOPE}${EMPTY}${a-b}").0.unwrap_err();
        assert_eq!(said.len(), 3);
        assert!(
            said[0].contains("NOPE") && said[1].contains("EMPTY") && said[2].contains("${a-b}")
        );
    }
}
