//! Which values are secrets before anything else is known: those of the inputs, and those of
//! variables whose names say so.

use std::ffi::OsString;

use crate::config::inputs::Inputs;
use crate::platform::secret::Vault;

/// The ends of names whose values are secrets. A script that prints its whole environment then
/// prints no secret into our log.
const ENDS: &[&str] = &[
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "API_KEY",
    "APIKEY",
    "PRIVATE_KEY",
    "ACCESS_KEY",
    "WEBHOOK",
];

/// The least length of a value that is taken for a secret by its name alone: `true` is none.
const LEAST: usize = 6;

/// Registers the values of variables whose names say that they are secrets.
pub(super) fn keep_from_environment(environment: &[(OsString, OsString)], vault: &Vault) {
    for (name, value) in environment {
        let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else {
            continue;
        };
        let name = name.to_uppercase().replace('-', "_");
        if value.len() >= LEAST && ENDS.iter().any(|end| name.ends_with(end)) {
            vault.keep(value);
        }
        // A proxy's URL may carry a password.
        if name.ends_with("_PROXY") {
            vault.keep_user_info(value);
        }
    }
}

/// Registers the secret inputs.
pub(super) fn keep_from_inputs(inputs: &Inputs, vault: &Vault) {
    let key = inputs.app.as_ref().map(|app| &app.key);
    let given = [inputs.token.as_ref(), inputs.webhook.as_ref(), key];
    for secret in given.into_iter().flatten() {
        vault.keep(secret.expose());
        // As it is read where its lines are written out.
        vault.keep(&secret.expose().replace("\\n", "\n"));
    }
    if let Some(webhook) = &inputs.webhook {
        vault.keep_address(webhook.expose());
    }
    if let Some(url) = &inputs.url {
        vault.keep_user_info(url.as_str());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_secrets() {
        let vault = Vault::default();
        let variables = [
            ("DB_PASSWORD", "hunter22"),
            ("gh_token", "abcdefgh"),
            ("USE_TOKEN", "true"),
            ("HOME", "/root/home"),
        ];
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        keep_from_environment(&variables, &vault);
        assert_eq!(
            vault.redact("hunter22 abcdefgh true /root/home"),
            "*** *** true /root/home"
        );
    }
}
