//! The composition root: inputs, config, stage, mode, ending. With `cast`, the only place that
//! names everybody.
//!
//! [`main`] answers what needs no run by itself (help, version, schema) and holds a
//! [`session::Session`] for all else.

mod choice;
mod dispatch;
mod finish;
mod help;
mod ledgers;
mod preflight;
mod records;
mod secrets;
mod session;
mod staged;
mod trace;

use std::ffi::OsString;

use crate::cast;
use crate::config::command_line::{self, Asked};
use crate::error::Refusal;

use session::Session;

pub use help::COMMANDS;

/// The environment of a process, as the operating system has it.
pub type Variables = Vec<(OsString, OsString)>;

/// Runs what is asked for and returns the exit code.
pub fn main(arguments: impl Iterator<Item = OsString>, environment: Variables) -> u8 {
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
            Err(problems) => session.refuse("", &Refusal::of_inputs(problems)),
            Ok(Asked::Help | Asked::Version) => 0,
        }
    });
    // A name that is still being looked up must not keep a cancelled run alive.
    runtime.shutdown_background();
    code
}
