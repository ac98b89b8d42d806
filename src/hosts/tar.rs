//! The archive in which a folder travels: ustar, with the long names of GNU, as every `tar` reads
//! it. Only headers are made here; what is in a file goes behind its own as it is read.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The size of a block; everything begins at one.
pub(super) const BLOCK: usize = 512;

/// What ends an archive.
pub(super) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// The largest file that a header can say the size of, in bytes.
pub(super) const LARGEST: u64 = 0o77_777_777_777;

/// What a header is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum What<'a> {
    /// A file, with its length in bytes.
    File(u64),
    /// A directory.
    Directory,
    /// A link, and where it leads.
    Link(&'a Path),
}

/// The header of an entry, with the headers of its long names before it. The time is in seconds
/// since 1970.
pub(super) fn header(path: &Path, what: What<'_>, mode: u32, time: u64) -> Vec<u8> {
    let (kind, size, leads) = match what {
        What::File(size) => (b'0', size, &b""[..]),
        What::Directory => (b'5', 0, &b""[..]),
        What::Link(to) => (b'2', 0, to.as_os_str().as_bytes()),
    };
    let name = path.as_os_str().as_bytes();
    let mut out = Vec::new();
    for (kind, long) in [(b'K', leads), (b'L', name)] {
        if long.len() >= 100 {
            let length = long.len() as u64 + 1;
            out.extend(block(b"././@LongLink", kind, length, b"", 0o644, 0));
            out.extend_from_slice(long);
            out.push(0);
            out.resize(out.len().next_multiple_of(BLOCK), 0);
        }
    }
    out.extend(block(name, kind, size, leads, mode, time));
    out
}

/// How many bytes of nothing follow a file of that size.
pub(super) fn padding(size: u64) -> usize {
    let rest = usize::try_from(size % BLOCK as u64).unwrap_or_default();
    (BLOCK - rest) % BLOCK
}

fn block(name: &[u8], kind: u8, size: u64, leads: &[u8], mode: u32, time: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &[u8], room: usize| {
        let text = &text[..text.len().min(room)];
        block[at..at + text.len()].copy_from_slice(text);
    };
    put(0, name, 99);
    put(100, format!("{:07o}", mode & 0o7777).as_bytes(), 7);
    put(108, b"0000000", 7);
    put(116, b"0000000", 7);
    put(124, format!("{:011o}", size.min(LARGEST)).as_bytes(), 11);
    put(136, format!("{:011o}", time.min(LARGEST)).as_bytes(), 11);
    put(148, b"        ", 8);
    put(156, &[kind], 1);
    put(157, leads, 99);
    put(257, b"ustar\x0000", 8);
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    #[test]
    fn a_real_tar_reads_it() {
        let long = format!("{}/{}", "d".repeat(90), "f".repeat(120));
        let aim = "x".repeat(150);
        let mut archive = header(Path::new("a b"), What::File(3), 0o640, 1_700_000_000);
        archive.extend_from_slice(b"abc");
        archive.resize(archive.len() + padding(3), 0);
        archive.extend(header(Path::new(&long), What::File(0), 0o755, 0));
        archive.extend(header(
            Path::new("link"),
            What::Link(Path::new(&aim)),
            0o777,
            0,
        ));
        archive.extend(header(Path::new("e"), What::Directory, 0o555, 0));
        archive.extend(END);
        let folder = tempfile::tempdir().unwrap();
        let mut tar = Command::new("tar")
            .args(["-xpf", "-", "-C"])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        tar.stdin.take().unwrap().write_all(&archive).unwrap();
        assert!(tar.wait().unwrap().success());
        let at = |name: &str| folder.path().join(name);
        assert_eq!(std::fs::read(at("a b")).unwrap(), b"abc");
        assert_eq!(std::fs::read(at(&long)).unwrap(), b"");
        assert_eq!(std::fs::read_link(at("link")).unwrap(), Path::new(&aim));
        assert!(at("e").is_dir());
        assert_eq!([padding(0), padding(1), padding(512)], [0, 511, 0]);
    }
}
