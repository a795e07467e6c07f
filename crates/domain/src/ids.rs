//! Identifiers. Users and projects are integers that the database gives out; everything else is a
//! UUIDv7 (RFC 9562), made from a time and randomness that the caller brings.

use std::fmt;

use crate::{Invalid, Timestamp};

macro_rules! integer_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub i64);

        impl $name {
            /// Reads an id from a path or a query: a positive decimal number, as it is printed.
            ///
            /// # Errors
            /// Anything else: a sign, leading zeros, zero.
            pub fn parse(text: &str) -> Result<Self, Invalid> {
                let canonical = !text.is_empty()
                    && !text.starts_with('0')
                    && text.bytes().all(|byte| byte.is_ascii_digit());
                match text.parse::<i64>() {
                    Ok(id) if canonical => Ok(Self(id)),
                    _ => Err(Invalid::new("must be a positive whole number")),
                }
            }

            /// Reads an id from a JSON number.
            ///
            /// # Errors
            /// Zero and negative numbers.
            pub fn from_i64(id: i64) -> Result<Self, Invalid> {
                if id > 0 {
                    Ok(Self(id))
                } else {
                    Err(Invalid::new("must be a positive whole number"))
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    };
}

integer_id!(
    /// A user.
    UserId
);
integer_id!(
    /// A project.
    ProjectId
);

/// A UUIDv7: sorts by the time it was made at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uuid7(uuid::Uuid);

impl Uuid7 {
    /// Makes one from the time and 10 fresh random bytes.
    #[must_use]
    pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
        let millis = u64::try_from(now.millis()).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    /// Reads one in its hyphenated lower-case form.
    ///
    /// # Errors
    /// Any other form and any other version.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let refused = Invalid::new("must be a UUID of version 7");
        let id = uuid::Uuid::try_parse(text).map_err(|_| refused.clone())?;
        // One id, one text: otherwise the same row would have several addresses.
        if id.get_version_num() != 7 || id.hyphenated().to_string() != text {
            return Err(refused);
        }
        Ok(Self(id))
    }
}

impl fmt::Display for Uuid7 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(formatter)
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid7);

        impl $name {
            /// Makes one from the time and 10 fresh random bytes.
            #[must_use]
            pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
                Self(Uuid7::new(now, random))
            }

            /// Reads one in its hyphenated lower-case form.
            ///
            /// # Errors
            /// Any other form and any other version.
            pub fn parse(text: &str) -> Result<Self, Invalid> {
                Uuid7::parse(text).map(Self)
            }

            /// The UUID itself.
            #[must_use]
            pub fn uuid(self) -> Uuid7 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    };
}

uuid_id!(
    /// A build.
    BuildId
);
uuid_id!(
    /// A deployment: one service of one project in one environment, over all its revisions.
    DeploymentId
);
uuid_id!(
    /// An event.
    EventId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_id_has_one_spelling() {
        assert_eq!(ProjectId::parse("17"), Ok(ProjectId(17)));
        for bad in ["", "0", "-1", "+1", "01", "1.0", "9223372036854775808", "x"] {
            assert!(ProjectId::parse(bad).is_err(), "{bad}");
        }
        assert!(UserId::from_i64(0).is_err());
    }

    #[test]
    fn uuids_sort_by_time_and_have_one_spelling() {
        let early = BuildId::new(Timestamp::from_millis(1_000), [0xff; 10]);
        let late = BuildId::new(Timestamp::from_millis(1_001), [0; 10]);
        assert!(early < late);
        let text = early.to_string();
        assert_eq!(BuildId::parse(&text), Ok(early));
        assert!(BuildId::parse(&text.to_uppercase()).is_err());
        assert!(BuildId::parse(&text.replace('-', "")).is_err());
        assert!(BuildId::parse("6fa459ea-ee8a-4ca4-894e-db77e160355e").is_err());
    }
}
