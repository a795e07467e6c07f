//! Services of a project, their environments, and the host names they answer on.

use std::fmt;

use crate::{DnsLabel, Invalid};

/// The environment that a deploy means when it names none; its host name is the service's alone.
pub const PRODUCTION: &str = "production";

/// Bytes of one DNS label (RFC 1035, section 2.3.4).
const LABEL_BYTES: usize = 63;

/// The name of a service: a DNS label that starts with a letter (Kubernetes wants that of a
/// Service, RFC 1035) and is no punycode.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceName(DnsLabel);

impl ServiceName {
    /// Reads a service's name.
    ///
    /// # Errors
    /// Anything but 1 to 63 lower-case letters, digits and inner hyphens with a letter in front,
    /// and `xn--…`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        lettered_label(text).map(Self)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The label of an environment: `production`, `recette`, or any other.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Environment(DnsLabel);

impl Environment {
    /// Reads an environment's label.
    ///
    /// # Errors
    /// As for [`ServiceName::parse`].
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        lettered_label(text).map(Self)
    }

    /// The label.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether it is the one that hosts without its name.
    #[must_use]
    pub fn is_production(&self) -> bool {
        self.as_str() == PRODUCTION
    }
}

impl Default for Environment {
    fn default() -> Self {
        Self::parse(PRODUCTION).expect("`production` is a DNS label")
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The first label of a deployment's host name: `<service>` in production, else
/// `<service>-<environment>`.
///
/// `api` in `staging` and a service `api-staging` in production would answer on one host: whoever
/// stores deployments keeps this label unique within a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostLabel(String);

impl HostLabel {
    /// The label of `service` in `environment`.
    ///
    /// # Errors
    /// When it would not fit into a DNS label.
    pub fn new(service: &ServiceName, environment: &Environment) -> Result<Self, Invalid> {
        let label = if environment.is_production() {
            service.to_string()
        } else {
            format!("{service}-{environment}")
        };
        if label.len() > LABEL_BYTES {
            return Err(Invalid::new(
                "makes, together with the service's name, a host name of more than 63 characters",
            ));
        }
        Ok(Self(label))
    }

    /// The label.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks a host name of a user's own: well formed (RFC 1123, section 2.1), no address, and none of
/// the `platform`'s (base domain, public host), nor below or above one of those.
///
/// # Errors
/// Anything else.
pub fn check_custom_domain(domain: &str, platform: &[&str]) -> Result<(), Invalid> {
    let labels: Vec<&str> = domain.split('.').collect();
    let numeric_top = labels
        .last()
        .is_some_and(|top| top.bytes().all(|b| b.is_ascii_digit()));
    let well_formed = domain.len() <= 253
        && labels.len() >= 2
        && !numeric_top
        && labels.iter().all(|label| DnsLabel::parse(label).is_ok());
    if !well_formed {
        return Err(Invalid::new(
            "must be a lower-case host name with at least one dot, such as www.example.com",
        ));
    }
    let below = |inner: &str, outer: &str| {
        inner == outer
            || inner
                .strip_suffix(outer)
                .is_some_and(|rest| rest.ends_with('.'))
    };
    let taken = platform
        .iter()
        .any(|host| below(domain, host) || below(host, domain))
        // Names that mean this very machine (RFC 6761, section 6.3) or live within a cluster.
        || ["localhost", "local", "internal"]
            .iter()
            .any(|top| below(domain, top));
    if taken {
        return Err(Invalid::new("belongs to the platform"));
    }
    Ok(())
}

fn lettered_label(text: &str) -> Result<DnsLabel, Invalid> {
    match DnsLabel::parse(text) {
        Ok(label) if text.starts_with(|c: char| c.is_ascii_lowercase()) => {
            if text.starts_with("xn--") {
                return Err(Invalid::new("must not start with xn--"));
            }
            Ok(label)
        }
        _ => Err(Invalid::new(
            "must be 1 to 63 lower-case letters, digits and inner hyphens and start with a letter",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(service: &str, environment: &str) -> Result<String, Invalid> {
        let service = ServiceName::parse(service).unwrap();
        HostLabel::new(&service, &Environment::parse(environment).unwrap()).map(|l| l.0)
    }

    #[test]
    fn production_hosts_without_its_name() {
        assert_eq!(label("api", "production").unwrap(), "api");
        assert_eq!(label("api", "recette").unwrap(), "api-recette");
    }

    #[test]
    fn two_deployments_can_share_a_label_so_that_it_must_be_kept_unique() {
        assert_eq!(label("api", "staging"), label("api-staging", "production"));
    }

    #[test]
    fn a_label_that_does_not_fit_is_refused() {
        let environment = "e".repeat(40);
        assert!(label(&"s".repeat(23), &environment).is_err());
        assert!(label(&"s".repeat(22), &environment).is_ok());
    }

    #[test]
    fn bad_names_are_refused() {
        for bad in [
            "",
            "-a",
            "a-",
            "A",
            "a.b",
            "1a",
            "é",
            "xn--a",
            &"a".repeat(64),
        ] {
            assert!(Environment::parse(bad).is_err(), "{bad}");
            assert!(ServiceName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_platforms_own_names_are_no_custom_domains() {
        let platform = ["apps.example.org", "nokube.example.org"];
        for taken in [
            "apps.example.org",
            "x.apps.example.org",
            "example.org",
            "nokube.example.org",
            "a.localhost",
        ] {
            assert!(check_custom_domain(taken, &platform).is_err(), "{taken}");
        }
        for free in ["www.example.com", "xapps.example.org", "a.b.c.example"] {
            assert_eq!(check_custom_domain(free, &platform), Ok(()), "{free}");
        }
    }

    #[test]
    fn what_is_no_host_name_is_no_custom_domain() {
        for bad in [
            "", "com", "a..b", "1.2.3.4", "A.com", "a_b.com", "a.com.", "a b.com", "[::1]",
        ] {
            assert!(check_custom_domain(bad, &[]).is_err(), "{bad}");
        }
    }
}
