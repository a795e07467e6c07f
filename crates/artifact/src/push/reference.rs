//! Names of images: `registry[:port]/repository[:tag]`.

use std::fmt;
use std::str::FromStr;

/// Where an image goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: String,
}

/// The text is no image's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not an image's name (`registry[:port]/repository[:tag]`): {reason}")]
pub struct ReferenceError {
    name: String,
    reason: &'static str,
}

impl Reference {
    /// Host, and port when there is one.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository's path.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `latest` when the name has none.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(name: &str) -> Result<Self, ReferenceError> {
        let error = |reason| ReferenceError {
            name: name.chars().take(200).collect(),
            reason,
        };
        let (registry, rest) = name
            .split_once('/')
            .ok_or_else(|| error("a registry must come first"))?;
        if !is_host(registry) {
            return Err(error("the registry is not a host"));
        }
        let (repository, tag) = rest.rsplit_once(':').unwrap_or((rest, "latest"));
        if repository.len() > 255 || !repository.split('/').all(is_path_part) {
            return Err(error("the repository is not valid"));
        }
        if !is_tag(tag) {
            return Err(error("the tag is not valid"));
        }
        Ok(Self {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            tag: tag.to_owned(),
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.registry, self.repository, self.tag)
    }
}

fn is_host(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, "1"));
    !host.is_empty()
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
        && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Lower-case letters and digits, separated by `.`, `_`, `__` or dashes.
fn is_path_part(part: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    bytes.first().is_some_and(|b| is_word(*b))
        && bytes.last().is_some_and(|b| is_word(*b))
        && bytes
            .iter()
            .all(|b| is_word(*b) || matches!(b, b'.' | b'_' | b'-'))
        && !part.contains("..")
}

/// Up to 128 of letters, digits, `_`, `.` and `-`, not beginning with the last two.
fn is_tag(tag: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    (1..=128).contains(&tag.len()) && tag.bytes().all(is_inner) && !tag.starts_with(['.', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let name: Reference = "localhost:5000/nokube/ada-shop-api:v1".parse().unwrap();
        assert_eq!(name.registry(), "localhost:5000");
        assert_eq!(name.repository(), "nokube/ada-shop-api");
        assert_eq!(name.tag(), "v1");
        assert_eq!(name.to_string(), "localhost:5000/nokube/ada-shop-api:v1");
        let name: Reference = "ghcr.io/a/b".parse().unwrap();
        assert_eq!(name.tag(), "latest");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in [
            "",
            "name",
            "user:pass@host/a:b",
            "host:0/a",
            "host/",
            "host/A",
            "host/a/../b",
            "host/a//b",
            "host/a:",
            "host/a:-x",
            "host/a?x=1",
            "http://host/a",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }
}
