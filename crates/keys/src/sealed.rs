//! Secrets at rest: XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha) with the place they belong to as
//! associated data, so that a sealed value copied to another deployment or name does not open.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

/// Bytes of randomness that [`SealingKey::seal`] wants. 192 bits, so random nonces never repeat.
pub const NONCE_BYTES: usize = 24;

const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 16;

/// A secret value in the clear. It has no `Debug`, `Display` or `Serialize` and is wiped when dropped.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes over a value that arrived in the clear.
    #[must_use]
    pub fn new(value: String) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The value, for the one place that hands it to the application it belongs to.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Why a key or a sealed value was refused. Says nothing about the content.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SealError {
    /// The key's text is not 32 bytes of unpadded base64url.
    #[error("the sealing key is not 32 bytes of unpadded base64url")]
    BadKey,
    /// The sealed value is cut, altered, of another place or of another key.
    #[error("the sealed value cannot be opened with this key in this place")]
    CannotOpen,
}

/// The key that seals tenants' secrets.
pub struct SealingKey(XChaCha20Poly1305);

impl SealingKey {
    /// Reads a key from its text form: 32 bytes, base64url without padding.
    ///
    /// # Errors
    /// [`SealError::BadKey`] when it is anything else.
    pub fn from_base64(text: &str) -> Result<Self, SealError> {
        let bytes = Zeroizing::new(
            URL_SAFE_NO_PAD
                .decode(text.trim())
                .map_err(|_| SealError::BadKey)?,
        );
        if bytes.len() != KEY_BYTES {
            return Err(SealError::BadKey);
        }
        Ok(Self(
            XChaCha20Poly1305::new_from_slice(&bytes).map_err(|_| SealError::BadKey)?,
        ))
    }

    /// Seals `secret` for `place` (such as `<deployment id>/<name>`) and returns
    /// base64url(nonce ‖ ciphertext ‖ tag). `nonce` must be fresh randomness.
    #[must_use]
    pub fn seal(&self, secret: &Secret, place: &str, nonce: [u8; NONCE_BYTES]) -> String {
        let payload = Payload {
            msg: secret.expose().as_bytes(),
            aad: place.as_bytes(),
        };
        let sealed = self
            .0
            .encrypt(XNonce::from_slice(&nonce), payload)
            .expect("XChaCha20-Poly1305 only fails above 256 GiB");
        let mut bytes = nonce.to_vec();
        bytes.extend_from_slice(&sealed);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Bytes of the secret in a sealed value, which shows them without the key. 0 for anything else.
    #[must_use]
    pub fn secret_bytes(sealed: &str) -> usize {
        // Four characters of base64 are three bytes; without padding the rest is cut off rightly.
        (sealed.len() * 3 / 4).saturating_sub(NONCE_BYTES + TAG_BYTES)
    }

    /// Opens what [`SealingKey::seal`] made for the same `place`.
    ///
    /// # Errors
    /// [`SealError::CannotOpen`] for anything else.
    pub fn open(&self, sealed: &str, place: &str) -> Result<Secret, SealError> {
        let bytes = URL_SAFE_NO_PAD
            .decode(sealed)
            .map_err(|_| SealError::CannotOpen)?;
        let (nonce, ciphertext) = bytes
            .split_at_checked(NONCE_BYTES)
            .ok_or(SealError::CannotOpen)?;
        let payload = Payload {
            msg: ciphertext,
            aad: place.as_bytes(),
        };
        let opened = self
            .0
            .decrypt(XNonce::from_slice(nonce), payload)
            .map_err(|_| SealError::CannotOpen)?;
        String::from_utf8(opened)
            .map(Secret::new)
            .map_err(|_| SealError::CannotOpen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SealingKey {
        SealingKey::from_base64(&URL_SAFE_NO_PAD.encode([byte; KEY_BYTES])).unwrap()
    }

    #[test]
    fn a_sealed_secret_opens_in_its_place() {
        let sealed = key(1).seal(
            &Secret::new("s3cret".into()),
            "d1/API_KEY",
            [7; NONCE_BYTES],
        );
        assert!(!sealed.contains("s3cret"));
        assert_eq!(
            key(1)
                .open(&sealed, "d1/API_KEY")
                .map(|s| s.expose().to_owned()),
            Ok("s3cret".to_owned())
        );
    }

    #[test]
    fn a_sealed_secret_shows_its_size() {
        for bytes in [0, 1, 2, 3, 4, 100, 32 << 10] {
            let sealed = key(1).seal(&Secret::new("x".repeat(bytes)), "p", [7; NONCE_BYTES]);
            assert_eq!(SealingKey::secret_bytes(&sealed), bytes);
        }
        assert_eq!(SealingKey::secret_bytes("short"), 0);
    }

    #[test]
    fn a_sealed_secret_does_not_open_elsewhere_altered_or_with_another_key() {
        let sealed = key(1).seal(
            &Secret::new("s3cret".into()),
            "d1/API_KEY",
            [7; NONCE_BYTES],
        );
        assert!(key(1).open(&sealed, "d2/API_KEY").is_err());
        assert!(key(2).open(&sealed, "d1/API_KEY").is_err());
        assert!(key(1).open(&sealed[1..], "d1/API_KEY").is_err());
        assert!(key(1).open("", "d1/API_KEY").is_err());
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        assert!(matches!(
            SealingKey::from_base64("c2hvcnQ"),
            Err(SealError::BadKey)
        ));
    }
}
