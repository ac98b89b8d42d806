//! What the slots are called in a proxy.

use indexmap::IndexMap;

use crate::model::slot::{Side, Slots};

/// The names of both slots in the proxy; where none is given, the slot's own.
///
/// # Errors
/// A slot that does not exist, a name that the proxy cannot have, or one name for both.
pub(in crate::routers) fn names(
    key: &str,
    given: Option<IndexMap<String, String>>,
    slots: &Slots,
) -> Result<[String; 2], String> {
    let given = given.unwrap_or_default();
    if let Some(stranger) = given.keys().find(|name| slots.side_of(name).is_none()) {
        return Err(format!(
            "{key}: there is no slot \"{stranger}\"; the slots are {} and {}",
            slots.first.name, slots.second.name
        ));
    }
    let names = [Side::First, Side::Second].map(|side| {
        let name = given.get(slots.name(side)).cloned();
        name.unwrap_or_else(|| slots.name(side).to_owned())
    });
    for name in &names {
        plain(key, name)?;
    }
    if names[0] == names[1] {
        return Err(format!("{key}: both slots are {}", names[0]));
    }
    Ok(names)
}

/// Whether a name stands for itself in configuration files, templates and addresses.
///
/// # Errors
/// When it has other characters than letters, digits, `-`, `_`, `.` and `@`.
pub(in crate::routers) fn plain(key: &str, name: &str) -> Result<(), String> {
    let known = |c: char| c.is_ascii_alphanumeric() || "_-.@".contains(c);
    if !name.is_empty() && name.chars().all(known) {
        return Ok(());
    }
    Err(format!(
        "{key}: \"{name}\" is not made of letters, digits, `-`, `_`, `.` and `@`"
    ))
}
