//! The issue in which people approve a rollout: who is asked what, and the desk that it is.

use async_trait::async_trait;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::cast::Audience;
use crate::config::approval::Approval;
use crate::config::file::Strategy;
use crate::config::inputs::Inputs;
use crate::github::GithubError;
use crate::github::issues::{Draft, Issues};
use crate::model::approval::{Circle, Opened, Outcome};
use crate::model::ending::{Decision, Ending, Reason};
use crate::model::event::Event;
use crate::model::fault::Fault;
use crate::model::news::News;
use crate::model::release::Release;
use crate::model::severity::Severity;
use crate::platform::text;
use crate::report::approval::{self as words, Question};
use crate::rollout::approval::{self, Terms};
use crate::rollout::ledger::Note;
use crate::rollout::preflight::{Other, Records, preflight};
use crate::rollout::saga::{Halt, Saga};
use crate::rollout::stage::Stage;

use super::choice::Choice;
use super::issue_desk::IssueDesk;
use super::records::Archive;
use super::session::Session;

/// What people have agreed to: the step from what was served then.
pub(super) struct Agreed {
    then: Option<Release>,
}

impl Agreed {
    /// The ending of a run that would do something else now; `None` where it would not.
    pub(super) async fn is_outdated(&self, stage: &Stage) -> Option<Ending> {
        match approval::still_holds(stage, self.then.as_ref()).await {
            Ok(()) => None,
            Err(fault) => {
                let none = async |_: &mut Saga<'_>| Err(Halt::from(fault));
                Some(Saga::tell(stage, none).await)
            }
        }
    }
}

/// What a rollout brings along that is to be approved.
pub(super) struct Matter<'a> {
    pub(super) choice: &'a Choice,
    pub(super) inputs: &'a Inputs,
    pub(super) strategy: &'a Strategy,
    pub(super) release: Option<&'a Release>,
    pub(super) audience: &'a Audience,
    pub(super) archive: &'a Archive,
}

impl Session {
    /// Asks people whether a rollout may begin, after its preflight and before its lock; other
    /// modes, and environments without the block, ask nobody.
    ///
    /// # Errors
    /// The ending, where it may not.
    pub(super) async fn agreed(
        &self,
        stage: &mut Stage,
        mode: &str,
        matter: &Matter<'_>,
    ) -> Result<Option<Agreed>, Ending> {
        let (Some(block), Some(release)) = (approval_of(matter.choice, mode), matter.release)
        else {
            return Ok(None);
        };
        let Matter { choice, inputs, .. } = *matter;
        let mut checked =
            self.circumstances(choice, mode, inputs, matter.release, (matter.archive, None));
        if checked.is_some() {
            // Asked again when the lock is ours; only that answer goes into the record.
            let (told, _) = oneshot::channel();
            let recorded =
                self.last_record((mode, false), &choice.name, inputs, matter.archive, told);
            (stage.recorded, _) = recorded.await;
        }
        let stage = &*stage;
        let mut then = None;
        let ending = Saga::tell(stage, async |saga: &mut Saga<'_>| {
            let mut checks = None;
            if let Some(circumstances) = &mut checked {
                // Whether others are at work is asked when the lock is ours: they may be done by then.
                let records = std::mem::replace(&mut circumstances.records, Err(String::new()));
                circumstances.records = records.map(|records| Box::new(Later(records)) as _);
                checks = Some(preflight(saga, circumstances).await?);
            }
            then = approval::served_now(stage).await;
            let step = (release, then.as_ref());
            self.ask(stage, block, matter, step, checks).await?;
            Ok(Ending::good(Decision::Passed, Reason::Done, "approved"))
        })
        .await;
        if ending.is_good() {
            Ok(Some(Agreed { then }))
        } else {
            Err(ending)
        }
    }

    /// Says that a rollout would ask, where it would and only says what it would do.
    pub(super) fn would_ask(&self, choice: &Choice, mode: &str) {
        if let Some(block) = approval_of(choice, mode) {
            (self.say)(Event::Noticed(format!(
                "it would ask for approval first: {} of {} within {}",
                block.minimum,
                block.approvers.join(", "),
                text::duration(block.time_limit.get())
            )));
        }
    }

    async fn ask(
        &self,
        stage: &Stage,
        block: &Approval,
        matter: &Matter<'_>,
        (release, then): (&Release, Option<&Release>),
        checks: Option<String>,
    ) -> Result<(), Fault> {
        let issues = self.issues(matter.inputs).map_err(|said| {
            nobody(said).next(
                "give the step the workflow's token, and the job `permissions: { issues: write }`",
            )
        })?;
        let terms = Terms {
            circle: self.circle(block, &issues).await,
            limit: block.time_limit.get(),
        };
        let eligible = terms.circle.eligible();
        if eligible.len() < terms.circle.minimum {
            let who = match eligible.as_slice() {
                [] => "nobody".to_owned(),
                some => format!("only {}", some.join(", ")),
            };
            return Err(nobody(format!(
                "{} must approve, and {who} may: {} started the run and does not count",
                terms.circle.minimum,
                self.askers().join(", ")
            ))
            .next(
                "put more people into `approval.approvers`, or let somebody else start the run",
            ));
        }
        let mark = self.mark(&stage.environment);
        let question = Question {
            app: stage.app.clone(),
            environment: stage.environment.clone(),
            version: release.as_str().to_owned(),
            served: then.map(|release| release.as_str().to_owned()),
            repository_url: self.repository_url(),
            run_url: self.context.run_url.clone(),
            actors: self.askers(),
            strategy: matter.strategy.name().to_owned(),
            migration: format!("{:?}", matter.inputs.migration.unwrap_or_default()).to_lowercase(),
            checks,
            approvers: block.approvers.clone(),
            minimum: block.minimum,
            limit: terms.limit,
            checklist: block.checklist.clone(),
            mark: mark.clone(),
        };
        let desk = IssueDesk {
            issues,
            draft: Draft {
                title: question.title(&self.vault),
                body: question.body(&self.vault),
                mark,
                labels: block.labels.clone(),
                assignees: block.assignees.clone(),
            },
            run_url: self.context.run_url.clone(),
            vault: self.vault.clone(),
            watch: Mutex::default(),
        };
        let (news, inbox) = mpsc::unbounded_channel();
        let asked = |opened: &Opened| {
            let _ = news.send(news_of(&question, &terms, opened));
        };
        let asking = approval::ask(stage, &desk, &terms, asked);
        self.telling_midway(inbox, matter.audience, asking).await
    }

    /// Who may approve. A team that cannot be read is told, and nobody of it counts.
    async fn circle(&self, block: &Approval, issues: &Issues) -> Circle {
        let mut approvers: Vec<String> = block.persons().map(ToOwned::to_owned).collect();
        for (org, team) in block.teams() {
            match issues.members(org, team).await {
                Ok(members) => approvers.extend(members),
                Err(failed) => (self.say)(Event::Warned(format!(
                    "{failed}; nobody counts as a member of {org}/{team}: that wants a token with `members: read` of the organization, which a workflow's own cannot have"
                ))),
            }
        }
        let barred = self.askers().into_iter();
        Circle {
            approvers,
            barred: barred
                .map(|who| (who, "started the run".to_owned()))
                .collect(),
            minimum: usize::try_from(block.minimum).unwrap_or(usize::MAX),
        }
    }

    /// Who caused the run, and this attempt of it; the token's owner, where nobody is named.
    fn askers(&self) -> Vec<String> {
        let mut actors = self.actors();
        if actors.is_empty() {
            actors.push(self.owner());
        }
        actors.dedup();
        actors
    }

    fn issues(&self, inputs: &Inputs) -> Result<Issues, String> {
        let access = self.access(inputs)?.ok_or("there is no token")?;
        let repository = self
            .repository()
            .ok_or("GITHUB_REPOSITORY is not an owner and a name")?;
        Issues::new(&self.http, &access, &repository).map_err(|failed| failed.to_string())
    }

    pub(super) fn repository_url(&self) -> String {
        let context = &self.context;
        let part = |part: &Option<String>| part.clone().unwrap_or_default();
        let (owner, name) = (part(&context.owner), part(&context.repository));
        format!("{}/{owner}/{name}", context.server_url)
    }

    /// What the issue of this run and environment has that no other one has.
    fn mark(&self, environment: &str) -> String {
        let run = self.run();
        let run_id = if run.id.is_empty() {
            uuid::Uuid::new_v4().to_string()
        } else {
            run.id
        };
        let part = |text: &str| {
            let byte = |byte: u8| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
                _ => format!("_{byte:02x}"),
            };
            text.bytes().map(byte).collect::<String>()
        };
        format!(
            "<!-- cutover approval run={} job={} environment={} -->",
            part(&run_id),
            part(&run.job),
            part(environment)
        )
    }

    /// Closes the issue that a killed run has left open.
    pub(super) async fn withdraw(&self, note: &Note, inputs: &Inputs) {
        let Some(asked) = &note.asked else {
            return;
        };
        let closed = async {
            let issues = self.issues(inputs)?;
            let told = |failed: GithubError| failed.told();
            let found = match asked.number {
                Some(number) => Some(issues.read(number).await.map_err(told)?),
                None => issues.find(&asked.mark).await.map_err(told)?,
            };
            let Some(issue) = found.filter(|issue| issue.state == "open") else {
                return Ok(());
            };
            let body = issue.body.unwrap_or_default();
            let body = words::closed(&body, &Outcome::Cancelled, None, &self.vault);
            let number = issue.number;
            issues.close(number, false, &body).await.map_err(told)?;
            (self.say)(Event::Noticed(format!(
                "issue #{number} asked for an approval, and is closed"
            )));
            Ok::<(), String>(())
        };
        if let Err(said) = closed.await {
            (self.say)(Event::Warned(said));
        }
    }
}

/// The block of an environment, where a mode asks people.
fn approval_of<'c>(choice: &'c Choice, mode: &str) -> Option<&'c Approval> {
    let block = choice.environment().approval.as_ref();
    block.filter(|block| block.issue && mode == "rollout")
}

fn nobody(said: impl Into<String>) -> Fault {
    Fault::new(
        Reason::ApprovalUnavailable,
        "nobody could be asked for approval, so nothing was changed",
    )
    .measured(said)
    .wanted("people who may approve, and an issue to ask them in")
}

fn news_of(question: &Question, terms: &Terms, opened: &Opened) -> News {
    let version = text::short_sha(&question.version);
    News {
        severity: Severity::Warning,
        title: format!(
            "approval wanted: rollout of {} {version}, {}",
            question.app, question.environment
        ),
        message: format!(
            "{} of {} must approve within {}\nnext: answer in {}",
            terms.circle.minimum,
            terms.circle.eligible().join(", "),
            text::duration(terms.limit),
            opened.url
        ),
        facts: vec![
            ("app".to_owned(), question.app.clone()),
            ("environment".to_owned(), question.environment.clone()),
            ("version".to_owned(), version.to_owned()),
            ("issue".to_owned(), opened.url.clone()),
            ("actor".to_owned(), question.actors.join(", ")),
        ],
        run_url: question.run_url.clone(),
        ..News::default()
    }
}

/// Records that are asked later whether others are at work.
struct Later(Box<dyn Records>);

#[async_trait]
impl Records for Later {
    async fn others(&self) -> Result<Vec<Other>, String> {
        Err("that is asked when the lock is ours".to_owned())
    }

    async fn went_well(
        &self,
        environment: &str,
        release: &Release,
    ) -> Result<Option<String>, String> {
        self.0.went_well(environment, release).await
    }
}
