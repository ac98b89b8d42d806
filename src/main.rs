//! The door of the program: hands the command line and the environment to `app`, and its
//! ending to whoever started us.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = std::env::args_os();
    let environment = cutover::actions::context::environment();
    ExitCode::from(cutover::app::main(arguments, environment))
}
