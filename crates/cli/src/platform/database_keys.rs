//! `nokube keys --libsql`: what the platform's databases need on libSQL servers, as in a cluster.
//!
//! Each database has a key pair of its own. Its server gets the public half and believes whoever has a token that the
//! private half signed; the platform gets that token. The private half is forgotten at once, so that nobody can make a
//! second one: to change a token, both lines are removed from the file and made anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use nokube_sidecar::durable::write_durably;
use nokube_spinapp::variables::parse_dotenv;

use super::keys::{public_key, random_key, seed};

/// As `spin.toml` calls them.
const DATABASES: [&str; 2] = ["auth", "platform"];
/// What a libSQL server reads of a token: it may read and write. It has no end, since nobody is there to renew it.
const CLAIMS: &str = r#"{"a":"rw"}"#;
const HEADER: &str = r#"{"alg":"EdDSA","typ":"JWT"}"#;

/// Adds to a file of keys what it lacks.
pub(super) fn ensure(path: &Path) -> anyhow::Result<()> {
    let mut text = fs::read_to_string(path)
        .with_context(|| format!("the keys cannot be read from {}", path.display()))?;
    let known = parse_dotenv(&text);
    let mut added = false;
    for database in DATABASES {
        let names = Names::of(database);
        if names.are_in(&known)? {
            continue;
        }
        let private = random_key()?;
        let (public, token) = (public_key(&private)?, token(&private)?);
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&format!(
            "{}={public}\n{}={token}\n",
            names.key, names.token
        ));
        added = true;
    }
    if added {
        write_durably(path, text.as_bytes())
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}

/// The two lines of a database.
struct Names {
    key: String,
    token: String,
}

impl Names {
    fn of(database: &str) -> Self {
        let prefix = format!("NOKUBE_LIBSQL_{}", database.to_ascii_uppercase());
        Self {
            key: format!("{prefix}_PUBLIC_KEY"),
            token: format!("{prefix}_TOKEN"),
        }
    }

    fn are_in(&self, known: &BTreeMap<String, String>) -> anyhow::Result<bool> {
        let Self { key, token } = self;
        match (known.contains_key(key), known.contains_key(token)) {
            (true, true) => Ok(true),
            (false, false) => Ok(false),
            _ => bail!(
                "only one of {key} and {token} is there, and the other cannot be made of it: remove it, and both are made"
            ),
        }
    }
}

/// A JSON Web Token (RFC 7519) signed with Ed25519 (RFC 8037).
fn token(private: &str) -> anyhow::Result<String> {
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(HEADER),
        URL_SAFE_NO_PAD.encode(CLAIMS)
    );
    let signature = SigningKey::from_bytes(&seed(private)?).sign(signed.as_bytes());
    Ok(format!(
        "{signed}.{}",
        URL_SAFE_NO_PAD.encode(signature.to_bytes())
    ))
}

#[cfg(test)]
mod tests {
    use super::super::keys::Keys;
    use super::*;
    use ed25519_dalek::{Signature, VerifyingKey};

    fn lines(path: &Path) -> BTreeMap<String, String> {
        parse_dotenv(&fs::read_to_string(path).unwrap())
    }

    fn decoded(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    #[test]
    fn each_database_has_a_token_that_its_own_key_alone_believes() {
        let dir = tempfile::tempdir().unwrap();
        Keys::ensure(dir.path()).unwrap();
        let path = dir.path().join("keys.env");
        ensure(&path).unwrap();
        let known = lines(&path);
        let believes = |key: &str, token: &str| {
            let key: [u8; 32] = decoded(&known[key]).try_into().unwrap();
            let (signed, signature) = known[token].rsplit_once('.').unwrap();
            let signature = Signature::from_slice(&decoded(signature)).unwrap();
            let key = VerifyingKey::from_bytes(&key).unwrap();
            key.verify_strict(signed.as_bytes(), &signature).is_ok()
        };
        let [auth, platform] = DATABASES.map(Names::of);
        assert!(believes(&auth.key, &auth.token) && believes(&platform.key, &platform.token));
        assert!(!believes(&auth.key, &platform.token) && !believes(&platform.key, &auth.token));
        let claims = known[&auth.token].split('.').nth(1).unwrap();
        assert_eq!(decoded(claims), CLAIMS.as_bytes());
    }

    #[test]
    fn what_is_there_is_kept_and_half_a_pair_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        Keys::ensure(dir.path()).unwrap();
        let path = dir.path().join("keys.env");
        let before = lines(&path);
        ensure(&path).unwrap();
        let first = fs::read_to_string(&path).unwrap();
        ensure(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), first);
        assert_eq!(lines(&path).len(), before.len() + 4);
        let half: Vec<_> = first
            .lines()
            .filter(|line| !line.starts_with("NOKUBE_LIBSQL_AUTH_TOKEN="))
            .collect();
        fs::write(&path, half.join("\n")).unwrap();
        let error = ensure(&path).unwrap_err().to_string();
        assert!(error.contains("NOKUBE_LIBSQL_AUTH_PUBLIC_KEY"), "{error}");
    }
}
