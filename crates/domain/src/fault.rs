//! All faults of a request at once.

use crate::Invalid;

/// One fault, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// A JSON Pointer (RFC 6901) into what was sent.
    pub pointer: String,
    /// What is wrong there.
    pub detail: Invalid,
}

/// The faults found so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Adds one.
    pub fn add(&mut self, pointer: impl Into<String>, detail: Invalid) {
        self.0.push(Fault {
            pointer: pointer.into(),
            detail,
        });
    }

    /// Adds one with words of its own.
    pub fn add_text(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.add(pointer, Invalid::from(detail.into()));
    }

    /// The value, or nothing and one fault more.
    pub fn take<T>(&mut self, pointer: &str, parsed: Result<T, Invalid>) -> Option<T> {
        parsed.map_err(|invalid| self.add(pointer, invalid)).ok()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is one at `pointer`.
    #[must_use]
    pub fn has(&self, pointer: &str) -> bool {
        self.0.iter().any(|fault| fault.pointer == pointer)
    }

    /// Each of them, in the order they were found in.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }

    /// `value` when there are none.
    ///
    /// # Errors
    /// Itself, when there are some.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() {
            Ok(value)
        } else {
            Err(self)
        }
    }
}

impl IntoIterator for Faults {
    type Item = Fault;
    type IntoIter = std::vec::IntoIter<Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
