//! What `--help` says, made from the same tables that the program works by.

use std::fmt::Write as _;
use std::io::Write as _;

use crate::config::input_table::INPUTS;
use crate::modes::MODES;
use crate::rehearsal::faults::FAULTS;

/// The words beside the modes: for people at a terminal, and never needed in a workflow.
pub const COMMANDS: &[(&str, &str)] = &[
    (
        "audit verify FILE",
        "is the audit as it was written? 0 if so, 10 if not",
    ),
    ("audit schema", "the JSON Schema of a line of the audit"),
    ("check", "is the config right? 0 if so, 64 if not"),
    (
        "lock",
        "who has the environment's lock, and who waits; `lock hold [8h] --reason WHY`, `lock release [CLAIM]`, `lock check FENCE`",
    ),
    (
        "replay FILE",
        "how a recorded canary would have been judged, look by look; `replay FILE json`",
    ),
    (
        "router-config",
        "the lines that the proxy needs once, for this environment",
    ),
    ("schema", "the JSON Schema of the config, for editors"),
];

/// The exit codes and what they mean.
pub(super) const EXIT_CODES: &[(u8, &str)] = &[
    (0, "done"),
    (
        1,
        "preflight alone: the runner is too busy or too full; 2 Docker, 3 network, 4 secrets, \
         5 another deployment is running, 6 a guardrail says no",
    ),
    (10, "the verdict is no, and traffic was not touched"),
    (20, "rolled back; traffic is safe on the old slot"),
    (
        30,
        "held: failed after the point of no return, traffic is on the new slot",
    ),
    (40, "stuck: a person is needed, the message says what to do"),
    (64, "the inputs or the config are wrong"),
    (69, "something needed is out of reach"),
    (70, "a bug"),
    (130, "cancelled, traffic is safe"),
];

/// The whole help.
pub(super) fn text() -> String {
    let mut text = String::from(
        "cutover puts a new version in front of users without dropping a request,\n\
         and takes it back by itself when the version is bad.\n\n\
         usage: cutover MODE [--INPUT VALUE]...\n\n",
    );
    let mut table = |title: &str, rows: &mut dyn Iterator<Item = (String, &str)>| {
        let _ = writeln!(text, "{title}");
        for (name, about) in rows {
            let _ = writeln!(text, "  {name:<20} {about}");
        }
        let _ = writeln!(text);
    };
    table(
        "modes",
        &mut MODES
            .iter()
            .map(|(name, about)| ((*name).to_owned(), *about)),
    );
    table(
        "commands",
        &mut COMMANDS
            .iter()
            .map(|(name, about)| ((*name).to_owned(), *about)),
    );
    let flags = INPUTS.iter().filter(|input| input.name != "mode");
    table(
        "inputs, as flags here and as `with:` in a workflow",
        &mut flags.map(|input| (format!("--{}", input.name), input.about)),
    );
    table(
        "faults for `rehearse --fault`",
        &mut FAULTS
            .iter()
            .map(|(name, about)| ((*name).to_owned(), *about)),
    );
    table(
        "exit codes",
        &mut EXIT_CODES
            .iter()
            .map(|(code, about)| (code.to_string(), *about)),
    );
    text.push_str("`cutover rehearse` needs nothing at all: try that first.\n");
    text
}

/// Prints to standard output; 0, also where nobody reads it to its end.
pub(super) fn print(text: &str) -> u8 {
    let _ = std::io::stdout().write_all(text.as_bytes());
    0
}
