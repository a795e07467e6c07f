//! Who may do what: the role of a user on the platform and of a member in a project.

use crate::Invalid;

/// The role of a user on the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserRole {
    /// Manages users and may read everything.
    Admin,
    /// Everyone else.
    User,
}

impl UserRole {
    /// As it is written everywhere.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::User => "user",
        }
    }

    /// Reads a role.
    ///
    /// # Errors
    /// Anything but `admin` and `user`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        match text {
            "admin" => Ok(Self::Admin),
            "user" => Ok(Self::User),
            _ => Err(Invalid::new("must be admin or user")),
        }
    }
}

/// The role of a member in a project. Each role may do all that the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProjectRole {
    /// Sees the project, its builds, deployments and logs.
    Viewer,
    /// Builds and deploys.
    Developer,
    /// Changes and deletes the project and its members.
    Owner,
}

impl ProjectRole {
    /// As it is written everywhere.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Developer => "developer",
            Self::Owner => "owner",
        }
    }

    /// Reads a role.
    ///
    /// # Errors
    /// Anything but `viewer`, `developer` and `owner`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        match text {
            "viewer" => Ok(Self::Viewer),
            "developer" => Ok(Self::Developer),
            "owner" => Ok(Self::Owner),
            _ => Err(Invalid::new("must be viewer, developer or owner")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn project_roles_include_the_ones_below() {
        assert!(ProjectRole::Viewer < ProjectRole::Developer);
        assert!(ProjectRole::Developer < ProjectRole::Owner);
        for role in [
            ProjectRole::Viewer,
            ProjectRole::Developer,
            ProjectRole::Owner,
        ] {
            assert_eq!(ProjectRole::parse(role.as_str()), Ok(role));
        }
    }
}
