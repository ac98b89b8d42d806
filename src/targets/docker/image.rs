//! The name of an image: `registry.example.com/shop:v2`, `shop@sha256:…`.

use std::fmt;

/// An image by its name and what tells its versions apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Image {
    /// The name with its registry, as it was written.
    pub name: String,
    /// A tag, or a digest.
    pub version: String,
}

impl Image {
    /// Reads a name; without a tag and a digest of its own it has that tag.
    ///
    /// # Errors
    /// When it cannot be a name.
    pub(super) fn read(text: &str, tag: &str) -> Result<Self, String> {
        let (name, version) = match text.split_once('@') {
            Some((name, digest)) => (untagged(name).0, digest),
            None => match untagged(text) {
                (name, Some(tag)) => (name, tag),
                (name, None) => (name, tag),
            },
        };
        let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/:".contains(c);
        // The registry's part may have a port and capitals; the rest is small letters.
        let (host, path) = name.split_once('/').unwrap_or(("", name));
        let host_ok = host.chars().all(|c| letters(c.to_ascii_lowercase()));
        if path.is_empty() || path.contains(':') || !path.chars().all(letters) || !host_ok {
            return Err(format!(
                "\"{text}\" is not the name of an image; write it as registry.example.com/shop"
            ));
        }
        if text.contains('@') && !is_digest(version) {
            return Err(format!(
                "\"{version}\" is no digest; write it as sha256: and 64 digits"
            ));
        }
        if !text.contains('@') && !is_tag(version) {
            return Err(format!(
                "\"{version}\" cannot be the tag of an image: letters, digits, ., _ and - can, up to 128"
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            version: version.to_owned(),
        })
    }

    /// The same image by a digest.
    pub(super) fn at(&self, digest: &str) -> Self {
        Self {
            name: self.name.clone(),
            version: digest.to_owned(),
        }
    }

    /// Its digest, if it is named by that.
    pub(super) fn digest(&self) -> Option<&str> {
        self.version.contains(':').then_some(self.version.as_str())
    }

    /// The digest that the engine knows it by, out of its list of `name@digest`.
    pub(super) fn digest_in<'a>(&self, known: &'a [String]) -> Option<&'a str> {
        let ours = familiar(&self.name);
        known.iter().find_map(|one| {
            let (name, digest) = one.split_once('@')?;
            (familiar(name) == ours).then_some(digest)
        })
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let between = if self.digest().is_some() { '@' } else { ':' };
        write!(f, "{}{between}{}", self.name, self.version)
    }
}

/// A digest as a person can read it: `sha256:4f2a9c1b3d5e`.
pub(super) fn short(digest: &str) -> &str {
    digest.get(..19).unwrap_or(digest)
}

/// Whether a text is a digest.
pub(super) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|digits| {
        digits.len() == 64
            && digits
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

fn is_tag(text: &str) -> bool {
    let letters = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let begins = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.len() <= 128 && text.starts_with(begins) && text.bytes().all(letters)
}

/// The name and the tag behind it.
fn untagged(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (text, None),
    }
}

/// A name as the engine shortens it.
fn familiar(name: &str) -> &str {
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    name.strip_prefix("library/").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_a_tag_or_a_digest() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let read = |text: &str| Image::read(text, "v2").map(|image| image.to_string());
        for (text, image) in [
            ("shop", "shop:v2".to_owned()),
            ("shop:1", "shop:1".to_owned()),
            (
                "r.example.com:5000/a/shop",
                "r.example.com:5000/a/shop:v2".to_owned(),
            ),
            ("r:5000/shop:x", "r:5000/shop:x".to_owned()),
            (&format!("r/shop:x@{digest}"), format!("r/shop@{digest}")),
        ] {
            assert_eq!(read(text).unwrap(), image);
        }
        for odd in ["", "Shop", "r/", "shop@sha256:1", "shop:a b", "a b"] {
            assert!(read(odd).is_err(), "{odd}");
        }
        assert!(Image::read("shop", "feature/x").is_err());
    }

    #[test]
    fn the_engine_knows_it_by_a_digest() {
        let image = Image::read("docker.io/library/nginx", "1").unwrap();
        let known = ["other@sha256:1".to_owned(), "nginx@sha256:2".to_owned()];
        assert_eq!(image.digest_in(&known), Some("sha256:2"));
    }
}
