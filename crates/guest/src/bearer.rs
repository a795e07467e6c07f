//! Bearer credentials (RFC 6750) and tokens that never change, compared in constant time.

use subtle::ConstantTimeEq as _;

use crate::host::Headers;

/// The credential of an `Authorization: Bearer` header.
pub(crate) fn bearer(headers: &Headers) -> Option<&str> {
    let (scheme, credential) = headers.get("authorization")?.split_once(' ')?;
    let credential = credential.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !credential.is_empty()).then_some(credential)
}

/// Whether two secrets are the same, in a time that depends on their lengths only. An empty one is
/// never the same as anything.
pub(crate) fn same_secret(given: &str, expected: &str) -> bool {
    !expected.is_empty() && bool::from(given.as_bytes().ct_eq(expected.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_header_is_a_credential() {
        let headers = |value: &str| Headers(vec![("authorization".into(), value.into())]);
        assert_eq!(bearer(&headers("Bearer abc")), Some("abc"));
        assert_eq!(bearer(&headers("bearer  abc ")), Some("abc"));
        for value in ["", "Bearer", "Bearer ", "Basic abc", "abc"] {
            assert_eq!(bearer(&headers(value)), None, "{value}");
        }
    }

    #[test]
    fn an_unset_secret_fits_nothing() {
        assert!(same_secret("a", "a"));
        assert!(!same_secret("a", "b"));
        assert!(!same_secret("", ""));
    }
}
