//! Issuing access tokens (JWT, EdDSA) and refresh tokens (opaque).

use std::cell::RefCell;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::Signer as _;
use jwt_simple::claims::Claims;
use jwt_simple::prelude::{Duration, UnixTimeStamp};
use nokube_api::auth::Tokens;
use nokube_domain::{Scopes, Timestamp};
use nokube_guest::db::Db;
use nokube_guest::token::{AUDIENCE, AccessClaims, ISSUER};
use nokube_guest::{Ctx, Error};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::error::AuthError;
use crate::second_factor;
use crate::store::users::UserRow;

/// 15 minutes: as long as a disabled user may go on.
pub(crate) const ACCESS_SECONDS: u64 = 15 * 60;
/// 256 bits of randomness can't be guessed, so a plain hash is enough at rest.
const REFRESH_BYTES: usize = 32;
/// Lets scanners for leaked secrets know what they found.
const REFRESH_PREFIX: &str = "nkr_";
const SEED_BYTES: usize = 32;
/// A new refresh token, and its hash to keep.
pub(crate) struct RefreshToken {
    pub(crate) text: String,
    pub(crate) hash: [u8; 32],
}

impl RefreshToken {
    pub(crate) fn generate(cx: &Ctx) -> Self {
        let random = URL_SAFE_NO_PAD.encode(cx.random::<REFRESH_BYTES>());
        let text = format!("{REFRESH_PREFIX}{random}");
        let hash = hash_refresh_token(&text);
        Self { text, hash }
    }
}

/// What is kept of a refresh token.
pub(crate) fn hash_refresh_token(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// What the `sid` of an access token begins with that was exchanged for an API token.
pub(crate) const API_TOKEN_SESSION: &str = "token:";

/// The API token that an access token was exchanged for, by its `sid`.
pub(crate) fn api_token_of(session_id: &str) -> Option<&str> {
    session_id.strip_prefix(API_TOKEN_SESSION)
}

/// An access token of a session, with the refresh token for the next.
pub(crate) async fn issue(
    cx: &Ctx,
    db: &Db,
    user: &UserRow,
    session_id: &str,
    refresh: RefreshToken,
) -> Result<Tokens, AuthError> {
    let scopes = second_factor::scopes_of_session(cx, db, user.id).await?;
    Ok(Tokens {
        access_token: issue_access(cx, user, session_id, scopes.as_ref(), ACCESS_SECONDS)?,
        refresh_token: refresh.text,
        token_type: "Bearer".to_owned(),
        expires_in: ACCESS_SECONDS,
        scope: scopes.as_ref().map(Scopes::to_string),
    })
}

/// An access token alone.
pub(crate) fn issue_access(
    cx: &Ctx,
    user: &UserRow,
    session_id: &str,
    scopes: Option<&Scopes>,
    seconds: u64,
) -> Result<String, AuthError> {
    let custom = AccessClaims {
        username: user.username.clone(),
        role: user.role.clone(),
        sid: session_id.to_owned(),
        scope: scopes.map(Scopes::to_string),
    };
    let issued_at = UnixTimeStamp::from_secs(unix_seconds(cx.now()));
    let mut claims = Claims::with_custom_claims(custom, Duration::from_secs(seconds))
        .with_issuer(ISSUER)
        .with_audience(AUDIENCE)
        .with_subject(user.id.to_string())
        .with_jwt_id(URL_SAFE_NO_PAD.encode(cx.random::<16>()));
    claims.issued_at = Some(issued_at);
    claims.invalid_before = Some(issued_at);
    claims.expires_at = Some(issued_at + Duration::from_secs(seconds));
    let claims =
        serde_json::to_vec(&claims).map_err(|error| AuthError::Signing(error.to_string()))?;
    let key = signing_key(cx)?;
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let signed = format!("{}.{}", encode(key.header.as_bytes()), encode(&claims));
    let signature = key.key.sign(signed.as_bytes());
    Ok(format!("{signed}.{}", encode(&signature.to_bytes())))
}

/// What signs access tokens, and the protected header that goes with it (RFC 7515, section 4).
struct SigningKey {
    /// SHA-256 of the variable it was made of.
    made_of: [u8; 32],
    key: ed25519_dalek::SigningKey,
    header: String,
}

thread_local! {
    /// Making a key costs as much as signing.
    static KEY: RefCell<Option<Rc<SigningKey>>> = const { RefCell::new(None) };
}

/// The key's id: the thumbprint of RFC 7638 with the members RFC 8037 names.
pub(crate) fn key_id(raw_public_key: &[u8]) -> String {
    let x = URL_SAFE_NO_PAD.encode(raw_public_key);
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    URL_SAFE_NO_PAD.encode(Sha256::digest(canonical))
}

/// Signing with `jwt-simple` takes ten times as long in a guest: it has no tables for the base point there.
fn signing_key(cx: &Ctx) -> Result<Rc<SigningKey>, AuthError> {
    let text = Zeroizing::new(cx.required_variable("jwt_private_key")?);
    let made_of: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    let known = KEY.with_borrow(|known| known.clone().filter(|known| known.made_of == made_of));
    if let Some(known) = known {
        return Ok(known);
    }
    let unusable = || Error::Configuration("jwt_private_key");
    let seed = Zeroizing::new(
        URL_SAFE_NO_PAD
            .decode(text.trim())
            .map_err(|_| unusable())?,
    );
    let seed = <&[u8; SEED_BYTES]>::try_from(seed.as_slice()).map_err(|_| unusable())?;
    let key = ed25519_dalek::SigningKey::from_bytes(seed);
    let id = key_id(key.verifying_key().as_bytes());
    let made = Rc::new(SigningKey {
        made_of,
        key,
        header: format!(r#"{{"alg":"EdDSA","typ":"JWT","kid":"{id}"}}"#),
    });
    KEY.set(Some(Rc::clone(&made)));
    Ok(made)
}

fn unix_seconds(time: Timestamp) -> u64 {
    u64::try_from(time.seconds()).unwrap_or(0)
}
