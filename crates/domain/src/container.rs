//! Container images of any registry, as a deploy request names them.
//!
//! The names are those of the distribution project's reference grammar, made whole (`nginx` is
//! `docker.io/library/nginx:latest`), so that one image has one name here.

use crate::build::{ImageFault, ImageReference, ImageVersion};

mod pulled;

const DOCKER_HUB: &str = "docker.io";
/// Bytes of a whole name without its version, as the reference grammar bounds it.
const MAX_NAME_BYTES: usize = 255;

/// A container image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerImage {
    repository: String,
    version: ImageVersion,
}

impl ContainerImage {
    /// The image that a reference means.
    ///
    /// # Errors
    /// [`ImageFault::Reference`] when its name is not one of the reference grammar.
    pub fn from_reference(reference: &ImageReference) -> Result<Self, ImageFault> {
        let repository = whole_name(&reference.repository).ok_or(ImageFault::Reference)?;
        Ok(Self {
            repository,
            version: reference.version.clone(),
        })
    }

    /// Its name without a version, registry included.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Its name for people: with its tag, unless a digest alone says which one is meant.
    #[must_use]
    pub fn full_name(&self) -> String {
        match &self.version {
            ImageVersion::Latest => format!("{}:latest", self.repository),
            ImageVersion::Tag(tag) => format!("{}:{tag}", self.repository),
            ImageVersion::Digest(_) => self.repository.clone(),
        }
    }

    /// The digest that fixes its bytes, when the reference has one.
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        match &self.version {
            ImageVersion::Digest(digest) => Some(digest),
            ImageVersion::Latest | ImageVersion::Tag(_) => None,
        }
    }

    /// Whether it is below `prefix`, the beginning of image names such as `registry.example.org/team`, however
    /// either of them is spelled.
    #[must_use]
    pub fn is_below(&self, prefix: &str) -> bool {
        let below = whole_name(&format!("{}/x", prefix.trim_end_matches('/')));
        let Some(prefix) = below.as_deref().and_then(|name| name.strip_suffix("/x")) else {
            return false;
        };
        self.repository
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// `<registry>/<path>` with what the grammar lets one leave out; nothing for what is no name.
fn whole_name(name: &str) -> Option<String> {
    let (registry, path) = match name.split_once('/') {
        Some((first, rest)) if is_registry(first) => (registry(first)?, rest),
        _ => (DOCKER_HUB.to_owned(), name),
    };
    let library = if registry == DOCKER_HUB && !path.contains('/') {
        "library/"
    } else {
        ""
    };
    let whole = format!("{registry}/{library}{path}");
    (path.split('/').all(is_component) && whole.len() <= MAX_NAME_BYTES).then_some(whole)
}

/// Whether the first part of a name is a registry's: a name of Docker Hub's has neither dot, port nor capital there.
fn is_registry(first: &str) -> bool {
    first == "localhost"
        || first.contains(['.', ':'])
        || first.contains(|letter: char| letter.is_ascii_uppercase())
}

/// The registry's host and port in their one spelling.
fn registry(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text.as_str(), None),
    };
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty()
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if !host.split('.').all(is_label) {
        return None;
    }
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB,
        other => other,
    };
    match port {
        None | Some("443") => Some(host.to_owned()),
        Some(port) => {
            let number: u16 = port.parse().ok()?;
            // One spelling: no sign, no zeros in front.
            (number > 0 && number.to_string() == port).then(|| format!("{host}:{port}"))
        }
    }
}

/// One part of a name's path: runs of lower-case letters and digits, between them `.`, `_`, `__` or dashes.
fn is_component(text: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    text.starts_with(plain)
        && text.ends_with(plain)
        && text.split(plain).all(|between| {
            matches!(between, "" | "." | "_" | "__") || between.bytes().all(|byte| byte == b'-')
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn image(text: &str) -> Option<ContainerImage> {
        let reference = ImageReference::parse(text).ok()?;
        ContainerImage::from_reference(&reference).ok()
    }

    fn full_name(text: &str) -> String {
        image(text).unwrap().full_name()
    }

    #[test]
    fn one_image_has_one_name() {
        for (given, name) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("grafana/grafana", "docker.io/grafana/grafana:latest"),
            ("index.docker.io/nginx:1", "docker.io/library/nginx:1"),
            ("GHCR.io:443/acme/api:v2", "ghcr.io/acme/api:v2"),
            (
                "localhost:5001/a/b__c-d--e.f",
                "localhost:5001/a/b__c-d--e.f:latest",
            ),
            ("10.0.0.5:5000/api:1", "10.0.0.5:5000/api:1"),
        ] {
            assert_eq!(full_name(given), name, "{given}");
        }
        let digest = format!("sha256:{}", "ab".repeat(32));
        let fixed = image(&format!("nginx:1.27@{digest}")).unwrap();
        assert_eq!(fixed.digest(), Some(digest.as_str()));
        assert_eq!(fixed.full_name(), "docker.io/library/nginx");
        assert_eq!(image("nginx:1").unwrap().digest(), None);
    }

    #[test]
    fn what_is_no_image_is_none() {
        let long = format!("ghcr.io/{}", "a/".repeat(130) + "a");
        for bad in [
            "x; rm -rf /",
            "a;b",
            "$(id)",
            "ghcr.io/",
            "ghcr.io//a",
            "ghcr.io/../a",
            "ghcr.io/A/b",
            "-a/b.c:5000/x:y/z",
            "a..b/c.d",
            "ghcr.io./a",
            ".io/a",
            "ghcr.io:0/a",
            "ghcr.io:0443/a",
            "ghcr.io:99999/a",
            "[::1]:5000/a",
            "user@ghcr.io/a",
            "https://ghcr.io/a",
            "a.-b",
            "a___b",
            &long,
        ] {
            assert_eq!(image(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_platforms_own_images_are_recognised_however_they_are_spelled() {
        let below = |text: &str, prefix: &str| image(text).unwrap().is_below(prefix);
        for spelled in [
            "registry.example/nokube/eve-own-web:t4",
            "Registry.EXAMPLE:443/nokube/eve-own-web",
            "registry.example/nokube/a/b",
        ] {
            assert!(below(spelled, "registry.example/nokube"), "{spelled}");
            assert!(below(spelled, "REGISTRY.example:443/nokube/"), "{spelled}");
        }
        assert!(!below(
            "registry.example/nokube2/x",
            "registry.example/nokube"
        ));
        assert!(!below(
            "registry.example/other/x",
            "registry.example/nokube"
        ));
        // A prefix of Docker Hub's without its host.
        assert!(below("docker.io/acme/x", "acme"));
        assert!(below("acme/x:1", "docker.io/acme"));
    }

    proptest! {
        #[test]
        fn a_whole_name_is_read_as_itself(
            text in "([a-z0-9.]{1,8}(:[0-9]{1,5})?/)?[a-z0-9._-]{1,6}(/[a-z0-9._-]{1,6}){0,2}(:[a-z0-9]{1,4})?",
        ) {
            if let Some(read) = image(&text) {
                let name = read.full_name();
                prop_assert_eq!(image(&name).map(|again| again.full_name()), Some(name));
            }
        }
    }
}
