//! What is said to the shell of another machine, and how its answers are told from what its login
//! scripts say. POSIX, and `setsid`, `head` and `stat`, which every Linux has.
//!
//! A command goes there through its standard input, which then stays open as a lifeline: a line
//! on it is SIGTERM for the command's process group, its end is SIGKILL. So nothing is left
//! running when the connection is lost, either, as soon as the server there notices: of one that
//! falls silent it does if it asks (OpenSSH's `ClientAliveInterval`, which is off by default).
//! What is on a command line everybody there can read, so nothing of the command is.

use std::fmt::Write as _;
use std::ops::Range;

use uuid::Uuid;

use crate::platform::process::Script;

/// The line that asks the group to end.
pub(super) const TERM: &[u8] = b"\n";

/// What runs the errand there. `M` is the mark, `N` the length of what is read first, which ends
/// with the mark where all of it came; else the lifeline has ended. A variable that the login exports
/// would be exported still. With `TMOUT`, which hardened machines export, bash gives up what it reads.
///
/// The command leads a session of its own. Who waits for its end hears of a SIGTERM (USR1), so
/// that the rest of the group is waited for, too, until the lifeline ends; and, before it, of the
/// SIGKILL (USR2), after which the dead are not waited for longer than a second: nobody may bury
/// them. It ends with [`LET_GO`] then. A group is written without `--`, which BusyBox takes for a wrong
/// number.
///
/// What is somebody else's in that group, as `sudo` makes it, cannot be signalled, nor does `kill -0`
/// tell it from nothing. `/proc` does (`g`): where a group that was to end lives on, the end is
/// [`LIVES_ON`].
///
/// Until `setsid` has made the session there is no group, but one process, and what ends it may wait
/// already. So that is named, too: for SIGTERM if there is no group, for SIGKILL before the group,
/// which then has nobody left who could begin anything.
const BOOT: &str = r#"exec 3<&0 2>&1; unset p t k x c w s n TMOUT; g() { cat /proc/[0-9]*/stat | sed "s/^.*) //" | grep -q "^[^ZX] [0-9]* $c "; }; command -v setsid >/dev/null && command -v head >/dev/null || { echo M:no; exit 127; }; echo M:ok; p=$(head -c N <&3); case $p in *M:) ;; *) exit 140;; esac; printf %s "$p" | setsid sh -s 3<&- & c=$!; exec >/dev/null 2>&1; trap t=1 USR1; trap k=1 USR2; { trap "" TERM; read x && { kill -s USR1 $$; kill -TERM -$c || kill -TERM $c; read x; }; kill -s USR2 $$; kill -KILL $c; kill -KILL -$c; } <&3 & w=$!; exec 3<&-; wait $c; s=$?; test "$t$k" && { wait $c; n=0; while { kill -0 -$c || g; } && test $n -lt 20; do test "$k" && n=$((n+1)); sleep .05 || sleep 1; done; }; kill -s KILL $w; test "$k" && s=140; test "$t$k" && g && s=141; exit $s"#;

/// What it ends with when the lifeline did: as one that SIGUSR2 has ended.
pub(super) const LET_GO: i32 = 140;

/// What it ends with when something of the group could not be ended.
pub(super) const LIVES_ON: i32 = 141;

/// A script on its way to another machine.
pub(super) struct Errand {
    /// What the login shell there is given to run. Nothing of the script is in it.
    pub(super) line: String,
    /// What goes into its standard input first.
    pub(super) payload: String,
    /// What tells ours from what its login scripts say.
    pub(super) mark: Mark,
}

/// Wraps a script. Variables that are hidden are the shell's own, the others it hands on.
pub(super) fn errand(script: &Script<'_>, hidden: &[(String, String)]) -> Errand {
    let mark = Mark::new();
    let mut payload = String::new();
    let directory = script.directory.to_string_lossy();
    if !directory.is_empty() {
        // Writing into a string cannot fail.
        let _ = writeln!(payload, "cd -- {} || exit", quoted(&directory));
    }
    let given = |name: &str| script.variables.iter().any(|(known, _)| known == name);
    for (name, value) in hidden.iter().filter(|(name, _)| !given(name)) {
        // What its login exports under that name would stay exported.
        let _ = writeln!(payload, "unset {name}\n{name}={}", quoted(value));
    }
    for (name, value) in script.variables {
        let _ = writeln!(payload, "export {name}={}", quoted(value));
    }
    // A part of it, where the connection is lost, has no mark at its end, and is not run.
    let (run, name) = (quoted(script.run), &mark.0);
    let _ = write!(payload, "eval {run} </dev/null\nexit #{name}:");
    let boot = BOOT.replace("M:", &format!("{}:", mark.0));
    let boot = boot.replace("-c N", &format!("-c {}", payload.len()));
    Errand {
        line: format!("exec sh -c '{boot}'"),
        payload,
        mark,
    }
}

/// What a shell there is given to run when its output is read by a program: the mark, then
/// `script`. Words of it that are not ours must be [`quoted`]. What it reads has no time limit of
/// its login's.
pub(super) fn question(script: &str) -> (String, Mark) {
    let mark = Mark::new();
    let script = format!("exec 2>&1; unset TMOUT; echo {}:ok; {script}", mark.0);
    (format!("exec sh -c {}", quoted(&script)), mark)
}

/// The line that lets a shell begin.
pub(super) const GO: &[u8] = b"go\n";

/// What a shell ends with that was not let begin, or too late.
pub(super) const TOO_LATE: i32 = 48;

/// The command `ready`, which says that all is prepared and waits for [`GO`], on descriptor 3. One
/// that was longer than ten seconds on its way there begins nothing: whoever sent it has given it up
/// by then, and has perhaps looked over another connection what there is.
fn ready(mark: &str) -> String {
    format!(
        "ready() {{ d=$(date +%s) || exit 1; echo {mark}:go; read -r g <&3 && test \"$g\" = go || exit {TOO_LATE}; case $(($(date +%s)-d)) in [0-9]|10) ;; *) exit {TOO_LATE};; esac; }}; "
    )
}

/// A [`question`] of something that is done once: where `script` says `ready`, it waits for [`GO`].
/// What it reads before comes the same way.
pub(super) fn errand_once(script: &str) -> (String, Mark) {
    let mark = Mark::new();
    let ready = ready(&mark.0);
    let script = format!(
        "exec 3<&0 2>&1; unset TMOUT; echo {}:ok; {ready}{script}",
        mark.0
    );
    (format!("exec sh -c {}", quoted(&script)), mark)
}

/// What a shell there that stays is given to read for a question. With `once` it waits for [`GO`]
/// where `script` says `ready`.
///
/// It is one word, as in an errand, and its process is not the shell that stays, so that neither
/// an `exit` nor a `cd` in it outlasts it.
pub(super) fn asked(script: &str, once: bool) -> (String, Mark) {
    let mark = Mark::new();
    let (name, script) = (&mark.0, quoted(script));
    let (ready, kept) = match once {
        true => (ready(name), "3<&0 "),
        false => (String::new(), ""),
    };
    let text = format!(
        "echo {name}:ok; ({ready}eval {script}) {kept}</dev/null; printf '\\n%s:%d\\n' {name} $?\n"
    );
    (text, mark)
}

/// A text as one word of a shell's command line, whatever is in it.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A word that nobody else says.
pub(super) struct Mark(String);

/// What came before and with the mark.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// No mark so far.
    Nothing,
    /// The mark, and where ours begins.
    Ready(usize),
    /// The machine has not what is needed.
    Lacking,
}

impl Mark {
    fn new() -> Self {
        Self(format!("cutover-{}", Uuid::new_v4().simple()))
    }

    /// The room for what a question prints, with all marks.
    pub(super) fn room(&self, cap: usize) -> usize {
        cap.saturating_add(3 * (self.0.len() + 16))
    }

    /// Where it says that it waits for [`GO`].
    fn waits(&self, heard: &[u8]) -> Option<Range<usize>> {
        let word = format!("{}:go\n", self.0);
        let mut parts = heard.windows(word.len());
        let at = parts.position(|part| part == word.as_bytes())?;
        Some(at..at + word.len())
    }

    /// Whether it waits for [`GO`], by what was heard so far.
    pub(super) fn is_ready(&self, heard: &[u8]) -> bool {
        self.waits(heard).is_some()
    }

    /// What was heard, without that it waits.
    pub(super) fn told(&self, mut heard: Vec<u8>) -> Vec<u8> {
        if let Some(waits) = self.waits(&heard) {
            heard.drain(waits);
        }
        heard
    }

    /// The code of a question and what it printed, if it is over.
    pub(super) fn answer(&self, heard: &[u8]) -> Option<(i32, Vec<u8>)> {
        let line = heard.strip_suffix(b"\n")?;
        // The last line is short; what is before it may be long, and is looked through once only.
        let near = line.len().saturating_sub(2 * self.0.len());
        let at = near + line[near..].iter().rposition(|byte| *byte == b'\n')?;
        let (said, end) = (heard.get(..at)?, std::str::from_utf8(&line[at + 1..]).ok()?);
        let code = end.strip_prefix(self.0.as_str())?.strip_prefix(':')?;
        let code = code.parse().ok()?;
        let Heard::Ready(from) = self.find(heard) else {
            return None;
        };
        let ours = said.get(from..).unwrap_or_default().to_vec();
        Some((code, self.told(ours)))
    }

    /// Looks for the mark in all that came so far. A login script that ends without a line break
    /// has its last words in the same line.
    pub(super) fn find(&self, heard: &[u8]) -> Heard {
        let word = self.0.as_bytes();
        let at = heard.windows(word.len()).position(|part| part == word);
        let rest = at.and_then(|at| heard.get(at + word.len()..));
        match rest {
            Some([b':', b'o', b'k', b'\n', ..]) => {
                Heard::Ready(at.unwrap_or_default() + word.len() + 4)
            }
            Some([b':', b'n', b'o', b'\n', ..]) => Heard::Lacking,
            _ => Heard::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::secret::Vault;
    use std::io::Write as _;
    use std::path::Path;
    use std::process::Command;
    use std::time::Duration;

    #[test]
    fn nothing_of_a_script_is_on_the_command_line() {
        let vault = Vault::default();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let script = Script {
            run: "echo 'it'\"s\"",
            directory: Path::new("/srv/my app"),
            variables: &[pair("SLOT", "blue")],
            timeout: Duration::from_secs(1),
            grace: Duration::ZERO,
            vault: &vault,
        };
        let hidden = [pair("TOKEN", "it's"), pair("SLOT", "x")];
        let errand = errand(&script, &hidden);
        assert_eq!(
            errand.payload,
            format!(
                "cd -- '/srv/my app' || exit\nunset TOKEN\nTOKEN='it'\\''s'\n\
                 export SLOT='blue'\neval 'echo '\\''it'\\''\"s\"' </dev/null\nexit #{}:",
                errand.mark.0
            )
        );
        for word in ["TOKEN", "it", "SLOT", "srv"] {
            assert!(!errand.line.contains(&format!(" {word}")), "{word}");
        }
        assert!(
            errand
                .line
                .contains(&format!("-c {} ", errand.payload.len()))
        );
    }

    fn script<'a>(run: &'a str, vault: &'a Vault) -> Script<'a> {
        Script {
            run,
            directory: Path::new(""),
            variables: &[],
            timeout: Duration::from_secs(1),
            grace: Duration::ZERO,
            vault,
        }
    }

    /// Runs the line with all of its input there before it begins, which then ends if `ends`.
    fn runs(shell: &str, errand: &Errand, input: &str, ends: bool) -> String {
        ran(shell, errand, input, ends).0
    }

    /// The same with the code that it ends with.
    fn ran(shell: &str, errand: &Errand, input: &str, ends: bool) -> (String, Option<i32>) {
        let line = errand.line.replacen("sh", shell, 1);
        let (out, into) = std::io::pipe().unwrap();
        let (input_end, mut lifeline) = std::io::pipe().unwrap();
        lifeline.write_all(input.as_bytes()).unwrap();
        let lifeline = (!ends).then_some(lifeline);
        let mut child = Command::new("sh")
            .args(["-c", &line])
            .envs([("p", "login's"), ("t", "1"), ("TOKEN", "login's")])
            .stdin(input_end)
            .stdout(into)
            .spawn()
            .unwrap();
        let status = child.wait().unwrap();
        drop(lifeline);
        (std::io::read_to_string(out).unwrap(), status.code())
    }

    #[test]
    fn what_is_to_be_ended_before_it_began_does_not_survive() {
        let vault = Vault::default();
        let alive = std::env::temp_dir().join(format!("cutover-{}", Uuid::new_v4()));
        let run = format!("sleep 20; : > {}", alive.display());
        for shell in ["dash", "bash"] {
            for end in ["", "\n"] {
                for round in 0..12 {
                    let errand = errand(&script(&run, &vault), &[]);
                    let input = errand.payload.clone() + end;
                    runs(shell, &errand, &input, true);
                    let lived = std::fs::remove_file(&alive).is_ok();
                    assert!(!lived, "{shell}, {end:?}, round {round}");
                }
            }
        }
    }

    #[test]
    fn a_part_of_a_command_is_not_run() {
        let vault = Vault::default();
        let errand = errand(&script("echo it's\necho two'", &vault), &[]);
        let whole = runs("sh", &errand, &errand.payload, false);
        assert!(whole.ends_with(":ok\nits\necho two\n"), "{whole}");
        // Behind the first quote of one that is written as '\'' a whole command seems to end.
        let cut = errand.payload.find("it'").unwrap() + 3;
        let (part, code) = ran("sh", &errand, &errand.payload[..cut], true);
        assert!(part.ends_with(":ok\n"), "{part}");
        // That is the end of the lifeline, and none of the command's own.
        assert_eq!(code, Some(LET_GO));
    }

    #[test]
    fn what_a_login_exports_hands_no_secret_on() {
        let vault = Vault::default();
        let hidden = [("TOKEN".to_owned(), "in-the-open".to_owned())];
        let errand = errand(&script("env; echo \"[$TOKEN]\"", &vault), &hidden);
        let said = runs("sh", &errand, &errand.payload, false);
        assert!(said.ends_with("[in-the-open]\n"), "{said}");
        assert_eq!(said.matches("in-the-open").count(), 1, "{said}");
    }

    #[test]
    fn an_answer_stands_between_its_marks() {
        let mark = Mark("cutover-x".to_owned());
        let answer = |heard: &[u8]| mark.answer(heard);
        assert_eq!(answer(b"cutover-x:ok\na\nb\n"), None);
        assert_eq!(answer(b"cutover-x:ok\na\ncutover-x:"), None);
        assert_eq!(answer(b"a\ncutover-x:0\n"), None);
        let whole = answer(b"cutover-x:ok\na\n\n\ncutover-x:44\n");
        assert_eq!(whole, Some((44, b"a\n\n".to_vec())));
        let waited = answer(b"cutover-x:ok\ncutover-x:go\nno\n\ncutover-x:1\n");
        assert_eq!(waited, Some((1, b"no\n".to_vec())));
        let nothing = answer(b"cutover-x:ok\n\ncutover-x:0\n");
        assert_eq!(nothing, Some((0, Vec::new())));
    }

    #[test]
    fn ours_begins_behind_the_mark() {
        let mark = Mark("cutover-x".to_owned());
        assert_eq!(mark.find(b"Welcome\ncutover-x"), Heard::Nothing);
        assert_eq!(mark.find(b"Hi.cutover-x:ok\nab"), Heard::Ready(16));
        assert_eq!(mark.find(b"cutover-x:no\n"), Heard::Lacking);
    }
}
