//! Passwords: which are accepted, and how they are kept.
//!
//! Argon2id with OWASP's parameters (Password Storage Cheat Sheet: 19 MiB, 2 passes, 1 lane). The
//! policy is NIST SP 800-63B's: long enough, not one that everyone tries first, nothing else.

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use nokube_domain::Invalid;
use zeroize::Zeroizing;

use crate::common::is_listed;
use crate::error::AuthError;

const MIN_CHARS: usize = 8;
const MAX_CHARS: usize = 1_024;
/// OWASP: m = 19456 KiB (19 MiB), t = 2, p = 1.
const MEMORY_KIB: u32 = 19 * 1_024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;

/// Lower case, one per line.
const COMMON: &str = include_str!("common_passwords.txt");

/// The hash of nothing anyone can type: verified against when there is no such user, so that the
/// answer takes as long as for a wrong password.
const DECOY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A password in the clear, wiped when dropped. It has no `Debug`.
pub(crate) struct Password(Zeroizing<String>);

impl Password {
    /// A password that shall be set.
    pub(crate) fn parse_new(text: &str) -> Result<Self, Invalid> {
        let chars = text.chars().count();
        if chars < MIN_CHARS {
            return Err(Invalid::new("must have at least 8 characters"));
        }
        if chars > MAX_CHARS {
            return Err(Invalid::new("must have at most 1024 characters"));
        }
        if is_common(text) {
            return Err(Invalid::new("is one of the most common passwords"));
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// A password that shall be compared: one that could never be set is just wrong.
    pub(crate) fn parse_given(text: &str) -> Result<Self, Invalid> {
        if text.chars().count() > MAX_CHARS {
            return Err(Invalid::new("must have at most 1024 characters"));
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// Whether it says what everyone knows of its user.
    pub(crate) fn is_name_of_its_user(&self, username: &str, email: Option<&str>) -> bool {
        let password = self.0.to_lowercase();
        password == username || email.is_some_and(|email| password == email)
    }

    /// The hash to keep (PHC string). `salt` is fresh randomness.
    pub(crate) fn hash(&self, salt: [u8; SALT_BYTES]) -> Result<String, AuthError> {
        let failed = |error: argon2::password_hash::Error| AuthError::Hashing(error.to_string());
        let salt = SaltString::encode_b64(&salt).map_err(failed)?;
        let hash = argon2()?.hash_password(self.0.as_bytes(), &salt);
        Ok(hash.map_err(failed)?.to_string())
    }

    /// Whether it is the one that was hashed. Without a hash: no, after the same time.
    pub(crate) fn verify(&self, hash: Option<&str>) -> Result<bool, AuthError> {
        let parsed = PasswordHash::new(hash.unwrap_or(DECOY))
            .map_err(|error| AuthError::Hashing(error.to_string()))?;
        let same = argon2()?
            .verify_password(self.0.as_bytes(), &parsed)
            .is_ok();
        Ok(same && hash.is_some())
    }
}

fn argon2() -> Result<Argon2<'static>, AuthError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)
        .map_err(|error| AuthError::Hashing(error.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// On the list, or one character or a short pattern over and over, or a run of the alphabet or the digits.
fn is_common(text: &str) -> bool {
    let lower = text.to_lowercase();
    if is_listed(COMMON, &lower) {
        return true;
    }
    let chars: Vec<char> = lower.chars().collect();
    let repeats = |period: usize| chars.iter().zip(&chars[period..]).all(|(a, b)| a == b);
    let steps = |step: i64| {
        chars
            .windows(2)
            .all(|pair| i64::from(u32::from(pair[1])) - i64::from(u32::from(pair[0])) == step)
    };
    (1..=2).any(repeats) || steps(1) || steps(-1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_verifies_against_its_own_hash_only() {
        let password = Password::parse_new("correct horse").ok().unwrap();
        let hash = password.hash([7; SALT_BYTES]).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(password.verify(Some(&hash)).unwrap());
        let other = Password::parse_given("correct horsf").ok().unwrap();
        assert!(!other.verify(Some(&hash)).unwrap());
    }

    #[test]
    fn nobody_signs_in_where_there_is_no_hash() {
        for text in ["", "anything at all"] {
            assert!(
                !Password::parse_given(text)
                    .ok()
                    .unwrap()
                    .verify(None)
                    .unwrap()
            );
        }
    }

    #[test]
    fn short_long_and_common_passwords_are_refused() {
        for bad in [
            "",
            "short",
            "Password1",
            "12345678",
            "abcdefghij",
            "aaaaaaaaaa",
            "ababababab",
            "98765432",
        ] {
            assert!(Password::parse_new(bad).is_err(), "{bad}");
        }
        assert!(Password::parse_new(&"é".repeat(1_025)).is_err());
        assert!(Password::parse_new("pass word 7").is_ok());
        assert!(Password::parse_new("日本語のパスワード").is_ok());
    }
}
