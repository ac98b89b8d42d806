//! The gateway itself: what it is told and what it holds.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, DATE};
use url::Url;

use crate::platform::http::{Http, Manner, below, cause_of};
use crate::platform::secret::Vault;
use crate::platform::text;

use super::super::ExportError;
use super::super::exposition::{self, CONTENT_TYPE as TEXT, Sample};
use super::super::series::Series;

/// For one request, to the end of its answer. Shorter than [`super::queue::LEASE`], so that a
/// place in the line outlives the request that was made from it.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// How much a gateway may hold: about a hundred thousand series.
const AT_MOST: usize = 16 << 20;

/// The label of the groups that make up the line.
pub(super) const TICKET_LABEL: &str = "cutover_ticket";

/// The number in them.
pub(super) const TICKET: &str = "cutover_push_ticket";

/// A group of series, which is what a push replaces.
pub(super) struct Group {
    pub(super) job: String,
    pub(super) instance: String,
}

impl Group {
    /// Where it is pushed to. In base64, which takes slashes, too.
    pub(super) fn path(&self) -> String {
        let coded = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let (job, instance) = (coded(&self.job), coded(&self.instance));
        format!("/metrics/job@base64/{job}/instance@base64/{instance}")
    }

    /// Where somebody's place in its line is pushed to.
    pub(super) fn path_of(&self, ticket: &str) -> String {
        format!("{}/{TICKET_LABEL}/{ticket}", self.path())
    }

    /// Takes the group's labels off a sample that has them.
    fn owns(&self, sample: &mut Sample) -> bool {
        let is =
            |name: &str, wanted: &str| sample.labels.get(name).is_some_and(|value| value == wanted);
        let ours = is("job", &self.job) && is("instance", &self.instance);
        if ours {
            sample.labels.remove("job");
            sample.labels.remove("instance");
        }
        ours
    }
}

/// Somebody's place in the line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ticket {
    /// Whose.
    pub(super) id: String,
    /// Its number; 0 while its owner looks for one.
    pub(super) number: u64,
    /// For how long it has not been renewed, by the gateway's clock.
    pub(super) age: Duration,
}

/// What the gateway held at one moment.
pub(super) struct Held {
    /// The group's own series.
    pub(super) series: Series,
    /// The line for it.
    pub(super) tickets: Vec<Ticket>,
}

/// A gateway's address.
pub(super) struct Gateway {
    base: Url,
    http: Http,
    vault: Vault,
}

impl Gateway {
    pub(super) fn at(base: &Url, http: &Http, vault: &Vault) -> Self {
        Self {
            base: base.clone(),
            http: http.clone(),
            vault: vault.clone(),
        }
    }

    pub(super) fn told(&self) -> String {
        let mut url = self.base.clone();
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.to_string().trim_end_matches('/').to_owned()
    }

    /// Pushes a text to a path of ours, or deletes what is there.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        text: &str,
    ) -> Result<(), ExportError> {
        let request = self.client()?.request(method, below(&self.base, path));
        let request = request.header(CONTENT_TYPE, TEXT).body(text.to_owned());
        let answer = request.timeout(TIMEOUT).send().await;
        let answer = answer.map_err(|failed| self.failed(&failed))?;
        match answer.status().as_u16() {
            200 | 202 => Ok(()),
            status => {
                let said = answer.text().await.unwrap_or_default();
                Err(self.error(&format!("{status} {said}")))
            }
        }
    }

    /// What it holds for a group.
    pub(super) async fn read(&self, group: &Group) -> Result<Held, ExportError> {
        let request = self.client()?.get(below(&self.base, "/metrics"));
        let answer = request.timeout(TIMEOUT).send().await;
        let mut answer = answer.map_err(|failed| self.failed(&failed))?;
        let status = answer.status().as_u16();
        let now = answer
            .headers()
            .get(DATE)
            .and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok())
            .unwrap_or_else(SystemTime::now);
        let mut body = Vec::new();
        while let Some(some) = answer
            .chunk()
            .await
            .map_err(|failed| self.failed(&failed))?
        {
            body.extend_from_slice(&some);
            if body.len() > AT_MOST {
                return Err(self.error(&format!(
                    "it holds more than {}",
                    text::bytes(AT_MOST as u64)
                )));
            }
        }
        let body = String::from_utf8_lossy(&body);
        if status != 200 {
            return Err(self.error(&format!("{status} {body}")));
        }
        held(&body, group, now).map_err(|said| self.error(&format!("what it holds: {said}")))
    }

    fn client(&self) -> Result<reqwest::Client, ExportError> {
        let client = self.http.client(Manner::API);
        client.map_err(|failed| self.error(&failed.to_string()))
    }

    fn failed(&self, failed: &reqwest::Error) -> ExportError {
        if failed.is_timeout() && !failed.is_connect() {
            return self.error(&format!("no answer within {}", text::duration(TIMEOUT)));
        }
        self.error(&cause_of(failed))
    }

    /// What a stranger said, on one line and without secrets.
    fn error(&self, said: &str) -> ExportError {
        ExportError(text::excerpt(&self.vault.redact(said), 200))
    }
}

fn held(body: &str, group: &Group, now: SystemTime) -> Result<Held, String> {
    let now = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let mut held = Held {
        series: Series::default(),
        tickets: Vec::new(),
    };
    for sample in exposition::read(body) {
        let mut sample = sample?;
        if !group.owns(&mut sample) {
            continue;
        }
        let Some(id) = sample.labels.remove(TICKET_LABEL) else {
            exposition::put(&mut held.series, sample);
            continue;
        };
        let at = held.tickets.iter().position(|it| it.id == id);
        let at = at.unwrap_or_else(|| {
            held.tickets.push(Ticket {
                id,
                number: 0,
                age: Duration::ZERO,
            });
            held.tickets.len() - 1
        });
        let Some(ticket) = held.tickets.get_mut(at) else {
            continue;
        };
        match sample.name.as_str() {
            TICKET => ticket.number = sample.number as u64,
            "push_time_seconds" => {
                let pushed = Duration::try_from_secs_f64(sample.number).unwrap_or_default();
                ticket.age = now.saturating_sub(pushed);
            }
            _ => {}
        }
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_holds_our_series_and_the_line_for_them() {
        let group = Group {
            job: "cutover".to_owned(),
            instance: "shop/production".to_owned(),
        };
        let ours = r#"instance="shop/production",job="cutover""#;
        let body = format!(
            "deployment_success_total{{{ours},branch=\"main\"}} 7\n\
             deployment_success_total{{instance=\"b\",job=\"cutover\"}} 9\n\
             cutover_push_ticket{{cutover_ticket=\"one\",{ours}}} 4\n\
             push_time_seconds{{cutover_ticket=\"one\",{ours}}} 1.00000000025e+09\n\
             push_time_seconds{{{ours}}} 1e+09\n"
        );
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_015);
        let held = held(&body, &group, now).unwrap();
        let text = exposition::write(&held.series);
        assert!(
            text.ends_with("deployment_success_total{branch=\"main\"} 7\n"),
            "{text}"
        );
        assert_eq!(held.tickets.len(), 1);
        let Ticket { id, number, age } = &held.tickets[0];
        assert_eq!((id.as_str(), *number, age.as_secs()), ("one", 4, 14));
    }
}
