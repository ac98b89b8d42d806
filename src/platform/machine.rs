//! The machine that we run on, as far as one can see it: how busy, how full. In a container it is
//! the host's processors and memory that are seen, and the disk of the path.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

/// How far apart the two looks at the processors are.
const SAMPLE: Duration = Duration::from_millis(200);

/// The share of the processors' time that was in use during a fifth of a second.
///
/// # Errors
/// When `/proc/stat` cannot be read.
pub async fn cpu() -> io::Result<f64> {
    let before = times(&fs::read_to_string("/proc/stat")?)?;
    tokio::time::sleep(SAMPLE).await;
    let after = times(&fs::read_to_string("/proc/stat")?)?;
    Ok(used(before, after))
}

/// The share of memory in use, and how much there is: what is not available, caches left out.
///
/// # Errors
/// When `/proc/meminfo` cannot be read.
pub fn memory() -> io::Result<(f64, u64)> {
    memory_in(&fs::read_to_string("/proc/meminfo")?)
}

/// The bytes that are free for everybody on the disk of a path.
///
/// # Errors
/// When the path cannot be looked at.
pub fn free_disk(path: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(path)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// The processors' time since the start, out of `/proc/stat`: all of it, and the idle part.
///
/// # Errors
/// When the text has no such line.
pub fn times(stat: &str) -> io::Result<(u64, u64)> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "));
    let line = line.ok_or_else(|| io::Error::other("/proc/stat has no line `cpu`"))?;
    // Guest time, the ninth and tenth, is in user time already.
    let times: Vec<u64> = line
        .split_whitespace()
        .take(8)
        .map_while(|number| number.parse().ok())
        .collect();
    match times.as_slice() {
        [_, _, _, idle, waiting, ..] => Ok((times.iter().sum(), idle + waiting)),
        _ => Err(io::Error::other("/proc/stat has too few figures")),
    }
}

/// The share of the time between two looks that was not idle.
pub fn used((all, idle): (u64, u64), (all_later, idle_later): (u64, u64)) -> f64 {
    let (all, idle) = (
        all_later.saturating_sub(all),
        idle_later.saturating_sub(idle),
    );
    if all == 0 {
        return 0.0;
    }
    (1.0 - idle as f64 / all as f64).clamp(0.0, 1.0)
}

/// The same as [`memory`], out of the text of `/proc/meminfo`.
///
/// # Errors
/// When the text does not say.
pub fn memory_in(info: &str) -> io::Result<(f64, u64)> {
    let kilobytes = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    match (kilobytes("MemTotal:"), kilobytes("MemAvailable:")) {
        (Some(all), Some(available)) if all > 0 => {
            Ok((1.0 - available.min(all) as f64 / all as f64, all * 1024))
        }
        _ => Err(io::Error::other("/proc/meminfo has no MemAvailable")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_figures_are_read() {
        let before = times("cpu  100 0 50 800 50 0 0 0 7 7\ncpu0 1 1 1 1\n").unwrap();
        let after = times("cpu  160 0 60 820 60 0 0 0 9 9\n").unwrap();
        assert_eq!((before, after), ((1000, 850), (1100, 880)));
        assert!((used(before, after) - 0.7).abs() < 1e-9);
        assert_eq!(used(after, after), 0.0);
        assert!(times("intr 5\n").is_err());
        let (share, all) = memory_in("MemTotal: 4000 kB\nMemAvailable:  1000 kB\n").unwrap();
        assert_eq!((share, all), (0.75, 4_096_000));
        assert!(memory_in("MemTotal: 4000 kB\n").is_err());
    }

    #[tokio::test]
    async fn this_machine_can_be_looked_at() {
        assert!((0.0..=1.0).contains(&cpu().await.unwrap()));
        assert!((0.0..=1.0).contains(&memory().unwrap().0));
        assert!(free_disk(Path::new("/")).is_ok());
        assert!(free_disk(Path::new("/no/such/place")).is_err());
    }
}
