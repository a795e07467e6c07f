//! `nokube keys rotate`: a new key signs access tokens, and the old one is believed until those it
//! signed have ended.
//!
//! It writes the file of keys and touches no platform: one that runs goes on with the old key, and takes
//! the new one at its next start. How long the old one is believed is written beside it
//! (`<key>@<unix seconds>`, read by `nokube_guest::public_keys`), so nobody has to remember to remove it.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use nokube_sidecar::durable::write_durably;

use super::keys::{Keys, PREFIX, public_key, random_key};

/// Rotates the keys of a file. Returns until when the old one is believed; nothing when it is not.
pub(super) fn rotate(path: &Path, keep_minutes: u32, now: i64) -> anyhow::Result<Option<i64>> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("the keys cannot be read from {}", path.display()))?;
    let keys = Keys::read(path)?;
    let private = random_key()?;
    let until = now + i64::from(keep_minutes) * 60;
    let mut public = vec![public_key(&private)?];
    if keep_minutes > 0 {
        public.extend(retired(keys.get("jwt_public_keys")?, until, now));
    }
    let text = with_value(&text, "jwt_private_key", &private);
    let text = with_value(&text, "jwt_public_keys", &public.join(","));
    write_durably(path, text.as_bytes())
        .with_context(|| format!("{} cannot be written", path.display()))?;
    Ok((keep_minutes > 0).then_some(until))
}

/// Unix seconds.
pub(super) fn now_seconds() -> anyhow::Result<i64> {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock is before 1970")?;
    Ok(since.as_secs().cast_signed())
}

/// The keys there were: the one that signed until `until`, those retired before until their own time.
fn retired(public_keys: &str, until: i64, now: i64) -> Vec<String> {
    public_keys
        .split(',')
        .map(str::trim)
        .filter_map(|entry| match entry.split_once('@') {
            None => Some(format!("{entry}@{until}")),
            Some((_, ends)) => {
                let goes_on = ends.parse::<i64>().is_ok_and(|ends| ends > now);
                goes_on.then(|| entry.to_owned())
            }
        })
        .collect()
}

/// The file with another value for a key; everything else stays as it is.
fn with_value(text: &str, name: &str, value: &str) -> String {
    let name = format!("{PREFIX}{}", name.to_ascii_uppercase());
    let is_it = |line: &str| {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        line.split_once('=')
            .is_some_and(|(known, _)| known.trim() == name)
    };
    let mut lines: Vec<String> = (text.lines())
        .filter(|line| !is_it(line))
        .map(str::to_owned)
        .collect();
    lines.push(format!("{name}={value}"));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    const NOW: i64 = 1_800_000_000;

    fn values(dir: &Path) -> (String, String) {
        let keys = Keys::read(&dir.join("keys.env")).unwrap();
        let get = |name| keys.get(name).unwrap().to_owned();
        (get("jwt_private_key"), get("jwt_public_keys"))
    }

    #[test]
    fn the_old_key_stays_behind_the_new_one_until_its_time() {
        let dir = tempfile::tempdir().unwrap();
        Keys::ensure(dir.path()).unwrap();
        let path = dir.path().join("keys.env");
        let (old_private, old_public) = values(dir.path());
        assert_eq!(rotate(&path, 60, NOW).unwrap(), Some(NOW + 3_600));
        let (private, public) = values(dir.path());
        assert_ne!(private, old_private);
        let new_public = public_key(&private).unwrap();
        assert_eq!(public, format!("{new_public},{old_public}@{}", NOW + 3_600));
        // A second one keeps both while both may be around, a later one only its own.
        rotate(&path, 60, NOW + 60).unwrap();
        assert_eq!(values(dir.path()).1.matches('@').count(), 2);
        rotate(&path, 60, NOW + 3_700).unwrap();
        assert_eq!(values(dir.path()).1.matches('@').count(), 1);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_stolen_key_is_withdrawn_and_all_else_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        Keys::ensure(dir.path()).unwrap();
        let path = dir.path().join("keys.env");
        let before = Keys::read(&path).unwrap();
        assert_eq!(rotate(&path, 0, NOW).unwrap(), None);
        let (private, public) = values(dir.path());
        assert_eq!(public, public_key(&private).unwrap());
        let after = Keys::read(&path).unwrap();
        for (name, value) in before.variables() {
            if !name.starts_with("jwt_") {
                assert_eq!(after.get(name).unwrap(), value);
            }
        }
        assert_eq!(before.variables().len(), after.variables().len());
    }
}
