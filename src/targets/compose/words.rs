//! What is said to the shell where Compose is. `$1` is the project, `$2` its file, `$3` the command.
//!
//! What was last well is in `PROJECT.yml` below the login's own state, as Compose has understood it, so
//! that the file itself may have changed since. `PROJECT.next` and `PROJECT.ran` are there while a
//! deployment is at work, and after one that was killed.

/// Finds the command and the place, and goes on with `script`.
pub(super) fn with_command(script: &str) -> String {
    format!("{COMMAND}\n{script}")
}

const COMMAND: &str = r#"d=${XDG_STATE_HOME:-${HOME:-/var/lib}/.local/state}/cutover; k=$d/$1
if test "$3"; then c=$3
elif docker compose version >/dev/null 2>&1; then c='docker compose'
elif docker-compose version --short 2>/dev/null | grep -q '^v*[2-9]'; then c=docker-compose
else echo 'there is no Docker Compose of version 2 or later here'; exit 3; fi"#;

/// Whether it could work; nothing is changed.
pub(super) const LOOK: &str = r#"$c version >/dev/null || exit 3
$c -p "$1" -f "$2" config --quiet && $c -p "$1" -f "$2" ps --quiet >/dev/null"#;

pub(super) const PULL: &str = r#"$c -p "$1" -f "$2" pull --quiet --ignore-buildable"#;

pub(super) const PULL_MISSING: &str =
    r#"$c -p "$1" -f "$2" pull --quiet --ignore-buildable --policy missing"#;

/// Writes down what is to run, and whether anything ran. Where a run was killed, that is known already.
pub(super) const BEGIN: &str = r#"set -e; umask 077; mkdir -p "$d"
$c -p "$1" -f "$2" config > "$k.next"
test -e "$k.ran" || { $c -p "$1" -f "$2" ps --quiet --status running > "$k.aside"; mv -f "$k.aside" "$k.ran"; }"#;

pub(super) const UP: &str =
    r#"$c --ansi never -p "$1" -f "$2" up --detach --wait --remove-orphans --quiet-pull"#;

/// How all of its containers are, a line each: name, state, health, and all of it in Compose's own words.
pub(super) const STATES: &str =
    r#"$c -p "$1" -f "$2" ps --all --format '{{.Name}}|{{.State}}|{{.Health}}|{{.Status}}'"#;

/// What runs is what is put back from now on.
pub(super) const KEEP: &str = r#"mv -f "$k.next" "$k.yml" && rm -f "$k.ran""#;

/// The last that the containers said, and then how they are: of all this the end is kept.
pub(super) const LAST: &str = r#"$c --ansi never -p "$1" -f "$2" logs --no-color --tail 15
$c -p "$1" -f "$2" ps --all --format '{{.Name}} {{.Status}}'"#;

/// What there was before.
pub(super) const BEFORE: &str = r#"rm -f "$k.next"
if ! test -s "$k.ran"; then echo before none; elif test -s "$k.yml"; then echo before known; else echo before unknown; fi"#;

/// Brings it up again. Where Compose was ended in the middle of an exchange, the new container stands beside the
/// old one and would be in its way: what does not run is removed first.
pub(super) const BACK: &str = r#"$c -p "$1" -f "$k.yml" rm --force >/dev/null 2>&1
$c --ansi never -p "$1" -f "$k.yml" up --detach --wait --remove-orphans --no-build --quiet-pull"#;

/// The same without waiting for its health.
pub(super) const BACK_SOON: &str = r#"$c -p "$1" -f "$k.yml" rm --force >/dev/null 2>&1
$c --ansi never -p "$1" -f "$k.yml" up --detach --remove-orphans --no-build --quiet-pull --timeout 1 && rm -f "$k.ran""#;

pub(super) const FORGET: &str = r#"rm -f "$k.ran""#;

/// Stops it; its containers stay for a look.
pub(super) const STOP_SOON: &str = r#"rm -f "$k.ran"; cd /; $c -p "$1" stop --timeout 1"#;

pub(super) const STOP: &str = r#"cd /; $c -p "$1" stop"#;
