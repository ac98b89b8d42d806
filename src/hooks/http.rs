//! A hook that is one request, made once: whether it may be repeated is not known here.

use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Call, Desk, Hook, HookError, NAMES, Tools};
use crate::config::expect::{Expect, Miss};
use crate::config::kinds::{Kind, plain_schema};
use crate::config::request::{Headers, Verb};
use crate::config::template::{bare, fill, in_json, in_url};
use crate::config::units::{HttpUrl, Span};
use crate::platform::http::{Http, Look, Manner, below};
use crate::platform::secret::Vault;
use crate::platform::text;

/// The kind's entry in the table.
pub(super) const KIND: Kind<dyn Hook, Tools> = Kind {
    name: "http",
    about: "Makes one request.",
    schema: plain_schema::<Options>,
    build: |block, tools| Ok(Box::new(Request::new(block.options()?, tools)?)),
};

/// A connection of its own, not sent elsewhere by a redirect, through a proxy where there is one.
const MANNER: Manner = Manner {
    keep_alive: false,
    follow: false,
    verify: true,
    proxy: true,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    /// A path on the slot's own address, such as `/warm`. Either this or `url`.
    path: Option<String>,
    /// A whole URL. Either this or `path`. `{{hook}}`, `{{app}}`, `{{environment}}`, `{{slot}}`, `{{slot-url}}`, `{{version}}`,
    /// `{{previous-version}}`, `{{fence}}`, `{{decision}}` and `{{reason}}` are filled in, here
    /// percent-encoded.
    #[schemars(with = "Option<HttpUrl>")]
    url: Option<String>,
    /// The method. Default POST.
    #[serde(default = "post")]
    method: Verb,
    /// Headers of the request.
    #[serde(default)]
    headers: Headers,
    /// The body, filled in like the URL, here as in a JSON text. Default: none.
    body: Option<String>,
    /// What the answer should be. Default: any status from 200 to 299.
    #[serde(default)]
    expect: Expect,
    /// How long the whole answer may take. Default 30s.
    #[serde(default = "half_a_minute")]
    timeout: Span,
}

fn post() -> Verb {
    Verb::POST
}

fn half_a_minute() -> Span {
    Span::secs(30)
}

struct Request {
    options: Options,
    told: String,
    http: Http,
    vault: Vault,
}

impl Request {
    fn new(options: Options, tools: &Tools) -> Result<Self, String> {
        let sample = |template: &str| fill(template, &NAMES, |_| Ok("x".to_owned()));
        let place = match (&options.path, &options.url) {
            (Some(path), None) => {
                if !path.starts_with('/') {
                    return Err("path: a path begins with /".to_owned());
                }
                sample(path).map_err(|said| format!("path: {said}"))?;
                path.split('?').next().unwrap_or_default().to_owned()
            }
            (None, Some(url)) => {
                let sample = sample(url).and_then(|sample| sample.parse::<HttpUrl>());
                sample.map_err(|said| format!("url: {said}"))?;
                bare(url)
            }
            (Some(_), Some(_)) => {
                return Err("there are both `path` and `url`; keep one".to_owned());
            }
            (None, None) => return Err("`path` or `url` is missing: one of them".to_owned()),
        };
        if let Some(body) = &options.body {
            fill(body, &NAMES, |_| Ok(String::new())).map_err(|said| format!("body: {said}"))?;
        }
        let told = format!("{} {place}", options.method);
        Ok(Self {
            told: text::excerpt(&tools.vault.redact(&told), 100),
            http: tools.http.clone(),
            vault: tools.vault.clone(),
            options,
        })
    }

    fn look(&self, call: &Call) -> Result<Look, String> {
        let filled = |template| fill(template, &NAMES, |name| in_url(name, call.value(name)));
        let url = match (&self.options.path, &self.options.url) {
            (Some(_), _) if call.slot_url.is_empty() => {
                return Err("the slot is not known yet".to_owned());
            }
            (Some(path), _) => {
                let slot: HttpUrl = call.slot_url.parse()?;
                below(slot.get(), &filled(path)?)
            }
            (None, url) => {
                let url = filled(url.as_deref().unwrap_or_default())?;
                url.parse::<HttpUrl>()?.get().clone()
            }
        };
        let body = self.options.body.as_deref();
        let body = body.map(|body| fill(body, &NAMES, |name| Ok(in_json(call.value(name)))));
        Ok(Look {
            method: self.options.method.get().clone(),
            url,
            headers: self.options.headers.get().clone(),
            body: body.transpose()?.map(String::into_bytes),
            timeout: self.options.timeout.get(),
            manner: MANNER,
        })
    }
}

#[async_trait]
impl Hook for Request {
    fn told(&self) -> String {
        self.told.clone()
    }

    fn timeout(&self) -> Duration {
        self.options.timeout.get()
    }

    async fn run(&self, call: &Call, desk: &Desk<'_>) -> Result<String, HookError> {
        let told = &self.told;
        let look = self.look(call);
        let look =
            look.map_err(|said| HookError::OutOfReach(format!("{told} cannot be asked: {said}")))?;
        let answer = tokio::select! {
            biased;
            () = desk.cancelled.cancelled() => return Err(HookError::Cancelled),
            answer = self.http.look(&look) => answer,
        };
        let failed = |said| HookError::Failed {
            said,
            last_words: Vec::new(),
        };
        match answer {
            Ok(answer) => match self.options.expect.miss(&answer, &self.vault) {
                None => Ok(format!("{told} answered {}", answer.status)),
                Some(Miss { measured, wanted }) => {
                    Err(failed(format!("{told}: {measured}, wanted {wanted}")))
                }
            },
            Err(none) if none.may_have_arrived && none.took >= look.timeout => {
                let limit = self.options.timeout;
                Err(failed(format!(
                    "{told} gave no answer within {limit}; it may have had its effect"
                )))
            }
            Err(none) if none.may_have_arrived => Err(failed(format!(
                "{told} gave no answer ({none}); it may have had its effect"
            ))),
            Err(none) => Err(HookError::OutOfReach(format!(
                "{told} was not reached: {none}"
            ))),
        }
    }
}
