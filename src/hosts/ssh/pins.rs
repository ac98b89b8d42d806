//! Which keys a host may show: those that the config names, and no others.
//!
//! A key is pinned by its fingerprint, by itself, or by a line of a `known_hosts` file. There is
//! no way to pass over a key that is not pinned: whoever sits between would be let in.

use std::fs;
use std::path::Path;

use russh::keys::known_hosts::known_host_keys_path;
use russh::keys::{Algorithm, HashAlg, PublicKey, ssh_key};

use crate::platform::text;

/// The keys of one host.
#[derive(Clone, Debug, Default)]
pub(super) struct Pins {
    fingerprints: Vec<String>,
    keys: Vec<PublicKey>,
    /// Keys that are known to be in wrong hands.
    revoked: Vec<PublicKey>,
}

impl Pins {
    /// Takes what is in `host-key`: a fingerprint or a key a line.
    pub(super) fn add_lines(&mut self, lines: &str) -> Result<(), String> {
        let lines = lines.lines().map(str::trim);
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if line.starts_with("SHA256:") {
                let whole: ssh_key::Fingerprint =
                    line.trim_end_matches('=').parse().map_err(|_| {
                        format!("\"{}\" is not a whole fingerprint", text::excerpt(line, 80))
                    })?;
                self.fingerprints.push(whole.to_string());
                continue;
            }
            // Also as `ssh-keyscan` and a `known_hosts` file have it, behind the host's name.
            let behind = line
                .split_once(char::is_whitespace)
                .map_or("", |(_, rest)| rest);
            let key = PublicKey::from_openssh(line).or_else(|_| PublicKey::from_openssh(behind));
            let key = key.map_err(|_| {
                format!(
                    "\"{}\" is no host key; write its fingerprint, as SHA256:…, or the key, as ssh-ed25519 AAAA…",
                    text::excerpt(line, 60)
                )
            })?;
            self.keys.push(key);
        }
        Ok(())
    }

    /// Takes what a `known_hosts` file has about a host.
    pub(super) fn add_known_hosts(
        &mut self,
        file: &Path,
        host: &str,
        port: u16,
    ) -> Result<(), String> {
        let at = |failed: &dyn std::fmt::Display| {
            format!("known-hosts: {} cannot be read: {failed}", file.display())
        };
        let text = fs::read_to_string(file).map_err(|failed| at(&failed))?;
        // Names can be hidden there, which is why they are not simply compared.
        let keys = known_host_keys_path(host, port, file).map_err(|failed| at(&failed))?;
        self.keys.extend(keys.into_iter().map(|(_, key)| key));
        let revoked = text
            .lines()
            .filter_map(|line| line.strip_prefix("@revoked "));
        let key = |line: &str| PublicKey::from_openssh(line.trim().split_once(' ')?.1).ok();
        self.revoked.extend(revoked.filter_map(key));
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fingerprints.is_empty() && self.keys.is_empty()
    }

    /// Whether a key is one of them.
    pub(super) fn hold(&self, key: &PublicKey) -> bool {
        let same = |other: &PublicKey| other.key_data() == key.key_data();
        let by_print = self.fingerprints.contains(&fingerprint(key));
        !self.revoked.iter().any(same) && (by_print || self.keys.iter().any(same))
    }

    /// The kinds of keys to ask for: of fingerprints it is not known of which they are.
    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        let all = russh::Preferred::DEFAULT.key;
        let pinned = |kind: &Algorithm| {
            let same = |key: &PublicKey| match (key.algorithm(), kind) {
                (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }) => true,
                (one, other) => one == *other,
            };
            !self.fingerprints.is_empty() || self.keys.iter().any(same)
        };
        // The first version of RSA's signatures counts for nothing any more.
        let sound = |kind: &Algorithm| !matches!(kind, Algorithm::Rsa { hash: None });
        let all = all.iter().filter(|kind| sound(kind) && pinned(kind));
        all.cloned().collect()
    }

    /// All pinned fingerprints, for a message.
    pub(super) fn told(&self) -> String {
        let keys = self.keys.iter().map(fingerprint);
        let all: Vec<String> = self.fingerprints.iter().cloned().chain(keys).collect();
        all.join(", ")
    }
}

/// `SHA256:…`, as `ssh-keygen -l` prints it.
pub(super) fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}
