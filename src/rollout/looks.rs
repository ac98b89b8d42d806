//! Asking an address which release it serves: one look, on a new connection.

use std::time::Duration;

use url::Url;

use crate::model::release::Release;
use crate::model::slot::Side;
use crate::platform::http::{Look, NoAnswer};
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

    async fn served_at(&self, base: &Url, timeout: Duration) -> Served {
        let url = at_path(base, self.mark.path());
        let answer = match self.http.look(&Look::at(url, timeout)).await {
            Ok(answer) => answer,
            Err(none) => return Served::Silent(none),
        };
        match self.mark.read(|name| answer.header(name), &answer.body) {
            Some(release) if answer.status < 500 => Served::Release(release),
            Some(release) => Served::Unclear(format!("{} from {release}", answer.status)),
            None => Served::Unclear(format!(
                "{} without {}: {}",
                answer.status,
                self.mark.told(),
                text::excerpt(&answer.text(), 80)
            )),
        }
    }
}

/// `path` (which may have a query) below a base address: what the base's own path holds stays
/// in front.
pub fn at_path(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let (path, query) = path
        .split_once('?')
        .map_or((path, None), |(path, query)| (path, Some(query)));
    let below = format!(
        "{}/{}",
        base.path().trim_end_matches('/'),
        path.trim_start_matches('/')
    );
    url.set_path(&below);
    url.set_query(query);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_below_its_base() {
        let at = |base: &str, path| at_path(&Url::parse(base).unwrap(), path).to_string();
        assert_eq!(at("http://h", "/health"), "http://h/health");
        assert_eq!(
            at("http://h/app/", "/health?deep=1"),
            "http://h/app/health?deep=1"
        );
        assert_eq!(at("http://h/app", "/"), "http://h/app/");
        assert_eq!(
            at("http://h", "//evil.example/x"),
            "http://h/evil.example/x"
        );
    }
}
