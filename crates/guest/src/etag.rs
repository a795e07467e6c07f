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

/// The tag of what is shown with times of its use, which nobody changed it by. In front is the tag of what `lasts`: all that
/// `If-Match` asks for, while `If-None-Match` asks for the whole.
pub(crate) fn etag_in_use(shown: &impl Serialize, lasts: &impl Serialize) -> String {
    let [shown, lasts] = [etag_of(shown), etag_of(lasts)];
    format!(
        "{}.{}",
        lasts.trim_end_matches('"'),
        shown.trim_start_matches('"')
    )
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

/// Whether one of the tags has this one in front ([`etag_in_use`]). No hash has a point.
pub(crate) fn names_what_lasts(list: &str, etag: &str) -> bool {
    let mut tags = list.split(',').filter_map(|tag| tag.trim().split_once('.'));
    tags.any(|(lasts, _)| format!("{lasts}\"") == etag)
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
    fn a_time_of_use_is_news_to_who_reads_and_none_to_who_changes() {
        let (before, after) = (etag_in_use(&"used", &"x"), etag_in_use(&"used again", &"x"));
        assert!(names(&before, &before, true) && !names(&before, &after, true));
        assert!(names_what_lasts(&before, &etag_of(&"x")));
        assert!(!names_what_lasts(&before, &etag_of(&"y")));
        assert!(!names_what_lasts(&etag_of(&"x"), &etag_of(&"x")));
    }

    #[test]
    fn a_list_of_tags_may_be_weak_where_only_reading() {
        assert!(names("\"x\", \"y\"", "\"y\"", false));
        assert!(names("*", "\"y\"", false));
        assert!(!names("W/\"y\"", "\"y\"", false));
        assert!(names("W/\"y\"", "\"y\"", true));
    }
}
