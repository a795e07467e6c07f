//! What an access token is good for when it is not good for everything its user may do.
//!
//! A scope only ever takes away: whoever holds a token with `projects:write` may change the projects
//! that its user may change, and nothing else.

use std::collections::BTreeSet;
use std::fmt;

use crate::Invalid;

/// A part of the platform that a scope can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// The user's own account: address, password, sessions, tokens, audit. `read` and `write` alone do not reach it.
    Account,
    /// Projects, their members and their history.
    Projects,
    /// Builds.
    Builds,
    /// Deployments.
    Deploy,
    /// Calendar events.
    Events,
    /// Servers and their commands.
    Servers,
    /// Metrics.
    Metrics,
}

/// How far a scope goes. Writing includes reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Looking.
    Read,
    /// Changing.
    Write,
}

/// One scope: `read`, `write`, `<capability>:read`, `<capability>:write` or `admin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Every capability but the account.
    All(Reach),
    /// One capability.
    Of(Capability, Reach),
    /// Everything, and acting as administrator where the user is one.
    Admin,
}

/// The scopes of a token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scopes(BTreeSet<Scope>);

impl Capability {
    const ALL: [Self; 7] = [
        Self::Account,
        Self::Projects,
        Self::Builds,
        Self::Deploy,
        Self::Events,
        Self::Servers,
        Self::Metrics,
    ];

    /// The capability of a component; none for one that no scope reaches but `admin`.
    #[must_use]
    pub fn of_component(name: &str) -> Option<Self> {
        match name {
            "auth" => Some(Self::Account),
            // Its own name stands for the user's account, not for a component.
            "account" => None,
            other => Self::ALL.into_iter().find(|known| known.as_str() == other),
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Projects => "projects",
            Self::Builds => "builds",
            Self::Deploy => "deploy",
            Self::Events => "events",
            Self::Servers => "servers",
            Self::Metrics => "metrics",
        }
    }
}

impl Reach {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "read" => Some(Self::Read),
            "write" => Some(Self::Write),
            _ => None,
        }
    }
}

impl Scope {
    /// Reads a scope.
    ///
    /// # Errors
    /// Anything that is none.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let parsed = match text.split_once(':') {
            None if text == "admin" => Some(Self::Admin),
            None => Reach::parse(text).map(Self::All),
            Some((capability, reach)) => Capability::ALL
                .into_iter()
                .find(|known| known.as_str() == capability)
                .zip(Reach::parse(reach))
                .map(|(capability, reach)| Self::Of(capability, reach)),
        };
        parsed.ok_or(Invalid::new(
            "must be read, write, admin, or read or write of account, projects, builds, deploy, events, \
             servers or metrics, such as builds:write",
        ))
    }

    /// Whether whoever has this one needs no `other`.
    #[must_use]
    pub fn includes(self, other: Self) -> bool {
        match (self, other) {
            (Self::Admin, _) => true,
            (_, Self::Admin) | (Self::Of(..), Self::All(_)) => false,
            (Self::All(has), Self::All(needs)) => has >= needs,
            (Self::All(has), Self::Of(capability, needs)) => {
                capability != Capability::Account && has >= needs
            }
            (Self::Of(mine, has), Self::Of(wanted, needs)) => mine == wanted && has >= needs,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admin => formatter.write_str("admin"),
            Self::All(reach) => formatter.write_str(reach.as_str()),
            Self::Of(capability, reach) => {
                write!(formatter, "{}:{}", capability.as_str(), reach.as_str())
            }
        }
    }
}

impl Scopes {
    /// Those of a token, separated by spaces. What this version does not know grants nothing.
    #[must_use]
    pub fn of_token(text: &str) -> Self {
        text.split_whitespace()
            .filter_map(|scope| Scope::parse(scope).ok())
            .collect()
    }

    /// Whether they allow what needs `needed`.
    #[must_use]
    pub fn include(&self, needed: Scope) -> bool {
        self.0.iter().any(|scope| scope.includes(needed))
    }

    /// The first that `others` do not include: what nobody may hand on who has `others`.
    #[must_use]
    pub fn beyond(&self, others: &Self) -> Option<Scope> {
        self.0.iter().copied().find(|scope| !others.include(*scope))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each as it is written.
    #[must_use]
    pub fn to_strings(&self) -> Vec<String> {
        self.0.iter().map(Scope::to_string).collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<T: IntoIterator<Item = Scope>>(scopes: T) -> Self {
        Self(scopes.into_iter().collect())
    }
}

impl fmt::Display for Scopes {
    /// Separated by spaces (RFC 6749, section 3.3).
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.to_strings().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_scope() -> Vec<Scope> {
        let reaches = [Reach::Read, Reach::Write];
        let of = Capability::ALL
            .into_iter()
            .flat_map(|capability| reaches.map(|reach| Scope::Of(capability, reach)));
        reaches
            .map(Scope::All)
            .into_iter()
            .chain(of)
            .chain([Scope::Admin])
            .collect()
    }

    #[test]
    fn a_scope_has_one_spelling() {
        for scope in every_scope() {
            assert_eq!(Scope::parse(&scope.to_string()), Ok(scope));
        }
        for bad in [
            "",
            "all",
            "Read",
            "read ",
            "builds",
            "builds:",
            ":read",
            "admin:read",
            "builds:write:x",
        ] {
            assert!(Scope::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn writing_includes_reading_and_neither_reaches_the_account() {
        let includes = |has: &str, needs: &str| {
            Scope::parse(has)
                .unwrap()
                .includes(Scope::parse(needs).unwrap())
        };
        for (has, needs) in [
            ("write", "read"),
            ("write", "builds:read"),
            ("builds:write", "builds:read"),
            ("account:write", "account:read"),
            ("admin", "account:write"),
        ] {
            assert!(includes(has, needs), "{has} {needs}");
            assert!(!includes(needs, has), "{needs} {has}");
        }
        for (has, needs) in [
            ("write", "account:read"),
            ("write", "admin"),
            ("builds:write", "deploy:read"),
            ("builds:write", "read"),
        ] {
            assert!(!includes(has, needs), "{has} {needs}");
        }
    }

    #[test]
    fn including_is_transitive_so_that_nothing_can_be_handed_on_by_a_detour() {
        for a in every_scope() {
            assert!(a.includes(a));
            for b in every_scope() {
                for c in every_scope() {
                    assert!(!(a.includes(b) && b.includes(c)) || a.includes(c));
                }
            }
        }
    }

    #[test]
    fn what_goes_beyond_is_found_and_what_is_unknown_grants_nothing() {
        let own = Scopes::of_token("builds:write read future:thing");
        assert_eq!(own.to_strings(), ["read", "builds:write"]);
        assert_eq!(
            Scopes::of_token("builds:read events:read").beyond(&own),
            None
        );
        assert_eq!(
            Scopes::of_token("deploy:write").beyond(&own),
            Scope::parse("deploy:write").ok()
        );
        assert!(!Scopes::of_token("").include(Scope::All(Reach::Read)));
    }
}
