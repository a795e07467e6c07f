//! How somebody shows that a custom domain is theirs: a TXT record right below it.
//!
//! The record's name is made here, its value by `nokube-keys`; the sidecar looks it up.

use crate::{Invalid, check_custom_domain};

/// The label below the domain that has the record. It begins like no host name does (RFC 8552).
const LABEL: &str = "_nokube-challenge";
/// RFC 1035, section 2.3.4, without the root's dot.
const NAME_BYTES: usize = 253;

/// The name of the TXT record that shows whose `domain` is; nothing when it would be too long to be one.
#[must_use]
pub fn challenge_name(domain: &str) -> Option<String> {
    let name = format!("{LABEL}.{domain}");
    (name.len() <= NAME_BYTES).then_some(name)
}

/// Checks the name of such a record: nothing else is looked up on anybody's behalf.
///
/// # Errors
/// Anything but [`challenge_name`] of a domain that could be a custom one.
pub fn check_challenge_name(name: &str) -> Result<(), Invalid> {
    let domain = name
        .strip_prefix(LABEL)
        .and_then(|rest| rest.strip_prefix('.'))
        .filter(|_| name.len() <= NAME_BYTES);
    match domain {
        Some(domain) => check_custom_domain(domain, &[]),
        None => Err(Invalid::new(
            "must be _nokube-challenge.<domain>, with at most 253 characters",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_is_right_below_the_domain() {
        let name = challenge_name("www.example.com").unwrap();
        assert_eq!(name, "_nokube-challenge.www.example.com");
        assert_eq!(check_challenge_name(&name), Ok(()));
        let long = format!("{}.example.com", "a.".repeat(115) + "a");
        assert_eq!(check_custom_domain(&long, &[]), Ok(()));
        assert_eq!(challenge_name(&long), None);
    }

    #[test]
    fn nothing_else_is_looked_up() {
        for name in [
            "",
            "www.example.com",
            "_nokube-challenge",
            "_nokube-challenge.",
            "_nokube-challenge.com",
            "_nokube-challenge..example.com",
            "_nokube-challenge.example.com.",
            "_nokube-challenge.10.0.0.1",
            "_nokube-challenge.a.localhost",
            "_nokube-challenge.metadata.internal",
            "x_nokube-challenge.example.com",
            "_nokube-challengex.example.com",
        ] {
            assert!(check_challenge_name(name).is_err(), "{name}");
        }
    }
}
