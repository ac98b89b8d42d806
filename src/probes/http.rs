//! A look by one HTTP request on a new connection.
//!
//! With `path` it goes to the subject (a slot's own address or the public URL), with `url`
//! anywhere. What the answer should be is in `expect`.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::{Ailment, Probe, Pulse, Subject, Tools};
use crate::config::expect::{Expect, Miss};
use crate::config::kinds::{Kind, plain_schema};
use crate::config::request::{Headers, Verb};
use crate::config::units::{HttpUrl, Span};
use crate::platform::http::{Cause, Http, Look, Manner, below};
use crate::platform::secret::Vault;
use crate::platform::text;

/// The kind's entry in the table.
pub(super) const KIND: Kind<dyn Probe, Tools> = Kind {
    name: "http",
    about: "Makes one HTTP request and looks at the answer.",
    schema: plain_schema::<Options>,
    build: |block, tools| Ok(Box::new(Request::new(block.options()?, tools)?)),
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    /// A path on what is looked at, such as `/health`. Either this or `url`.
    path: Option<String>,
    /// A whole URL, for something else. Either this or `path`.
    url: Option<HttpUrl>,
    /// The method. Default GET.
    #[serde(default = "get")]
    method: Verb,
    /// Headers of the request.
    #[serde(default)]
    headers: Headers,
    /// The body of the request.
    body: Option<String>,
    /// What the answer should be. Default: any status from 200 to 299.
    #[serde(default)]
    expect: Expect,
    /// How long the whole answer may take. Default 5s.
    #[serde(default = "five_seconds")]
    timeout: Span,
    /// Follow redirects, up to ten. Default false.
    #[serde(default)]
    redirects: bool,
    /// Check the server's certificate. Default true.
    #[serde(default = "yes")]
    verify_tls: bool,
}

fn get() -> Verb {
    Verb::GET
}

fn five_seconds() -> Span {
    Span::secs(5)
}

fn yes() -> bool {
    true
}

/// Where a look goes.
enum Aim {
    /// A path on the subject.
    Path(String),
    /// Always there.
    Url(Url),
}

struct Request {
    aim: Aim,
    options: Options,
    told: String,
    http: Http,
    vault: Vault,
}

impl Request {
    fn new(options: Options, tools: &Tools) -> Result<Self, String> {
        let (aim, place) = match (&options.path, &options.url) {
            (Some(path), None) => {
                if !stays(path) {
                    return Err(
                        "path: this is not a path; a path begins with one / and names no host"
                            .to_owned(),
                    );
                }
                (Aim::Path(path.clone()), path.clone())
            }
            (None, Some(url)) => (Aim::Url(url.get().clone()), bare(url.get())),
            (Some(_), Some(_)) => {
                return Err("there are both `path` and `url`; keep one".to_owned());
            }
            (None, None) => return Err("`path` or `url` is missing: one of them".to_owned()),
        };
        let told = format!("{} {place}", options.method);
        Ok(Self {
            aim,
            told: text::excerpt(&tools.vault.redact(&told), 100),
            http: tools.http.clone(),
            vault: tools.vault.clone(),
            options,
        })
    }

    fn url(&self, at: &Subject) -> Result<Url, String> {
        match &self.aim {
            Aim::Url(url) => Ok(url.clone()),
            Aim::Path(path) => Ok(below(&at.url, path)),
        }
    }
}

#[async_trait]
impl Probe for Request {
    fn told(&self) -> String {
        self.told.clone()
    }

    fn fixed(&self) -> Option<&Url> {
        match &self.aim {
            Aim::Path(_) => None,
            Aim::Url(url) => Some(url),
        }
    }

    async fn look(&self, at: &Subject) -> Result<Pulse, Ailment> {
        let silence = |measured, took| Ailment {
            measured,
            wanted: format!(
                "{} within {}",
                self.options.expect.told(),
                self.options.timeout
            ),
            took,
            silent: true,
            unseen: false,
        };
        let look = Look {
            method: self.options.method.get().clone(),
            url: self
                .url(at)
                .map_err(|said| silence(said, std::time::Duration::ZERO))?,
            headers: self.options.headers.get().clone(),
            body: self.options.body.clone().map(String::into_bytes),
            timeout: self.options.timeout.get(),
            manner: Manner {
                follow: self.options.redirects,
                verify: self.options.verify_tls,
                ..Manner::PROBE
            },
        };
        let answer = self.http.look(&look).await.map_err(|failed| Ailment {
            unseen: failed.cause == Cause::Here,
            ..silence(failed.to_string(), failed.took)
        })?;
        let took = answer.took;
        match self.options.expect.miss(&answer, &self.vault) {
            None => Ok(Pulse {
                said: format!("{} in {}", answer.status, text::duration(took)),
                took,
            }),
            Some(Miss { measured, wanted }) => Err(Ailment {
                measured,
                wanted,
                took,
                silent: false,
                unseen: false,
            }),
        }
    }
}

/// Whether a path, joined to any URL, stays on its host.
fn stays(path: &str) -> bool {
    let Ok(base) = Url::parse("https://subject.invalid/") else {
        return false;
    };
    path.starts_with('/')
        && base
            .join(path)
            .is_ok_and(|joined| joined.origin() == base.origin())
}

/// A URL without what may be secret in it: the user-info and the values of the query.
fn bare(url: &Url) -> String {
    let query = if url.query().is_some() { "?…" } else { "" };
    format!(
        "{}{}{query}",
        url.origin().ascii_serialization(),
        url.path()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_on_its_host() {
        for path in ["/", "/health", "/a//b?c=//d#e", "/../x"] {
            assert!(stays(path), "{path}");
        }
        for path in [
            "health",
            "",
            "//evil.dev/x",
            "/\\evil.dev",
            "https://evil.dev",
            "?x",
        ] {
            assert!(!stays(path), "{path}");
        }
    }

    #[test]
    fn a_told_url_has_no_secrets() {
        let url = Url::parse("https://me:pass@x.dev:81/a?token=1").unwrap();
        assert_eq!(bare(&url), "https://x.dev:81/a?…");
    }
}
