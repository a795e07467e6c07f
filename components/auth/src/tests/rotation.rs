//! Two signing keys in one quarter of an hour.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::algorithms::Ed25519KeyPair;
use serde_json::Value;

use super::{PASSWORD, access, app, login, register};

#[test]
fn tokens_of_the_old_key_live_on_and_the_jwks_shows_both() {
    let app = app();
    let old_tokens = register(&app, "alice");
    let jwks = || {
        let answer = app.get("/api/v1/auth/.well-known/jwks.json").send();
        let keys = answer.expect(200)["keys"].as_array().unwrap().clone();
        keys.iter()
            .map(|key| key["x"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let old_public = jwks().remove(0);
    let new = Ed25519KeyPair::generate();
    let new_public = URL_SAFE_NO_PAD.encode(new.public_key().to_bytes());
    app.set(
        "jwt_private_key",
        &URL_SAFE_NO_PAD.encode(&new.to_bytes()[..32]),
    );
    app.set(
        "jwt_public_keys",
        &format!("{new_public},{old_public}@{}", 1_800_000_000 + 600),
    );
    assert_eq!(jwks(), [new_public.clone(), old_public]);
    let new_tokens = login(&app, "alice", PASSWORD).expect(200);
    let me = |tokens: &Value| {
        app.get("/api/v1/auth/me")
            .bearer(access(tokens))
            .send()
            .status
    };
    assert_eq!([me(&old_tokens), me(&new_tokens)], [200, 200]);
    app.advance_ms(600_000);
    assert_eq!([me(&old_tokens), me(&new_tokens)], [401, 200]);
    assert_eq!(jwks(), [new_public]);
}
