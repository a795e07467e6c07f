//! What an authenticator program shows (RFC 6238).

use std::time::{SystemTime, UNIX_EPOCH};

use hmac_sha1_compact::HMAC;

const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const STEP_SECONDS: u64 = 30;

/// The code of this half minute.
pub(crate) fn code_now(secret: &str) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    code_at(&base32(secret), now / STEP_SECONDS)
}

fn code_at(secret: &[u8], step: u64) -> String {
    let mac = HMAC::mac(&step.to_be_bytes(), secret);
    let at = usize::from(mac[19] & 0x0f);
    let four = [mac[at], mac[at + 1], mac[at + 2], mac[at + 3]];
    let number = u32::from_be_bytes(four) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

/// RFC 4648, section 6, without padding.
fn base32(text: &str) -> Vec<u8> {
    let (mut buffer, mut bits, mut bytes) = (0_u32, 0_u32, Vec::new());
    for letter in text.bytes() {
        let value = LETTERS.iter().position(|known| *known == letter);
        let value = value.expect("a secret is in base 32");
        buffer = (buffer << 5) | u32::try_from(value).unwrap_or_default();
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(buffer >> bits & 0xff).unwrap_or_default());
            buffer &= (1 << bits) - 1;
        }
    }
    bytes
}

#[test]
fn codes_are_those_of_the_rfc() {
    // RFC 6238, appendix B: the last six of eight digits.
    let secret = base32("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    assert_eq!(secret, b"12345678901234567890");
    for (seconds, code) in [(59, "287082"), (1_111_111_109, "081804")] {
        assert_eq!(code_at(&secret, seconds / STEP_SECONDS), code);
    }
}
