//! What is said to the shell of another machine, and how its answers are told from what its login
//! scripts say. POSIX, and `setsid`, `head` and `stat`, which every Linux has.
//!
//! A command goes there through its standard input, which then stays open as a lifeline: a line
//! on it is SIGTERM for the command's process group, its end is SIGKILL. So nothing is left
//! running when the connection is lost, either. What is on a command line everybody there can
//! read, so nothing of the command is.

use std::fmt::Write as _;

use uuid::Uuid;

use crate::platform::process::Script;

/// The line that asks the group to end.
pub(super) const TERM: &[u8] = b"\n";

/// What runs the errand there. `M` is the mark, `N` the length of what is read first.
///
/// The command leads a session of its own. Who waits for its end hears of a SIGTERM (USR1), so
/// that the rest of the group is waited for, too, until the lifeline ends; and of the SIGKILL
/// (USR2), after which the dead are not waited for longer than a second: nobody may bury them.
const BOOT: &str = r#"exec 3<&0 2>&1; command -v setsid >/dev/null && command -v head >/dev/null || { echo M:no; exit 127; }; echo M:ok; p=$(head -c N <&3); printf %s "$p" | setsid sh -s 3<&- & c=$!; exec >/dev/null 2>&1; trap t=1 USR1; trap k=1 USR2; { trap "" TERM; read x && { kill -s USR1 $$; kill -s TERM -- -$c; read x; }; kill -s KILL -- -$c; kill -s USR2 $$; } <&3 & w=$!; exec 3<&-; wait $c; s=$?; test "$t$k" && { wait $c; n=0; while kill -s 0 -- -$c && test $n -lt 20; do test "$k" && n=$((n+1)); sleep .05 || sleep 1; done; }; kill -s KILL $w; exit $s"#;

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
        let _ = writeln!(payload, "{name}={}", quoted(value));
    }
    for (name, value) in script.variables {
        let _ = writeln!(payload, "export {name}={}", quoted(value));
    }
    // One word, so that a part of it, where the connection is lost, is no command at all.
    let _ = write!(payload, "eval {} </dev/null\nexit", quoted(script.run));
    let boot = BOOT.replace("M:", &format!("{}:", mark.0));
    let boot = boot.replace("-c N", &format!("-c {}", payload.len()));
    Errand {
        line: format!("exec sh -c '{boot}'"),
        payload,
        mark,
    }
}

/// What a shell there is given to run when its output is read by a program: the mark, then
/// `script`. Words of it that are not ours must be [`quoted`].
pub(super) fn question(script: &str) -> (String, Mark) {
    let mark = Mark::new();
    let script = format!("exec 2>&1; echo {}:ok; {script}", mark.0);
    (format!("exec sh -c {}", quoted(&script)), mark)
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
    use std::path::Path;
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
            "cd -- '/srv/my app' || exit\nTOKEN='it'\\''s'\nexport SLOT='blue'\n\
             eval 'echo '\\''it'\\''\"s\"' </dev/null\nexit"
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

    #[test]
    fn ours_begins_behind_the_mark() {
        let mark = Mark("cutover-x".to_owned());
        assert_eq!(mark.find(b"Welcome\ncutover-x"), Heard::Nothing);
        assert_eq!(mark.find(b"Hi.cutover-x:ok\nab"), Heard::Ready(16));
        assert_eq!(mark.find(b"cutover-x:no\n"), Heard::Lacking);
    }
}
