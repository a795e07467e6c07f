//! The second factor, from setting it up to losing the device.

use nokube_guest::testing::{TestAnswer, TestApp};
use serde_json::{Value, json};

use super::{PASSWORD, access, app, login, number, register};
use crate::totp::tests::shown_code;

/// 32 zero bytes.
pub(super) const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const START_SECONDS: u64 = 1_800_000_000;

/// An account with a second factor.
struct Alice {
    app: TestApp,
    tokens: Value,
    secret: Vec<u8>,
    recovery_codes: Vec<String>,
    /// Since the start.
    seconds: u64,
}

/// The reverse of what the answer says, as an authenticator program reads it.
fn from_base32(text: &str) -> Vec<u8> {
    let (mut buffer, mut bits, mut bytes) = (0_u32, 0, Vec::new());
    for letter in text.bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            _ => letter - b'2' + 26,
        };
        buffer = (buffer << 5) | u32::from(value);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((buffer >> bits) as u8);
            buffer &= (1 << bits) - 1;
        }
    }
    bytes
}

fn begin(app: &TestApp, tokens: &Value) -> TestAnswer {
    post(
        app,
        tokens,
        "/api/v1/auth/totp",
        json!({ "password": PASSWORD }),
    )
}

/// The secret that an answer shows.
pub(super) fn secret_of(begun: &Value) -> Vec<u8> {
    from_base32(begun["secret"].as_str().unwrap())
}

/// Turns it on, as the device does when the test begins.
pub(super) fn confirm(app: &TestApp, tokens: &Value, secret: &[u8]) -> TestAnswer {
    let code = json!({ "code": shown_code(secret, START_SECONDS) });
    post(app, tokens, "/api/v1/auth/totp/confirm", code)
}

/// Sets one up, and gives the recovery codes.
pub(super) fn enabled(app: &TestApp, tokens: &Value) -> Value {
    let secret = secret_of(&begin(app, tokens).expect(201));
    confirm(app, tokens, &secret).expect(200)["recovery_codes"].clone()
}

fn post(app: &TestApp, tokens: &Value, path: &str, body: Value) -> TestAnswer {
    let request = app.post(path).bearer(access(tokens));
    request.json(&body).send()
}

impl Alice {
    fn new() -> Self {
        let app = app();
        app.set("auth_sealing_key", KEY);
        let tokens = register(&app, "alice");
        let begun = begin(&app, &tokens).expect(201);
        let text = begun["secret"].as_str().unwrap();
        assert_eq!(
            begun["uri"],
            format!(
                "otpauth://totp/nokube:alice?secret={text}&issuer=nokube&algorithm=SHA1&digits=6&period=30"
            )
        );
        let mut alice = Self {
            app,
            tokens,
            secret: from_base32(text),
            recovery_codes: Vec::new(),
            seconds: 0,
        };
        assert_eq!(alice.secret.len(), 20);
        let code = json!({ "code": alice.code() });
        let confirmed = post(&alice.app, &alice.tokens, "/api/v1/auth/totp/confirm", code);
        let codes = confirmed.expect(200)["recovery_codes"].clone();
        alice.recovery_codes = serde_json::from_value(codes).unwrap();
        alice.wait(30);
        alice
    }

    fn wait(&mut self, seconds: u64) {
        self.seconds += seconds;
        self.app.advance_ms(i64::try_from(seconds * 1_000).unwrap());
    }

    fn code(&self) -> String {
        shown_code(&self.secret, START_SECONDS + self.seconds)
    }

    fn login(&self, more: Value) -> TestAnswer {
        let mut body = json!({ "username": "alice", "password": PASSWORD });
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        self.app.post("/api/v1/auth/login").json(&body).send()
    }

    fn state(&self) -> Value {
        let request = self.app.get("/api/v1/auth/totp");
        request.bearer(access(&self.tokens)).send().expect(200)
    }
}

fn kind(answer: &TestAnswer) -> Value {
    answer.json()["type"].clone()
}

#[test]
fn a_sign_in_takes_the_code_after_the_right_password_only() {
    let alice = Alice::new();
    assert_eq!(
        kind(&login(&alice.app, "alice", "wrong password")),
        "/problems/wrong-credentials"
    );
    let needed = alice.login(json!({}));
    assert_eq!(needed.status, 401);
    assert_eq!(kind(&needed), "/problems/second-factor-required");
    let wrong = alice.login(json!({ "totp_code": "000000" }));
    assert_eq!(wrong.status, 401);
    assert_eq!(kind(&wrong), "/problems/wrong-second-factor");
    let signed_in = alice.login(json!({ "totp_code": alice.code() }));
    assert_eq!(signed_in.expect(200)["user"]["username"], "alice");
}

#[test]
fn a_code_is_good_once_and_so_is_none_before_it() {
    let mut alice = Alice::new();
    let before = alice.code();
    alice.wait(30);
    let code = alice.code();
    assert_eq!(alice.login(json!({ "totp_code": code })).status, 200);
    assert_eq!(alice.login(json!({ "totp_code": code })).status, 401);
    assert_eq!(alice.login(json!({ "totp_code": before })).status, 401);
    alice.wait(30);
    let next = alice.code();
    assert_eq!(alice.login(json!({ "totp_code": next })).status, 200);
}

#[test]
fn the_code_that_confirmed_does_not_sign_in() {
    let mut alice = Alice::new();
    alice.seconds -= 30;
    let confirming = alice.code();
    assert_eq!(alice.login(json!({ "totp_code": confirming })).status, 401);
}

#[test]
fn a_recovery_code_is_good_once() {
    let alice = Alice::new();
    assert_eq!(alice.recovery_codes.len(), 10);
    let code = alice.recovery_codes[3].to_lowercase();
    let with = |code: &str| alice.login(json!({ "recovery_code": code })).status;
    assert_eq!([with(&code), with(&code)], [200, 401]);
    assert_eq!(alice.state()["recovery_codes_left"], 9);
}

#[test]
fn codes_are_not_guessed_from_any_number_of_addresses() {
    let mut alice = Alice::new();
    let guess = |n: u32| {
        alice
            .app
            .post("/api/v1/auth/login")
            .header("spin-client-addr", &format!("203.0.113.{n}:1"))
            .json(&json!({ "username": "alice", "password": PASSWORD, "totp_code": "000000" }))
            .send()
            .status
    };
    let statuses: Vec<u16> = (0..6).map(guess).collect();
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429]);
    let refused = alice.login(json!({ "totp_code": alice.code() }));
    assert_eq!(refused.status, 429);
    assert_eq!(refused.headers.get("retry-after"), Some("30"));
    alice.wait(30);
    let code = alice.code();
    assert_eq!(alice.login(json!({ "totp_code": code })).status, 200);
}

#[test]
fn a_stolen_session_keeps_its_user_from_signing_in_with_nothing() {
    let alice = Alice::new();
    let body = json!({ "current_password": "wrong password", "new_password": "another horse" });
    let guess =
        |path: &str, body: &Value| post(&alice.app, &alice.tokens, path, body.clone()).status;
    let passwords: Vec<u16> = (0..6)
        .map(|_| guess("/api/v1/auth/password", &body))
        .collect();
    assert_eq!(passwords, [401, 401, 401, 401, 401, 429]);
    let code = json!({ "code": "000000" });
    for _ in 0..6 {
        assert_eq!(guess("/api/v1/auth/totp/confirm", &code), 409);
    }
    assert_eq!(
        alice.login(json!({ "totp_code": alice.code() })).status,
        200
    );
}

#[test]
fn another_password_gives_no_more_codes_to_guess() {
    let alice = Alice::new();
    let guess = |password: &str| {
        let request = alice.app.delete("/api/v1/auth/totp");
        let body = json!({ "password": password, "code": "000000" });
        let request = request.bearer(access(&alice.tokens)).json(&body);
        request.send().status
    };
    for _ in 0..4 {
        assert_eq!(guess(PASSWORD), 401);
    }
    let other = "another horse entirely";
    let body = json!({ "current_password": PASSWORD, "new_password": other });
    let changed = post(&alice.app, &alice.tokens, "/api/v1/auth/password", body);
    assert_eq!(changed.status, 204);
    assert_eq!([guess(other), guess(other)], [401, 429]);
}

#[test]
fn what_brings_nobody_in_is_not_used_up() {
    let alice = Alice::new();
    let broken =
        "CREATE TRIGGER broken BEFORE INSERT ON sessions BEGIN SELECT RAISE(FAIL, 'no'); END";
    let totp = json!({ "totp_code": alice.code() });
    let recovery = json!({ "recovery_code": alice.recovery_codes[0] });
    alice.app.sql("auth", broken);
    for given in [&totp, &recovery] {
        assert_eq!(alice.login(given.clone()).status, 500);
    }
    alice.app.sql("auth", "DROP TRIGGER broken");
    for given in [totp, recovery] {
        assert_eq!(alice.login(given).status, 200);
    }
    assert_eq!(alice.state()["recovery_codes_left"], 9);
}

#[test]
fn taking_it_away_takes_the_password_and_a_code() {
    let alice = Alice::new();
    let delete = |password: &str, code: &str| {
        alice
            .app
            .delete("/api/v1/auth/totp")
            .bearer(access(&alice.tokens))
            .json(&json!({ "password": password, "code": code }))
            .send()
    };
    let wrong = delete("wrong password", &alice.code());
    assert_eq!(kind(&wrong), "/problems/wrong-credentials");
    let wrong = delete(PASSWORD, "000000");
    assert_eq!(kind(&wrong), "/problems/wrong-second-factor");
    let nothing = alice
        .app
        .delete("/api/v1/auth/totp")
        .bearer(access(&alice.tokens))
        .json(&json!({ "password": PASSWORD }))
        .send();
    assert_eq!(nothing.faults(), ["/code"]);
    assert_eq!(delete(PASSWORD, &alice.code()).status, 204);
    assert_eq!(alice.state()["enabled"], false);
    assert_eq!(alice.login(json!({})).status, 200);
    let recovery = json!({ "recovery_code": alice.recovery_codes[0] });
    assert_eq!(alice.login(recovery).status, 200, "nothing is asked for");
}

#[test]
fn one_that_changed_since_it_was_read_stays_and_no_code_is_used_up_or_counted() {
    let alice = Alice::new();
    let read = || alice.app.get("/api/v1/auth/totp");
    let etag = || {
        let read = read().bearer(access(&alice.tokens)).send();
        read.headers.get("etag").unwrap().to_owned()
    };
    let whole = etag();
    let recovery = |n: usize| json!({ "recovery_code": alice.recovery_codes[n] });
    assert_eq!(alice.login(recovery(0)).status, 200);
    let delete = |version: &str| {
        let body = json!({ "password": PASSWORD, "recovery_code": alice.recovery_codes[1] });
        let request = alice.app.delete("/api/v1/auth/totp");
        let request = request.bearer(access(&alice.tokens)).json(&body);
        request.header("if-match", version).send().status
    };
    for _ in 0..6 {
        assert_eq!(delete(&whole), 412);
    }
    assert_eq!(delete(&etag()), 204);
}

#[test]
fn it_counts_once_it_is_confirmed_and_can_not_be_begun_over() {
    let app = app();
    app.set("auth_sealing_key", KEY);
    let tokens = register(&app, "alice");
    let secret = || secret_of(&begin(&app, &tokens).expect(201));
    let (first, second) = (secret(), secret());
    assert_ne!(first, second);
    assert_eq!(login(&app, "alice", PASSWORD).status, 200);
    let confirm = |secret: &[u8]| confirm(&app, &tokens, secret);
    assert_eq!(confirm(&first).status, 401);
    assert_eq!(confirm(&second).status, 200);
    assert_eq!(kind(&confirm(&second)), "/problems/second-factor-on");
    assert_eq!(begin(&app, &tokens).status, 409);
}

#[test]
fn a_session_without_the_password_begins_none() {
    let app = app();
    app.set("auth_sealing_key", KEY);
    let tokens = register(&app, "alice");
    let begin = |body: Value| post(&app, &tokens, "/api/v1/auth/totp", body);
    assert_eq!(begin(json!({})).faults(), ["/password"]);
    let statuses: Vec<u16> = (0..6)
        .map(|_| begin(json!({ "password": "wrong password" })).status)
        .collect();
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429]);
    assert_eq!(begin(json!({ "password": PASSWORD })).status, 429);
    assert_eq!(number(&app, "SELECT count(*) FROM totp"), 0);
    assert_eq!(
        number(
            &app,
            "SELECT count(*) FROM audit WHERE action = 'totp.begin'"
        ),
        0
    );
    app.advance_ms(30_000);
    let begun = begin(json!({ "password": PASSWORD }));
    assert_eq!(begun.status, 201);
    assert!(begun.headers.get("ratelimit").is_some());
    let counted = "SELECT count(*) FROM throttles WHERE bucket LIKE 'password:%'";
    assert_eq!(number(&app, counted), 0, "the right one forgets the wrong");
}

#[test]
fn the_secret_is_sealed_for_its_user() {
    let alice = Alice::new();
    let rows = alice.app.sql(
        "auth",
        "SELECT hex(secret), hex(code_hash) FROM totp, recovery_codes",
    );
    let clear = crate::limits::hex(&alice.secret).to_uppercase();
    assert!(
        rows.iter()
            .flatten()
            .all(|value| !format!("{value:?}").contains(&clear))
    );
    // Moved to another account it opens nothing.
    register(&alice.app, "mallory");
    alice.app.sql(
        "auth",
        "INSERT INTO totp SELECT 2, secret, created_at_ms, confirmed_at_ms, 0 FROM totp",
    );
    let body = json!({ "username": "mallory", "password": PASSWORD, "totp_code": alice.code() });
    let answer = alice.app.post("/api/v1/auth/login").json(&body).send();
    assert_eq!(answer.status, 500);
}
