//! Strong entity tags (RFC 9110, section 8.8.3), and whether a client's copy is still good.

use std::hash::{DefaultHasher, Hasher};

/// A tag made of what identifies a file's bytes.
///
/// The hash tells apart versions of one file by one author, so it need not withstand forgery; SipHash is fast in a
/// guest. Were a new compiler to change it, clients would fetch once more.
pub(crate) fn tag(size_bytes: u64, modified_ms: u128, content: &[&[u8]]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write_u128(modified_ms);
    for part in content {
        hasher.write(part);
    }
    format!("\"{size_bytes:x}-{:016x}\"", hasher.finish())
}

/// Whether `If-None-Match` names the tag; the comparison is the weak one (section 13.1.2).
pub(crate) fn is_known(header: Option<&str>, tag: &str) -> bool {
    header.is_some_and(|header| {
        header.trim() == "*"
            || header
                .split(',')
                .map(|known| known.trim().trim_start_matches("W/"))
                .any(|known| known == tag)
    })
}

/// Whether a range may be answered: without `If-Range`, or when it is this very tag (section 13.1.5).
///
/// A date never matches, since no `Last-Modified` is sent.
pub(crate) fn allows_range(if_range: Option<&str>, tag: &str) -> bool {
    if_range.is_none_or(|known| known.trim() == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_bytes_make_another_tag() {
        assert_eq!(tag(3, 0, &[b"abc"]), tag(3, 0, &[b"abc"]));
        assert_ne!(tag(3, 0, &[b"abc"]), tag(3, 0, &[b"abd"]));
        assert_ne!(tag(3, 1, &[b"abc"]), tag(3, 2, &[b"abc"]));
    }

    #[test]
    fn a_client_may_know_several_versions() {
        assert!(is_known(Some("\"a\", W/\"b\""), "\"b\""));
        assert!(is_known(Some("*"), "\"b\""));
        assert!(!is_known(Some("\"a\""), "\"b\""));
        assert!(!is_known(None, "\"b\""));
    }

    #[test]
    fn a_range_of_another_version_is_not_served() {
        assert!(allows_range(None, "\"a\""));
        assert!(allows_range(Some("\"a\""), "\"a\""));
        assert!(!allows_range(Some("W/\"a\""), "\"a\""));
        assert!(!allows_range(
            Some("Sat, 01 Jan 2028 00:00:00 GMT"),
            "\"a\""
        ));
    }
}
