//! `allowed_outbound_hosts`: where a component may connect to.
//!
//! An entry is `<scheme>://<host>[:<port>]` with `*` for any scheme, host or port, `*.example.com`
//! for subdomains, an address range (`10.0.0.0/8`), a half-open port range (`8000..9000`), or the
//! host `self` for the application itself. The rules are Spin's. What an address *resolves* to is
//! not looked at here: the engine refuses private addresses after name resolution.

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;

use url::Host;

use crate::variables::{Template, TemplateError};

const CHAINING_SUFFIX: &str = ".spin.internal";

/// Why an entry was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Not of the form at all.
    #[error("{0:?} is not `<scheme>://<host>[:<port>]` (to allow everything, write `*://*:*`)")]
    NoScheme(String),
    /// The scheme.
    #[error("{0:?}: the scheme must be letters, or `*`")]
    Scheme(String),
    /// The host.
    #[error("{pattern:?}: {reason}")]
    Host {
        /// The entry.
        pattern: String,
        /// Why its host was refused.
        reason: &'static str,
    },
    /// The port.
    #[error("{0:?}: the port must be a number, a range such as `8000..9000`, or `*`")]
    Port(String),
    /// No port, and none is known for the scheme.
    #[error("{0:?} needs a port: its scheme has no well-known one")]
    NoPort(String),
    /// A path after the port.
    #[error("{0:?} must not have a path")]
    Path(String),
    /// A template in it.
    #[error("in an outbound host: {0}")]
    Template(TemplateError),
    /// A template names a variable that the application does not have.
    #[error("there is no variable `{0}`")]
    UnknownVariable(String),
}

impl HostError {
    /// How to mend it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NoScheme(_) => "put the scheme in front, such as \"https://example.com\"",
            Self::Scheme(_) => "write a scheme such as `https` or `postgres`, or `*` for any",
            Self::Host { .. } => {
                "write a name, an address, `*.example.com` for subdomains, or `*` for any"
            }
            Self::Port(_) => "end it with a port such as `:5432`, a range `:8000..9000`, or `:*`",
            Self::NoPort(_) => "add the port, such as `:5432`, or `:*` for any",
            Self::Path(_) => "end it after the host or port: what is allowed are hosts, not paths",
            Self::Template(error) => error.remedy(),
            Self::UnknownVariable(_) => "declare it in `[variables]`",
        }
    }
}

/// One parsed entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    text: String,
    scheme: Option<String>,
    host: HostRule,
    port: PortRule,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum HostRule {
    Any,
    SubdomainOf(String),
    ToSelf,
    Exactly(Host),
    Network(Network),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum PortRule {
    Any,
    One(u16),
    Within(Range<u16>),
}

/// An address range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    prefix: u8,
}

impl HostPattern {
    /// Parses an entry without templates.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let trimmed = text.trim();
        let (scheme, rest) = trimmed
            .split_once("://")
            .ok_or_else(|| HostError::NoScheme(text.to_owned()))?;
        let (host, port) = split_port(rest, text)?;
        if scheme != "*" && (scheme.is_empty() || !scheme.chars().all(char::is_alphabetic)) {
            return Err(HostError::Scheme(text.to_owned()));
        }
        let port = parse_port(port, scheme, text)?;
        let host = parse_host(host).map_err(|reason| HostError::Host {
            pattern: text.to_owned(),
            reason,
        })?;
        Ok(Self {
            text: text.to_owned(),
            scheme: (scheme != "*").then(|| scheme.to_owned()),
            host,
            port,
        })
    }

    /// Whether a connection is allowed. `host` is a name or an address (IPv6 in brackets); a missing
    /// port is the scheme's well-known one.
    #[must_use]
    pub fn allows(&self, scheme: &str, host: &str, port: Option<u16>) -> bool {
        self.allows_scheme(scheme)
            && Host::parse(host).is_ok_and(|host| self.host.allows(&host))
            && self.port.allows(port, scheme)
    }

    /// Whether the application itself may be called (a URL without a host).
    #[must_use]
    pub fn allows_self(&self, scheme: &str) -> bool {
        self.allows_scheme(scheme) && matches!(self.host, HostRule::Any | HostRule::ToSelf)
    }

    /// Whether it is about service chaining: `http://<component>.spin.internal`.
    #[must_use]
    pub fn is_for_service_chaining(&self) -> bool {
        match &self.host {
            HostRule::Exactly(Host::Domain(domain)) => domain.ends_with(CHAINING_SUFFIX),
            HostRule::SubdomainOf(suffix) => suffix == CHAINING_SUFFIX,
            _ => false,
        }
    }

    fn allows_scheme(&self, scheme: &str) -> bool {
        self.scheme.as_deref().is_none_or(|own| own == scheme)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl HostRule {
    fn allows(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (Self::SubdomainOf(suffix), Host::Domain(domain)) => domain.ends_with(suffix),
            (Self::Exactly(own), host) => own == host,
            (Self::Network(network), Host::Ipv4(ip)) => network.contains(IpAddr::V4(*ip)),
            (Self::Network(network), Host::Ipv6(ip)) => network.contains(IpAddr::V6(*ip)),
            (Self::SubdomainOf(_) | Self::Network(_) | Self::ToSelf, _) => false,
        }
    }
}

impl PortRule {
    fn allows(&self, port: Option<u16>, scheme: &str) -> bool {
        let Some(port) = port.or_else(|| well_known_port(scheme)) else {
            return *self == Self::Any;
        };
        match self {
            Self::Any => true,
            Self::One(own) => *own == port,
            Self::Within(range) => range.contains(&port),
        }
    }
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let prefix: u8 = prefix.parse().ok()?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        (prefix <= bits).then_some(Self { address, prefix })
    }

    fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, ip) {
            (IpAddr::V4(own), IpAddr::V4(ip)) => {
                let shift = 32 - u32::from(self.prefix);
                let differ = own.to_bits() ^ ip.to_bits();
                differ.checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(ip)) => {
                let shift = 128 - u32::from(self.prefix);
                let differ = own.to_bits() ^ ip.to_bits();
                differ.checked_shr(shift).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// Splits `host:port`. The whole is a host when it reads as one: an IPv6 range has colons of its own.
fn split_port<'t>(rest: &'t str, text: &str) -> Result<(&'t str, &'t str), HostError> {
    match rest.rsplit_once(':') {
        None => Ok((rest, "")),
        Some((host, "")) => Ok((host, "")),
        Some(_) if parse_host(rest).is_ok() => Ok((rest, "")),
        Some((host, tail)) => match tail.split_once('/') {
            Some((port, "")) => Ok((host, port)),
            Some(_) => Err(HostError::Path(text.to_owned())),
            None => Ok((host, tail)),
        },
    }
}

fn parse_port(port: &str, scheme: &str, text: &str) -> Result<PortRule, HostError> {
    let bad = || HostError::Port(text.to_owned());
    if port.is_empty() {
        return well_known_port(scheme)
            .map(PortRule::One)
            .ok_or_else(|| HostError::NoPort(text.to_owned()));
    }
    if port == "*" {
        return Ok(PortRule::Any);
    }
    if let Some((start, end)) = port.split_once("..") {
        let start = start.parse().map_err(|_| bad())?;
        let end = end.parse().map_err(|_| bad())?;
        return Ok(PortRule::Within(start..end));
    }
    port.parse().map(PortRule::One).map_err(|_| bad())
}

fn parse_host(host: &str) -> Result<HostRule, &'static str> {
    let host = host.trim();
    match host {
        "*" => return Ok(HostRule::Any),
        "self" | "self.alt" => return Ok(HostRule::ToSelf),
        _ => {}
    }
    if host.starts_with('{') {
        return Err("lists of hosts are not supported: write one entry for each");
    }
    if let Some(network) = Network::parse(host) {
        return Ok(HostRule::Network(network));
    }
    let host = host.strip_suffix('/').unwrap_or(host);
    if host.contains('/') {
        return Err("a host must not have a path");
    }
    if let Some(domain) = host.strip_prefix("*.") {
        if domain.contains('*') {
            return Err("`*` is allowed only once, at the beginning of the host");
        }
        return match Host::parse(domain) {
            Ok(Host::Domain(domain)) => Ok(HostRule::SubdomainOf(format!(".{domain}"))),
            _ => Err("after `*.` a domain must follow"),
        };
    }
    if host.contains('*') {
        return Err("`*` stands for a whole host or for subdomains (`*.example.com`)");
    }
    Host::parse(host)
        .map(HostRule::Exactly)
        .map_err(|_| "not a valid host")
}

fn well_known_port(scheme: &str) -> Option<u16> {
    match scheme {
        "postgres" => Some(5432),
        "mysql" => Some(3306),
        "redis" => Some(6379),
        "mqtt" => Some(1883),
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// Everything a component may connect to. By default: nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedHosts {
    patterns: Vec<HostPattern>,
}

impl AllowedHosts {
    /// Parses entries whose templates are filled in by `value`. What becomes empty by that (`""`,
    /// `http://`, `https://`) is left out, as in Spin: an optional address. `http://*.spin.internal`
    /// stands for the components given.
    ///
    /// # Errors
    /// The first [`HostError`].
    pub fn parse<V: AsRef<str>>(
        entries: &[impl AsRef<str>],
        value: impl Fn(&str) -> Option<V>,
        component_ids: &[&str],
    ) -> Result<Self, HostError> {
        let mut patterns = Vec::new();
        for entry in entries {
            let template = Template::parse(entry.as_ref()).map_err(HostError::Template)?;
            let text = template.render(&value).map_err(HostError::Template)?;
            if !template.is_literal() && is_left_out(&text) {
                continue;
            }
            let pattern = HostPattern::parse(&text)?;
            if pattern.host == HostRule::SubdomainOf(CHAINING_SUFFIX.to_owned()) {
                patterns.extend(component_ids.iter().map(|id| HostPattern {
                    host: HostRule::Exactly(Host::Domain(format!("{id}{CHAINING_SUFFIX}"))),
                    ..pattern.clone()
                }));
            } else {
                patterns.push(pattern);
            }
        }
        Ok(Self { patterns })
    }

    /// Whether a connection is allowed: see [`HostPattern::allows`].
    #[must_use]
    pub fn allows(&self, scheme: &str, host: &str, port: Option<u16>) -> bool {
        self.patterns.iter().any(|p| p.allows(scheme, host, port))
    }

    /// Whether the application itself may be called: see [`HostPattern::allows_self`].
    #[must_use]
    pub fn allows_self(&self, scheme: &str) -> bool {
        self.patterns.iter().any(|p| p.allows_self(scheme))
    }

    /// The entries.
    #[must_use]
    pub fn patterns(&self) -> &[HostPattern] {
        &self.patterns
    }
}

/// The component that a host of service chaining names: `api` for `api.spin.internal`, with or
/// without a port.
#[must_use]
pub fn service_chaining_component(host: &str) -> Option<&str> {
    let host = host.trim();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    let (component, rest) = host.split_once('.')?;
    (rest == &CHAINING_SUFFIX[1..] && !component.is_empty()).then_some(component)
}

fn is_left_out(text: &str) -> bool {
    matches!(text, "" | "http://" | "https://")
}

/// Checks an entry that may hold templates. `default` answers: no such variable (`None`), a variable
/// without a default (`Some(None)`), or its default. With all defaults known the result is checked too.
pub(crate) fn check_host_template<'v>(
    text: &str,
    default: impl Fn(&str) -> Option<Option<&'v str>>,
) -> Result<(), HostError> {
    let template = Template::parse(text).map_err(HostError::Template)?;
    for name in template.variables() {
        if default(name).is_none() {
            return Err(HostError::UnknownVariable(name.to_owned()));
        }
    }
    let Ok(filled) = template.render(|name| default(name).flatten()) else {
        return Ok(());
    };
    if !template.is_literal() && is_left_out(&filled) {
        return Ok(());
    }
    HostPattern::parse(&filled).map(|_| ())
}

#[cfg(test)]
mod tests;
