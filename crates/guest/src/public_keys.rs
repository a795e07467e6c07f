//! The variable `jwt_public_keys`: whose signatures are believed, and until when.
//!
//! Raw Ed25519 keys in base64url, separated by commas, the signing one first. One that was retired says
//! until when tokens of it may be around: `<key>@<unix seconds>`. After that it is as good as gone,
//! without a restart (`nokube keys rotate` writes this).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nokube_domain::Timestamp;

use crate::Error;

/// A key that is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// As it is.
    pub raw: Vec<u8>,
    /// When it stops being believed, in Unix seconds; nothing for the signing one.
    pub until_seconds: Option<i64>,
}

/// The keys that are believed at a time.
///
/// # Errors
/// [`Error::Configuration`] when any of them is not one: the rest may then not be what was meant.
pub fn public_keys(variable: &str, now: Timestamp) -> Result<Vec<PublicKey>, Error> {
    let mut keys = Vec::new();
    for entry in variable.split(',').map(str::trim) {
        let key = parse(entry).ok_or(Error::Configuration("jwt_public_keys"))?;
        if key.until_seconds.is_none_or(|until| now.seconds() < until) {
            keys.push(key);
        }
    }
    Ok(keys)
}

fn parse(entry: &str) -> Option<PublicKey> {
    let (key, until) = match entry.split_once('@') {
        None => (entry, None),
        Some((key, until)) => (key, Some(until.parse().ok()?)),
    };
    let raw = URL_SAFE_NO_PAD.decode(key).ok()?;
    (!raw.is_empty()).then_some(PublicKey {
        raw,
        until_seconds: until,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(variable: &str, seconds: i64) -> Option<Vec<Vec<u8>>> {
        let keys = public_keys(variable, Timestamp::from_millis(seconds * 1_000)).ok()?;
        Some(keys.into_iter().map(|key| key.raw).collect())
    }

    #[test]
    fn a_retired_key_is_believed_until_its_time() {
        let both = Some(vec![vec![0], vec![1]]);
        assert_eq!(known("AA, AQ@1800", 1_799), both);
        assert_eq!(known("AA,AQ@1800", 1_800), Some(vec![vec![0]]));
    }

    #[test]
    fn a_list_with_a_fault_is_no_list() {
        for faulty in ["", "AA,", "AA,AQ@", "AA,AQ@soon", "AA,A", "AA,AQ@1@2"] {
            assert_eq!(known(faulty, 0), None, "{faulty}");
        }
    }
}
