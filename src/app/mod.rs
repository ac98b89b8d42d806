//! The composition root: inputs, config, stage, mode, ending. With `cast`, the only place that
//! names everybody.
//!
//! [`main`] answers what needs no run by itself (help, version, schema) and holds a
//! `session::Session` for all else.

mod approvals;
mod audits;
mod canaries;
mod choice;
pub mod diary;
mod dispatch;
mod environments;
mod finish;
mod gates;
mod help;
mod issue_desk;
mod ledgers;
mod lock_command;
mod locks;
mod midway;
mod preflight;
mod records;
mod replay;
mod report_file;
mod secrets;
mod session;
mod staged;
mod telemetry;
mod tellers;
mod trace;
mod unlocked;
mod vigil;
mod way_back;

use std::ffi::OsString;
use std::io::Write as _;

use crate::cast;
use crate::config::command_line::{self, Asked};
use crate::error::Refusal;

use session::Session;

pub use help::COMMANDS;

/// The environment of a process, as the operating system has it.
pub type Variables = Vec<(OsString, OsString)>;

/// Runs what is asked for and returns the exit code.
pub fn main(arguments: impl Iterator<Item = OsString>, environment: Variables) -> u8 {
    tell_panics_without_their_words();
    let asked = command_line::read(arguments, environment.iter().cloned());
    match &asked {
        Ok(Asked::Help) => return help::print(&help::text()),
        Ok(Asked::Version) => {
            return help::print(concat!("cutover ", env!("CARGO_PKG_VERSION"), "\n"));
        }
        Ok(Asked::Run(word, _)) if word == "schema" => {
            return help::print(&format!("{:#}\n", cast::schema()));
        }
        _ => {}
    }
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    else {
        return 70;
    };
    let code = runtime.block_on(async {
        let session = Session::open(environment);
        match asked {
            Ok(Asked::Run(word, inputs)) => session.hold(&word, &inputs).await,
            Err(problems) => session.refuse("", &Refusal::of_inputs(problems)).await,
            Ok(Asked::Help | Asked::Version) => 0,
        }
    });
    // A name that is still being looked up must not keep a cancelled run alive.
    runtime.shutdown_background();
    code
}

/// What a panic says may hold a secret. Its words go through the log, like all others; here only
/// its place is told.
fn tell_panics_without_their_words() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let place = place.unwrap_or_default();
        let _ = writeln!(std::io::stderr(), "cutover: a defect at {place}");
    }));
}
