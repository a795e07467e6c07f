//! Ids that clients give their requests.

/// As long as ids of the usual kinds are.
const CHARS: usize = 128;

/// Whether an id that a client sent may be written into logs and headers as it is: 1 to 128 letters, digits and
/// `-_.:`, as the engine takes at the edge.
#[must_use]
pub fn is_harmless_request_id(id: &str) -> bool {
    let harmless =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    (1..=CHARS).contains(&id.len()) && id.bytes().all(harmless)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_forge_a_line_of_a_log_is_not_harmless() {
        for id in ["abc-1.2_3:4", "0", &"x".repeat(128)] {
            assert!(is_harmless_request_id(id), "{id}");
        }
        for id in ["", "a b", "a\"b", "a/b", "a\nb", "é", &"x".repeat(129)] {
            assert!(!is_harmless_request_id(id), "{id}");
        }
    }
}
