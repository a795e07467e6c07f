//! The value of a personal API token: `nkp_`, 43 random characters, 6 of checksum.
//!
//! Letters and digits only, so that scanners for leaked secrets find it whole (`nkp_[0-9A-Za-z]{49}`)
//! and can tell one from a look-alike without asking: the checksum is the CRC-32 of all before it, in
//! base 62. It is no protection; it also spares the database what was mistyped.

use nokube_guest::Ctx;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

const PREFIX: &str = "nkp_";
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 43 × log2(62) = 256 bits.
const RANDOM_CHARS: usize = 43;
/// 62^6 > 2^32.
const CHECKSUM_CHARS: usize = 6;
/// The largest multiple of 62 below 256: bytes from there on would favour the first characters.
const FAIR_BYTES: u8 = 248;

/// A token in the clear, wiped when dropped. It has no `Debug`.
pub(crate) struct ApiTokenValue(Zeroizing<String>);

impl ApiTokenValue {
    /// A new one.
    pub(crate) fn generate(cx: &Ctx) -> Self {
        let mut text = Zeroizing::new(PREFIX.to_owned());
        let mut missing = RANDOM_CHARS;
        while missing > 0 {
            let random = Zeroizing::new(cx.random::<64>());
            for byte in random
                .iter()
                .filter(|byte| **byte < FAIR_BYTES)
                .take(missing)
            {
                text.push(digit(u32::from(*byte)));
                missing -= 1;
            }
        }
        let checksum = checksum(&text);
        text.push_str(&checksum);
        Self(text)
    }

    /// What somebody sent, when it may be one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_whole = text.is_ascii()
            && text.starts_with(PREFIX)
            && text.len() == PREFIX.len() + RANDOM_CHARS + CHECKSUM_CHARS;
        let (body, end) = text.split_at_checked(text.len().checked_sub(CHECKSUM_CHARS)?)?;
        (is_whole && checksum(body) == end).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// What is kept of it.
    pub(crate) fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// For the one answer that shows it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

fn digit(number: u32) -> char {
    char::from(ALPHABET[usize::try_from(number % 62).unwrap_or(0)])
}

fn checksum(text: &str) -> String {
    let mut rest = crc32(text.as_bytes());
    let mut digits = [' '; CHECKSUM_CHARS];
    for place in digits.iter_mut().rev() {
        *place = digit(rest);
        rest /= 62;
    }
    digits.iter().collect()
}

/// CRC-32 of ISO 3309, as in zip and PNG.
fn crc32(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0xEDB8_8320;
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_known_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(checksum("").len(), CHECKSUM_CHARS);
    }

    #[test]
    fn only_a_whole_value_is_read() {
        let body = format!("{PREFIX}{}", "a".repeat(RANDOM_CHARS));
        let value = format!("{body}{}", checksum(&body));
        assert_eq!(value.len(), 53);
        assert!(ApiTokenValue::parse(&value).is_some());
        let other = value.replacen('a', "b", 1);
        for bad in [
            "",
            "nkp_",
            "é",
            &value[1..],
            &value[..52],
            &other,
            &format!("{value}0"),
        ] {
            assert!(ApiTokenValue::parse(bad).is_none(), "{bad}");
        }
    }
}
