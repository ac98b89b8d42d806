//! The runner: how it starts a step of the action, cancels it, and starts the post step.
//!
//! By itself it starts the program that cargo has built. Where `CUTOVER_TEST_IMAGE` names an image,
//! it starts containers as GitHub's runner does: `docker run` with its mounts and variables, and
//! signals to that client, which hands them on to PID 1.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::contract::files::as_the_runner_reads;
use crate::world::patience::within;

/// From SIGINT to SIGTERM, and from there to SIGKILL.
pub(super) const TO_TERM: Duration = Duration::from_millis(7500);
const TO_KILL: Duration = Duration::from_millis(2500);

/// How long anything is waited for: what goes on after this would go on for ever.
const FOR_EVER: Duration = Duration::from_secs(60);

/// The folders that the runner mounts: its own name, and the container's.
const FOLDERS: [(&str, &str); 5] = [
    ("workspace", "/github/workspace"),
    ("temp", "/github/runner_temp"),
    ("home", "/github/home"),
    ("workflow", "/github/workflow"),
    ("commands", "/github/file_commands"),
];

/// A job's folders, and what starts its steps.
pub(super) struct Runner {
    folders: tempfile::TempDir,
    image: Option<(OsString, OsString)>,
}

/// A step at work.
pub(super) struct Step {
    client: Child,
    pub(super) handle: Handle,
    output: JoinSet<()>,
    log: watch::Receiver<Said>,
}

/// What a step has said so far, and when it did so last.
#[derive(Clone, Default)]
pub(super) struct Said {
    pub(super) text: String,
    pub(super) last: Option<Instant>,
}

/// Who is to be signalled.
#[derive(Clone)]
pub(super) struct Handle {
    client: Pid,
    /// The engine's client and the container's name.
    container: Option<(OsString, String)>,
    log: watch::Receiver<Said>,
}

/// How a step ended that was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// By itself, after the first signal.
    ByItself,
    /// After the second one.
    AfterTerm,
    /// It did not, so the runner gave it up.
    Killed,
}

impl Runner {
    pub(super) fn new() -> Self {
        let folders = tempfile::tempdir().unwrap();
        for (name, _) in FOLDERS {
            std::fs::create_dir(folders.path().join(name)).unwrap();
        }
        let named = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let docker = named("CUTOVER_TEST_DOCKER").unwrap_or_else(|| "docker".into());
        Self {
            folders,
            image: named("CUTOVER_TEST_IMAGE").map(|image| (docker, image)),
        }
    }

    /// Whether there are no containers, which take their time.
    pub(super) const fn starts_the_program(&self) -> bool {
        self.image.is_none()
    }

    /// A folder, as this machine sees it.
    pub(super) fn folder(&self, name: &str) -> PathBuf {
        self.folders.path().join(name)
    }

    /// A path, as the step sees it.
    fn seen(&self, folder: &str, file: &str) -> PathBuf {
        let inside = FOLDERS.iter().find(|(name, _)| *name == folder).unwrap().1;
        match &self.image {
            Some(_) => Path::new(inside).join(file),
            None => self.folder(folder).join(file),
        }
    }

    /// Starts the main step with inputs and the workflow's variables.
    pub(super) fn main(&self, variables: &[(&str, &str)]) -> Step {
        self.start("main", variables, Vec::new())
    }

    /// Starts the post step of the same step, with the state that the main step saved.
    pub(super) fn post(&self, variables: &[(&str, &str)]) -> Step {
        let state = std::fs::read_to_string(self.folder("commands").join("state_main"));
        let state = as_the_runner_reads(&state.unwrap_or_default()).unwrap();
        let state = state.into_iter();
        self.start(
            "post",
            variables,
            state
                .map(|(name, value)| (format!("STATE_{name}"), value.into()))
                .collect(),
        )
    }

    fn start(&self, stage: &str, given: &[(&str, &str)], state: Vec<(String, OsString)>) -> Step {
        let mut variables = state;
        variables.extend(
            given
                .iter()
                .map(|(name, value)| ((*name).into(), value.into())),
        );
        for (name, folder) in [
            ("GITHUB_WORKSPACE", "workspace"),
            ("RUNNER_TEMP", "temp"),
            ("HOME", "home"),
        ] {
            variables.push((name.into(), self.seen(folder, "").into()));
        }
        for file in ["output", "state", "step_summary"] {
            let file_name = format!("{file}_{stage}");
            // The runner makes them, and its user owns them.
            std::fs::write(self.folder("commands").join(&file_name), "").unwrap();
            let name = format!("GITHUB_{}", file.to_uppercase());
            variables.push((name, self.seen("commands", &file_name).into()));
        }
        let (mut command, container) = match &self.image {
            Some((docker, image)) => self.container(docker, image, stage, &variables),
            None => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_cutover"));
                command.env_clear().current_dir(self.folder("workspace"));
                if stage == "post" {
                    command.arg0("/cutover-finish");
                }
                (command, None)
            }
        };
        let client = command
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Step::listen(client, container)
    }

    /// The runner's command line: the values are in the client's own environment.
    fn container(
        &self,
        docker: &OsString,
        image: &OsString,
        stage: &str,
        variables: &[(String, OsString)],
    ) -> (Command, Option<(OsString, String)>) {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let nth = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("cutover-killed-{}-{nth}", std::process::id());
        let mut command = Command::new(docker);
        // Of the client's own environment only what leads to the engine.
        command.env_clear();
        for kept in ["PATH", "DOCKER_HOST"] {
            command.envs(std::env::var_os(kept).map(|value| (kept, value)));
        }
        command.args(["run", "--name", &name, "--label", "cutover-killed"]);
        command.args(["--workdir", "/github/workspace", "--rm"]);
        for (name, _) in variables {
            command.args(["-e", name]);
        }
        if stage == "post" {
            command.args(["--entrypoint", "/cutover-finish"]);
        }
        // The servers of the test are on the machine's loopback.
        command.args(["--network", "host"]);
        for (folder, inside) in FOLDERS {
            let mut mount = self.folder(folder).into_os_string();
            mount.push(":");
            mount.push(inside);
            command.arg("-v").arg(mount);
        }
        command.arg(image);
        (command, Some((docker.clone(), name)))
    }
}

impl Step {
    fn listen(mut client: Child, container: Option<(OsString, String)>) -> Self {
        let (said, log) = watch::channel(Said::default());
        let mut output = JoinSet::new();
        let stdout = client.stdout.take().unwrap();
        let stderr = client.stderr.take().unwrap();
        let hear = |said: &watch::Sender<Said>, line: &str| {
            said.send_modify(|said| {
                said.text.push_str(line);
                said.text.push('\n');
                said.last = Some(Instant::now());
            });
        };
        output.spawn(async move {
            let (mut out, mut err) = (
                BufReader::new(stdout).lines(),
                BufReader::new(stderr).lines(),
            );
            while let Ok(Some(line)) = out.next_line().await {
                hear(&said, &line);
            }
            while let Ok(Some(line)) = err.next_line().await {
                hear(&said, &line);
            }
        });
        let pid = Pid::from_raw(client.id().unwrap().try_into().unwrap()).unwrap();
        Self {
            client,
            handle: Handle {
                client: pid,
                container,
                log: log.clone(),
            },
            output,
            log,
        }
    }

    /// Waits for the end. From a SIGINT on the runner counts, and goes on to the next signal.
    pub(super) async fn end(
        mut self,
        signalled: impl Fn() -> Option<Instant>,
    ) -> (ExitStatus, Said, Ended) {
        let began = Instant::now();
        let mut ended = Ended::ByItself;
        let status = loop {
            let turn = Duration::from_millis(20);
            if let Ok(status) = tokio::time::timeout(turn, self.client.wait()).await {
                break status.unwrap();
            }
            let since = signalled().map(|at| at.elapsed()).unwrap_or_default();
            if since > TO_TERM && ended == Ended::ByItself {
                ended = Ended::AfterTerm;
                let _ = kill_process(self.handle.client, Signal::TERM);
            }
            if since > TO_TERM + TO_KILL || began.elapsed() > FOR_EVER {
                ended = Ended::Killed;
                let _ = self.client.start_kill();
                self.handle.remove().await;
            }
        };
        within("all is heard", self.output.join_next()).await;
        let said = self.log.borrow().clone();
        (status, said, ended)
    }
}

impl Handle {
    /// Ends it at once: in a container PID 1, and not the client, which could not hand it on.
    pub(super) async fn kill(&self) {
        match &self.container {
            Some((docker, name)) => {
                let mut kill = Command::new(docker);
                let killed = kill.args(["kill", "--signal", "KILL", name]).output().await;
                assert!(
                    killed.unwrap().status.success(),
                    "{name} could not be killed"
                );
            }
            None => kill_process(self.client, Signal::KILL).unwrap(),
        }
    }

    /// Cancels it as the runner does, and waits until it knows.
    pub(super) async fn cancel(&self) {
        kill_process(self.client, Signal::INT).unwrap();
        let mut log = self.log.clone();
        let heard = log.wait_for(|said| said.text.contains("SIGINT"));
        // One that has ended in this very moment says nothing more.
        drop(tokio::time::timeout(TO_TERM, heard).await);
    }

    async fn remove(&self) {
        if let Some((docker, name)) = &self.container {
            let _ = Command::new(docker).args(["rm", "-f", name]).output().await;
        }
    }
}
