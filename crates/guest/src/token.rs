//! Access tokens: EdDSA (Ed25519) JWTs (RFC 7519, RFC 8037). `auth` issues them, everyone verifies.
//!
//! Verification costs more than most requests, so a verified token is remembered by its hash until it
//! expires. Where instances are not reused the memory is simply empty.

use std::cell::RefCell;
use std::collections::HashMap;

use jwt_simple::algorithms::{Ed25519PublicKey, EdDSAPublicKeyLike};
use jwt_simple::common::VerificationOptions;
use jwt_simple::prelude::{Duration, HashSet, UnixTimeStamp};
use nokube_domain::{Scopes, Timestamp, UserId, UserRole};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{Caller, Error};

/// The `iss` of access tokens.
pub const ISSUER: &str = "nokube";
/// The `aud` of access tokens.
pub const AUDIENCE: &str = "nokube-api";

/// Ours have about 400 characters.
const MAX_TOKEN_CHARS: usize = 4_096;
/// Clocks of one installation may differ by this much.
const TOLERANCE_SECONDS: u64 = 5;
/// 1024 × about 200 bytes: bounded at 200 kB.
const REMEMBERED_TOKENS: usize = 1_024;

/// The claims of ours beside the registered ones.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccessClaims {
    /// The user's name.
    pub username: String,
    /// `admin` or `user`.
    pub role: String,
    /// The session.
    pub sid: String,
    /// What it is good for, separated by spaces (RFC 9068, section 2.2.3); missing for everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

thread_local! {
    static VERIFIED: RefCell<HashMap<[u8; 32], Caller>> = RefCell::new(HashMap::new());
}

/// The caller a token stands for.
///
/// `public_keys` is the variable `jwt_public_keys` ([`crate::public_keys`]).
///
/// # Errors
/// [`Error::Unauthenticated`] for every token that is not ours and current; [`Error::Configuration`].
pub fn verify(token: &str, public_keys: &str, now: Timestamp) -> Result<Caller, Error> {
    let refused = || Error::Unauthenticated { given: true };
    if token.len() > MAX_TOKEN_CHARS {
        return Err(refused());
    }
    // Everything an entry depends on is in its key: a key that is withdrawn ends its tokens.
    let hash: [u8; 32] = Sha256::new()
        .chain_update(public_keys)
        .chain_update([0])
        .chain_update(token)
        .finalize()
        .into();
    if let Some(caller) = VERIFIED.with_borrow(|verified| verified.get(&hash).cloned()) {
        return if caller.expires_at_seconds > now.seconds() {
            Ok(caller)
        } else {
            Err(refused())
        };
    }
    let caller = verify_signature(token, public_keys, now)?;
    VERIFIED.with_borrow_mut(|verified| {
        if verified.len() >= REMEMBERED_TOKENS {
            verified.retain(|_, known| known.expires_at_seconds > now.seconds());
        }
        if verified.len() >= REMEMBERED_TOKENS {
            verified.clear();
        }
        verified.insert(hash, caller.clone());
    });
    Ok(caller)
}

fn verify_signature(token: &str, public_keys: &str, now: Timestamp) -> Result<Caller, Error> {
    let refused = || Error::Unauthenticated { given: true };
    let now_seconds = u64::try_from(now.seconds()).unwrap_or(0);
    let options = VerificationOptions {
        allowed_issuers: Some(HashSet::from([ISSUER.to_owned()])),
        allowed_audiences: Some(HashSet::from([AUDIENCE.to_owned()])),
        time_tolerance: Some(Duration::from_secs(TOLERANCE_SECONDS)),
        max_token_length: Some(MAX_TOKEN_CHARS),
        artificial_time: Some(UnixTimeStamp::from_secs(now_seconds)),
        ..VerificationOptions::default()
    };
    for known in crate::public_keys(public_keys, now)? {
        let key = Ed25519PublicKey::from_bytes(&known.raw)
            .map_err(|_| Error::Configuration("jwt_public_keys"))?;
        // The algorithm is the key's own; what the token's header says only has to agree.
        let Ok(claims) = key.verify_token::<AccessClaims>(token, Some(options.clone())) else {
            continue;
        };
        let expires_at = claims.expires_at.ok_or_else(refused)?.as_secs();
        let expires_at = i64::try_from(expires_at).map_err(|_| refused())?;
        // It is remembered no longer than its key is believed.
        let expires_at = (known.until_seconds).map_or(expires_at, |until| expires_at.min(until));
        let subject = claims.subject.as_deref().unwrap_or_default();
        return Ok(Caller {
            id: UserId::parse(subject).map_err(|_| refused())?,
            username: claims.custom.username,
            role: UserRole::parse(&claims.custom.role).map_err(|_| refused())?,
            session_id: claims.custom.sid,
            scopes: claims.custom.scope.as_deref().map(Scopes::of_token),
            expires_at_seconds: expires_at,
        });
    }
    Err(refused())
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jwt_simple::algorithms::{Ed25519KeyPair, EdDSAKeyPairLike};
    use jwt_simple::claims::Claims;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn issue(pair: &Ed25519KeyPair, audience: &str, now: Timestamp) -> String {
        let claims = AccessClaims {
            username: "alice".into(),
            role: "user".into(),
            sid: "s1".into(),
            scope: None,
        };
        let issued_at = UnixTimeStamp::from_secs(u64::try_from(now.seconds()).unwrap());
        let mut claims = Claims::with_custom_claims(claims, Duration::from_secs(900))
            .with_issuer(ISSUER)
            .with_audience(audience)
            .with_subject("7");
        claims.issued_at = Some(issued_at);
        claims.invalid_before = Some(issued_at);
        claims.expires_at = Some(issued_at + Duration::from_secs(900));
        pair.sign(claims).unwrap()
    }

    fn public(pair: &Ed25519KeyPair) -> String {
        URL_SAFE_NO_PAD.encode(pair.public_key().to_bytes())
    }

    #[test]
    fn a_token_stands_for_its_user_until_it_expires() {
        let pair = Ed25519KeyPair::generate();
        let token = issue(&pair, AUDIENCE, NOW);
        for _ in 0..2 {
            let caller = verify(&token, &public(&pair), NOW).unwrap();
            assert_eq!((caller.id, caller.username.as_str()), (UserId(7), "alice"));
        }
        assert!(verify(&token, &public(&pair), NOW.plus_millis(906_000)).is_err());
    }

    #[test]
    fn tokens_of_other_keys_audiences_and_algorithms_are_refused() {
        let (pair, other) = (Ed25519KeyPair::generate(), Ed25519KeyPair::generate());
        let keys = public(&pair);
        assert!(verify(&issue(&other, AUDIENCE, NOW), &keys, NOW).is_err());
        assert!(verify(&issue(&pair, "elsewhere", NOW), &keys, NOW).is_err());
        let token = issue(&pair, AUDIENCE, NOW);
        let unsigned = format!(
            "{}.{}.",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#),
            token.split('.').nth(1).unwrap()
        );
        assert!(verify(&unsigned, &keys, NOW).is_err());
        assert!(verify("", &keys, NOW).is_err());
        assert!(verify(&"x".repeat(100_000), &keys, NOW).is_err());
    }

    #[test]
    fn a_retired_key_still_verifies_and_a_withdrawn_one_does_not() {
        let (old, new) = (Ed25519KeyPair::generate(), Ed25519KeyPair::generate());
        let token = issue(&old, AUDIENCE, NOW);
        let until = NOW.plus_millis(60_000);
        let both = format!("{},{}@{}", public(&new), public(&old), until.seconds());
        for _ in 0..2 {
            assert!(verify(&token, &both, NOW).is_ok());
        }
        assert!(verify(&token, &both, until).is_err());
        assert!(verify(&token, &public(&new), NOW).is_err());
    }
}
