//! Large folders on their way to a host: how much memory they take, and, as figures of this machine
//! that nothing is held to, what 2 GB take beside `scp`.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::over_ssh::{cutover_begun, shop};
use crate::world::patience::A_RUN;
use crate::world::shop::{Ran, Shop, Way};
use crate::world::sshd::Sshd;

/// How often each is done.
const ROUNDS: usize = 3;

/// What is uploaded, in bytes; none of it can be made smaller.
const SIZE: u64 = 2 << 30;

fn make(path: &Path, size: u64) {
    let random = File::open("/dev/urandom").unwrap();
    std::io::copy(&mut random.take(size), &mut File::create(path).unwrap()).unwrap();
}

/// The folder `dist` goes to the slot green, which is on the host.
pub(super) fn with_a_folder(shop: &Shop) {
    let dist = shop.path("dist");
    fs::create_dir(&dist).unwrap();
    fs::write(dist.join("release"), "v2\n").unwrap();
    let slots = shop.path("slots").display().to_string();
    let config = fs::read_to_string(shop.path("cutover.yml")).unwrap();
    let line = config.lines().find(|line| line.contains("target:"));
    let target = format!("target: {{ kind: directory, host: web1, from: dist, to: '{slots}' }}");
    shop.configure(line.unwrap().trim(), &target);
    // What nginx serves is what `current` points to, as people set it up.
    fs::create_dir_all(shop.path("slots/green")).unwrap();
    fs::remove_dir_all(shop.path("green")).unwrap();
    std::os::unix::fs::symlink(shop.path("slots/green/current"), shop.path("green")).unwrap();
}

/// The peak of a process's memory in KiB, while it is there.
fn peak(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The length of the large file wherever it is below a directory.
fn arrived(below: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(below) else {
        return 0;
    };
    let one = |entry: fs::DirEntry| match entry.metadata() {
        Ok(about) if about.is_dir() => arrived(&entry.path()),
        Ok(about) if entry.file_name() == "large" => about.len(),
        _ => 0,
    };
    entries.flatten().map(one).max().unwrap_or_default()
}

struct Row {
    whole: Duration,
    moving: Duration,
    peak: u64,
}

/// Deploys, with `size` bytes in the large file.
fn uploaded(shop: &Shop, sshd: &Sshd, size: u64) -> Row {
    let place = shop.path("slots/green");
    fs::remove_dir_all(&place).unwrap();
    fs::create_dir(&place).unwrap();
    let began = Instant::now();
    let run = cutover_begun(shop, sshd, "deploy-slot --version=v2");
    let (mut most, mut first, mut last) = (0, None, None);
    while let Some(now) = peak(run.id()) {
        assert!(began.elapsed() < A_RUN, "it has no end");
        most = now.max(most);
        let there = arrived(&place);
        if there > 0 && first.is_none() {
            first = Some(Instant::now());
        }
        if there >= size && last.is_none() {
            last = Some(Instant::now());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let ran = Ran::of(run);
    let whole = began.elapsed();
    assert_eq!(ran.code, 0, "{}", ran.log);
    Row {
        whole,
        moving: last.unwrap_or(began) - first.unwrap_or(began),
        peak: most,
    }
}

fn copied(shop: &Shop, sshd: &Sshd, options: &[&str]) -> Duration {
    let to = shop.path("copied");
    let began = Instant::now();
    let done = Command::new("scp")
        .args([
            "-q",
            "-F",
            "none",
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=no",
        ])
        .args(["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"])
        .args(options)
        .arg("-i")
        .arg(sshd.path("deploy"))
        .arg("-P")
        .arg(sshd.address().rsplit(':').next().unwrap())
        .arg(shop.path("dist/large"))
        .arg(format!("127.0.0.1:{}", to.display()))
        .status()
        .unwrap();
    let took = began.elapsed();
    assert!(done.success());
    fs::remove_file(to).unwrap();
    took
}

/// A few pieces are in memory, however much there is to send.
#[test]
fn memory_does_not_grow_with_what_is_uploaded() {
    let sshd = Sshd::start();
    let shop = shop(&sshd, Way::Flags, false);
    with_a_folder(&shop);
    let little = uploaded(&shop, &sshd, 0).peak;
    make(&shop.path("dist/large"), 64 << 20);
    let much = uploaded(&shop, &sshd, 64 << 20).peak;
    let sent = fs::metadata(shop.path("green/large")).unwrap().len();
    assert_eq!(sent, 64 << 20);
    assert!(much < little + (12 << 10), "{little} KiB, then {much} KiB");
}

#[test]
#[ignore = "measures an upload of 2 GB beside scp"]
fn two_gigabytes_beside_scp() {
    let sshd = Sshd::start_with("Subsystem sftp internal-sftp");
    let shop = shop(&sshd, Way::Flags, false);
    with_a_folder(&shop);
    make(&shop.path("dist/large"), SIZE);
    let rate = |took: Duration| SIZE as f64 / 1e6 / took.as_secs_f64();
    println!("         cutover, MB/s: moving  whole  peak MB |  scp, MB/s: as it is  aes256-gcm");
    for round in 1..=ROUNDS {
        let ours = uploaded(&shop, &sshd, SIZE);
        let usual = copied(&shop, &sshd, &[]);
        let same = copied(&shop, &sshd, &["-c", "aes256-gcm@openssh.com"]);
        println!(
            "round {round}                 {:>6.0} {:>6.0}  {:>7.1} |             {:>6.0}      {:>6.0}",
            rate(ours.moving),
            rate(ours.whole),
            ours.peak as f64 / 1024.0,
            rate(usual),
            rate(same),
        );
        std::io::stdout().flush().unwrap();
    }
}
