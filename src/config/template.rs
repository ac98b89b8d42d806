//! Templates of the config: `{{name}}` in a URL or a body, filled in when it is used. Shared by every
//! kind of a seam that sends one; nothing is sent here.

use super::check::unknown;

/// Replaces every `{{name}}` once; what is filled in is not looked at again.
///
/// # Errors
/// A name that is none of `names`, braces that are not closed, or what `value` says.
pub fn fill(
    template: &str,
    names: &[&str],
    value: impl Fn(&str) -> Result<String, String>,
) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((name, after)) = after.split_once("}}") else {
            return Err("`{{` without a `}}`".to_owned());
        };
        let name = name.trim();
        if !names.contains(&name) {
            return Err(unknown("placeholder", name, names.iter().copied()));
        }
        out.push_str(before);
        out.push_str(&value(name)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// Percent-encoded, so that a value stays within its part of the URL.
///
/// # Errors
/// When it would lead elsewhere than to its own part.
pub fn in_url(name: &str, value: &str) -> Result<String, String> {
    if matches!(value, "." | "..") {
        return Err(format!("the {name} \"{value}\" cannot be part of a URL"));
    }
    let mut out = String::new();
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    Ok(out)
}

/// Escaped for the inside of a JSON string.
pub fn in_json(value: &str) -> String {
    let quoted = serde_json::Value::from(value).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// A URL without what may be secret in it: the user-info and the query.
pub fn bare(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_in_its_place() {
        let names = ["slot", "version", "app"];
        let put = |template, value: &'static str| {
            fill(template, &names, |name| in_url(name, value)).map_err(|_| ())
        };
        assert_eq!(
            put("/{{ slot }}/x", "a/b?c#d e"),
            Ok("/a%2Fb%3Fc%23d%20e/x".into())
        );
        assert_eq!(
            put("{{slot}}{{slot}}", "{{app}}"),
            Ok("%7B%7Bapp%7D%7D".repeat(2))
        );
        assert_eq!(put("/{{version}}/x", ".."), Err(()));
    }

    #[test]
    fn an_unknown_placeholder_is_refused() {
        let filled = |template| fill(template, &["version"], |_| Ok(String::new()));
        let said = filled("/{{verison}}").unwrap_err();
        assert!(said.contains("did you mean \"version\"?"), "{said}");
        assert!(filled("/{{version").is_err());
    }

    #[test]
    fn a_told_url_has_no_secrets() {
        assert_eq!(
            bare("https://me:pass@x.dev:81/{{slot}}?token=1"),
            "https://x.dev:81/{{slot}}"
        );
        assert_eq!(bare("http://x.dev?token=1"), "http://x.dev");
    }
}
