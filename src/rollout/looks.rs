//! Asking an address which release it serves: one look, on a new connection.

use std::time::Duration;

use url::Url;

use crate::model::release::{Mark, Release};
use crate::model::slot::Side;
use crate::platform::http::{Http, Look, NoAnswer, below};
use crate::platform::text;

use super::stage::Stage;

/// What an address answered when it was asked for its release.
#[derive(Clone, Debug)]
pub enum Served {
    /// This release, with a status below 500.
    Release(Release),
    /// An answer that does not say, or that failed: what it was instead.
    Unclear(String),
    /// No answer.
    Silent(NoAnswer),
}

impl Served {
    /// The release, if it was said.
    pub const fn release(&self) -> Option<&Release> {
        match self {
            Self::Release(release) => Some(release),
            Self::Unclear(_) | Self::Silent(_) => None,
        }
    }

    /// In a few words.
    pub fn told(&self) -> String {
        match self {
            Self::Release(release) => release.to_string(),
            Self::Unclear(what) => what.clone(),
            Self::Silent(none) => none.to_string(),
        }
    }
}

impl Stage {
    /// Asks a slot which release it serves.
    pub async fn served_by(&self, side: Side, timeout: Duration) -> Served {
        self.served_at(&self.slots.on(side).url, timeout).await
    }

    /// Asks the public URL which release it serves.
    pub async fn served_to_users(&self, timeout: Duration) -> Served {
        self.served_at(&self.url, timeout).await
    }

    /// Asks the public URL which release it serves to somebody who sends that header.
    pub async fn served_to(&self, name: &str, value: &str, timeout: Duration) -> Served {
        let look = Look::at(below(&self.url, self.mark.path()), timeout);
        served(&self.http, &self.mark, &look.with(name, value)).await
    }

    /// Asks an address of this environment which release it serves.
    pub async fn served_at(&self, base: &Url, timeout: Duration) -> Served {
        served_at(&self.http, &self.mark, base, timeout).await
    }
}

/// Asks any address which release it serves.
pub async fn served_at(http: &Http, mark: &Mark, base: &Url, timeout: Duration) -> Served {
    let url = below(base, mark.path());
    served(http, mark, &Look::at(url, timeout)).await
}

async fn served(http: &Http, mark: &Mark, look: &Look) -> Served {
    let answer = match http.look(look).await {
        Ok(answer) => answer,
        Err(none) => return Served::Silent(none),
    };
    match mark.read(answer.status, |name| answer.header(name), &answer.body) {
        Some(release) if answer.status < 500 => Served::Release(release),
        Some(release) => Served::Unclear(format!("{} from {release}", answer.status)),
        None => Served::Unclear(format!(
            "{} without {}: {}",
            answer.status,
            mark.told(),
            text::excerpt(&answer.text(), 80)
        )),
    }
}
