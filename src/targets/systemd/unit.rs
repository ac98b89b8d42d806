//! A slot's unit: its name, the drop-in that tells it its version, and what systemd says of it.
//!
//! A version is a stranger's word: what a unit's file cannot carry is refused, and the rest is quoted.

use crate::config::script::{Variables, and};
use crate::targets::{Order, TargetError};

use super::folder;

/// What must be there before anything is changed, and how the unit is. `$2` is its drop-ins' folder.
pub(super) const LOOK: &str = r#"if ! command -v systemctl >/dev/null; then echo "there is no systemctl here"; exit 3; fi
if ! test -d /run/systemd/system; then echo "systemd does not run here, process 1 is $(cat /proc/1/comm)"; exit 3; fi
for d in "$2" /etc/systemd/system; do test -e "$d" && break; done
if ! test -w "$d"; then echo "$(id -un) may not write in $d"; exit 4; fi
LC_ALL=C systemctl show -p LoadState,LoadError,ActiveState,SubState,Result,NRestarts,InvocationID,Job,ExecMainCode,ExecMainStatus,ConditionResult -- "$1"
cd -- "$2" 2>/dev/null && test -e 50-cutover.before || exit 0
test -s 50-cutover.before && echo Ran=yes || echo Ran=no"#;

/// What systemd says of it alone.
pub(super) const SHOW: &str = r#"LC_ALL=C systemctl show -p LoadState,ActiveState,SubState,Result,NRestarts,InvocationID,Job,ExecMainCode,ExecMainStatus,ConditionResult -- "$1""#;

/// A slot's unit, and what is to be in its drop-in.
pub(super) struct Unit {
    pub name: String,
    /// The folder of its drop-ins.
    pub folder: String,
    /// The drop-in.
    pub text: String,
}

impl Unit {
    /// Fills the order in.
    ///
    /// # Errors
    /// When what comes out cannot be a unit, or cannot stand in its file.
    pub(super) fn of(unit: &str, env: &Variables, order: &Order) -> Result<Self, TargetError> {
        let name = order.fill(unit);
        let letters = |c: char| c.is_ascii_alphanumeric() || ":_.@-".contains(c);
        let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        if !begins || name.len() > 200 || !name.chars().all(letters) {
            return Err(TargetError::OutOfReach(format!(
                "\"{name}\" cannot be the name of a unit: letters, digits, :, _, ., @ and - can"
            )));
        }
        let mut text = "# Made by Cutover; every deployment replaces it.\n[Service]\n".to_owned();
        let version = and(Vec::new(), [("VERSION", "$VERSION")]);
        // Of two with one name the later one counts, to systemd, too.
        for (variable, value) in version.into_iter().chain(env.and([])) {
            let value = order.fill(&value);
            if value.chars().any(char::is_control) {
                return Err(TargetError::OutOfReach(format!(
                    "the value of {variable} has a line break or another control character, which the file of {name} cannot carry"
                )));
            }
            text += &format!("Environment=\"{variable}={}\"\n", quoted(&value));
        }
        Ok(Self {
            folder: folder(&name),
            name,
            text,
        })
    }
}

/// A text between double quotes in a unit's file.
fn quoted(text: &str) -> String {
    text.replace('\\', r"\\")
        .replace('"', r#"\""#)
        .replace('%', "%%")
}

/// What systemd says of a unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    load: String,
    load_error: String,
    /// `active`, `activating`, `deactivating`, `inactive`, `failed`, `reloading` and others.
    pub active: String,
    pub sub: String,
    result: String,
    /// How often systemd started it again by itself.
    pub restarts: u64,
    /// The start that it is of.
    pub invocation: String,
    /// Whether something that was ordered is not done yet.
    pub busy: bool,
    code: String,
    status: String,
    condition: bool,
    /// Where a run was killed before its drop-in was well: whether there had been one before it.
    ran: Option<bool>,
}

impl State {
    /// Reads the lines of `systemctl show`; others are passed over.
    pub(super) fn read(lines: &[String]) -> Self {
        let mut state = Self {
            condition: true,
            ..Self::default()
        };
        for line in lines {
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            let text = value.to_owned();
            match key {
                "LoadState" => state.load = text,
                "LoadError" => state.load_error = text,
                "ActiveState" => state.active = text,
                "SubState" => state.sub = text,
                "Result" => state.result = text,
                "NRestarts" => state.restarts = value.parse().unwrap_or_default(),
                "InvocationID" => state.invocation = text,
                "Job" => state.busy = !matches!(value, "" | "0"),
                "ExecMainCode" => state.code = text,
                "ExecMainStatus" => state.status = text,
                "ConditionResult" => state.condition = value == "yes",
                "Ran" => state.ran = Some(value == "yes"),
                _ => {}
            }
        }
        state
    }

    /// Whether it ran before anything was done to it.
    pub(super) fn ran(&self) -> bool {
        let runs = matches!(self.active.as_str(), "active" | "reloading" | "activating");
        self.ran.unwrap_or(runs)
    }

    /// Why there is nothing that could be started.
    pub(super) fn not_loaded(&self, unit: &str) -> Option<String> {
        match self.load.as_str() {
            "loaded" => None,
            "" => Some(format!("systemd says nothing of {unit}")),
            "not-found" => {
                let template = unit
                    .split_once('@')
                    .map_or(unit.to_owned(), |(name, _)| format!("{name}@.service"));
                Some(format!(
                    "there is no unit {unit}; put {template} into /etc/systemd/system"
                ))
            }
            "masked" => Some(format!(
                "{unit} is masked; `systemctl unmask` lets it start"
            )),
            _ => {
                let said = self.load_error.split_once(' ').unwrap_or_default().1;
                Some(format!(
                    "{unit} cannot be loaded: {}",
                    said.trim_matches('"')
                ))
            }
        }
    }

    /// How it ended, to finish a sentence that begins with its name.
    pub(super) fn ending(&self) -> String {
        if !self.condition {
            return "was not started: a condition of its is not met".to_owned();
        }
        let end = match (self.code.as_str(), self.status.as_str()) {
            ("1", status) => format!("ended with {status}"),
            ("2" | "3", signal) => format!("was ended by signal {signal}"),
            _ => format!("is {} ({})", self.active, self.sub),
        };
        match self.result.as_str() {
            "" | "success" | "exit-code" | "signal" => end,
            result => format!("{end} ({result})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn order(version: &str) -> Order {
        Order {
            app: "shop".into(),
            environment: "production".into(),
            slot: "blue".into(),
            slot_url: "http://blue.example.com".parse().unwrap(),
            release: crate::model::release::Release::new(version),
            fence: None,
        }
    }

    #[test]
    fn a_version_stays_one_word_of_its_line() {
        let env: Variables = serde_json::from_value(json!({ "AT": "/srv/$VERSION" })).unwrap();
        let unit = Unit::of("shop@$SLOT.service", &env, &order(r#"v"1\ %n $HOME'"#)).unwrap();
        let lines: Vec<_> = unit.text.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                r#"Environment="VERSION=v\"1\\ %%n $HOME'""#,
                r#"Environment="AT=/srv/v\"1\\ %%n $HOME'""#
            ]
        );
        assert_eq!(unit.folder, "/etc/systemd/system/shop@blue.service.d");
        for odd in ["v1\n[Service]\nExecStart=/bin/sh", "v1\u{1b}"] {
            assert!(Unit::of("shop@$SLOT.service", &env, &order(odd)).is_err());
        }
        for odd in ["../$SLOT.service", "-$SLOT.service", "a b@$SLOT.service"] {
            assert!(Unit::of(odd, &env, &order("v1")).is_err(), "{odd}");
        }
    }

    #[test]
    fn what_systemd_says_is_read() {
        let lines = "Welcome\nLoadState=error\nLoadError=org.x.Bad \"It is bad.\"\nNRestarts=3\nJob=17\nResult=oom-kill\nExecMainCode=2\nExecMainStatus=9";
        let lines: Vec<String> = lines.lines().map(str::to_owned).collect();
        let state = State::read(&lines);
        assert_eq!((state.restarts, state.busy), (3, true));
        assert_eq!(state.ending(), "was ended by signal 9 (oom-kill)");
        let said = state.not_loaded("x.service").unwrap();
        assert_eq!(said, "x.service cannot be loaded: It is bad.");
    }
}
