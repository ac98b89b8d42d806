//! Whether a branch is one of those that a pattern means.

/// Whether `name` fits `pattern`: `*` is anything but `/`, `**` is anything, and all else stands
/// for itself. The whole name must fit.
pub fn fits(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    // Which beginnings of the pattern fit the part of the name that was read so far. Every
    // beginning is looked at once for each letter, so no pattern can take long.
    let mut fitting = vec![false; pattern.len() + 1];
    fitting[0] = true;
    pass_stars(&pattern, &mut fitting);
    for letter in name.chars() {
        let mut next = vec![false; pattern.len() + 1];
        for (at, wanted) in pattern.iter().enumerate().filter(|(at, _)| fitting[*at]) {
            match wanted {
                '*' if letter != '/' || is_double(&pattern, at) => next[at] = true,
                '*' => {}
                wanted => next[at + 1] |= *wanted == letter,
            }
        }
        pass_stars(&pattern, &mut next);
        fitting = next;
    }
    fitting[pattern.len()]
}

/// Whether `pattern` lets through what `name` names. Of two patterns nobody can tell, unless
/// they are the same.
pub fn covers(pattern: &str, name: &str) -> bool {
    let is_plain = !name.contains(['*', '?', '[', ']', '\\', '{']);
    pattern == name || (is_plain && fits(pattern, name))
}

/// A star may stand for nothing.
fn pass_stars(pattern: &[char], fitting: &mut [bool]) {
    for (at, letter) in pattern.iter().enumerate() {
        if *letter == '*' && fitting[at] {
            fitting[at + 1] = true;
        }
    }
}

fn is_double(pattern: &[char], at: usize) -> bool {
    pattern.get(at + 1) == Some(&'*') || (at > 0 && pattern[at - 1] == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_does_not_cross_a_slash() {
        for (pattern, name, wanted) in [
            ("main", "main", true),
            ("main", "main2", false),
            ("main", "Main", false),
            ("main", "", false),
            ("", "main", false),
            ("release/*", "release/1.4", true),
            ("release/*", "release/", true),
            ("release/*", "release", false),
            ("release/*", "release/1/4", false),
            ("release/*", "my-release/1", false),
            ("release/**", "release/1/4", true),
            ("*", "main", true),
            ("*", "feature/x", false),
            ("**", "feature/x/y", true),
            ("**/fix", "a/b/fix", true),
            ("*-rc*", "v1-rc.2", true),
            ("*-rc*", "v1", false),
            ("rel.*", "relx1", false),
            ("release/*/hot", "release/1/hot", true),
            ("release/*/hot", "release/1/2/hot", false),
            ("grüße/*", "grüße/ü", true),
        ] {
            assert_eq!(fits(pattern, name), wanted, "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_of_stars_ends() {
        let name = "a".repeat(250);
        assert!(fits(&"**a".repeat(100), &name));
        assert!(!fits(&format!("{}b", "*a".repeat(100)), &name));
    }
}
