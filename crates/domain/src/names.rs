//! Names that appear in host names, image names and sign-in forms.

use std::fmt;

use crate::Invalid;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The name, owned.
            #[must_use]
            pub fn into_string(self) -> String {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A user's name: 2 to 32 lower-case letters and digits. It is a label of every host name of that user's applications.
    Username
);
name!(
    /// An e-mail address, lower case.
    Email
);
name!(
    /// A DNS label (RFC 1123, section 2.1): 1 to 63 lower-case letters, digits and inner hyphens.
    DnsLabel
);
name!(
    /// A DNS label of at most 40 characters, so that a slug and an environment still fit one label
    /// together (63 = 40 + `-` + 22). It never starts with `xn--`.
    Slug
);

const USERNAME_CHARS: usize = 32;
const SLUG_CHARS: usize = 40;
const LABEL_CHARS: usize = 63;
/// RFC 5321, section 4.5.3.1: 256 octets of path less its angle brackets.
const EMAIL_CHARS: usize = 254;
const EMAIL_LOCAL_CHARS: usize = 64;

impl Username {
    /// Reads a user name.
    ///
    /// # Errors
    /// Anything but 2 to 32 lower-case letters and digits.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if !(2..=USERNAME_CHARS).contains(&text.len()) || !text.bytes().all(plain) {
            return Err(Invalid::new(
                "must be 2 to 32 lower-case letters and digits",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// A name made from an e-mail address for someone who gave none. `attempt` is 0 at first and
    /// grows while the name is taken.
    #[must_use]
    pub fn from_email(email: &Email, attempt: u32) -> Self {
        let local = email.0.split('@').next().unwrap_or_default();
        let mut base: String = fold_to_ascii(local)
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect();
        if base.len() < 2 {
            base.insert_str(0, "user");
        }
        let suffix = if attempt == 0 {
            String::new()
        } else {
            (attempt + 1).to_string()
        };
        base.truncate(USERNAME_CHARS - suffix.len());
        Self(base + &suffix)
    }
}

impl Email {
    /// Reads an address as browsers do (WHATWG HTML, "valid e-mail address") and folds it to lower case.
    ///
    /// # Errors
    /// Anything that a browser would refuse, and what RFC 5321 finds too long.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let refused = || Invalid::new("must be an e-mail address");
        let (local, domain) = text.split_once('@').ok_or_else(refused)?;
        let atom =
            |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte);
        let local_is_valid =
            (1..=EMAIL_LOCAL_CHARS).contains(&local.len()) && local.bytes().all(atom);
        let domain_is_valid = domain
            .split('.')
            .all(|label| is_label(&label.to_ascii_lowercase(), LABEL_CHARS));
        if !local_is_valid || !domain_is_valid || text.len() > EMAIL_CHARS {
            return Err(refused());
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl DnsLabel {
    /// Reads a label.
    ///
    /// # Errors
    /// Anything but 1 to 63 lower-case letters, digits and inner hyphens.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if !is_label(text, LABEL_CHARS) {
            return Err(Invalid::new(
                "must be 1 to 63 lower-case letters, digits and inner hyphens",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Slug {
    /// Reads a slug.
    ///
    /// # Errors
    /// Anything but 1 to 40 lower-case letters, digits and inner hyphens, and `xn--…`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if !is_label(text, SLUG_CHARS) || text.starts_with("xn--") {
            return Err(Invalid::new(
                "must be 1 to 40 lower-case letters, digits and inner hyphens",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The slug of a name for people: accents dropped, everything else that is no letter or digit a
    /// hyphen. A name without any is `project`.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        let mut slug = String::new();
        for c in fold_to_ascii(name).chars() {
            if slug.len() == SLUG_CHARS {
                break;
            }
            if c.is_ascii_alphanumeric() {
                slug.push(c);
            } else if !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
            }
        }
        let slug = slug.trim_end_matches('-');
        Self(if slug.is_empty() { "project" } else { slug }.to_owned())
    }
}

fn is_label(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Lower case, with the accents of western European languages dropped; other characters stay.
pub(crate) fn fold_to_ascii(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for c in text.chars().flat_map(char::to_lowercase) {
        match c {
            'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' => folded.push('a'),
            'ç' => folded.push('c'),
            'è' | 'é' | 'ê' | 'ë' => folded.push('e'),
            'ì' | 'í' | 'î' | 'ï' => folded.push('i'),
            'ñ' => folded.push('n'),
            'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' => folded.push('o'),
            'ù' | 'ú' | 'û' | 'ü' => folded.push('u'),
            'ý' | 'ÿ' => folded.push('y'),
            'œ' => folded.push_str("oe"),
            'æ' => folded.push_str("ae"),
            'ß' => folded.push_str("ss"),
            other => folded.push(other),
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_user_name_is_short_lower_case_letters_and_digits() {
        assert!(Username::parse("al").is_ok());
        assert!(Username::parse(&"a".repeat(32)).is_ok());
        for bad in [
            "",
            "a",
            "Alice",
            "al-ice",
            "al ice",
            "élodie",
            &"a".repeat(33),
        ] {
            assert!(Username::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_email_address_is_what_a_browser_takes() {
        assert_eq!(
            Email::parse("Alice+x@Example.COM").unwrap().as_str(),
            "alice+x@example.com"
        );
        assert!(Email::parse("a@localhost").is_ok());
        for bad in ["", "a", "@b", "a@", "a@b@c", "a b@c.d", "a@-b.c", "a@b..c"] {
            assert!(Email::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_user_name_is_made_from_an_address() {
        let email = Email::parse("Jean.Dupont@example.com").unwrap();
        assert_eq!(Username::from_email(&email, 0).as_str(), "jeandupont");
        assert_eq!(Username::from_email(&email, 1).as_str(), "jeandupont2");
        let short = Email::parse("x@example.com").unwrap();
        assert_eq!(Username::from_email(&short, 0).as_str(), "userx");
    }

    #[test]
    fn a_slug_keeps_what_a_host_name_can_show() {
        assert_eq!(
            Slug::from_name("Événements d'été !").as_str(),
            "evenements-d-ete"
        );
        assert_eq!(Slug::from_name("日本").as_str(), "project");
        assert_eq!(Slug::from_name("--a__b--").as_str(), "a-b");
    }

    proptest! {
        #[test]
        fn every_name_gives_a_valid_slug(name in ".{0,120}") {
            let slug = Slug::from_name(&name);
            prop_assert!(Slug::parse(slug.as_str()).is_ok());
        }

        #[test]
        fn every_address_gives_a_valid_user_name(local in "[a-zA-Z0-9.+_-]{1,64}", attempt in 0_u32..100_000) {
            let email = Email::parse(&format!("{local}@example.com")).unwrap();
            let name = Username::from_email(&email, attempt);
            prop_assert!(Username::parse(name.as_str()).is_ok());
        }
    }
}
