//! Where a build's source may come from: the one constructor of a repository's address, the names
//! of what is checked out there, and the policy on the network addresses behind it.
//!
//! `builds` parses with it when a build is asked for, the runner parses again before it fetches and
//! checks every address the host name resolves to ([`AddressPolicy::check`]), so that a name that
//! changes its mind in between gains nothing. Nothing here resolves a name or opens a connection.

mod address;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use url::{Host, Url};

pub use address::{AddressKind, AddressPolicy, AddressRefusal, classify};

/// A longer address is a mistake or an attack; Git hosts stay far below.
const URL_MAX_BYTES: usize = 2048;
/// Git itself stops at the length of a path component, 255 bytes.
const BRANCH_MAX_BYTES: usize = 255;

/// How far away a Git source may, or must, be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GitAccess {
    /// Only this machine's users reach the platform: `file://`, loopback and private addresses are
    /// theirs anyway.
    Local,
    /// Strangers reach the platform: public addresses only, over HTTP.
    Public,
}

impl GitAccess {
    /// Reads the platform's variable `git_access`: `local` or `public`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "local" => Some(Self::Local),
            "public" => Some(Self::Public),
            _ => None,
        }
    }

    /// The word [`GitAccess::parse`] reads.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Public => "public",
        }
    }
}

/// Why a repository's address is refused. The text is for the user and never repeats a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RepositoryUrlError {
    /// Nothing there.
    #[error(
        "is empty; give the repository's address, such as https://git.example.org/team/app.git"
    )]
    Empty,
    /// Longer than 2048 bytes.
    #[error("is longer than {URL_MAX_BYTES} bytes")]
    TooLong,
    /// Spaces, control characters, back-slashes.
    #[error("contains a space, a control character or a back-slash")]
    Characters,
    /// It would be read as an option by the program.
    #[error("starts with '-', as an option does; an address starts with https:// or http://")]
    Option,
    /// `ext::…` and the like.
    #[error(
        "uses a transport helper ('::'), which is refused; give an https:// or http:// address"
    )]
    TransportHelper,
    /// `git@host:path`.
    #[error("is in the short form of SSH; SSH is not supported, give the https:// address")]
    ScpForm,
    /// No scheme at all.
    #[error("has no scheme; give an https:// or http:// address")]
    NoScheme,
    /// A scheme we do not fetch by.
    #[error("has the scheme '{0}', which is not supported; give an https:// or http:// address")]
    Scheme(String),
    /// `file://` on a platform that others can reach.
    #[error(
        "is a file:// address, which this platform does not allow because others than this machine's users can reach it; give an https:// or http:// address"
    )]
    FileNotAllowed,
    /// `file://host/path`, or a relative one.
    #[error(
        "is not a file:// address of an absolute path on this machine (file:///srv/git/app.git)"
    )]
    FilePath,
    /// `https://user:password@…`.
    #[error(
        "contains a user name or password, which would be shown to everyone who may see the build; leave it out"
    )]
    UserInfo,
    /// `?…` or `#…`.
    #[error("has a query ('?') or a fragment ('#'); give the repository's address alone")]
    QueryOrFragment,
    /// The URL parser's word.
    #[error("is not an address: {0}")]
    Syntax(url::ParseError),
    /// Its literal host is not allowed.
    #[error("{0}")]
    Address(AddressRefusal),
}

/// The address of a Git repository: `https`, `http`, or `file` where allowed; normalised, without
/// credentials, query or fragment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RepositoryUrl(Url);

impl RepositoryUrl {
    /// The one constructor. A host given as an IP address, or as `localhost`, is checked here; other
    /// names only mean something once they are resolved.
    pub fn parse(text: &str, policy: &AddressPolicy<'_>) -> Result<Self, RepositoryUrlError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(RepositoryUrlError::Empty);
        }
        if text.len() > URL_MAX_BYTES {
            return Err(RepositoryUrlError::TooLong);
        }
        if text.starts_with('-') {
            return Err(RepositoryUrlError::Option);
        }
        // `Url` drops tabs and line ends and turns back-slashes round; Git would not.
        if text
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || c == '\\')
        {
            return Err(RepositoryUrlError::Characters);
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(if text.contains("::") {
                RepositoryUrlError::TransportHelper
            } else if text.contains(':') {
                RepositoryUrlError::ScpForm
            } else {
                RepositoryUrlError::NoScheme
            });
        };
        if scheme.contains("::") {
            return Err(RepositoryUrlError::TransportHelper);
        }
        match scheme.to_ascii_lowercase().as_str() {
            "https" | "http" => {}
            "file" if policy.access == GitAccess::Local => {}
            "file" => return Err(RepositoryUrlError::FileNotAllowed),
            other => return Err(RepositoryUrlError::Scheme(other.chars().take(20).collect())),
        }
        if rest.contains(['?', '#']) {
            return Err(RepositoryUrlError::QueryOrFragment);
        }
        let mut url = Url::parse(text).map_err(RepositoryUrlError::Syntax)?;
        // A fully qualified name (`host.`) is the same host; programs differ in how they compare it.
        if let Some(name) = url
            .domain()
            .filter(|name| name.ends_with('.'))
            .map(|name| name.trim_end_matches('.').to_owned())
        {
            url.set_host(Some(&name))
                .map_err(RepositoryUrlError::Syntax)?;
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(RepositoryUrlError::UserInfo);
        }
        if url.scheme() == "file" {
            let absolute = url.host().is_none() && url.path().len() > 1;
            return if absolute {
                Ok(Self(url))
            } else {
                Err(RepositoryUrlError::FilePath)
            };
        }
        let port = url.port_or_known_default().unwrap_or_default();
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(name)) if is_localhost(name) => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            _ => None,
        };
        if let Some(address) = literal {
            policy
                .check(address, port, address.is_loopback())
                .map_err(RepositoryUrlError::Address)?;
        }
        Ok(Self(url))
    }

    /// The normalised address: this, not the user's text, is what a program is given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether it names a folder of this machine.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.0.scheme() == "file"
    }

    /// `https`, `http` or `file`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.0.scheme()
    }

    /// The host and port to connect to; nothing for `file://`.
    #[must_use]
    pub fn host_and_port(&self) -> Option<(Host<&str>, u16)> {
        Some((self.0.host()?, self.0.port_or_known_default()?))
    }

    /// The path, percent-encoded as in the address.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.path()
    }

    /// The address in full.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for RepositoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// RFC 6761: these names are loopback, whatever a resolver says.
fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name.eq_ignore_ascii_case("localhost")
        || name.len() > 10 && name[name.len() - 10..].eq_ignore_ascii_case(".localhost")
}

/// Why a branch's name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BranchNameError {
    /// Nothing there.
    #[error("is empty")]
    Empty,
    /// Longer than 255 bytes.
    #[error("is longer than {BRANCH_MAX_BYTES} bytes")]
    TooLong,
    /// It would be read as an option.
    #[error("starts with '-'")]
    Option,
    /// A character or sequence that Git does not have in names.
    #[error("is not a branch or tag name as Git has them (git check-ref-format)")]
    Format,
}

/// The name of a branch or tag, as `git check-ref-format --branch` accepts it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BranchName(String);

impl BranchName {
    /// The one constructor.
    pub fn parse(text: &str) -> Result<Self, BranchNameError> {
        if text.is_empty() {
            return Err(BranchNameError::Empty);
        }
        if text.len() > BRANCH_MAX_BYTES {
            return Err(BranchNameError::TooLong);
        }
        if text.starts_with('-') {
            return Err(BranchNameError::Option);
        }
        let bad_char = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
        let bad_part =
            |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
        if text.chars().any(bad_char)
            || text.contains("..")
            || text.contains("@{")
            || text == "@"
            || text == "HEAD"
            || text.ends_with('.')
            || text.split('/').any(bad_part)
        {
            return Err(BranchNameError::Format);
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BranchName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Not a full commit id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is not a full commit id: 40 (SHA-1) or 64 (SHA-256) hexadecimal digits")]
pub struct CommitIdError;

/// A full commit id, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CommitId(String);

impl CommitId {
    /// The one constructor. Abbreviated ids are refused: a server can't be asked for them.
    pub fn parse(text: &str) -> Result<Self, CommitIdError> {
        let full = matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit());
        if full {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(CommitIdError)
        }
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
