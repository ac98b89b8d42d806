//! The text of an approval's issue. Versions, names and reasons are strangers' words: they are
//! shown as they are, and neither form anything nor call anybody up. Only those who are asked are
//! called by name.

use std::time::Duration;

use crate::model::approval::Outcome;
use crate::platform::secret::Vault;
use crate::platform::text;

use super::markdown::{inline, row};
use super::words;

/// The longest title, in characters.
const TITLE: usize = 200;

/// The longest part of a link, in characters.
const PART: usize = 200;

/// What people are asked.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// The application.
    pub app: String,
    /// The environment.
    pub environment: String,
    /// The release that is to go out.
    pub version: String,
    /// What users are served now, if that is known.
    pub served: Option<String>,
    /// The repository's page, without a slash at its end.
    pub repository_url: String,
    /// The page of the run.
    pub run_url: Option<String>,
    /// Who caused the run.
    pub actors: Vec<String>,
    /// The strategy.
    pub strategy: String,
    /// What the release does to data.
    pub migration: String,
    /// What the preflight said, if there was one.
    pub checks: Option<String>,
    /// Whom to ask: logins and teams, which are called by name.
    pub approvers: Vec<String>,
    /// How many of them must approve.
    pub minimum: u32,
    /// How long they have.
    pub limit: Duration,
    /// What to think of.
    pub checklist: Vec<String>,
    /// What tells this issue from any other; plain letters, digits and signs.
    pub mark: String,
}

impl Question {
    /// The title.
    pub fn title(&self, vault: &Vault) -> String {
        let title = format!(
            "Approve {} {} for {}?",
            self.app,
            text::short_sha(&self.version),
            self.environment
        );
        // A title is no Markdown; an unseen space keeps it from calling anybody all the same.
        let title = words::clean(&title, vault).replace('@', "@\u{200b}");
        text::excerpt(&title.replace(['\n', '\r'], " "), TITLE)
    }

    /// The text.
    pub fn body(&self, vault: &Vault) -> String {
        let plain = |text: &str| plain(&words::clean(text, vault));
        let mut out = format!(
            "A rollout of **{} {}** to **{}** waits for approval.\n\n",
            plain(&self.app),
            plain(&self.version),
            plain(&self.environment)
        );
        out.push_str("| | |\n|---|---|\n");
        let served = self
            .served
            .as_deref()
            .map_or_else(|| "it does not say".to_owned(), plain);
        let mut rows = vec![("version", plain(&self.version)), ("served now", served)];
        if let Some(served) = &self.served {
            rows.push(("changes", self.compare(served, vault)));
        }
        rows.push(("strategy", plain(&self.strategy)));
        rows.push(("migration", plain(&self.migration)));
        rows.extend(self.checks.as_deref().map(|it| ("preflight", plain(it))));
        let actors: Vec<String> = self.actors.iter().map(|who| plain(who)).collect();
        if !actors.is_empty() {
            rows.push(("started by", actors.join(", ")));
        }
        if let Some(url) = &self.run_url {
            rows.push(("run", format!("<{}>", vault.redact(url))));
        }
        out.extend(
            rows.iter()
                .map(|(name, value)| row(&[*name, value.as_str()])),
        );
        out.push('\n');
        for item in &self.checklist {
            out.push_str(&format!("- [ ] {}\n", plain(item)));
        }
        if !self.checklist.is_empty() {
            out.push('\n');
        }
        let asked: Vec<String> = self.approvers.iter().map(|who| format!("@{who}")).collect();
        let many = match (self.minimum, asked.len()) {
            (1, 1) => String::new(),
            (1, _) => "one of you: ".to_owned(),
            (many, _) => format!("{many} of you: "),
        };
        out.push_str(&format!(
            "{}: {many}answer within {} with a comment that has one of these on a line of its own:\n\n```text\n/approve\n/reject and why\n```\n\n",
            asked.join(", "),
            text::duration(self.limit)
        ));
        out.push_str(
            "One `/reject` is enough to stop it. Who started the run does not count, nor does a comment that was edited. \
             The boxes are for you; the program does not read them. Nothing is changed before the answer.\n\n",
        );
        out.push_str(&self.mark);
        out.push('\n');
        out
    }

    fn compare(&self, served: &str, vault: &Vault) -> String {
        let part = |version: &str| {
            // An encoded secret is no longer recognised.
            let cut: String = words::clean(version, vault).chars().take(PART).collect();
            let bytes = url::form_urlencoded::byte_serialize(cut.as_bytes());
            bytes.collect::<String>().replace('+', "%20")
        };
        let url = format!(
            "{}/compare/{}...{}",
            self.repository_url,
            part(served),
            part(&self.version)
        );
        format!("<{}>", vault.redact(&url))
    }
}

/// The text of a closed issue: what came of it, and what it said before.
pub fn closed(body: &str, outcome: &Outcome, run_url: Option<&str>, vault: &Vault) -> String {
    let told = words::clean(&outcome.told(), vault);
    let mut told = plain(&told);
    if let Some(first) = told.get(..1) {
        told = format!("{}{}", first.to_uppercase(), &told[1..]);
    }
    let next = match (outcome, run_url) {
        (Outcome::Approved(_), Some(url)) => format!(" It goes on in <{}>.", vault.redact(url)),
        (Outcome::Approved(_), None) => String::new(),
        _ => " Nothing was changed.".to_owned(),
    };
    format!("**{told}.**{next}\n\n---\n\n{body}")
}

/// Somebody's text, which forms nothing: no table, no link, no mention, not even of an address
/// that would be made a link by itself.
pub(super) fn plain(text: &str) -> String {
    inline(text)
        .replace("://", ":&#8203;//")
        .replace("www.", "www&#8203;.")
        .replace("WWW.", "WWW&#8203;.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(version: &str) -> Question {
        Question {
            app: "storefront".into(),
            environment: "production".into(),
            version: version.into(),
            served: Some("v1".into()),
            repository_url: "https://github.com/shop/storefront".into(),
            run_url: Some("https://github.com/shop/storefront/actions/runs/7".into()),
            actors: vec!["ana".into()],
            strategy: "blue-green".into(),
            migration: "none".into(),
            checks: Some("12 checks passed".into()),
            approvers: vec!["bo".into(), "shop/leads".into()],
            minimum: 1,
            limit: Duration::from_secs(4 * 3600),
            checklist: vec!["Somebody watches".into()],
            mark: "<!-- cutover approval run=7 -->".into(),
        }
    }

    #[test]
    fn it_reads_like_a_question() {
        let vault = Vault::default();
        let question = question("v2");
        assert_eq!(
            question.title(&vault),
            "Approve storefront v2 for production?"
        );
        assert_eq!(
            question.body(&vault),
            "\
A rollout of **storefront v2** to **production** waits for approval.

| | |
|---|---|
| version | v2 |
| served now | v1 |
| changes | <https://github.com/shop/storefront/compare/v1...v2> |
| strategy | blue-green |
| migration | none |
| preflight | 12 checks passed |
| started by | ana |
| run | <https://github.com/shop/storefront/actions/runs/7> |

- [ ] Somebody watches

@bo, @shop/leads: one of you: answer within 4 h with a comment that has one of these on a line of its own:

```text
/approve
/reject and why
```

One `/reject` is enough to stop it. Who started the run does not count, nor does a comment that was edited. \
The boxes are for you; the program does not read them. Nothing is changed before the answer.

<!-- cutover approval run=7 -->
"
        );
        let rejected = Outcome::Rejected("bo".into(), Some("ask @everybody\n# no".into()));
        let closed = closed("the text", &rejected, None, &vault);
        assert_eq!(
            closed,
            "**Rejected by bo: ask @&#8203;everybody \\# no.** Nothing was changed.\n\n---\n\nthe text"
        );
    }

    #[test]
    fn a_hostile_version_forms_nothing() {
        let vault = Vault::default();
        vault.keep("s3cr3tWord");
        let hostile = "x|y\n\n@bo /approve\n/approve\n<!-- ![i](http://evil) --> `` www.evil.com #1 s3cr3tWord>";
        let mut question = question(hostile);
        question.served = Some("a b>c@d".into());
        let body = question.body(&vault);
        for formed in [
            "@bo /",
            "![i]",
            "http://evil",
            " www.e",
            " #1",
            "s3cr3t",
            "--> `",
        ] {
            assert!(!body.contains(formed), "{formed}: {body}");
        }
        assert_eq!(body.matches("<!--").count(), 1, "{body}");
        assert_eq!(body.matches("\n/approve").count(), 1, "{body}");
        let link = body
            .lines()
            .find(|line| line.starts_with("| changes"))
            .unwrap();
        assert!(link.contains("/compare/a%20b%3Ec%40d...x%7Cy%0A"), "{link}");
        assert_eq!(body.matches('\n').count(), question_lines(), "{body}");
        let title = question.title(&vault);
        assert!(!title.contains('\n') && !title.contains("@b"), "{title}");
        assert!(title.chars().count() <= TITLE + 1);
    }

    fn question_lines() -> usize {
        question("v2").body(&Vault::default()).matches('\n').count()
    }
}
