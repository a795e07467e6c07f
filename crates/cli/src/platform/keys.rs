//! `nokube keys`: the platform's secrets, made once and kept in a file that only its user can read.
//!
//! The file is lines `SPIN_VARIABLE_<NAME>=<value>`, which both this program and a shell before
//! `spin up` can read. What is there is never replaced, except by `nokube keys rotate`; what is missing is added.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::SigningKey;
use nokube_sidecar::durable::write_durably;
use nokube_spinapp::variables::parse_dotenv;

use super::{data_dir, database_keys, key_rotation};
use crate::args::{KeysArgs, KeysCommand};

pub(super) const PREFIX: &str = "SPIN_VARIABLE_";
const KEY_BYTES: usize = 32;
/// Crockford's base 32: no letters that look like digits.
const CODE_LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Four groups of four letters of five bits: 80 bits.
const CODE_GROUPS: usize = 4;

/// The platform's secrets by variable name. No `Debug`.
pub(crate) struct Keys(BTreeMap<String, String>);

impl Keys {
    /// Reads a file of keys.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| {
            format!(
                "the keys cannot be read from {}; `nokube keys` makes them",
                path.display()
            )
        })?;
        Ok(Self::parse(&text))
    }

    /// Reads a data folder's keys and makes those that are missing.
    pub(crate) fn ensure(data_dir: &Path) -> anyhow::Result<Self> {
        let path = data_dir::keys_file(data_dir);
        let mut text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                "# The platform's keys. Whoever reads this file owns the platform.\n".to_owned()
            }
            Err(error) => {
                return Err(error).with_context(|| format!("{} cannot be read", path.display()));
            }
        };
        let mut keys = Self::parse(&text);
        let added = keys.add_missing()?;
        if !added.is_empty() {
            if !text.ends_with('\n') {
                text.push('\n');
            }
            for name in added {
                let value = keys.get(name)?;
                text.push_str(&format!("{PREFIX}{}={value}\n", name.to_ascii_uppercase()));
            }
            write_durably(&path, text.as_bytes())
                .with_context(|| format!("{} cannot be written", path.display()))?;
        }
        Ok(keys)
    }

    /// A key.
    pub(crate) fn get(&self, name: &str) -> anyhow::Result<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
            .with_context(|| {
                format!(
                    "{PREFIX}{} is missing from the keys; `nokube keys` adds it",
                    name.to_ascii_uppercase()
                )
            })
    }

    /// All of them, by variable name.
    pub(crate) fn variables(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    fn parse(text: &str) -> Self {
        Self(
            parse_dotenv(text)
                .into_iter()
                .filter_map(|(name, value)| {
                    Some((name.strip_prefix(PREFIX)?.to_ascii_lowercase(), value))
                })
                .collect(),
        )
    }

    /// Makes what is missing and returns its names.
    fn add_missing(&mut self) -> anyhow::Result<Vec<&'static str>> {
        let mut added = Vec::new();
        for name in [
            "jwt_private_key",
            "sealing_key",
            "auth_sealing_key",
            "runner_token",
            "sidecar_token",
            "system_token",
        ] {
            if !self.0.contains_key(name) {
                self.0.insert(name.to_owned(), random_key()?);
                added.push(name);
            }
        }
        if !self.0.contains_key("jwt_public_keys") {
            let public = public_key(self.get("jwt_private_key")?)?;
            self.0.insert("jwt_public_keys".to_owned(), public);
            added.push("jwt_public_keys");
        }
        if !self.0.contains_key("setup_code") {
            self.0.insert("setup_code".to_owned(), setup_code()?);
            added.push("setup_code");
        }
        Ok(added)
    }
}

/// `nokube keys`, `nokube keys rotate`.
pub(crate) fn run(args: &KeysArgs, json: bool) -> anyhow::Result<()> {
    let data_dir = data_dir::prepare(&args.data_dir)?;
    Keys::ensure(&data_dir)?;
    let path = data_dir::keys_file(&data_dir);
    if args.libsql {
        database_keys::ensure(&path)?;
    }
    match args.command {
        None => say(
            json,
            &serde_json::json!({ "keys_file": path }),
            &format!("The platform's keys are in {}", path.display()),
        ),
        Some(KeysCommand::Rotate { keep }) => {
            let until = key_rotation::rotate(&path, keep, key_rotation::now_seconds()?)?;
            say(
                json,
                &serde_json::json!({ "keys_file": path, "old_key_until": until }),
                &format!(
                    "The next start of the platform signs with a new key. Tokens of the old one are {}.",
                    match until {
                        Some(_) => format!("good for {keep} minutes at most"),
                        None => "good for nothing from then on".to_owned(),
                    }
                ),
            );
        }
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the command's answer")]
fn say(json: bool, value: &serde_json::Value, words: &str) {
    if json {
        println!("{value}");
    } else {
        println!("{words}");
    }
}

fn fill_with_randomness(bytes: &mut [u8]) -> anyhow::Result<()> {
    getrandom::fill(bytes)
        .map_err(|error| anyhow::anyhow!("the system gives no randomness: {error}"))
}

pub(super) fn random_key() -> anyhow::Result<String> {
    let mut bytes = [0_u8; KEY_BYTES];
    fill_with_randomness(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// The public half of an Ed25519 key (RFC 8032): both are 32 bytes in base64url.
pub(super) fn public_key(private: &str) -> anyhow::Result<String> {
    let key = SigningKey::from_bytes(&seed(private)?);
    Ok(URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes()))
}

/// What an Ed25519 key is made of.
pub(super) fn seed(private: &str) -> anyhow::Result<[u8; KEY_BYTES]> {
    URL_SAFE_NO_PAD
        .decode(private)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .context("SPIN_VARIABLE_JWT_PRIVATE_KEY is not 32 bytes in base64url")
}

fn setup_code() -> anyhow::Result<String> {
    code(CODE_GROUPS)
}

/// A password that nobody guesses (100 bits) and somebody can type.
pub(crate) fn generated_password() -> anyhow::Result<String> {
    code(CODE_GROUPS + 1)
}

/// Groups of four letters.
fn code(groups: usize) -> anyhow::Result<String> {
    let mut bytes = vec![0_u8; groups * 4];
    fill_with_randomness(&mut bytes)?;
    let letters: Vec<u8> = bytes
        .iter()
        // 256 is a multiple of 32, so each letter is as likely as another.
        .map(|byte| CODE_LETTERS[usize::from(byte % 32)])
        .collect();
    let groups: Vec<String> = letters
        .chunks(4)
        .map(|group| group.iter().map(|letter| char::from(*letter)).collect())
        .collect();
    Ok(groups.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn keys_are_made_once_private_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let first = Keys::ensure(dir.path()).unwrap();
        let path = data_dir::keys_file(dir.path());
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let second = Keys::ensure(dir.path()).unwrap();
        assert_eq!(first.variables(), second.variables());
        assert_eq!(Keys::read(&path).unwrap().variables(), first.variables());
        assert_eq!(first.variables().len(), 8);
        assert_eq!(first.get("setup_code").unwrap().len(), 19);
    }

    #[test]
    fn what_is_missing_is_added_and_what_is_there_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = data_dir::keys_file(dir.path());
        fs::write(&path, "SPIN_VARIABLE_SIDECAR_TOKEN=mine\nOTHER=1").unwrap();
        let keys = Keys::ensure(dir.path()).unwrap();
        assert_eq!(keys.get("sidecar_token").unwrap(), "mine");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("SPIN_VARIABLE_SIDECAR_TOKEN=mine\nOTHER=1\n"));
    }

    #[test]
    fn the_public_key_is_the_private_ones() {
        // RFC 8032, section 7.1, test 1.
        let secret =
            hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
                .unwrap();
        let public =
            hex::decode("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
                .unwrap();
        assert_eq!(
            public_key(&URL_SAFE_NO_PAD.encode(secret)).unwrap(),
            URL_SAFE_NO_PAD.encode(public)
        );
    }
}
