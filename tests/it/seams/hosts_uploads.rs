//! A folder that travels to a host: it arrives as it is, it is gone on with when the way broke
//! off, and a machine without room says so.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use cutover::platform::folder::items;
use cutover::platform::host::{Host, HostError, Local};
use cutover::platform::process::End;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::hosts::{at, host, run};
use crate::world::patience::{until, within};
use crate::world::slow_line::SlowLine;
use crate::world::sshd::Sshd;

/// A release with everything that one can have.
fn release() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir_all(path("bin/empty")).unwrap();
    fs::write(path("index.html"), "hello").unwrap();
    fs::write(path("it's a \"name\" é"), "").unwrap();
    fs::write(path("bin/run"), vec![7; 100_000]).unwrap();
    let long = "l".repeat(90);
    fs::create_dir(path(&long)).unwrap();
    fs::write(path(&long).join(&long), "far down").unwrap();
    fs::set_permissions(path("bin/run"), fs::Permissions::from_mode(0o750)).unwrap();
    symlink("bin/run", path("link")).unwrap();
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    for name in ["index.html", "bin/run"] {
        let file = fs::File::options().write(true).open(path(name)).unwrap();
        file.set_modified(then).unwrap();
    }
    fs::set_permissions(path("bin"), fs::Permissions::from_mode(0o555)).unwrap();
    folder
}

/// What is in a folder, without the times of its directories and links.
fn content(folder: &Path) -> Vec<String> {
    let never = CancellationToken::new();
    let mut all: Vec<_> = items(folder, &never)
        .unwrap()
        .into_iter()
        .map(|item| match item.what {
            cutover::platform::folder::What::File { .. } => format!("{item:?}"),
            what => format!("{:?} {what:?} {:o}", item.path, item.mode),
        })
        .collect();
    all.sort();
    all
}

pub(super) async fn brings_a_folder(host: &dyn Host) {
    let (from, place) = (release(), tempfile::tempdir().unwrap());
    let to = place.path().join("it's there");
    let never = CancellationToken::new();
    let uploaded = host.upload(from.path(), &to, &never).await.unwrap();
    assert_eq!(
        (uploaded.files, uploaded.bytes, uploaded.sent),
        (5, 100_013, 100_013)
    );
    assert_eq!(content(&to), content(from.path()));
}

#[tokio::test]
async fn this_machine() {
    brings_a_folder(&Local).await;
}

#[tokio::test]
async fn a_machine_over_ssh() {
    let sshd = Sshd::start();
    brings_a_folder(&*at(&sshd, "deploy")).await;
    brings_a_folder(&*at(&sshd, "noisy")).await;
}

#[tokio::test]
async fn only_what_is_missing_is_sent() {
    let sshd = Sshd::start();
    let host = at(&sshd, "deploy");
    let (from, place) = (release(), tempfile::tempdir().unwrap());
    let never = CancellationToken::new();
    let to = place.path();
    host.upload(from.path(), to, &never).await.unwrap();
    let again = host.upload(from.path(), to, &never).await.unwrap();
    assert_eq!((again.files, again.sent), (5, 0));
    // One that differs at the same length, and what is no part of it.
    fs::write(to.join("index.html"), "hullo").unwrap();
    fs::write(to.join("it's strange"), "x").unwrap();
    symlink("bin", to.join("a strange link")).unwrap();
    fs::create_dir_all(to.join("strange/far down")).unwrap();
    fs::write(to.join("strange/x"), "x").unwrap();
    // Together their names are longer than a command line may be.
    let deep = to.join(format!("{0}/{0}/{0}/{0}/{0}", "d".repeat(200)));
    fs::create_dir_all(&deep).unwrap();
    for n in 0..150 {
        fs::write(deep.join(format!("{n}-{}", "f".repeat(200))), "").unwrap();
    }
    let again = host.upload(from.path(), to, &never).await.unwrap();
    assert_eq!(again.sent, 5);
    assert_eq!(content(to), content(from.path()));
    // A mode or a time alone is no reason to send a file.
    fs::set_permissions(
        from.path().join("bin/run"),
        fs::Permissions::from_mode(0o751),
    )
    .unwrap();
    for name in ["index.html", "it's a \"name\" é"] {
        let file = fs::File::options().write(true).open(to.join(name)).unwrap();
        file.set_modified(SystemTime::now()).unwrap();
    }
    let again = host.upload(from.path(), to, &never).await.unwrap();
    assert_eq!(again.sent, 0);
    assert_eq!(content(to), content(from.path()));
}

#[tokio::test]
async fn a_way_that_breaks_off_is_gone_on_with() {
    let sshd = Sshd::start();
    // Slow enough that it is cut in the middle, also where nobody looks for a while.
    let line = SlowLine::to(sshd.port(), Duration::ZERO, 16_000_000);
    let host = host(json!({
        "address": format!("root@127.0.0.1:{}", line.port()),
        "key": sshd.path("deploy"),
        "host-key": sshd.fingerprint(),
    }));
    let (from, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let size = 64 << 20;
    let large = large(size);
    fs::write(from.path().join("a-first"), "small").unwrap();
    fs::write(from.path().join("large"), &large).unwrap();
    fs::set_permissions(from.path().join("large"), fs::Permissions::from_mode(0o640)).unwrap();
    let to = place.path().join("to");
    let never = CancellationToken::new();
    let there = to.join("large");
    let length = || fs::metadata(&there).map_or(0, |about| about.len());
    let cut = async {
        until("a part of it is there", || length() >= 4 << 20).await;
        sshd.cut();
    };
    let both = async { tokio::join!(host.upload(from.path(), &to, &never), cut) };
    let (broken, ()) = within("what is lost is told", both).await;
    assert!(matches!(broken, Err(HostError::Lost { .. })), "{broken:?}");
    // Over there what has arrived is still being written.
    until("nobody writes any more", || !is_open(&there)).await;
    let begun = length();
    assert!((4 << 20..u64::from(size)).contains(&begun), "{begun}");
    let uploaded = host.upload(from.path(), &to, &never);
    let uploaded = within("it is gone on with", uploaded).await.unwrap();
    assert_eq!(uploaded.bytes, u64::from(size) + 5);
    assert_eq!(uploaded.sent, u64::from(size) - begun, "of {begun}");
    assert!(fs::read(&there).unwrap() == large);
    assert_eq!(content(&to), content(from.path()));
}

/// The line before is lost, and what it has brought is written when it is gone on with already.
#[tokio::test]
async fn what_a_lost_line_still_writes_does_no_harm() {
    let sshd = Sshd::start_with("SetEnv PATH=DIR/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (sent, there) = (from.path().join("large"), to.path().join("large"));
    let large = large(4 << 20);
    fs::write(&sent, &large).unwrap();
    fs::write(&there, &large[..2 << 20]).unwrap();
    fs::create_dir(sshd.path("bin")).unwrap();
    let late = sshd.path("late");
    let (sent, written) = (sent.display(), there.display());
    let script = format!(
        "#!/bin/sh\ntest \"$(readlink /proc/$$/fd/1)\" = {written} && {{ : > {late}; tail -c +$(({}+1)) {sent} | head -c 99999 >> {written}; }}\nexec /usr/bin/cat \"$@\"\n",
        2 << 20
    );
    let shim = sshd.path("bin/cat");
    fs::write(&shim, script).unwrap();
    fs::set_permissions(&shim, fs::Permissions::from_mode(0o755)).unwrap();
    let never = CancellationToken::new();
    let host = at(&sshd, "deploy");
    let uploaded = host.upload(from.path(), to.path(), &never).await.unwrap();
    assert!(Path::new(&late).exists());
    assert_eq!(uploaded.sent, 2 << 20);
    assert!(fs::read(&there).unwrap() == large);
}

/// So many bytes that do not repeat.
fn large(size: u32) -> Vec<u8> {
    let number = |i: u32| i.wrapping_mul(2_654_435_761).to_le_bytes();
    (0..size / 4).flat_map(number).collect()
}

/// Whether anybody on this machine has a file open.
fn is_open(file: &Path) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut open = processes
        .filter_map(|process| fs::read_dir(process.path().join("fd")).ok())
        .flat_map(|held| held.flatten())
        .filter_map(|held| fs::read_link(held.path()).ok());
    open.any(|held| held == file)
}

#[tokio::test]
async fn no_room_and_a_cancellation_are_told() {
    let sshd = Sshd::start();
    let host = at(&sshd, "deploy");
    let (from, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(from.path().join("large"), vec![1; 3 << 20]).unwrap();
    let at_disk = disk.path().display().to_string();
    let mounted = run(&*host, &format!("mount -t tmpfs -o size=1m none {at_disk}")).await;
    assert_eq!(mounted.0, End::Code(0), "{:?}", mounted.1);
    let never = CancellationToken::new();
    let failed = host
        .upload(from.path(), &disk.path().join("to"), &never)
        .await
        .unwrap_err();
    run(&*host, &format!("umount {at_disk}")).await;
    assert!(
        matches!(&failed, HostError::Refused(said) if said.contains("tar: large: ")),
        "{failed:?}"
    );
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    let failed = host
        .upload(from.path(), disk.path(), &cancelled)
        .await
        .unwrap_err();
    assert_eq!(failed.to_string(), "cancelled");
    // The connection serves on.
    assert_eq!(run(&*host, "exit 3").await.0, End::Code(3));
}
