//! Files on a host: replaced as a whole or not at all, renamed only where they are what they
//! should be, locked against others, read on where they grow. Held against this machine and against a real sshd.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use cutover::platform::host::{Added, Grown, Host, HostError, Kind, Local, ReadTo};

use super::hosts::{at, run};
use crate::world::sshd::Sshd;

pub(super) async fn keeps_files(host: &dyn Host) {
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
    reads_on(host, home.path()).await;
}

/// What was added to a file is what comes, whatever its name is by now.
async fn reads_on(host: &dyn Host, home: &Path) {
    let [path, old] = ["it's a log", "it's a log.1"].map(|name| home.join(name));
    let grown = |named, from, size, content: &[u8]| {
        let content = content.to_vec();
        Ok(Grown {
            named,
            added: Some(Added {
                from,
                size,
                content,
            }),
        })
    };
    let gone = |named| Ok(Grown { named, added: None });
    let read = |since: Option<(u64, u64)>, cap| {
        let since = since.map(|(inode, at)| ReadTo { inode, at });
        host.read_on(&path, since, cap)
    };
    assert_eq!(read(None, 9).await, gone(None));
    fs::write(&path, "0123456789").unwrap();
    let first = fs::metadata(&path).unwrap().ino();
    assert_eq!(read(None, 9).await, grown(Some(first), 10, 10, b""));
    let since = |at| Some((first, at));
    assert_eq!(read(since(4), 3).await, grown(Some(first), 4, 10, b"456"));
    assert_eq!(read(since(9), 3).await, grown(Some(first), 9, 10, b"9"));
    assert_eq!(read(since(10), 3).await, grown(Some(first), 10, 10, b""));
    // It was emptied, and has begun anew.
    let anew = read(since(11), 9).await;
    assert_eq!(anew, grown(Some(first), 0, 10, b"012345678"));
    // Whatever is in it, from any place to any other.
    let content: Vec<u8> = (0..30_000u16).flat_map(u16::to_le_bytes).collect();
    fs::write(&path, &content).unwrap();
    for (at, length) in [
        (0, 4096),
        (1, 4096),
        (4095, 4097),
        (4096, 8192),
        (12_345, 47_655),
    ] {
        let part = &content[at..at + length];
        let (at, length) = (at as u64, length as u64);
        assert_eq!(
            read(since(at), length).await,
            grown(Some(first), at, 60_000, part),
            "{length} from {at}"
        );
    }

    // Renamed, then another has the name, then it is removed.
    fs::rename(&path, &old).unwrap();
    let end = &content[59_990..];
    assert_eq!(read(None, 9).await, gone(None));
    let renamed = read(since(59_990), 99).await;
    assert_eq!(renamed, grown(None, 59_990, 60_000, end));
    fs::write(&path, "new\n").unwrap();
    let second = fs::metadata(&path).unwrap().ino();
    let renamed = read(since(59_990), 99).await;
    assert_eq!(renamed, grown(Some(second), 59_990, 60_000, end));
    let new = read(Some((second, 0)), 99).await;
    assert_eq!(new, grown(Some(second), 0, 4, b"new\n"));
    fs::remove_file(&old).unwrap();
    assert_eq!(read(since(59_990), 99).await, gone(Some(second)));
    for wrong in [home, Path::new("/dev/null")] {
        for since in [None, Some(ReadTo { inode: 7, at: 0 })] {
            let read = host.read_on(wrong, since, 5).await;
            assert!(matches!(read, Err(HostError::Refused(_))), "{read:?}");
        }
    }
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
async fn a_full_disk_changes_nothing() {
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
}
