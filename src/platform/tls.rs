//! TLS below HTTP, for those who speak something else: whom to trust, what a certificate was
//! worth, and both in words. The stack is the one of the HTTP clients.

use std::error::Error as StdError;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

/// Who may vouch for a server.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Those whom the system trusts; `SSL_CERT_FILE` is honoured.
    System,
    /// Only these, as a PEM file has them.
    Only(Vec<u8>),
    /// Nobody needs to: the connection is encrypted, to whomever.
    Anybody,
}

impl Trust {
    /// What judges a certificate, if it is judged.
    fn judge(
        &self,
        with: &Arc<CryptoProvider>,
    ) -> Result<Option<Arc<dyn ServerCertVerifier>>, String> {
        match self {
            Self::Anybody => Ok(None),
            Self::System => rustls_platform_verifier::Verifier::new(Arc::clone(with))
                .map(|judge| Some(Arc::new(judge) as _))
                .map_err(|failed| {
                    format!(
                        "{failed}; is the package ca-certificates installed, or SSL_CERT_FILE set?"
                    )
                }),
            Self::Only(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    certificate
                        .map_err(|failed| failed.to_string())
                        .and_then(|one| roots.add(one).map_err(|failed| failed.to_string()))
                        .map_err(|failed| format!("the CA's file cannot be read: {failed}"))?;
                }
                if roots.is_empty() {
                    return Err("the CA's file holds no certificate; it should be PEM".to_owned());
                }
                WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(with))
                    .build()
                    .map(|judge| Some(judge as _))
                    .map_err(|failed| failed.to_string())
            }
        }
    }
}

/// Settings for connections that end where a certificate is not trusted.
///
/// # Errors
/// When those who may vouch for a server cannot be read.
pub fn client(trust: &Trust) -> Result<ClientConfig, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let judge = trust.judge(&provider)?;
    config(Arc::new(Witness {
        strict: true,
        seen: Mutex::default(),
        judge,
        provider,
    }))
}

/// Settings for connections that go on whatever a certificate is worth, and who saw it.
///
/// # Errors
/// As for [`client`].
pub fn witness(trust: &Trust) -> Result<(ClientConfig, Arc<Witness>), String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let judge = trust.judge(&provider)?;
    let witness = Arc::new(Witness {
        strict: false,
        seen: Mutex::default(),
        judge,
        provider,
    });
    Ok((config(Arc::clone(&witness))?, witness))
}

fn config(verifier: Arc<Witness>) -> Result<ClientConfig, String> {
    let provider = Arc::clone(&verifier.provider);
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|failed| failed.to_string())?;
    Ok(builder
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

/// The certificates that a server has shown, and what they are worth.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The server's own first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Why it is not trusted, if it is not.
    pub doubt: Option<Error>,
}

/// Sees the certificate of one connection.
#[derive(Debug)]
pub struct Witness {
    strict: bool,
    judge: Option<Arc<dyn ServerCertVerifier>>,
    provider: Arc<CryptoProvider>,
    seen: Mutex<Option<Shown>>,
}

impl Witness {
    /// What was shown, once.
    pub fn take(&self) -> Option<Shown> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let judged = self.judge.as_ref().map(|judge| {
            judge.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        });
        let doubt = judged.and_then(Result::err);
        if !self.strict {
            let chain = std::iter::once(end_entity).chain(intermediates);
            let shown = Shown {
                chain: chain.map(|one| one.clone().into_owned()).collect(),
                doubt,
            };
            *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
        } else if let Some(doubt) = doubt {
            return Err(doubt);
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Why TLS was not agreed on, in words, where an error is about that.
pub fn failure(failed: &(dyn StdError + 'static)) -> Option<String> {
    let mut next = Some(failed);
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref::<Error>() {
            return Some(told(found));
        }
        let inner = cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        if let Some(found) = inner.and_then(|inner| failure(inner)) {
            return Some(found);
        }
        next = cause.source();
    }
    None
}

/// An error of TLS in words.
pub fn told(failed: &Error) -> String {
    match failed {
        Error::InvalidCertificate(doubt) => doubted(doubt),
        Error::InvalidMessage(_) => "what answers does not speak TLS".to_owned(),
        Error::AlertReceived(alert) => format!("the server refused it: {alert:?}"),
        other => other.to_string(),
    }
}

fn doubted(doubt: &CertificateError) -> String {
    match doubt {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the certificate is expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate is not valid yet".to_owned()
        }
        CertificateError::UnknownIssuer => {
            "the certificate is not trusted: nobody known vouches for it".to_owned()
        }
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => format!(
            "the certificate is not for {} but for {}",
            expected.to_str(),
            if presented.is_empty() {
                "nobody".to_owned()
            } else {
                presented.join(", ")
            }
        ),
        CertificateError::NotValidForName => "the certificate is for another name".to_owned(),
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "the certificate is a CA's own; a server needs one that a CA has signed".to_owned()
        }
        other => format!("the certificate is refused: {other}"),
    }
}
