//! What the running Envoy says through its admin interface.
//!
//! The routes in its dump are those in force. The version there is that of the last file which
//! changed them, so the version of the last file that was taken comes from the counters, where
//! refused ones are counted too.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::platform::http::{Http, Look, Manner};
use crate::platform::text::excerpt;

/// For one answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The admin interface, for one route configuration.
pub(super) struct Admin {
    http: Http,
    base: Url,
    route: String,
}

/// What the counters say of the files that were read.
pub(super) struct Counted {
    /// The version of the last one that was taken, for each subscription.
    pub(super) versions: Vec<String>,
    /// How many were refused.
    pub(super) refused: u64,
}

/// A route configuration as it is in force.
#[derive(Deserialize)]
struct InForce {
    #[serde(default)]
    route_config: Value,
}

#[derive(Deserialize)]
struct Dump {
    #[serde(default)]
    configs: Vec<InForce>,
}

#[derive(Deserialize)]
struct Stats {
    stats: Vec<Stat>,
}

#[derive(Deserialize)]
struct Stat {
    #[serde(default)]
    name: String,
    #[serde(default)]
    value: Value,
}

impl Admin {
    pub(super) fn new(http: Http, base: &Url, route: &str) -> Self {
        Self {
            http,
            base: base.clone(),
            route: route.to_owned(),
        }
    }

    /// The route configurations of that name that are in force: one for each way to get it.
    ///
    /// # Errors
    /// That there was no answer of that kind.
    pub(super) async fn routes(&self) -> Result<Vec<Value>, String> {
        let name = pattern(&self.route);
        let query = [
            ("resource", "dynamic_route_configs"),
            ("name_regex", &format!("^{name}$")),
        ];
        let dump: Dump = self.json("config_dump", &query).await?;
        let routes = dump.configs.into_iter().map(|one| one.route_config);
        Ok(routes.collect())
    }

    /// What became of the files for these routes so far.
    ///
    /// # Errors
    /// That there was no answer of that kind.
    pub(super) async fn counted(&self) -> Result<Counted, String> {
        let name = pattern(&self.route);
        let filter = format!("\\.rds\\.{name}\\.(version_text|update_rejected|update_failure)$");
        let query = [("format", "json"), ("filter", filter.as_str())];
        let stats: Stats = self.json("stats", &query).await?;
        let all = stats.stats.iter();
        Ok(Counted {
            versions: all
                .clone()
                .filter(|stat| stat.name.ends_with(".version_text"))
                .map(|stat| stat.value.as_str().unwrap_or_default().to_owned())
                .collect(),
            refused: all.filter_map(|stat| stat.value.as_u64()).sum(),
        })
    }

    /// What is counted of these clusters, by the whole name of each counter.
    ///
    /// # Errors
    /// That there was no answer of that kind.
    pub(super) async fn of_clusters(
        &self,
        clusters: &[String; 2],
    ) -> Result<BTreeMap<String, f64>, String> {
        let names = clusters.each_ref().map(|name| pattern(name));
        let filter = format!(
            "^cluster\\.({})\\.(upstream_rq_completed|upstream_rq_5xx|upstream_rq_active|upstream_rq_pending_active|membership_total)$",
            names.join("|")
        );
        let query = [("format", "json"), ("filter", filter.as_str())];
        let stats: Stats = self.json("stats", &query).await?;
        let number = |stat: Stat| Some((stat.name, stat.value.as_f64()?));
        Ok(stats.stats.into_iter().filter_map(number).collect())
    }

    /// The clusters that have a host.
    ///
    /// # Errors
    /// That there was no answer.
    pub(super) async fn clusters(&self) -> Result<BTreeSet<String>, String> {
        let body = self.body("clusters", &[]).await?;
        let text = String::from_utf8_lossy(&body);
        // A host's line has its address; the cluster's own lines do not.
        let host = |line: &str| {
            let (name, rest) = line.split_once("::")?;
            rest.contains("::health_flags::").then(|| name.to_owned())
        };
        Ok(text.lines().filter_map(host).collect())
    }

    async fn json<T: for<'de> Deserialize<'de>>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, String> {
        let body = self.body(path, query).await?;
        serde_json::from_slice(&body).map_err(|failed| {
            let said = excerpt(&String::from_utf8_lossy(&body), 120);
            format!("the admin interface answered /{path} with \"{said}\": {failed}")
        })
    }

    async fn body(&self, path: &str, query: &[(&str, &str)]) -> Result<Vec<u8>, String> {
        let mut url = self.base.clone();
        url.set_path(&format!(
            "{}/{path}",
            self.base.path().trim_end_matches('/')
        ));
        url.set_query(None);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut look = Look::at(url, TIMEOUT);
        look.manner = Manner {
            keep_alive: true,
            ..Manner::PROBE
        };
        let place = self.told();
        match self.http.look(&look).await {
            Ok(answer) if answer.status == 200 => Ok(answer.body),
            Ok(answer) => Err(format!(
                "the admin interface at {place} answered /{path} with status {}",
                answer.status
            )),
            Err(failed) => Err(format!(
                "the admin interface at {place} does not answer: {failed}"
            )),
        }
    }

    /// The address without what may be secret in it.
    fn told(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        let port = self.base.port().map_or(String::new(), |p| format!(":{p}"));
        format!("{}://{host}{port}", self.base.scheme())
    }
}

/// A name as a regular expression that means just that name.
fn pattern(name: &str) -> String {
    name.replace('.', "\\.")
}
