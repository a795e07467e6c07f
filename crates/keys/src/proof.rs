//! What somebody puts into the DNS to show that a domain is theirs.

use hmac_sha256::HMAC;

/// Half of a SHA-256: nobody finds a project that has another's value.
const VALUE_BYTES: usize = 16;

/// The key that makes proofs of domains, of one platform.
pub struct ProofKey([u8; 32]);

impl ProofKey {
    /// The key that belongs to a platform's sealing key, in its text form.
    #[must_use]
    pub fn from_sealing_key(text: &str) -> Self {
        // A label of its own keeps the sealing key itself from being an HMAC key elsewhere.
        Self(HMAC::mac(
            text.trim().as_bytes(),
            b"nokube domain proofs v1",
        ))
    }

    /// The text of the TXT record by which whoever controls `domain` lets a project have it. It is no secret, and
    /// good for this project on this platform alone.
    #[must_use]
    pub fn of_domain(&self, project_id: i64, domain: &str) -> String {
        let mac = HMAC::mac(format!("{project_id}/{domain}").as_bytes(), self.0);
        let hex = mac[..VALUE_BYTES].iter().map(|byte| format!("{byte:02x}"));
        format!("nokube-{}", hex.collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_of_one_project_one_domain_and_one_platform() {
        let key = ProofKey::from_sealing_key("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
        let proof = key.of_domain(1, "www.example.com");
        assert_eq!(proof.len(), "nokube-".len() + 32);
        assert_eq!(proof, key.of_domain(1, "www.example.com"));
        let other = ProofKey::from_sealing_key("another");
        for different in [
            key.of_domain(2, "www.example.com"),
            key.of_domain(1, "example.com"),
            other.of_domain(1, "www.example.com"),
        ] {
            assert_ne!(proof, different);
        }
    }
}
