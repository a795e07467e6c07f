//! What must hold whatever strangers send: for `cargo xtask fuzz`, and for its corpora as ordinary tests.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::build::{
    ImageReference, check_image_name, check_image_tag, clean_log_text, parse_subdirectory,
};
use crate::deploy::variable_name_fault;
use crate::git_source::{AddressPolicy, BranchName, CommitId, GitAccess, RepositoryUrl, classify};
use crate::{
    BuildId, ContainerImage, Description, Digest, DisplayName, DnsLabel, Email, Environment,
    HostLabel, ProjectId, Quantity, ServiceName, Slug, Timestamp, Username, check_custom_domain,
};

/// Addresses of repositories, names of branches, network addresses.
pub fn git_sources(data: &[u8]) {
    if let Ok(bytes) = <[u8; 4]>::try_from(data) {
        let v4 = Ipv4Addr::from(bytes);
        let mapped = IpAddr::V6(v4.to_ipv6_mapped());
        assert_eq!(
            classify(mapped),
            classify(IpAddr::V4(v4)),
            "one address, two kinds"
        );
    }
    if let Ok(bytes) = <[u8; 16]>::try_from(data) {
        let _ = classify(IpAddr::V6(Ipv6Addr::from(bytes)));
    }
    let text = String::from_utf8_lossy(data);
    for access in [GitAccess::Local, GitAccess::Public] {
        let policy = AddressPolicy {
            access,
            denied_ports: &[3000],
        };
        if let Ok(url) = RepositoryUrl::parse(&text, &policy) {
            check_url(&url, &policy);
        }
    }
    if let Ok(branch) = BranchName::parse(&text) {
        let name = branch.as_str();
        assert!(!name.starts_with('-') && !name.contains("..") && !name.contains(char::is_control));
    }
    if let Ok(commit) = CommitId::parse(&text) {
        assert_eq!(CommitId::parse(commit.as_str()), Ok(commit.clone()));
    }
}

fn check_url(url: &RepositoryUrl, policy: &AddressPolicy<'_>) {
    let again = RepositoryUrl::parse(url.as_str(), policy);
    assert_eq!(again.as_ref(), Ok(url), "what was accepted stays so");
    assert!(
        url.as_str().bytes().all(|byte| byte.is_ascii_graphic()),
        "{url}"
    );
    assert!(url.url().username().is_empty() && url.url().password().is_none());
    assert!(url.url().query().is_none() && url.url().fragment().is_none());
    match url.scheme() {
        "file" => assert!(policy.access == GitAccess::Local && url.path().starts_with('/')),
        scheme => assert!(matches!(scheme, "http" | "https"), "{scheme}"),
    }
}

/// Everything that a person names, counts or points at.
pub fn names(data: &[u8]) {
    let text = &*String::from_utf8_lossy(data);
    check_labels(text);
    check_amounts(text);
    if let Ok(email) = Email::parse(text) {
        assert_eq!(Email::parse(email.as_str()).as_ref(), Ok(&email));
        let name = Username::from_email(&email, u32::try_from(data.len()).unwrap_or(0));
        assert_eq!(Username::parse(name.as_str()), Ok(name.clone()));
    }
    if let Ok(name) = DisplayName::parse(text) {
        assert_eq!(DisplayName::parse(name.as_str()).as_ref(), Ok(&name));
    }
    if let Ok(description) = Description::parse(text) {
        assert!(!description.as_str().contains('\0'));
    }
    let _ = variable_name_fault(text);
    let line = clean_log_text(text);
    assert!(line.len() <= crate::build::MAX_LINE_BYTES);
    assert!(!line.contains(['\n', '\r', '\0']));
}

fn check_labels(text: &str) {
    let slug = Slug::from_name(text);
    assert_eq!(Slug::parse(slug.as_str()), Ok(slug.clone()));
    if let Ok(service) = ServiceName::parse(text) {
        assert!(DnsLabel::parse(text).is_ok());
        let label = HostLabel::new(&service, &Environment::default());
        assert_eq!(label.as_ref().map(HostLabel::as_str), Ok(text));
        if let Ok(label) = HostLabel::new(&service, &Environment::parse(text).expect("alike")) {
            assert!(DnsLabel::parse(label.as_str()).is_ok());
        }
    }
    if check_custom_domain(text, &["paas.example.com"]).is_ok() {
        assert!(!text.ends_with("example.com") || !text.ends_with(".paas.example.com"));
        assert!(text.split('.').all(|label| DnsLabel::parse(label).is_ok()));
    }
    if let Ok(image) = ImageReference::parse(text) {
        assert!(!image.repository.is_empty() && text.starts_with(&image.repository));
        check_container(&image);
    }
    if check_image_name(text).is_ok() || check_image_tag(text).is_ok() {
        // `a..b` is a tag, and no way out of a folder.
        assert!(!text.contains('/') && text != "..", "{text}");
    }
    if let Ok(Some(folder)) = parse_subdirectory(text) {
        assert!(!folder.starts_with('/') && folder.split('/').all(|part| part != ".."));
        assert_eq!(parse_subdirectory(&folder), Ok(Some(folder.clone())));
    }
}

/// A whole name is its own whole name, and below its own registry.
fn check_container(reference: &ImageReference) {
    let Ok(image) = ContainerImage::from_reference(reference) else {
        return;
    };
    let name = image.full_name();
    let again = ImageReference::parse(&name).expect("a whole name is a reference");
    let again = ContainerImage::from_reference(&again).expect("of an image");
    assert_eq!(again.repository(), image.repository());
    let (registry, _) = name.split_once('/').expect("a whole name has a registry");
    assert!(
        image.is_below(registry) || registry == "docker.io",
        "{name}"
    );
}

fn check_amounts(text: &str) {
    if let Ok(quantity) = Quantity::parse(text) {
        assert_eq!(quantity.as_str(), text);
        assert!(quantity.units() <= i64::MAX as u64);
        let rounded = quantity.millis().div_ceil(1_000);
        assert!(
            quantity.millis() == u64::MAX || rounded == quantity.units(),
            "{text}"
        );
    }
    if let Ok(time) = Timestamp::parse(text) {
        assert_eq!(Timestamp::parse(&time.to_string()), Ok(time), "{text}");
    }
    if let Ok(id) = ProjectId::parse(text) {
        assert_eq!(id.to_string(), text);
    }
    if let Ok(id) = BuildId::parse(text) {
        assert_eq!(id.to_string(), text);
    }
    if let Ok(digest) = Digest::parse(text) {
        assert_eq!(digest.as_str(), text);
    }
}

#[cfg(test)]
mod tests {
    use nokube_corpus::replay;

    #[test]
    fn the_corpus_of_git_sources_holds() {
        replay("git_sources", super::git_sources);
    }

    #[test]
    fn the_corpus_of_names_holds() {
        replay("names", super::names);
    }
}
