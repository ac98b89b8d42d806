//! As whom GitHub is asked: with a token, or as a GitHub App that is installed on the repository.
//!
//! An App signs for itself with its own key, and gets a token for an hour. That token is made
//! once for all who ask in a run, and anew when its end is near. Before it is used for the first
//! time it is handed to whoever masks secrets.

use std::fmt;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use octocrab::{Octocrab, OctocrabBuilder};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::platform::secret::Secret;

use super::GithubError;

/// A token that ends so soon is as good as none.
const NEAR: SignedDuration = SignedDuration::from_mins(5);

/// Who is handed a new token, before it is used.
pub type Learned = Arc<dyn Fn(&str) + Send + Sync>;

/// As whom GitHub is asked. All clones share one token.
#[derive(Clone)]
pub struct Access(pub(super) Way);

#[derive(Clone)]
pub(super) enum Way {
    Token(Secret),
    App(Arc<App>),
}

/// A GitHub App.
pub(super) struct App {
    pub(super) id: u64,
    pub(super) key: Secret,
    installation: Option<u64>,
    learned: Learned,
    inside: Mutex<Option<Inside>>,
}

/// What an App has once it was let in.
struct Inside {
    installation: u64,
    until: Timestamp,
    open: Octocrab,
}

impl Access {
    /// With a token.
    pub const fn token(token: Secret) -> Self {
        Self(Way::Token(token))
    }

    /// As an App, with its number and its private key in PEM form; its installation is found by
    /// the repository where it is not named.
    ///
    /// # Errors
    /// What is wrong with the key, without quoting it.
    pub fn app(
        id: u64,
        key: &Secret,
        installation: Option<u64>,
        learned: Learned,
    ) -> Result<Self, String> {
        let key = Secret::new(in_lines(key.expose()));
        let read = OctocrabBuilder::new().app_from_rsa_pem(id.into(), key.expose());
        // What the parser says may quote the key.
        read.map_err(|_| {
            "is not an RSA private key in PEM form; give the whole file that GitHub made, from `-----BEGIN` to the last line"
        })?;
        Ok(Self(Way::App(Arc::new(App {
            id,
            key,
            installation,
            learned,
            inside: Mutex::new(None),
        }))))
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Way::Token(_) => f.write_str("a token"),
            Way::App(app) => write!(f, "GitHub App {}", app.id),
        }
    }
}

/// A key that went through a variable of one line has its line breaks written out.
fn in_lines(pem: &str) -> String {
    let pem = pem.trim();
    if pem.contains('\n') {
        pem.to_owned()
    } else {
        pem.replace("\\n", "\n")
    }
}

impl App {
    /// A client with a token that is good for a while. `own` asks as the App itself, `root` is
    /// the repository, `told` makes errors.
    pub(super) async fn enter(
        &self,
        own: &Octocrab,
        root: &str,
        told: impl Fn(&str, &octocrab::Error) -> GithubError,
    ) -> Result<Octocrab, GithubError> {
        // Who comes while a token is being made waits for that one.
        let mut inside = self.inside.lock().await;
        if let Some(inside) = &*inside
            && Timestamp::now() + NEAR < inside.until
        {
            return Ok(inside.open.clone());
        }
        let known = inside.as_ref().map(|inside| inside.installation);
        let installation = match known.or(self.installation) {
            Some(id) => id,
            None => {
                let what = format!("find the installation of GitHub App {}", self.id);
                let route = format!("{root}/installation");
                let found: Result<Installation, _> = own.get(route, None::<&()>).await;
                found.map_err(|error| no_access(told(&what, &error)))?.id
            }
        };
        let what = format!("get a token of GitHub App {}", self.id);
        let route = format!("/app/installations/{installation}/access_tokens");
        // For this repository alone, whatever else the App may see.
        let repository = root.rsplit('/').next().unwrap_or_default();
        let body = serde_json::json!({ "repositories": [repository] });
        let made: Result<Made, _> = own.post(route, Some(&body)).await;
        let made = made.map_err(|error| no_access(told(&what, &error)))?;
        (self.learned)(made.token.expose());
        let open = own.user_access_token(made.token.expose());
        let open = open.map_err(|error| told(&what, &error))?;
        *inside = Some(Inside {
            installation,
            // An hour, says GitHub; what cannot be read is soon.
            until: made.expires_at.parse().unwrap_or_default(),
            open: open.clone(),
        });
        Ok(open)
    }
}

/// A no to an App is a matter of its settings, not of a job's permissions.
fn no_access(failed: GithubError) -> GithubError {
    match failed {
        GithubError::Refused {
            what,
            status,
            said,
            wait: None,
            ..
        } if status < 500 => GithubError::NoAccess { what, status, said },
        failed => failed,
    }
}

#[derive(Deserialize)]
struct Installation {
    id: u64,
}

#[derive(Deserialize)]
struct Made {
    token: Secret,
    expires_at: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_not_quoted() {
        let nobody: Learned = Arc::new(|_| {});
        for wrong in [
            "s3cret",
            "-----BEGIN RSA PRIVATE KEY-----\nc2VjcmV0\n-----END RSA PRIVATE KEY-----",
        ] {
            let made = Access::app(7, &Secret::new(wrong), None, Arc::clone(&nobody));
            let said = made.unwrap_err();
            assert!(
                said.contains("-----BEGIN") && !said.contains("c2VjcmV0"),
                "{said}"
            );
        }
    }

    #[test]
    fn a_key_of_one_line_has_several() {
        assert_eq!(in_lines(" a\\nb\\n "), "a\nb\n");
        assert_eq!(in_lines("a\nb\\n"), "a\nb\\n");
    }
}
