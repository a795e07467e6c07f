//! Entity tags (RFC 9110, section 8.8): the hash of what is shown.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// 96 bits: enough that two versions of one resource never share a tag.
const TAG_BYTES: usize = 12;

/// The strong entity tag of a representation, quotes included.
#[must_use]
pub fn etag_of(value: &impl Serialize) -> String {
    etag_of_bytes(&serde_json::to_vec(value).expect("wire types have string keys only"))
}

/// The strong entity tag of these bytes.
pub(crate) fn etag_of_bytes(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    format!("\"{}\"", URL_SAFE_NO_PAD.encode(&hash[..TAG_BYTES]))
}

/// Whether a header's list of tags names this one. `weak` compares as `If-None-Match` does, which
/// takes `W/"x"` for `"x"`; `If-Match` does not.
pub(crate) fn names(list: &str, etag: &str, weak: bool) -> bool {
    list.split(',').map(str::trim).any(|tag| {
        let tag = if weak {
            tag.strip_prefix("W/").unwrap_or(tag)
        } else {
            tag
        };
        tag == "*" || tag == etag
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_change_with_what_is_shown() {
        assert_eq!(etag_of(&"a"), etag_of(&"a"));
        assert_ne!(etag_of(&"a"), etag_of(&"b"));
    }

    #[test]
    fn a_list_of_tags_may_be_weak_where_only_reading() {
        assert!(names("\"x\", \"y\"", "\"y\"", false));
        assert!(names("*", "\"y\"", false));
        assert!(!names("W/\"y\"", "\"y\"", false));
        assert!(names("W/\"y\"", "\"y\"", true));
    }
}
