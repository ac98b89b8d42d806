//! An image gets onto the engine: by its tag, by its digest, or not at all where it is there.
//!
//! The registry is asked for the tag's digest before a byte is pulled. What the engine says of
//! every layer is made into a line now and then. Closing the connection ends the engine's pull.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use reqwest::Method;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::platform::docker::{Engine, No, query};
use crate::platform::text;
use crate::targets::TargetError;

use super::failed;
use super::image::{Image, short};
use super::options::{Pull, Registry};
use super::seen::{Distribution, Picture};

/// How often it is said how far a pull is.
const SAID_EVERY: Duration = Duration::from_secs(5);

/// The longest line of the engine's that is held.
const LINE_CAP: usize = 1 << 20;

/// What is to be brought, and how.
pub(super) struct Errand<'a> {
    pub engine: &'a Engine,
    pub image: &'a Image,
    pub digest: Option<&'a str>,
    pub pull: Pull,
    pub registry: Option<&'a Registry>,
}

/// An image that is on the engine.
pub(super) struct Brought {
    /// How it is named: by its digest, where it has one.
    pub named: Image,
    /// The engine's own id for it.
    pub id: String,
    /// Whether it was not there before.
    pub is_new: bool,
}

impl Errand<'_> {
    /// Brings the image, or finds it.
    ///
    /// # Errors
    /// When it cannot be had, is another one than wanted, or the run is cancelled.
    pub(super) async fn run(
        &self,
        say: &(dyn Fn(String) + Send + Sync),
        enough: &CancellationToken,
    ) -> Result<Brought, TargetError> {
        let auth = self.registry.map(header).transpose()?;
        let wanted = match self.digest {
            Some(digest) if self.pull != Pull::Never => {
                self.tag_is(digest, auth.as_ref(), enough).await?;
                &self.image.at(digest)
            }
            _ => self.image,
        };
        let before = self.picture(wanted).await?;
        let there = before.is_some();
        let is_here = there && (self.pull == Pull::Missing || wanted.digest().is_some());
        if self.pull == Pull::Never || is_here {
            let Some(picture) = before else {
                return Err(failed(format!(
                    "the engine has no {wanted}, and `pull: never` says that it is not pulled"
                )));
            };
            if let Some(digest) = self.digest {
                self.is(digest, &picture)?;
            }
            say(format!(
                "{} is on the engine, nothing is pulled",
                told(wanted)
            ));
            return Ok(self.brought(wanted, picture, false));
        }
        let began = Instant::now();
        let name = told(wanted);
        say(format!("pulling {name}"));
        let pulled = tokio::select! {
            biased;
            () = enough.cancelled() => return Err(TargetError::Cancelled),
            pulled = self.pull(wanted, auth.as_ref(), say) => pulled,
        };
        let progress = pulled.map_err(|no| not_pulled(wanted, &no))?;
        let Some(picture) = self.picture(wanted).await? else {
            return Err(failed(format!(
                "{wanted} was pulled, and the engine does not have it"
            )));
        };
        let is_new = before.is_none_or(|before| before.id != picture.id);
        let took = text::duration(began.elapsed());
        say(if progress.layers.is_empty() {
            format!("{name} is on the engine as the registry has it, asked in {took}")
        } else {
            format!("pulled {name}: {} in {took}", progress.whole())
        });
        Ok(self.brought(wanted, picture, is_new))
    }

    fn brought(&self, wanted: &Image, picture: Picture, is_new: bool) -> Brought {
        let known = picture.repo_digests.as_deref().unwrap_or_default();
        Brought {
            named: wanted
                .digest_in(known)
                .map_or_else(|| wanted.clone(), |digest| wanted.at(digest)),
            id: picture.id,
            is_new,
        }
    }

    async fn picture(&self, image: &Image) -> Result<Option<Picture>, TargetError> {
        let found = self.engine.find(&format!("/images/{image}/json")).await;
        found.map_err(|no| super::unread(&format!("{image} was not looked for"), &no))
    }

    /// Whether the registry's tag has that digest.
    async fn tag_is(
        &self,
        digest: &str,
        auth: Option<&HeaderValue>,
        enough: &CancellationToken,
    ) -> Result<(), TargetError> {
        let image = self.image;
        let began = Instant::now();
        let asked = async {
            let path = format!("/distribution/{image}/json");
            let answer = self.engine.stream(Method::GET, &path, auth).await?;
            let body = answer.bytes().await;
            let body = body.map_err(|failed| self.engine.broken(&failed, began))?;
            serde_json::from_slice::<Distribution>(&body)
                .map_err(|failed| No::Said(200, format!("the answer was not understood: {failed}")))
        };
        let found = tokio::select! {
            biased;
            () = enough.cancelled() => return Err(TargetError::Cancelled),
            found = asked => found.map_err(|no| not_pulled(image, &no))?,
        };
        let found = found.descriptor.digest;
        if found == digest {
            return Ok(());
        }
        Err(another(image, &found, digest, "in the registry"))
    }

    /// Whether an image that nobody pulls has that digest.
    fn is(&self, digest: &str, picture: &Picture) -> Result<(), TargetError> {
        let known = picture.repo_digests.as_deref().unwrap_or_default();
        let found = self.image.digest_in(known);
        let any = known.iter().any(|one| one.ends_with(digest));
        if found == Some(digest) || any {
            return Ok(());
        }
        let found = found.unwrap_or("without a digest, for it came from no registry");
        Err(another(self.image, found, digest, "on the engine"))
    }

    async fn pull(
        &self,
        image: &Image,
        auth: Option<&HeaderValue>,
        say: &(dyn Fn(String) + Send + Sync),
    ) -> Result<Progress, No> {
        let path = format!(
            "/images/create?fromImage={}&tag={}",
            query(&image.name),
            query(&image.version)
        );
        let mut answer = self.engine.stream(Method::POST, &path, auth).await?;
        let mut progress = Progress::default();
        let began = Instant::now();
        let mut said_at = began;
        let mut held = Vec::new();
        while let Some(bytes) = {
            let chunk = answer.chunk().await;
            chunk.map_err(|failed| self.engine.broken(&failed, began))?
        } {
            held.extend_from_slice(&bytes);
            while let Some(end) = held.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = held.drain(..=end).collect();
                progress.heed(&line)?;
            }
            if held.len() > LINE_CAP {
                return Err(No::Said(200, "the engine's progress is no text".to_owned()));
            }
            if said_at.elapsed() >= SAID_EVERY {
                said_at = Instant::now();
                say(format!("pulling {}", progress.so_far()));
            }
        }
        progress.heed(&held)?;
        Ok(progress)
    }
}

fn another(image: &Image, found: &str, wanted: &str, place: &str) -> TargetError {
    failed(format!(
        "{image} is {found} {place}, wanted {}; nothing was stopped. Was the tag pushed again after this release was built?",
        short(wanted)
    ))
}

/// Why there is no image, in the words of whoever refused and in ours.
fn not_pulled(image: &Image, no: &No) -> TargetError {
    let words = no.to_string().to_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
    let next = if has(&[
        "unauthorized",
        "no basic auth",
        "authentication required",
        "denied",
    ]) {
        "; see `registry.user` and `registry.password`"
    } else if has(&["no space left"]) {
        "; the engine's disk is full: `docker system df` says by what"
    } else if has(&["manifest unknown", "not found", "name unknown"]) {
        "; was it pushed under that name?"
    } else {
        ""
    };
    failed(format!(
        "{image} was not pulled, and nothing was stopped: {no}{next}"
    ))
}

/// Who we are, as the engine hands it on.
fn header(registry: &Registry) -> Result<HeaderValue, TargetError> {
    let who = serde_json::json!({
        "username": registry.user, "password": registry.password.expose(),
    });
    let mut value = HeaderValue::from_str(&URL_SAFE.encode(who.to_string()))
        .map_err(|_| failed("the registry's password cannot be sent".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A line of the engine's.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    #[serde(default)]
    status: String,
    id: Option<String>,
    #[serde(default)]
    progress_detail: Detail,
    error: Option<String>,
}

#[derive(Default, Deserialize)]
struct Detail {
    #[serde(default)]
    current: u64,
    #[serde(default)]
    total: u64,
}

/// How far a pull is.
#[derive(Default)]
struct Progress {
    layers: BTreeMap<String, Layer>,
}

#[derive(Default)]
struct Layer {
    got: u64,
    of: u64,
    was_there: bool,
    is_done: bool,
}

impl Progress {
    /// Takes a line in.
    fn heed(&mut self, line: &[u8]) -> Result<(), No> {
        let Ok(line) = serde_json::from_slice::<Line>(line) else {
            return Ok(());
        };
        if let Some(error) = line.error {
            return Err(No::Said(200, text::excerpt(&error, 400)));
        }
        let Some(id) = line.id else {
            return Ok(());
        };
        let known = ["Pulling fs layer", "Already exists"].contains(&line.status.as_str());
        if !known && !self.layers.contains_key(&id) {
            // "Pulling from shop", whose id is the tag.
            return Ok(());
        }
        let layer = self.layers.entry(id).or_default();
        match line.status.as_str() {
            "Already exists" => (layer.was_there, layer.is_done) = (true, true),
            "Pull complete" => layer.is_done = true,
            "Download complete" => layer.got = layer.of,
            "Downloading" => {
                layer.of = line.progress_detail.total.max(layer.of);
                layer.got = line.progress_detail.current;
            }
            // A layer so small that its download is never told is still unpacked.
            "Extracting" => {
                layer.of = line.progress_detail.total.max(layer.of);
                layer.got = layer.of;
            }
            _ => {}
        }
        Ok(())
    }

    fn so_far(&self) -> String {
        let (mut got, mut of, mut done) = (0, 0, 0_u64);
        for layer in self.layers.values() {
            got += layer.got;
            of += layer.of;
            done += u64::from(layer.is_done);
        }
        format!(
            "{done} of {}, {} of at least {}",
            text::count(self.layers.len() as u64, "layer"),
            text::bytes(got),
            text::bytes(of)
        )
    }

    fn whole(&self) -> String {
        let there = self.layers.values().filter(|layer| layer.was_there).count();
        let bytes = self.layers.values().map(|layer| layer.of).sum();
        let layers = text::count(self.layers.len() as u64, "layer");
        match there {
            0 => format!("{layers}, {}", text::bytes(bytes)),
            _ => format!(
                "{layers}, {there} of them there before, {}",
                text::bytes(bytes)
            ),
        }
    }
}

/// An image for a line. A digest that came as a secret is one as a whole, so its beginning is shown.
pub(super) fn told(image: &Image) -> String {
    match image.digest() {
        Some(digest) => format!("{}@{}", image.name, short(digest)),
        None => image.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_lines_are_one() {
        let mut progress = Progress::default();
        for line in [
            r#"{"status":"Pulling from shop","id":"v2"}"#,
            r#"{"status":"Already exists","id":"a"}"#,
            r#"{"status":"Pulling fs layer","id":"b"}"#,
            r#"{"status":"Pulling fs layer","id":"c"}"#,
            r#"{"status":"Downloading","progressDetail":{"current":2000000,"total":4000000},"id":"b"}"#,
            r#"{"status":"Extracting","progressDetail":{"current":1,"total":1000000},"id":"c"}"#,
            r#"{"status":"Pull complete","id":"c"}"#,
            "no json",
        ] {
            progress.heed(line.as_bytes()).unwrap();
        }
        assert_eq!(progress.so_far(), "2 of 3 layers, 3 MB of at least 5 MB");
        assert_eq!(progress.whole(), "3 layers, 1 of them there before, 5 MB");
        let error = br#"{"errorDetail":{"message":"x"},"error":"no space left on device"}"#;
        let no = progress.heed(error).unwrap_err();
        let image = Image::read("r/shop", "v2").unwrap();
        let said = not_pulled(&image, &no).to_string();
        assert!(said.contains("docker system df"), "{said}");
    }
}
