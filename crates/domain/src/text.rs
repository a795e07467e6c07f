//! Texts for people: display names and descriptions.

use crate::Invalid;

const DISPLAY_NAME_CHARS: usize = 100;
const DESCRIPTION_CHARS: usize = 2_000;

macro_rules! text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The text, owned.
            #[must_use]
            pub fn into_string(self) -> String {
                self.0
            }
        }
    };
}

text!(
    /// A name for people: 1 to 100 characters on one line, no space around it.
    DisplayName
);
text!(
    /// A text for people: up to 2000 characters, line ends and tabs allowed.
    Description
);

impl DisplayName {
    /// Reads a name; spaces around it are dropped.
    ///
    /// # Errors
    /// Empty, too long, or with control characters.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Invalid::new("must not be empty"));
        }
        if text.chars().count() > DISPLAY_NAME_CHARS {
            return Err(Invalid::new("must have at most 100 characters"));
        }
        if text.chars().any(is_hidden) {
            return Err(Invalid::new("must not contain control characters"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Description {
    /// Reads a description.
    ///
    /// # Errors
    /// Too long, or with control characters other than line ends and tabs.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.chars().count() > DESCRIPTION_CHARS {
            return Err(Invalid::new("must have at most 2000 characters"));
        }
        if text
            .chars()
            .any(|c| is_hidden(c) && !matches!(c, '\n' | '\r' | '\t'))
        {
            return Err(Invalid::new("must not contain control characters"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Control characters, and the marks that turn the direction of text around: with those a name shows
/// as something else than it is ("Trojan Source", CVE-2021-42574).
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_display_name_is_one_visible_line() {
        assert_eq!(
            DisplayName::parse("  Événements ☀ ").unwrap().as_str(),
            "Événements ☀"
        );
        for bad in ["", "   ", "a\nb", "a\0b", "a\u{202e}b"] {
            assert!(DisplayName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(DisplayName::parse(&"é".repeat(100)).is_ok());
        assert!(DisplayName::parse(&"é".repeat(101)).is_err());
    }

    #[test]
    fn a_description_may_have_lines() {
        assert!(Description::parse("").is_ok());
        assert!(Description::parse("a\n\tb\r\n").is_ok());
        assert!(Description::parse("a\u{7}b").is_err());
        assert!(Description::parse(&"x".repeat(2_001)).is_err());
    }
}
