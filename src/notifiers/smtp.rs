//! One SMTP session: hello, STARTTLS or TLS, authentication, one message to several recipients.
//!
//! lettre speaks the protocol; the order of the steps is ours, because a refused recipient must
//! not keep the message from the others. What must be encrypted is not sent where it cannot be.
//! Nothing is repeated: a message may have been taken although its answer got lost.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::platform::secret::{Secret, Vault};
use crate::platform::text;

use super::NotifyError;

/// For the whole session, less than what a channel is given.
const WITHIN: Duration = Duration::from_secs(8);

/// For the goodbye, when the message was taken.
const GOODBYE: Duration = Duration::from_secs(1);

/// How a session is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum Security {
    /// It begins in the clear and must be encrypted before anything is said; port 587.
    #[default]
    Starttls,
    /// It is encrypted from the first byte on; port 465.
    Tls,
    /// It is not; port 25. Nothing that has a password.
    None,
}

/// A server, and how one gets in.
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) security: Security,
    pub(super) login: Option<(String, Secret)>,
    /// A certificate to trust beside the system's.
    pub(super) ca: Option<PathBuf>,
}

/// A message on its way.
pub(super) struct Letter<'a> {
    pub(super) sender: &'a Address,
    pub(super) to: &'a [Address],
    pub(super) text: &'a [u8],
}

/// What is being done, for the case that nobody answers.
struct Step(Mutex<&'static str>);

impl Step {
    fn is(&self, now: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    fn get(&self) -> &'static str {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    /// Sends a letter; the recipients that were refused, with the server's words.
    ///
    /// # Errors
    /// When nobody gets it.
    pub(super) async fn send(&self, letter: &Letter<'_>) -> Result<Vec<String>, NotifyError> {
        let step = Step(Mutex::new("connecting"));
        let session = self.session(letter, &step);
        match tokio::time::timeout(WITHIN, session).await {
            Ok(outcome) => outcome,
            Err(_) => Err(NotifyError::OutOfReach(format!(
                "{self} said nothing for {} while {}",
                text::duration(WITHIN),
                step.get()
            ))),
        }
    }

    async fn session(&self, letter: &Letter<'_>, step: &Step) -> Result<Vec<String>, NotifyError> {
        let name = ClientId::default();
        let tls = match self.security {
            Security::None => None,
            _ => Some(self.tls()?),
        };
        let (at_once, later) = match self.security {
            Security::Tls => (tls, None),
            _ => (None, tls),
        };
        let place = (self.host.as_str(), self.port);
        let connected =
            AsyncSmtpConnection::connect_tokio1(place, Some(WITHIN), &name, at_once, None);
        let mut session = connected
            .await
            .map_err(|failed| self.failed(step, &failed))?;
        if let Some(tls) = later {
            step.is("asking for STARTTLS");
            if !session.can_starttls() {
                session.abort().await;
                return Err(NotifyError::Refused(format!(
                    "{self} offers no STARTTLS, and nothing was sent in the clear; if it speaks TLS from the first byte, set `security: tls`"
                )));
            }
            let secured = session.starttls(tls, &name).await;
            secured.map_err(|failed| self.failed(step, &failed))?;
        }
        if let Some((user, password)) = &self.login {
            step.is("logging in");
            let credentials = Credentials::new(user.clone(), password.expose().to_owned());
            let mechanisms = [Mechanism::Plain, Mechanism::Login];
            if session
                .server_info()
                .get_auth_mechanism(&mechanisms)
                .is_none()
            {
                session.abort().await;
                return Err(NotifyError::Refused(format!(
                    "{self} offers no authentication by PLAIN or LOGIN"
                )));
            }
            if let Err(failed) = session.auth(&mechanisms, &credentials).await {
                session.abort().await;
                return Err(self.failed(step, &failed));
            }
        }
        let refused = self.hand_over(&mut session, letter, step).await;
        // It was taken, or not: no answer to the goodbye changes that.
        let _ = tokio::time::timeout(GOODBYE, session.quit()).await;
        refused
    }

    async fn hand_over(
        &self,
        session: &mut AsyncSmtpConnection,
        letter: &Letter<'_>,
        step: &Step,
    ) -> Result<Vec<String>, NotifyError> {
        step.is("naming the sender");
        let mut all = letter.to.iter().chain([letter.sender]);
        let utf8 = all.any(|one| !AsRef::<str>::as_ref(one).is_ascii());
        let mut more = Vec::new();
        for (wanted, extension, parameter) in [
            (utf8, Extension::SmtpUtfEight, MailParameter::SmtpUtfEight),
            (
                !letter.text.is_ascii(),
                Extension::EightBitMime,
                MailParameter::Body(MailBodyParameter::EightBitMime),
            ),
        ] {
            if wanted && !session.server_info().supports_feature(extension) {
                return Err(NotifyError::Refused(format!(
                    "{self} takes no {extension}, and an address or the text needs it"
                )));
            }
            more.extend(wanted.then_some(parameter));
        }
        let mail = Mail::new(Some(letter.sender.clone()), more);
        let named = session.command(mail).await;
        named.map_err(|failed| self.failed(step, &failed))?;
        step.is("naming the recipients");
        let mut refused = Vec::new();
        for to in letter.to {
            if let Err(failed) = session.command(Rcpt::new(to.clone(), vec![])).await {
                if failed.status().is_none() {
                    return Err(self.failed(step, &failed));
                }
                refused.push(format!("{to} ({})", self.quoted(&failed)));
            }
        }
        if refused.len() == letter.to.len() {
            let all = refused.join(", ");
            return Err(NotifyError::Refused(format!(
                "{self} takes no mail for {all}"
            )));
        }
        step.is("handing over the message");
        let begun = session.command(Data).await;
        begun.map_err(|failed| self.failed(step, &failed))?;
        let taken = session.message(letter.text).await;
        taken.map_err(|failed| self.failed(step, &failed))?;
        Ok(refused)
    }

    fn tls(&self) -> Result<TlsParameters, NotifyError> {
        let failed = |said: String| NotifyError::OutOfReach(format!("no TLS: {said}"));
        let mut builder = TlsParameters::builder(self.host.clone());
        if let Some(path) = &self.ca {
            let pem =
                std::fs::read(path).map_err(|why| failed(format!("{}: {why}", path.display())))?;
            let ca = Certificate::from_pem(&pem);
            builder = builder.add_root_certificate(
                ca.map_err(|why| failed(format!("{}: {why}", path.display())))?,
            );
        }
        builder
            .build_rustls()
            .map_err(|why| failed(why.to_string()))
    }

    /// A failure of lettre's as one of a channel, with what was being done.
    fn failed(&self, step: &Step, failed: &lettre::transport::smtp::Error) -> NotifyError {
        let said = self.quoted(failed);
        let step = step.get();
        match failed.status() {
            Some(_) => NotifyError::Refused(format!("{self} while {step}: {said}")),
            None => NotifyError::OutOfReach(format!("{self} while {step}: {said}")),
        }
    }

    /// The server's own words with their code, or the innermost cause; without the password.
    fn quoted(&self, failed: &lettre::transport::smtp::Error) -> String {
        let mut said = String::new();
        let mut source = std::error::Error::source(failed);
        while let Some(cause) = source {
            said = cause.to_string();
            source = cause.source();
        }
        if said.is_empty() {
            said = failed.to_string();
        }
        if let Some(code) = failed.status() {
            said = format!("{code} {said}");
        }
        let vault = Vault::default();
        if let Some((_, password)) = &self.login {
            vault.keep(password.expose());
        }
        text::excerpt(&vault.redact(&said), 200)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}
