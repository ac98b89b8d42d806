//! Programs that tests run as children of their own: what they print is read as they print it,
//! and one that has no end fails the test that waits for it.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::patience::{A_RUN, PATIENCE};

/// What a child has printed so far, and word of its end.
struct Heard {
    text: Arc<Mutex<Vec<u8>>>,
    over: Receiver<()>,
}

impl Heard {
    fn of(pipe: Option<OwnedFd>) -> Self {
        let text = Arc::<Mutex<Vec<u8>>>::default();
        let (says, over) = channel();
        if let Some(mut pipe) = pipe.map(File::from) {
            let text = Arc::clone(&text);
            std::thread::spawn(move || {
                let mut piece = [0; 8 << 10];
                while let Ok(read @ 1..) = pipe.read(&mut piece) {
                    text.lock().unwrap().extend_from_slice(&piece[..read]);
                }
                drop(says);
            });
        }
        Self { text, over }
    }

    /// Whether it has printed its last by then.
    fn is_over(&self, by: Instant) -> bool {
        let left = by.saturating_duration_since(Instant::now());
        self.over.recv_timeout(left) == Err(RecvTimeoutError::Disconnected)
    }

    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.text.lock().unwrap())
    }
}

/// How a child ended, where it has by then.
fn status(child: &mut Child, by: Instant) -> Option<ExitStatus> {
    loop {
        let status = child.try_wait().unwrap();
        if status.is_some() || Instant::now() >= by {
            return status;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits for the end of a child, and for all that it prints. One without an end is killed, and
/// fails the test.
#[track_caller]
pub(crate) fn ended(mut child: Child) -> Output {
    let [stdout, stderr] = [
        Heard::of(child.stdout.take().map(OwnedFd::from)),
        Heard::of(child.stderr.take().map(OwnedFd::from)),
    ];
    let by = Instant::now() + A_RUN;
    if stdout.is_over(by)
        && stderr.is_over(by)
        && let Some(status) = status(&mut child, by)
    {
        let [stdout, stderr] = [stdout.take(), stderr.take()];
        return Output {
            status,
            stdout,
            stderr,
        };
    }
    let _ = child.kill();
    without_end([stdout.take(), stderr.take()])
}

#[track_caller]
fn without_end(printed: [Vec<u8>; 2]) -> ! {
    let [stdout, stderr] = printed.map(|it| String::from_utf8_lossy(&it).into_owned());
    panic!("it has no end; so far it printed:\n{stdout}\n{stderr}");
}

/// Waits for the end of a child whose lines were read; its exit code.
#[track_caller]
pub(crate) fn exit_code(child: &mut Child) -> Option<i32> {
    let Some(status) = status(child, Instant::now() + A_RUN) else {
        let _ = child.kill();
        panic!("it has no end");
    };
    status.code()
}

/// Runs a command to its end; what it prints is taken.
#[track_caller]
pub(crate) fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    ended(command.spawn().unwrap())
}

/// The lines that a child prints, as they come. Who waits for one in vain fails.
pub(crate) struct Lines(Receiver<String>);

/// Reads what comes out there, whoever asks for it.
pub(crate) fn lines(pipe: Option<impl Read + Send + 'static>) -> Lines {
    let pipe = BufReader::new(pipe.unwrap());
    let (says, hears) = channel();
    std::thread::spawn(move || {
        let printed = pipe.lines().map_while(Result::ok);
        printed.for_each(|line| drop(says.send(line)));
    });
    Lines(hears)
}

impl Iterator for Lines {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        match self.0.recv_timeout(A_RUN) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("waited in vain for a line"),
        }
    }
}

/// Waits for the end of a server that was told to end. One that does not is killed.
pub(crate) fn left(server: &mut Child) {
    if status(server, Instant::now() + PATIENCE).is_none() {
        let _ = server.kill();
        let _ = server.wait();
    }
}

/// Waits for the end of a child of the runtime, and for all that it prints.
pub(crate) async fn ended_meanwhile(mut child: tokio::process::Child) -> Output {
    let (stdout, stderr) = (Mutex::default(), Mutex::default());
    let pipes = (child.stdout.take(), child.stderr.take());
    let all = async {
        let heard = tokio::join!(hear(pipes.0, &stdout), hear(pipes.1, &stderr), child.wait());
        heard.2.unwrap()
    };
    let status = tokio::time::timeout(A_RUN, all).await;
    let (stdout, stderr) = (stdout.into_inner().unwrap(), stderr.into_inner().unwrap());
    let Ok(status) = status else {
        without_end([stdout, stderr]);
    };
    Output {
        status,
        stdout,
        stderr,
    }
}

/// Runs a command of the runtime to its end; what it prints is taken.
pub(crate) async fn output_meanwhile(command: &mut tokio::process::Command) -> Output {
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    ended_meanwhile(command.kill_on_drop(true).spawn().unwrap()).await
}

async fn hear(pipe: Option<impl tokio::io::AsyncRead + Unpin>, heard: &Mutex<Vec<u8>>) {
    use tokio::io::AsyncReadExt as _;
    let Some(mut pipe) = pipe else { return };
    let mut piece = vec![0; 8 << 10];
    while let Ok(read @ 1..) = pipe.read(&mut piece).await {
        heard.lock().unwrap().extend_from_slice(&piece[..read]);
    }
}
