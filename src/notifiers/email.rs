//! Mail, by SMTP: plain text, and HTML for those who prefer it.
//!
//! What is told becomes text and never a header: titles are one line without control
//! characters, and addresses are parsed when the config is read. The HTML sets no colour for
//! text or paper, so a dark theme stays dark, and all it loads is itself.

use std::path::PathBuf;

use async_trait::async_trait;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::kinds::{Kind, plain_schema};
use crate::model::news::News;
use crate::model::severity::Severity;
use crate::platform::secret::Secret;
use crate::platform::text;

use super::hook::{colour, run_link, title, within};
use super::smtp::{Letter, Security, Server};
use super::{Form, Notifier, NotifyError, Tools};

/// Its line in the table.
pub(super) const KIND: Kind<dyn Notifier, Tools> = Kind {
    name: "email",
    about: "A mail, by an SMTP server.",
    schema: plain_schema::<Options>,
    build: |block, tools| {
        let options: Options = block.options()?;
        Ok(Box::new(Email::new(options, tools)?))
    },
};

/// What the kind takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The SMTP server, with a port where it is not the usual one: `smtp.example.com:2525`.
    #[schemars(length(min = 1))]
    server: String,
    /// `starttls` (port 587), `tls` from the first byte on (465), or `none` (25), which takes no
    /// password. Default starttls.
    #[serde(default)]
    security: Security,
    /// Who logs in.
    user: Option<String>,
    /// With what.
    password: Option<Secret>,
    /// Whom it is from: `deploy@example.com` or `Deployments <deploy@example.com>`.
    #[schemars(length(min = 1))]
    sender: String,
    /// Who gets it.
    #[schemars(length(min = 1))]
    to: Vec<String>,
    /// A file with a CA certificate (PEM) to trust beside the system's.
    ca: Option<PathBuf>,
}

const SUBJECT: usize = 200;
const MESSAGE: usize = 50_000;
const FACT: usize = 2_000;

/// Mail, by SMTP.
struct Email {
    server: Server,
    sender: Mailbox,
    to: Vec<Mailbox>,
}

impl Email {
    fn new(options: Options, tools: &Tools) -> Result<Self, String> {
        let (host, port) = place(&options.server, options.security)?;
        let login = match (options.user, options.password) {
            (Some(user), Some(password)) if options.security == Security::None => {
                drop((user, password));
                return Err(
                    "password: it is not sent in the clear; set `security` to starttls or tls"
                        .to_owned(),
                );
            }
            (Some(user), Some(password)) => Some((user, password)),
            (None, None) => None,
            _ => return Err("`user` and `password` go together".to_owned()),
        };
        let to = options.to.iter().enumerate();
        Ok(Self {
            server: Server {
                host,
                port,
                security: options.security,
                login,
                ca: options.ca.map(|path| tools.directory.join(path)),
            },
            sender: mailbox("sender", &options.sender)?,
            to: to
                .map(|(i, one)| mailbox(&format!("to[{i}]"), one))
                .collect::<Result<_, _>>()?,
        })
    }

    /// The mail as it is handed over.
    fn message(&self, news: &News) -> Result<Vec<u8>, String> {
        let mut builder = Message::builder()
            .from(self.sender.clone())
            .subject(title(news, SUBJECT))
            .message_id(None)
            // Nobody's holiday answers it.
            .raw_header(header("Auto-Submitted", "auto-generated"));
        for to in &self.to {
            builder = builder.to(to.clone());
        }
        if news.severity == Severity::Critical {
            builder = builder.raw_header(header("Importance", "high"));
        }
        let both = MultiPart::alternative_plain_html(plain(news), html(news));
        let message = builder
            .multipart(both)
            .map_err(|failed| failed.to_string())?;
        Ok(message.formatted())
    }
}

#[async_trait]
impl Notifier for Email {
    fn told(&self) -> String {
        "email".to_owned()
    }

    fn form(&self) -> Form {
        Form::Messages
    }

    async fn tell(&self, news: &News) -> Result<(), NotifyError> {
        let text = self.message(news).map_err(NotifyError::Refused)?;
        let to: Vec<Address> = self.to.iter().map(|one| one.email.clone()).collect();
        let letter = Letter {
            sender: &self.sender.email,
            to: &to,
            text: &text,
        };
        let refused = self.server.send(&letter).await?;
        if refused.is_empty() {
            return Ok(());
        }
        let count = format!("{} of {} recipients", refused.len(), to.len());
        Err(NotifyError::Partly(format!(
            "{count} refused: {}",
            refused.join(", ")
        )))
    }
}

/// A host and its port: `smtp.example.com`, `smtp.example.com:2525`, `[::1]:25`.
fn place(server: &str, security: Security) -> Result<(String, u16), String> {
    let wrong = || "server: write it as smtp.example.com or smtp.example.com:587".to_owned();
    let usual = match security {
        Security::Starttls => 587,
        Security::Tls => 465,
        Security::None => 25,
    };
    // A URL's rules are those of hosts and ports.
    let url = url::Url::parse(&format!("smtp://{}", server.trim())).map_err(|_| wrong())?;
    let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    let nobody = url.username().is_empty() && url.password().is_none();
    match url.host_str() {
        Some(host) if bare && nobody && !host.is_empty() => Ok((
            host.trim_matches(['[', ']']).to_owned(),
            url.port().unwrap_or(usual),
        )),
        _ => Err(wrong()),
    }
}

/// The address is not quoted, because it may come from a secret.
fn mailbox(key: &str, text: &str) -> Result<Mailbox, String> {
    let parsed = text.trim().parse::<Mailbox>();
    parsed
        .ok()
        .filter(|_| !text.contains(char::is_control))
        .ok_or_else(|| {
            format!("{key}: this is not an address; write it as deploy@example.com or Name <deploy@example.com>")
        })
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// The facts, the decision and the severity: what stands below the message.
fn lines(news: &News) -> Vec<(String, String)> {
    let own = [
        ("decision", news.decision.clone()),
        ("severity", Some(news.severity.to_string())),
    ];
    let own = own
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let all = news.facts.iter().cloned().chain(own);
    all.map(|(name, value)| (text::excerpt(&name, 200), text::excerpt(&value, FACT)))
        .collect()
}

fn plain(news: &News) -> String {
    let mut out = format!("{}\n", title(news, SUBJECT));
    let message = shown(&news.message, |_| None);
    if !message.is_empty() {
        out.push_str(&format!("\n{message}\n"));
    }
    out.push('\n');
    for (name, value) in lines(news) {
        out.push_str(&format!("{name}: {value}\n"));
    }
    out.extend(run_link(news).map(|url| format!("\n{url}\n")));
    out
}

fn html(news: &News) -> String {
    let colour = colour(news);
    let title = escaped(&title(news, SUBJECT));
    let message = shown(&news.message, entity);
    let mut out = format!(
        "<!doctype html>\n<html><head><meta charset=\"utf-8\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <meta name=\"supported-color-schemes\" content=\"light dark\">\
         <title>{title}</title></head>\n\
         <body style=\"font-family: sans-serif\">\n\
         <div style=\"border-left: 4px solid #{colour:06x}; padding-left: 12px\">\n\
         <p><strong>{title}</strong></p>\n"
    );
    if !message.is_empty() {
        out.push_str(&format!(
            "<p style=\"white-space: pre-line\">{message}</p>\n"
        ));
    }
    out.push_str("<table cellpadding=\"2\">\n");
    for (name, value) in lines(news) {
        let (name, value) = (escaped(&name), escaped(&value));
        out.push_str(&format!(
            "<tr><td align=\"left\"><strong>{name}</strong></td><td>{value}</td></tr>\n"
        ));
    }
    out.push_str("</table>\n");
    out.extend(
        run_link(news).map(|url| format!("<p><a href=\"{}\">The run</a></p>\n", escaped(url))),
    );
    out.push_str("</div>\n</body></html>\n");
    out
}

/// A message of several lines, without other control characters.
fn shown(message: &str, more: fn(char) -> Option<&'static str>) -> String {
    within(message, MESSAGE, |c| match c {
        '\n' => None,
        c if c.is_control() => Some(" "),
        c => more(c),
    })
}

fn escaped(text: &str) -> String {
    within(text, usize::MAX, entity)
}

fn entity(c: char) -> Option<&'static str> {
    Some(match c {
        '&' => "&amp;",
        '<' => "&lt;",
        '>' => "&gt;",
        '"' => "&quot;",
        '\'' => "&#39;",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_host_and_a_port() {
        let at = |text, security| place(text, security).ok();
        let of = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(
            at("smtp.example.com", Security::Starttls),
            of("smtp.example.com", 587)
        );
        assert_eq!(
            at("smtp.example.com", Security::Tls),
            of("smtp.example.com", 465)
        );
        assert_eq!(at(" mail:2525 ", Security::None), of("mail", 2525));
        assert_eq!(at("[::1]:25", Security::None), of("::1", 25));
        for wrong in [
            "",
            "a b",
            "mail:x",
            "mail:70000",
            "me:pass@mail",
            "mail/x",
            "mail?x",
        ] {
            assert_eq!(at(wrong, Security::None), None, "{wrong}");
        }
    }

    #[test]
    fn addresses_hold_one_address() {
        for good in [
            "a@b.example",
            "Ops <a@b.example>",
            "\"Ops, all\" <a@b.example>",
        ] {
            assert!(mailbox("to", good).is_ok(), "{good}");
        }
        for wrong in [
            "",
            "a",
            "a@b.example, c@d.example",
            "a@b.example\r\nBcc: c@d.example",
            "Ops\nBcc: x <a@b.example>",
            "<a@b.example> x",
        ] {
            assert!(mailbox("to", wrong).is_err(), "{wrong}");
        }
    }
}
