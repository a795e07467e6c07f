//! The public keys of access tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nokube_api::auth::{JsonWebKey, JsonWebKeySet};
use nokube_guest::{Ctx, Response};

use crate::error::AuthError;
use crate::tokens::key_id;

/// `GET /auth/.well-known/jwks.json` (RFC 7517, RFC 8037).
pub(crate) async fn get_jwks(cx: Ctx) -> Result<Response, AuthError> {
    let variable = cx.required_variable("jwt_public_keys")?;
    let mut keys = Vec::new();
    for nokube_guest::PublicKey { raw, .. } in nokube_guest::public_keys(&variable, cx.now())? {
        keys.push(JsonWebKey {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            x: URL_SAFE_NO_PAD.encode(&raw),
            kid: key_id(&raw),
            alg: "EdDSA".to_owned(),
            r#use: "sig".to_owned(),
        });
    }
    // Public and slow to change: verifiers elsewhere may keep it for 5 minutes.
    Ok(Response::ok(&JsonWebKeySet { keys }).header("cache-control", "public, max-age=300"))
}
