//! Whether the machine's Git is one that repositories may be fetched over the network with.

/// The first that connects to the addresses it is given (`http.curloptResolve`). Older ones pass over that in silence,
/// ask for the name again, and go wherever it leads by then.
const FIRST: Version = Version(2, 37);

/// The first two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32);

/// Why not, given what `git version` said.
pub(super) fn check(said: &str) -> Result<(), String> {
    if parse(said).is_some_and(|version| version >= FIRST) {
        return Ok(());
    }
    Err(format!(
        "the build machine has \"{}\", and sources are fetched over the network with Git 2.37 or later; its operator must install that",
        said.trim()
    ))
}

/// As in `git version 2.39.5 (Apple Git-154)`.
fn parse(said: &str) -> Option<Version> {
    let mut numbers = said.trim().strip_prefix("git version ")?.split(['.', ' ']);
    let mut number = || numbers.next()?.parse().ok();
    Some(Version(number()?, number()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared_by_number() {
        for (said, version) in [
            ("git version 2.39.5 (Apple Git-154)", Version(2, 39)),
            ("git version 2.37.0\n", Version(2, 37)),
            ("git version 2.9", Version(2, 9)),
            ("git version 2.37.rc1.12.gabcdef", Version(2, 37)),
            ("git version 3.0.0.windows.1", Version(3, 0)),
        ] {
            assert_eq!(parse(said), Some(version), "{said}");
            assert_eq!(check(said).is_ok(), version >= FIRST, "{said}");
        }
        assert!(Version(2, 9) < FIRST && Version(2, 36) < FIRST && Version(3, 0) > FIRST);
    }

    #[test]
    fn what_is_too_old_or_no_version_is_refused_and_named() {
        for said in [
            "git version 2.36.6\n",
            "git version 2",
            "git version two.x",
            "2.40.0",
            "",
        ] {
            let refused = check(said).unwrap_err();
            assert!(
                refused.contains(&format!("\"{}\"", said.trim())),
                "{refused}"
            );
            assert!(refused.contains("Git 2.37"), "{refused}");
        }
    }
}
