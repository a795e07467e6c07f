//! Codes that change every half minute (TOTP, RFC 6238; HOTP, RFC 4226), and the recovery codes for
//! who has lost the device. Computes only: time and randomness come in, nothing is kept here.

use hmac_sha1_compact::HMAC;
use sha2::{Digest as _, Sha256};
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

/// RFC 4226, section 4, R6: as long as the hash.
pub(crate) const SECRET_BYTES: usize = 20;
const STEP_SECONDS: u64 = 30;
/// Six digits.
const CODES: u32 = 1_000_000;
/// RFC 6238, section 5.2: one step either way, for clocks that differ and people who type slowly.
const SKEW_STEPS: u64 = 1;
/// Crockford's base 32: no letters that look like digits.
const RECOVERY_LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Sixteen letters of five bits: 80 bits, which no one tries through even with the hashes at hand.
pub(crate) const RECOVERY_CHARS: usize = 16;
pub(crate) const RECOVERY_CODES: usize = 10;

/// What authenticator programs read (RFC 4648, section 6; no padding).
pub(crate) fn base32(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut buffer, mut bits) = (0_u32, 0_u32);
    for byte in bytes {
        buffer = (buffer << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(LETTERS[(buffer >> bits) as usize & 31]));
        }
        buffer &= (1 << bits) - 1;
    }
    if bits > 0 {
        text.push(char::from(LETTERS[(buffer << (5 - bits)) as usize & 31]));
    }
    text
}

/// What a QR code for authenticator programs says (Key URI format).
pub(crate) fn key_uri(username: &str, secret: &[u8]) -> String {
    // User names have no character that a URI would escape.
    let secret = base32(secret);
    format!(
        "otpauth://totp/nokube:{username}?secret={secret}&issuer=nokube&algorithm=SHA1&digits=6&period=30"
    )
}

/// The step whose code this is, if it is near enough to now. Takes the same time for every code.
pub(crate) fn matching_step(secret: &[u8], code: &str, unix_seconds: u64) -> Option<u64> {
    let given = parse_code(code)?;
    let now = unix_seconds / STEP_SECONDS;
    let mut found = 0_u64;
    // The newest last: it is the one to keep when two steps have the same code.
    for step in now.saturating_sub(SKEW_STEPS)..=now + SKEW_STEPS {
        let is_it = code_at(secret, step).ct_eq(&given);
        found.conditional_assign(&step, is_it);
    }
    (found != 0).then_some(found)
}

/// A recovery code from fresh randomness, as people get it.
pub(crate) fn recovery_code(random: [u8; RECOVERY_CHARS]) -> String {
    let mut code = String::new();
    for (at, byte) in random.iter().enumerate() {
        if at > 0 && at % 4 == 0 {
            code.push('-');
        }
        // 256 is a multiple of 32, so each letter is as likely as another.
        code.push(char::from(RECOVERY_LETTERS[usize::from(byte % 32)]));
    }
    code
}

/// What is kept of a recovery code, however it was typed.
pub(crate) fn hash_recovery_code(code: &str) -> [u8; 32] {
    let normal: String = code
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|letter| match letter.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            letter => letter,
        })
        .take(RECOVERY_CHARS + 1)
        .collect();
    Sha256::digest(normal).into()
}

/// Six digits, with spaces as programs show them.
fn parse_code(text: &str) -> Option<u32> {
    let digits: String = text.chars().filter(|letter| *letter != ' ').collect();
    let is_code = digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_digit());
    is_code.then(|| digits.parse().ok()).flatten()
}

/// RFC 4226, section 5.3, with the step as its counter.
fn code_at(secret: &[u8], step: u64) -> u32 {
    truncate(&HMAC::mac(&step.to_be_bytes(), secret)) % CODES
}

fn truncate(mac: &[u8; 20]) -> u32 {
    let offset = usize::from(mac[19] & 0x0f);
    let four = [
        mac[offset],
        mac[offset + 1],
        mac[offset + 2],
        mac[offset + 3],
    ];
    u32::from_be_bytes(four) & 0x7fff_ffff
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The code an authenticator program would show.
    pub(crate) fn shown_code(secret: &[u8], unix_seconds: u64) -> String {
        format!("{:06}", code_at(secret, unix_seconds / STEP_SECONDS))
    }

    #[test]
    fn the_codes_are_those_of_rfc_6238() {
        let secret = b"12345678901234567890";
        for (seconds, code) in [
            (59, 94_287_082_u32),
            (1_111_111_109, 7_081_804),
            (1_111_111_111, 14_050_471),
            (1_234_567_890, 89_005_924),
            (2_000_000_000, 69_279_037),
            (20_000_000_000, 65_353_130),
        ] {
            let mac = HMAC::mac(&(seconds / STEP_SECONDS).to_be_bytes(), secret);
            assert_eq!(truncate(&mac) % 100_000_000, code, "at {seconds}");
            let six = format!("{:06}", code % CODES);
            assert_eq!(matching_step(secret, &six, seconds), Some(seconds / 30));
        }
    }

    #[test]
    fn the_codes_are_those_of_rfc_4226() {
        let codes = [
            755_224, 287_082, 359_152, 969_429, 338_314, 254_676, 287_922, 162_583, 399_871,
            520_489,
        ];
        for (counter, code) in (0..).zip(codes) {
            assert_eq!(code_at(b"12345678901234567890", counter), code);
        }
    }

    #[test]
    fn a_code_is_good_one_step_either_way() {
        let secret = b"12345678901234567890";
        let code = shown_code(secret, 3_000);
        let found = |seconds| matching_step(secret, &code, seconds);
        assert_eq!(found(2_969), None);
        assert_eq!(
            (found(2_970), found(3_000), found(3_059)),
            (Some(100), Some(100), Some(100))
        );
        assert_eq!(found(3_060), None);
        let spaced = format!("{} {}", &code[..3], &code[3..]);
        assert_eq!(matching_step(secret, &spaced, 3_000), Some(100));
        for bad in ["", "12345", "1234567", "12345a", "+12345", "١٢٣٤٥٦"] {
            assert_eq!(matching_step(secret, bad, 3_000), None, "{bad}");
        }
    }

    #[test]
    fn base32_is_that_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn a_recovery_code_may_be_typed_as_it_comes() {
        let code = recovery_code([0; RECOVERY_CHARS]);
        assert_eq!(code, "0000-0000-0000-0000");
        let typed = hash_recovery_code(" oooo 0000-0000 0000");
        assert_eq!(hash_recovery_code(&code), typed);
        assert_ne!(hash_recovery_code("0000-0000-0000-00000"), typed);
    }
}
