//! Another machine as one can see it through a shell: a short POSIX script goes there, and what
//! it prints is read strictly. What the machine says before or after it (a login's greeting) is
//! told apart by the first and the last line of ours.

use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::host::Host;
use super::machine;
use super::process::Script;
use super::secret::Vault;
use super::text;

/// The first line of ours.
const BEGIN: &str = "cutover: the figures of this machine";

/// The last line of ours.
const END: &str = "cutover: end of the figures";

/// How long a look at a disk may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much of what was printed is quoted.
const QUOTED: usize = 120;

/// How busy and how full a machine is.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// The share of the processors' time that was in use during a second.
    pub cpu: f64,
    /// The share of memory in use.
    pub memory_used: f64,
    /// How much memory there is, in bytes.
    pub memory: u64,
    /// The bytes that are free for everybody on the disk of the path.
    pub free_disk: u64,
    /// What the machine printed of its own before.
    pub greeting: Option<String>,
}

/// The script, for `sh -s`. It reads and changes nothing.
pub fn script(path: &str) -> String {
    let path = text::shell_word(path);
    format!(
        "LC_ALL=C
export LC_ALL
echo '{BEGIN}'
head -n 1 /proc/stat
sleep 1
head -n 1 /proc/stat
grep -E '^Mem(Total|Available):' /proc/meminfo
df -P -k {path} | tail -n 1
echo '{END}'
"
    )
}

/// The bytes that are free for everybody on the disk of a path there; `None` where that cannot be
/// seen.
pub async fn free_disk(host: &dyn Host, path: &Path) -> Option<u64> {
    let path = path.to_string_lossy();
    let run = format!("LC_ALL=C df -P -k {} | tail -n 1", text::shell_word(&path));
    let vault = Vault::default();
    let script = Script {
        run: &run,
        directory: Path::new("/"),
        variables: &[],
        timeout: PATIENCE,
        grace: Duration::ZERO,
        vault: &vault,
    };
    let never = CancellationToken::new();
    let ran = host.run(&script, &[], &|_| {}, &never).await.ok()?;
    free(ran.last_lines.last()?)
}

/// What the lines say that a script printed.
///
/// # Errors
/// What is missing in them, or is not as it was asked for.
pub fn read(printed: &[String]) -> Result<Figures, String> {
    let at = |wanted: &str| printed.iter().position(|line| line.trim_end() == wanted);
    let Some(begin) = at(BEGIN) else {
        return Err(if printed.iter().all(|line| line.trim().is_empty()) {
            "it printed nothing".to_owned()
        } else {
            let said = text::excerpt(&printed.join(" "), QUOTED);
            format!("none of the figures is in what it printed: {said}")
        });
    };
    let greeting = printed[..begin].join(" ");
    let greeting = Some(greeting).filter(|said| !said.trim().is_empty());
    let Some(end) = at(END).filter(|end| *end > begin) else {
        let last = printed.last().map_or("", String::as_str);
        let said = text::excerpt(last, QUOTED);
        return Err(format!("the figures break off, the last line is: {said}"));
    };
    let [first, second, memory @ .., disk] = &printed[begin + 1..end] else {
        return Err(odd(&printed[begin + 1..end]));
    };
    let times = |line: &str| machine::times(line).map_err(|_| odd(&printed[begin + 1..end]));
    let cpu = machine::used(times(first)?, times(second)?);
    let memory = match memory {
        [_, _] => machine::memory_in(&memory.join("\n")),
        _ => return Err(odd(&printed[begin + 1..end])),
    };
    let (memory_used, memory) = memory.map_err(|_| odd(&printed[begin + 1..end]))?;
    let free_disk = free(disk).ok_or_else(|| odd(&printed[begin + 1..end]))?;
    Ok(Figures {
        cpu,
        memory_used,
        memory,
        free_disk,
        greeting: greeting.map(|said| text::excerpt(&said, QUOTED)),
    })
}

/// Between our lines there is something else than figures: a command that is missing there, a
/// system that has no `/proc`.
fn odd(lines: &[String]) -> String {
    let figures = |line: &&String| {
        ["cpu ", "MemTotal:", "MemAvailable:"]
            .iter()
            .any(|name| line.starts_with(name))
            || free(line).is_some()
    };
    let other: Vec<&str> = lines
        .iter()
        .filter(|line| !figures(line))
        .map(String::as_str)
        .collect();
    match other.as_slice() {
        [] => format!(
            "{} of figures came, and 5 were asked for",
            text::count(lines.len() as u64, "line")
        ),
        other => format!(
            "among its figures it says: {}",
            text::excerpt(&other.join("; "), QUOTED)
        ),
    }
}

/// The free bytes in a line of `df -P -k`: `filesystem blocks used available capacity% place`,
/// whose first and last may have spaces.
fn free(line: &str) -> Option<u64> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = |word: &str| word.parse::<u64>().ok();
    let share = |word: &str| word.strip_suffix('%').and_then(number).is_some();
    let at = (4..words.len()).find(|at| {
        share(words[*at]) && words[at - 3..*at].iter().all(|word| number(word).is_some())
    })?;
    let place = words.get(at + 1)?;
    if !place.starts_with('/') {
        return None;
    }
    number(words[at - 1])?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [&str; 5] = [
        "cpu  100 0 50 800 50 0 0 0 0 0",
        "cpu  160 0 60 820 60 0 0 0 0 0",
        "MemTotal:        4000 kB",
        "MemAvailable:    1000 kB",
        "/dev/vda 1 100000 60000 40000 60% /var/lib/my app",
    ];

    fn printed(before: &[&str], figures: &[&str], after: &[&str]) -> Vec<String> {
        let ours = before.iter().chain(&[BEGIN]).chain(figures);
        ours.chain(after).map(|&line| line.to_owned()).collect()
    }

    #[test]
    fn the_figures_are_found_behind_a_greeting() {
        let read = |before: &[&str]| read(&printed(before, &GOOD, &[END, "bye"])).unwrap();
        let quiet = read(&[]);
        assert!((quiet.cpu - 0.7).abs() < 1e-9);
        assert_eq!((quiet.memory_used, quiet.memory), (0.75, 4_096_000));
        assert_eq!((quiet.free_disk, &quiet.greeting), (40_960_000, &None));
        let noisy = read(&["Welcome to", "web-1"]);
        assert_eq!(noisy.greeting.as_deref(), Some("Welcome to web-1"));
    }

    #[test]
    fn what_is_not_as_asked_for_is_told() {
        let said = |before: &[&str], figures: &[&str], after: &[&str]| {
            read(&printed(before, figures, after)).unwrap_err()
        };
        assert_eq!(read(&[]).unwrap_err(), "it printed nothing");
        let foreign = ["Please change your password".to_owned()];
        assert_eq!(
            read(&foreign).unwrap_err(),
            "none of the figures is in what it printed: Please change your password"
        );
        assert_eq!(
            said(&[], &GOOD[..2], &["Connection closed"]),
            "the figures break off, the last line is: Connection closed"
        );
        let mac = "head: /proc/stat: No such file or directory";
        assert_eq!(
            said(&[], &[mac, mac, GOOD[4]], &[END]),
            format!("among its figures it says: {mac}; {mac}")
        );
        assert_eq!(
            said(&[], &GOOD[1..], &[END]),
            "4 lines of figures came, and 5 were asked for"
        );
        let noise = [
            GOOD[0],
            "*** backup begins ***",
            GOOD[1],
            GOOD[2],
            GOOD[3],
            GOOD[4],
        ];
        assert_eq!(
            said(&[], &noise, &[END]),
            "among its figures it says: *** backup begins ***"
        );
    }

    #[test]
    fn a_path_is_one_word_of_the_script() {
        assert!(script("/srv").contains("df -P -k /srv |"));
        assert!(script("/a b;rm").contains("df -P -k '/a b;rm' |"));
    }
}
