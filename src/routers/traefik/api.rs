//! What the running Traefik says of a service. Its API is a part of the same configuration as
//! the routers: it answers by the new weights when they do.

use std::time::Duration;

use serde::Deserialize;
use url::Url;

use super::live_file::{Share, Weighted};
use crate::platform::http::{Http, Look, Manner};
use crate::platform::text::excerpt;
use crate::routers::watched::Has;

/// For one answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Traefik's API, for one service.
pub(super) struct Api {
    http: Http,
    url: Url,
}

/// What it answers, as far as it matters here.
#[derive(Deserialize)]
struct Found {
    weighted: Option<Weighted>,
    #[serde(default)]
    status: String,
    #[serde(default)]
    error: Vec<String>,
}

impl Api {
    pub(super) fn new(http: Http, base: &Url, service: &str) -> Result<Self, String> {
        let mut url = base.clone();
        url.set_query(None);
        url.path_segments_mut()
            .map_err(|()| "api: nothing can be below this address".to_owned())?
            .pop_if_empty()
            .extend(["api", "http", "services", &format!("{service}@file")]);
        Ok(Self { http, url })
    }

    /// The weights that are in force.
    ///
    /// # Errors
    /// What else it answered, or that it did not.
    pub(super) async fn ask(&self) -> Result<Vec<Share>, Has> {
        let mut look = Look::at(self.url.clone(), TIMEOUT);
        look.manner = Manner {
            keep_alive: true,
            ..Manner::PROBE
        };
        let answer = self.http.look(&look).await.map_err(|failed| {
            Has::Silent(format!(
                "the API at {} does not answer: {failed}",
                self.told()
            ))
        })?;
        let said = |what: &str| format!("the API at {} {what}", self.told());
        match answer.status {
            200 => {}
            404 => return Err(Has::Other(said("knows no such service"))),
            status => {
                return Err(Has::Silent(said(&format!("answers with status {status}"))));
            }
        }
        let found: Found = serde_json::from_slice(&answer.body).map_err(|failed| {
            let body = excerpt(&answer.text(), 120);
            Has::Silent(said(&format!("answers \"{body}\": {failed}")))
        })?;
        if !found.error.is_empty() || found.status != "enabled" {
            let why = excerpt(&found.error.join("; "), 200);
            let status = excerpt(&found.status, 40);
            return Err(Has::Other(said(&format!("has it as {status}: {why}"))));
        }
        let weighted = found.weighted;
        let weighted = weighted.ok_or_else(|| Has::Other(said("has it without weights")))?;
        Ok(weighted.services)
    }

    /// The address without what may be secret in it.
    fn told(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port().map_or(String::new(), |p| format!(":{p}"));
        format!("{}://{host}{port}{}", self.url.scheme(), self.url.path())
    }
}
