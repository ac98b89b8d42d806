//! The readable log: one headline, one row a step, one line at the end, and the four lines of a
//! failure.
//!
//! All of it goes through the vault. Text that others wrote (releases, bodies, the script's own
//! output) never begins a line, because at the beginning of a line the runner looks for commands.
//! What cannot be written is dropped: a closed pipe must not change what happens to traffic.

use std::io::Write;
use std::time::Duration;

use crate::actions::commands::{self, Annotation};
use crate::model::assessment::Health;
use crate::model::ending::{Account, Ending};
use crate::model::event::{Event, Headline};
use crate::model::finding::{Finding, Verdict};
use crate::model::protection::Comparison;
use crate::platform::secret::Vault;
use crate::platform::text;

use super::{Listener, words};

/// The column in which a row's duration ends.
const WIDTH: usize = 80;

/// How much of a row a label takes, with the space behind it.
const LABEL: usize = 11;

/// Where the log is read, and so what it may look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// The runner reads along: annotations and groups.
    pub workflow: bool,
    /// A line may be overwritten.
    pub live: bool,
    /// Colours are shown.
    pub color: bool,
}

impl Style {
    /// The style for a place. The runner shows colours although it is no terminal, and nothing
    /// there is overwritten, although under act it may be one.
    pub const fn of(workflow: bool, terminal: bool, no_color: bool) -> Self {
        Self {
            workflow,
            live: terminal && !workflow,
            color: workflow || (terminal && !no_color),
        }
    }
}

/// A colour, as terminals and the runner's log know it.
#[derive(Clone, Copy)]
enum Ink {
    Plain,
    Dim,
    Green,
    Red,
}

/// Writes the readable log.
pub struct Log {
    out: Box<dyn Write + Send>,
    style: Style,
    vault: Vault,
    mode: &'static str,
    /// The step at work, as far as it was said.
    step: Option<&'static str>,
    /// The step whose output is in the open group.
    group: Option<&'static str>,
    /// A line is there that the next one overwrites.
    live: bool,
}

impl Log {
    /// A log on `out`.
    pub fn new(out: Box<dyn Write + Send>, style: Style, vault: Vault) -> Self {
        Self {
            out,
            style,
            vault,
            mode: "",
            step: None,
            group: None,
            live: false,
        }
    }

    /// Writes a whole line, or several; the vault sees them as they leave.
    fn put(&mut self, lines: &str) {
        let clear = if self.live { "\r\x1b[2K" } else { "" };
        self.live = false;
        let lines = format!("{clear}{}", self.vault.redact(lines));
        let written = self.out.write_all(lines.as_bytes());
        // Stdout may be closed by now; nobody is left to be told so.
        let _ = written.and_then(|()| self.out.flush());
    }

    /// Text by somebody else on one line.
    fn safe(&self, text: &str) -> String {
        commands::one_line(&words::clean(text, &self.vault))
    }

    fn ink(&self, ink: Ink, text: &str) -> String {
        let code = match ink {
            _ if !self.style.color || text.is_empty() => return text.to_owned(),
            Ink::Plain => return text.to_owned(),
            Ink::Dim => 2,
            Ink::Green => 32,
            Ink::Red => 31,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// A row: the label, what was said, and how long it took, at the right.
    fn row(&mut self, ink: Ink, label: &str, said: &str, took: Duration) {
        self.close_group();
        let said = self.safe(said);
        let mut line = format!("  {}{said}", self.label(ink, label));
        if !took.is_zero() {
            let took = text::duration(took);
            let used = 2 + label.chars().count().max(LABEL) + said.chars().count();
            let gap = WIDTH.saturating_sub(used + took.chars().count()).max(2);
            line.push_str(&" ".repeat(gap));
            line.push_str(&self.ink(Ink::Dim, &took));
        }
        self.put(&format!("{}\n", line.trim_end()));
    }

    fn label(&self, ink: Ink, label: &str) -> String {
        let gap = LABEL.saturating_sub(label.chars().count()).max(1);
        format!("{}{}", self.ink(ink, label), " ".repeat(gap))
    }

    fn headline(&mut self, headline: &Headline) {
        self.close_group();
        self.mode = headline.mode;
        let line = words::headline(headline);
        let line = ["cutover", &self.safe(&line)].join(" · ");
        self.put(&format!("{}\n", line.trim_end_matches(" · ")));
    }

    /// Shows how far a step is, where a line can be overwritten.
    fn working(&mut self, step: &'static str, said: &str) {
        self.step = Some(step);
        if !self.style.live {
            return;
        }
        let line = format!("{}{}", self.label(Ink::Dim, step), self.safe(said));
        let line: String = match line.char_indices().nth(WIDTH - 4) {
            Some((end, _)) => format!("  {}…", &line[..end]),
            None => format!("  {line}"),
        };
        let reset = if self.style.color { "\x1b[0m" } else { "" };
        self.live = true;
        self.put(&format!("{line}{reset}"));
        self.live = true;
    }

    /// A line of the user's script, folded together with its neighbours.
    fn line(&mut self, line: &str) {
        let step = self.step.unwrap_or("script");
        if self.style.workflow && self.group != Some(step) {
            self.close_group();
            self.put(&commands::group(&format!("{step} output")));
            self.group = Some(step);
        }
        let line = commands::untrusted(&words::clean(line, &self.vault));
        self.put(&line);
    }

    fn close_group(&mut self) {
        if self.group.take().is_some() {
            self.put(&commands::endgroup());
        }
    }

    /// A warning or a notice: an annotation where the runner makes one of it, else a row.
    fn remark(
        &mut self,
        ink: Ink,
        label: &str,
        annotate: fn(&Annotation<'_>) -> String,
        said: &str,
    ) {
        if !self.style.workflow {
            return self.row(ink, label, said, Duration::ZERO);
        }
        self.close_group();
        let message = words::clean(said, &self.vault);
        self.put(&annotate(&Annotation {
            message: &message,
            ..Annotation::default()
        }));
    }

    /// A check of the preflight: those that passed are counted, the others are told.
    fn checked(&mut self, finding: &Finding) {
        match finding.verdict {
            Verdict::Passed { .. } => {}
            Verdict::Failed { .. } => self.row(
                Ink::Red,
                finding.group.name(),
                &finding.told(),
                Duration::ZERO,
            ),
            Verdict::Skipped { .. } => {
                self.row(Ink::Dim, "skipped", &finding.told(), Duration::ZERO);
            }
        }
    }

    /// An environment of GitHub beside the config.
    fn compared(&mut self, comparison: &Comparison) {
        let name = &comparison.environment;
        if comparison.differences.is_empty() {
            let (label, said) = match comparison.read_back {
                true => ("proved", "read back, and as the config says"),
                false => ("equal", "as the config says"),
            };
            self.row(
                Ink::Plain,
                label,
                &format!("{name}: {said}"),
                Duration::ZERO,
            );
        }
        for one in &comparison.differences {
            let said = format!("{name}: {}", one.told());
            self.row(Ink::Red, "differs", &said, Duration::ZERO);
        }
    }

    fn ended(&mut self, ending: &Ending) {
        if ending.is_good() {
            let decision = ending.decision.to_string();
            self.row(Ink::Green, &decision, &ending.said, Duration::ZERO);
            return self.account(&ending.account);
        }
        self.close_group();
        let word = words::decision(ending.decision);
        let said = self.safe(&ending.said);
        let line = format!("{}: {said}\n", self.ink(Ink::Red, word));
        self.put(&line);
        self.account(&ending.account);
        if self.style.workflow {
            let told: Vec<String> = words::account(&ending.account)
                .map(|(label, said)| format!("{label:<LABEL$}{}", self.safe(said)))
                .collect();
            let (title, message) = if told.is_empty() {
                (format!("cutover {}: {word}", self.mode), said)
            } else {
                (format!("{word}: {said}"), told.join("\n"))
            };
            self.put(&commands::error(&Annotation {
                title: Some(&title),
                message: &message,
                ..Annotation::default()
            }));
        }
    }

    /// A problem with the inputs or the config: in a workflow at its line of the file.
    fn wrong(&mut self, file: Option<&str>, line: Option<usize>, said: &str) {
        let place = line.map_or_else(|| "wrong".to_owned(), |line| format!("line {line}"));
        self.row(Ink::Red, &place, said, Duration::ZERO);
        if self.style.workflow {
            let message = self.safe(said);
            self.put(&commands::error(&Annotation {
                title: Some("cutover config"),
                file,
                line,
                message: &message,
            }));
        }
    }

    fn account(&mut self, account: &Account) {
        for (label, said) in words::account(account) {
            self.row(Ink::Dim, label, said, Duration::ZERO);
        }
    }
}

impl Listener for Log {
    fn hear(&mut self, event: &Event) {
        match event {
            Event::Began(headline) => self.headline(headline),
            Event::Working { step, said } => self.working(step, said),
            Event::Done { step, said, took } => {
                // A machine of several has come to its end, and the step goes on.
                self.step = self.step.filter(|at_work| at_work != step);
                self.row(Ink::Plain, step, said, *took);
            }
            Event::Failed { step, said, took } => {
                self.step = self.step.filter(|at_work| at_work != step);
                self.row(Ink::Red, step, said, *took);
            }
            Event::Found(finding) => self.checked(finding),
            Event::Assessed(figure) => {
                let ink = match figure.health {
                    Health::Unhealthy => Ink::Red,
                    Health::Healthy => Ink::Plain,
                    Health::Inconclusive | Health::Unknown => Ink::Dim,
                };
                self.row(ink, "figure", &words::figure(figure), Duration::ZERO);
            }
            Event::Deviated(deviation) => {
                let said = format!("{} {}", deviation.metric, deviation.said);
                self.remark(Ink::Red, "unusual", commands::warning, &said);
            }
            Event::Compared(comparison) => self.compared(comparison),
            Event::Line(line) => self.line(line),
            Event::Noticed(said) => self.remark(Ink::Dim, "notice", commands::notice, said),
            Event::Warned(said) => self.remark(Ink::Red, "warning", commands::warning, said),
            Event::Wrong { file, line, said } => self.wrong(file.as_deref(), *line, said),
            // Said for records; the rows of the steps have it in short.
            Event::Checked { .. }
            | Event::Changed { .. }
            | Event::Judged { .. }
            | Event::Glanced(_)
            | Event::Stands(_) => {}
            Event::Learned(_) | Event::Measured(_) => {}
            Event::Ended(ending) => self.ended(ending),
        }
    }
}
