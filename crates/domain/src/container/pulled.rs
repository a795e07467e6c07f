//! An image as whatever pulls it is told of it.

use super::ContainerImage;
use crate::build::ImageVersion;
use crate::{Digest, Invalid};

impl ContainerImage {
    /// The reference to pull by: with `digest` exactly that, whatever the tag says by now.
    ///
    /// # Errors
    /// When the image's own digest is another one.
    pub fn pulled(&self, digest: Option<&Digest>) -> Result<String, Invalid> {
        match (&self.version, digest) {
            (ImageVersion::Digest(own), Some(digest)) if own != digest.as_str() => Err(
                Invalid::new("names another digest than the one that is given"),
            ),
            (_, Some(digest)) => Ok(format!("{}@{digest}", self.repository)),
            (ImageVersion::Digest(own), None) => Ok(format!("{}@{own}", self.repository)),
            (ImageVersion::Latest | ImageVersion::Tag(_), None) => Ok(self.full_name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::ImageReference;

    fn pulled(name: &str, digest: Option<&str>) -> Result<String, Invalid> {
        let digest = digest.map(|digest| Digest::parse(digest).unwrap());
        let reference = ImageReference::parse(name).unwrap();
        let image = ContainerImage::from_reference(&reference).unwrap();
        image.pulled(digest.as_ref())
    }

    #[test]
    fn a_digest_is_pulled_and_not_what_a_tag_means_by_now() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let other = format!("sha256:{}", "b".repeat(64));
        assert_eq!(
            pulled("registry.localhost:5000/a/b:1.2", Some(&digest)).unwrap(),
            format!("registry.localhost:5000/a/b@{digest}")
        );
        let own = format!("ghcr.io/a/b@{digest}");
        assert_eq!(pulled(&own, None).unwrap(), own);
        assert_eq!(pulled(&own, Some(&digest)).unwrap(), own);
        assert!(pulled(&own, Some(&other)).is_err());
        assert_eq!(
            pulled("nginx:1.27", None).unwrap(),
            "docker.io/library/nginx:1.27"
        );
        assert_eq!(
            pulled("nginx", None).unwrap(),
            "docker.io/library/nginx:latest"
        );
    }
}
