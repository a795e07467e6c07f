//! One-time addresses of the sidecar's blob store.
//!
//! A ticket is a signed statement (JWT, HS256, RFC 7519) of what may be stored or fetched, so that a
//! component can hand one out without asking the sidecar, and a restart of either forgets none. That
//! an upload happens once is the sidecar's to hold: it remembers the `id` until the ticket expires.

use jwt_simple::prelude::*;

const AUDIENCE: &str = "nokube-blobs";

/// What the bearer of a ticket may do, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TicketUse {
    /// Store the source archive (`.tar.gz`) of a build.
    PutSource,
    /// Fetch that archive.
    GetSource,
    /// Store the artifact of a build: an OCI image layout as a tar archive.
    PutArtifact,
}

/// The claims of a ticket.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BlobTicket {
    /// Unique; a ticket that stores is spent by it.
    pub id: String,
    /// What it allows.
    pub allows: TicketUse,
    /// The build whose source or artifact it is about.
    pub build_id: String,
    /// The most that may be stored.
    pub max_bytes: u64,
}

/// Why a ticket was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TicketError {
    /// Not a ticket of this platform, altered, or past its time.
    #[error("the ticket is not valid or no longer valid")]
    Invalid,
}

/// The key that signs tickets, made from the sidecar's token.
pub struct TicketKey(HS256Key);

impl TicketKey {
    /// The key that belongs to a sidecar token.
    #[must_use]
    pub fn from_sidecar_token(token: &str) -> Self {
        // A label of its own keeps the bearer token itself from being an HMAC key elsewhere.
        Self(HS256Key::from_bytes(
            format!("nokube blob tickets v1 {token}").as_bytes(),
        ))
    }

    /// Signs `ticket`, valid for `valid_seconds` from now. The result is safe in a URL path segment.
    #[must_use]
    pub fn sign(&self, ticket: BlobTicket, valid_seconds: u64) -> String {
        let claims = Claims::with_custom_claims(ticket, Duration::from_secs(valid_seconds))
            .with_audience(AUDIENCE);
        self.0
            .authenticate(claims)
            .expect("claims of plain strings and integers always serialise")
    }

    /// The claims of a valid ticket and when it expires, in Unix seconds.
    ///
    /// # Errors
    /// [`TicketError::Invalid`] when it was signed by another key, altered or is past its time.
    pub fn verify(&self, text: &str) -> Result<(BlobTicket, u64), TicketError> {
        let options = VerificationOptions {
            allowed_audiences: Some(HashSet::from([AUDIENCE.to_owned()])),
            time_tolerance: Some(Duration::from_secs(0)),
            ..Default::default()
        };
        let claims = self
            .0
            .verify_token::<BlobTicket>(text, Some(options))
            .map_err(|_| TicketError::Invalid)?;
        let expires_at = claims.expires_at.ok_or(TicketError::Invalid)?.as_secs();
        Ok((claims.custom, expires_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket() -> BlobTicket {
        BlobTicket {
            id: "0190".into(),
            allows: TicketUse::PutSource,
            build_id: "b1".into(),
            max_bytes: 10,
        }
    }

    #[test]
    fn a_ticket_verifies_with_its_key_only() {
        let text = TicketKey::from_sidecar_token("a").sign(ticket(), 60);
        assert_eq!(
            TicketKey::from_sidecar_token("a").verify(&text).unwrap().0,
            ticket()
        );
        assert_eq!(
            TicketKey::from_sidecar_token("b").verify(&text),
            Err(TicketError::Invalid)
        );
    }

    #[test]
    fn an_expired_ticket_is_refused() {
        let key = TicketKey::from_sidecar_token("a");
        assert_eq!(
            key.verify(&key.sign(ticket(), 0)),
            Err(TicketError::Invalid)
        );
    }
}
