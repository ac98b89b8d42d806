//! The program as somebody who is not root: root needs no permission, and may end whom it likes.

use std::process::Command;

/// The same command, as nobody, with the variables that it was given and no others.
pub(crate) fn as_nobody(command: &Command) -> Command {
    let mut other = Command::new("setpriv");
    let given = command.get_envs();
    other
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(command.get_current_dir().unwrap())
        .env_clear()
        .envs(given.filter_map(|(name, value)| Some((name, value?))))
        .stdout(std::process::Stdio::piped());
    other
}
