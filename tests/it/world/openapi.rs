//! GitHub's own description of its API, as far as it is used here, and whether a request fits it:
//! the path, the method, each parameter, and the body. What the description does not name is
//! not sent, even where GitHub would overlook it.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::stand_in::Asked;

static DESCRIPTION: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../data/github-openapi.json")).unwrap());

/// The path below the API's address, with the repository by its name.
pub(crate) fn below(path: &str) -> String {
    let path = path.strip_prefix("/api/v3").unwrap_or(path);
    path.replacen("/repositories/4711/", "/repos/shop/storefront/", 1)
}

/// What is wrong with a request.
pub(crate) fn violation(asked: &Asked) -> Option<String> {
    check(asked).err().map(|wrong| {
        format!(
            "{} {} is not what GitHub describes: {wrong}",
            asked.method, asked.path
        )
    })
}

fn check(asked: &Asked) -> Result<(), String> {
    let path = below(&asked.path);
    let method = asked.method.to_lowercase();
    let paths = DESCRIPTION["paths"].as_object().unwrap();
    let mut fitting = paths
        .iter()
        .filter_map(|(template, methods)| Some((fit(template, &path)?, methods.get(&method)?)));
    let (in_path, operation) = fitting.next().ok_or("there is no such path and method")?;
    let parameters = operation["parameters"].as_array().unwrap();
    for (place, given) in [("path", &in_path), ("query", &asked.query)] {
        for (name, value) in given {
            let known = parameters
                .iter()
                .find(|one| one["in"] == place && one["name"] == name.as_str())
                .ok_or_else(|| format!("there is no `{name}` in the {place}"))?;
            let value = match known["schema"]["type"].as_str() {
                Some("string") | None => Value::from(value.as_str()),
                _ => serde_json::from_str(value).unwrap_or_else(|_| value.as_str().into()),
            };
            fits(&known["schema"], &value, name)?;
        }
        for wanted in parameters
            .iter()
            .filter(|one| one["in"] == place && one["required"] == true)
        {
            if !given
                .iter()
                .any(|(name, _)| wanted["name"] == name.as_str())
            {
                return Err(format!("{} is missing in the {place}", wanted["name"]));
            }
        }
    }
    match operation.get("requestBody") {
        None if asked.body.is_empty() => Ok(()),
        None => Err("there is a body".to_owned()),
        Some(body) if asked.body.is_empty() && body["required"] == false => Ok(()),
        Some(body) => {
            let given: Value = serde_json::from_slice(&asked.body)
                .map_err(|_| "the body is not JSON".to_owned())?;
            fits(&body["schema"], &given, "body")
        }
    }
}

/// The values of a template's parts, if the path fits it. Only a Git reference has slashes.
fn fit(template: &str, path: &str) -> Option<Vec<(String, String)>> {
    let (mut values, mut parts) = (Vec::new(), path.split('/'));
    for wanted in template.split('/') {
        let mut part = parts.next()?.to_owned();
        match wanted
            .strip_prefix('{')
            .and_then(|name| name.strip_suffix('}'))
        {
            Some(name) => {
                if template.ends_with("{ref}") && name == "ref" {
                    part = parts
                        .by_ref()
                        .fold(part, |all, more| format!("{all}/{more}"));
                }
                if part.is_empty() {
                    return None;
                }
                values.push((name.to_owned(), part));
            }
            None if wanted != part => return None,
            None => {}
        }
    }
    parts.next().is_none().then_some(values)
}

/// Whether a value is what a schema allows.
fn fits(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    if value.is_null() && schema["nullable"] == true {
        return Ok(());
    }
    for (word, all) in [("oneOf", false), ("anyOf", false), ("allOf", true)] {
        let Some(several) = schema.get(word).and_then(Value::as_array) else {
            continue;
        };
        let mut outcomes = several.iter().map(|one| fits(one, value, at));
        match all {
            true => outcomes.collect::<Result<(), _>>()?,
            false if outcomes.any(|outcome| outcome.is_ok()) => {}
            false => return Err(format!("{at} is none of what is allowed: {value}")),
        }
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array)
        && !words.contains(value)
    {
        return Err(format!("{at} is {value}, not one of {words:?}"));
    }
    let is_one = match schema["type"].as_str() {
        None => true,
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        Some(other) => return Err(format!("{at}: the description says {other}")),
    };
    if !is_one {
        return Err(format!("{at} is {value}, not of type {}", schema["type"]));
    }
    let limit = |word: &str| schema.get(word).and_then(Value::as_u64);
    if let Some(text) = value.as_str() {
        let length = text.chars().count() as u64;
        if limit("maxLength").is_some_and(|most| length > most)
            || limit("minLength").is_some_and(|least| length < least)
        {
            return Err(format!("{at} has {length} characters"));
        }
    }
    if let Some(items) = value.as_array() {
        for (i, item) in items.iter().enumerate() {
            fits(&schema["items"], item, &format!("{at}[{i}]"))?;
        }
    }
    match value.as_object() {
        Some(map) => object(schema, map, at),
        None => Ok(()),
    }
}

fn object(schema: &Value, map: &Map<String, Value>, at: &str) -> Result<(), String> {
    for wanted in schema["required"].as_array().into_iter().flatten() {
        if !map.contains_key(wanted.as_str().unwrap()) {
            return Err(format!("{at} has no {wanted}"));
        }
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    for (key, value) in map {
        let at = format!("{at}.{key}");
        match (
            properties.and_then(|all| all.get(key)),
            schema.get("additionalProperties"),
        ) {
            (Some(one), _) => fits(one, value, &at)?,
            (None, Some(Value::Bool(true))) => {}
            (None, Some(other)) if other.is_object() => fits(other, value, &at)?,
            // A description that names no properties at all allows all of them.
            (None, None) if properties.is_none() => {}
            (None, _) => return Err(format!("there is no {at}")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &str, path: &str, query: &[(&str, &str)], body: &str) -> Option<String> {
        violation(&Asked {
            method: method.to_owned(),
            path: format!("/api/v3{path}"),
            query: query
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            headers: hyper::HeaderMap::new(),
            body: body.as_bytes().to_vec(),
        })
    }

    #[test]
    fn what_does_not_fit_is_found() {
        let root = "/repos/shop/storefront";
        let deployments = format!("{root}/deployments");
        let statuses = format!("{deployments}/7/statuses");
        let payload = r#"{"ref":"c0ffee","payload":{"any":["thing"]},"required_contexts":[]}"#;
        assert_eq!(asked("POST", &deployments, &[], payload), None);
        assert_eq!(asked("GET", &deployments, &[("per_page", "100")], ""), None);
        assert_eq!(
            asked("GET", &format!("{root}/git/ref/cutover/a/b"), &[], ""),
            None
        );
        assert_eq!(
            asked("POST", &statuses, &[], r#"{"state":"success"}"#),
            None
        );
        for (method, path, query, body, said) in [
            ("PUT", &deployments, &[][..], "", "no such path"),
            ("GET", &format!("{root}/deploy"), &[], "", "no such path"),
            ("GET", &format!("{deployments}/"), &[], "", "no such path"),
            (
                "GET",
                &format!("{deployments}/x/statuses"),
                &[],
                "",
                "not of type",
            ),
            ("GET", &deployments, &[("per_page", "x")], "", "not of type"),
            (
                "GET",
                &deployments,
                &[("state", "x")],
                "",
                "no `state` in the query",
            ),
            ("GET", &deployments, &[], "{}", "there is a body"),
            ("POST", &deployments, &[], "", "not JSON"),
            ("POST", &deployments, &[], "{}", "no \"ref\""),
            ("POST", &deployments, &[], r#"{"ref":1}"#, "not of type"),
            (
                "POST",
                &deployments,
                &[],
                r#"{"ref":"a","payload":1}"#,
                "none of what is allowed",
            ),
            (
                "POST",
                &deployments,
                &[],
                r#"{"ref":"a","required_contexts":[1]}"#,
                "[0]",
            ),
            (
                "POST",
                &deployments,
                &[],
                r#"{"ref":"a","auto":1}"#,
                "there is no body.auto",
            ),
            (
                "POST",
                &statuses,
                &[],
                r#"{"state":"active"}"#,
                "not one of",
            ),
        ] {
            let wrong = asked(method, path, query, body).unwrap_or_default();
            assert!(wrong.contains(said), "{method} {path} {body}: {wrong:?}");
        }
    }
}
