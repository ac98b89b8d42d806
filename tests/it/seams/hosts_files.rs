//! Files on a host: replaced as a whole or not at all, renamed only where they are what they
//! should be, locked against others. Held against this machine and against a real sshd.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use cutover::platform::host::{Host, HostError, Kind, Local};

use super::hosts::{at, run};
use crate::world::sshd::Sshd;

async fn keeps_files(host: &dyn Host) {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    // Whatever is in it arrives, and the mode that was there stays.
    let content: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
    host.replace(&path("a b'c"), &content).await.unwrap();
    assert_eq!(fs::read(path("a b'c")).unwrap(), content);
    let mode = || fs::metadata(path("a b'c")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o644);
    fs::set_permissions(path("a b'c"), fs::Permissions::from_mode(0o640)).unwrap();
    host.replace(&path("a b'c"), b"").await.unwrap();
    assert_eq!((mode(), fs::read(path("a b'c")).unwrap()), (0o640, vec![]));
    for wrong in [Path::new("/no/such/file"), home.path()] {
        let failed = host.replace(wrong, b"x").await.unwrap_err();
        assert!(matches!(failed, HostError::Refused(_)), "{failed:?}");
    }

    assert_eq!(host.rename(&path("w0"), &path("w100")).await, Ok(false));
    fs::write(path("w0"), "").unwrap();
    assert_eq!(host.rename(&path("w0"), &path("w100")).await, Ok(true));
    assert_eq!(host.rename(&path("w100"), &path("w100")).await, Ok(true));
    fs::create_dir(path("folder")).unwrap();
    let failed = host
        .rename(&path("w100"), &path("folder"))
        .await
        .unwrap_err();
    assert!(matches!(failed, HostError::Refused(_)), "{failed:?}");
    std::os::unix::fs::symlink("w100", path(".link")).unwrap();
    let mut listed = host.list(home.path()).await.unwrap();
    listed.sort_by(|one, other| one.0.cmp(&other.0));
    let named = |name: &str, kind| (name.to_owned(), kind);
    assert_eq!(
        listed,
        [
            named(".link", Kind::Other),
            named("a b'c", Kind::File),
            named("folder", Kind::Directory),
            named("w100", Kind::File),
        ]
    );
    assert_eq!(host.list(&path("folder")).await, Ok(vec![]));
    assert!(host.list(&path("no-such")).await.is_err());
    host.writable(home.path()).await.unwrap();
    for wrong in [path("no-such"), path("w100")] {
        assert!(host.writable(&wrong).await.is_err(), "{}", wrong.display());
    }

    for place in [home.path().to_owned(), path("a.lock")] {
        let short = Duration::from_millis(100);
        let held = host.lock(&place, short).await.unwrap();
        assert!(held.is_some());
        // Nobody else gets it, on that machine neither.
        assert!(host.lock(&place, short).await.unwrap().is_none());
        assert!(Local.lock(&place, short).await.unwrap().is_none());
        drop(held);
        let again = Local.lock(&place, Duration::from_secs(10)).await.unwrap();
        assert!(again.is_some());
    }
    assert!(
        host.lock(&path("no/such/a.lock"), Duration::ZERO)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn this_machine() {
    keeps_files(&Local).await;
}

#[tokio::test]
async fn a_machine_over_ssh() {
    let sshd = Sshd::start();
    keeps_files(&*at(&sshd, "deploy")).await;
    keeps_files(&*at(&sshd, "noisy")).await;
}

/// The old file is there still, and nothing is left beside it.
#[tokio::test]
async fn a_full_disk_and_a_lost_connection_change_nothing() {
    let sshd = Sshd::start();
    let host = at(&sshd, "deploy");
    let disk = tempfile::tempdir().unwrap();
    let at_disk = disk.path().display().to_string();
    let mounted = run(
        &*host,
        &format!("mount -t tmpfs -o size=64k none {at_disk}"),
    )
    .await;
    assert_eq!(
        mounted.0,
        cutover::platform::process::End::Code(0),
        "{:?}",
        mounted.1
    );
    let file = disk.path().join("w.map");
    host.replace(&file, b"old").await.unwrap();
    let failed = host.replace(&file, &[b'x'; 200_000]).await.unwrap_err();
    assert!(
        failed.to_string().contains("No space left on device"),
        "{failed}"
    );
    assert_eq!(fs::read(&file).unwrap(), b"old");
    assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 1);
    run(&*host, &format!("umount {at_disk}")).await;
    // A connection that is cut in the middle of a write: the whole is not there.
    sshd.cut();
    host.replace(&disk.path().join("b"), b"after a new login")
        .await
        .unwrap();
}
