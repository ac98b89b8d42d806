//! Who we are to a host: a key, a key with its certificate, or what the ssh agent holds.
//!
//! A key that cannot be one is refused when the config is read. What costs time, taking the
//! passphrase off it, is done once, beside everything else, when the host is first reached.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::client::{AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::signature::Signer as _;
use russh::keys::ssh_encoding::Encode as _;
use russh::keys::{
    Certificate, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey, decode_secret_key,
};
use tokio::net::UnixStream;
use tokio::sync::OnceCell;

use super::connection::Gate;
use super::pins::fingerprint;
use crate::hosts::Tools;
use crate::platform::secret::Secret;
use crate::platform::text;

/// How many keys of an agent are shown: a server closes the door after a few wrong ones.
const SHOWN: usize = 5;

/// Who we are.
pub(super) struct Login {
    pub(super) user: String,
    with: With,
    certificate: Option<Written>,
}

/// What proves it.
enum With {
    Key {
        written: Written,
        passphrase: Option<Secret>,
        opened: OnceCell<Arc<PrivateKey>>,
    },
    Agent(PathBuf),
}

/// A text, or the file that has it.
enum Written {
    Here(Secret),
    In(PathBuf),
}

impl Written {
    fn new(text: &str, begin: &str, directory: &Path) -> Self {
        match text.contains(begin) {
            true => Self::Here(Secret::new(text)),
            false => Self::In(directory.join(text.trim())),
        }
    }

    async fn text(&self, key: &str) -> Result<Secret, String> {
        match self {
            Self::Here(text) => Ok(text.clone()),
            Self::In(path) => {
                let read = tokio::fs::read_to_string(path).await;
                let failed =
                    |failed| format!("the {key} {} cannot be read: {failed}", path.display());
                read.map(Secret::new).map_err(failed)
            }
        }
    }
}

impl Login {
    /// # Errors
    /// What is wrong with the key, its passphrase or its certificate.
    pub(super) fn new(
        user: String,
        key: Option<(&Secret, &Path)>,
        passphrase: Option<Secret>,
        certificate: Option<&str>,
        tools: &Tools,
    ) -> Result<Self, String> {
        let with = match (key, &tools.agent) {
            (Some((key, directory)), _) => {
                if let Some(passphrase) = &passphrase {
                    tools.vault.keep(passphrase.expose());
                }
                let written = Written::new(key.expose(), "-----BEGIN", directory);
                if let Written::Here(text) = &written {
                    tools.vault.keep(text.expose());
                    plausible(text.expose(), passphrase.is_some())?;
                }
                With::Key {
                    written,
                    passphrase,
                    opened: OnceCell::new(),
                }
            }
            (None, _) if passphrase.is_some() => {
                return Err("passphrase: there is no `key` that it could open".to_owned());
            }
            (None, Some(socket)) => With::Agent(socket.clone()),
            (None, None) => {
                return Err(
                    "key: there is none, and no ssh agent either (SSH_AUTH_SOCK is not set)"
                        .to_owned(),
                );
            }
        };
        let certificate = certificate.map(|it| Written::new(it, "-cert-v01@", &tools.directory));
        if let Some(Written::Here(text)) = &certificate {
            read_certificate(text.expose())?;
        }
        Ok(Self {
            user,
            with,
            certificate,
        })
    }

    /// Logs in, and says as whom.
    ///
    /// # Errors
    /// What was shown and not accepted, or why nothing could be shown.
    pub(super) async fn at(&self, handle: &mut Handle<Gate>) -> Result<String, String> {
        let certificate = match &self.certificate {
            Some(written) => Some(read_certificate(
                written.text("certificate").await?.expose(),
            )?),
            None => None,
        };
        match &self.with {
            With::Key {
                written,
                passphrase,
                opened,
            } => {
                let key = opened
                    .get_or_try_init(|| open(written, passphrase.as_ref()))
                    .await?;
                self.with_key(handle, key, certificate).await
            }
            With::Agent(socket) => self.with_agent(handle, socket, certificate).await,
        }
    }

    async fn with_key(
        &self,
        handle: &mut Handle<Gate>,
        key: &Arc<PrivateKey>,
        certificate: Option<Certificate>,
    ) -> Result<String, String> {
        let told = shown(key.public_key(), certificate.is_some());
        let user = self.user.clone();
        let result = match certificate {
            Some(certificate) => {
                if certificate.public_key() != key.public_key().key_data() {
                    return Err(format!(
                        "the certificate is for another key than {}",
                        fingerprint(key.public_key())
                    ));
                }
                let hash = rsa_hash(handle, key.public_key()).await;
                let mut own = Own(Arc::clone(key));
                let login = handle.authenticate_certificate_with(user, certificate, hash, &mut own);
                login.await.map_err(|failed| failed.0)
            }
            None => {
                let hash = rsa_hash(handle, key.public_key()).await;
                let key = PrivateKeyWithHashAlg::new(Arc::clone(key), hash);
                let login = handle.authenticate_publickey(user, key).await;
                login.map_err(|failed| failed.to_string())
            }
        };
        match result? {
            AuthResult::Success => Ok(told),
            refused => Err(self.refused(&[told], &refused)),
        }
    }

    async fn with_agent(
        &self,
        handle: &mut Handle<Gate>,
        socket: &Path,
        certificate: Option<Certificate>,
    ) -> Result<String, String> {
        let at = |failed: &dyn std::fmt::Display| {
            format!(
                "the ssh agent at {} does not help: {failed}",
                socket.display()
            )
        };
        let stream = UnixStream::connect(socket)
            .await
            .map_err(|failed| at(&failed))?;
        let mut agent = AgentClient::connect(stream);
        let held = agent
            .request_identities()
            .await
            .map_err(|failed| at(&failed))?;
        let mut tried = Vec::new();
        let mut last = None;
        let fitting = held.into_iter().filter_map(|identity| {
            let key = identity.public_key().into_owned();
            let signed = match identity {
                AgentIdentity::Certificate { certificate, .. } => Some(certificate),
                AgentIdentity::PublicKey { .. } => {
                    let ours = |it: &&Certificate| it.public_key() == key.key_data();
                    certificate.as_ref().filter(ours).cloned()
                }
            };
            (certificate.is_none() || signed.is_some()).then_some((key, signed))
        });
        for (key, signed) in fitting.take(SHOWN) {
            let told = shown(&key, signed.is_some());
            let hash = rsa_hash(handle, &key).await;
            let user = self.user.clone();
            let result = match signed {
                Some(signed) => {
                    handle
                        .authenticate_certificate_with(user, signed, hash, &mut agent)
                        .await
                }
                None => {
                    handle
                        .authenticate_publickey_with(user, key, hash, &mut agent)
                        .await
                }
            };
            match result.map_err(|failed| at(&failed))? {
                AuthResult::Success => return Ok(told),
                refused => last = Some(refused),
            }
            tried.push(told);
        }
        match last {
            Some(refused) => Err(self.refused(&tried, &refused)),
            None => Err(at(&"it holds no key that could be shown")),
        }
    }

    fn refused(&self, tried: &[String], result: &AuthResult) -> String {
        let ways = match result {
            AuthResult::Failure {
                remaining_methods, ..
            } if !remaining_methods.is_empty() => {
                let ways = remaining_methods.iter().map(<&str>::from);
                format!("; it takes {}", ways.collect::<Vec<_>>().join(", "))
            }
            _ => String::new(),
        };
        format!(
            "{} may not log in with {}{ways}",
            self.user,
            tried.join(", ")
        )
    }
}

/// Signs for a key that has a certificate: left to itself, the protocol's first version of RSA's
/// signatures would be taken, which no server accepts any more.
struct Own(Arc<PrivateKey>);

/// Why there is no signature.
struct Unsigned(String);

impl From<russh::SendError> for Unsigned {
    fn from(_: russh::SendError) -> Self {
        Self("the connection was lost".to_owned())
    }
}

impl russh::Signer for Own {
    type Error = Unsigned;

    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        hash: Option<HashAlg>,
        mut message: Vec<u8>,
    ) -> Result<Vec<u8>, Unsigned> {
        let signed = match self.0.key_data().rsa() {
            Some(rsa) => (rsa, hash).try_sign(&message),
            None => self.0.try_sign(&message),
        };
        let signed = signed.map_err(|failed| Unsigned(failed.to_string()))?;
        let encoded = signed.encode_prefixed(&mut message);
        encoded.map_err(|failed| Unsigned(failed.to_string()))?;
        Ok(message)
    }
}

/// A key in a few words.
fn shown(key: &PublicKey, signed: bool) -> String {
    let kind = key.algorithm();
    let with = if signed { " with a certificate" } else { "" };
    format!("{} {}{with}", kind.as_str(), fingerprint(key))
}

/// Of RSA the best that the server knows; of its first version nothing.
async fn rsa_hash(handle: &Handle<Gate>, key: &PublicKey) -> Option<HashAlg> {
    if !key.algorithm().is_rsa() {
        return None;
    }
    let best = handle.best_supported_rsa_hash().await;
    Some(best.ok().flatten().flatten().unwrap_or(HashAlg::Sha256))
}

/// Refuses what cannot be a key, without the work of opening it.
fn plausible(text: &str, has_passphrase: bool) -> Result<(), String> {
    if text.contains("-----BEGIN OPENSSH PRIVATE KEY-----") {
        let key = PrivateKey::from_openssh(text.trim());
        let key = key.map_err(|failed| format!("key: this is no private key: {failed}"))?;
        return match (key.is_encrypted(), has_passphrase) {
            (true, false) => Err("key: it is encrypted, and there is no `passphrase`".to_owned()),
            (false, true) => Err("passphrase: the key is not encrypted".to_owned()),
            _ => Ok(()),
        };
    }
    if text.contains("PRIVATE KEY-----") {
        return Ok(());
    }
    let first = text.lines().next().unwrap_or_default();
    Err(format!(
        "key: this is no private key; it begins with {}",
        text::excerpt(first, 40)
    ))
}

async fn open(written: &Written, passphrase: Option<&Secret>) -> Result<Arc<PrivateKey>, String> {
    let text = written.text("key").await?;
    let passphrase = passphrase.cloned();
    // To take a passphrase off a key is made to take long.
    let opened = tokio::task::spawn_blocking(move || {
        let text: Vec<&str> = text.expose().lines().map(str::trim).collect();
        decode_secret_key(&text.join("\n"), passphrase.as_ref().map(Secret::expose))
    });
    match opened.await {
        Ok(Ok(key)) if key.is_encrypted() => {
            Err("the key is encrypted; give its `passphrase`".to_owned())
        }
        Ok(Ok(key)) => Ok(Arc::new(key)),
        Ok(Err(failed)) => Err(format!(
            "the key cannot be opened, is the passphrase right? {failed}"
        )),
        Err(failed) => Err(failed.to_string()),
    }
}

fn read_certificate(text: &str) -> Result<Certificate, String> {
    let read = Certificate::from_openssh(text.trim());
    read.map_err(|failed| format!("certificate: this is none: {failed}"))
}
