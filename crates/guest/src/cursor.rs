//! Opaque cursors for lists that only grow: a position, encoded so that nobody counts on its form.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nokube_domain::Timestamp;

use crate::{Ctx, Error};

/// A position after which to read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(pub i64);

impl Cursor {
    /// The position in the query, 0 when none is given.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is not one of ours.
    pub fn from_query(cx: &Ctx) -> Result<Self, Error> {
        match cx.query("cursor") {
            None => Ok(Self(0)),
            Some(text) => Self::parse(&text)
                .ok_or_else(|| Error::invalid_query("cursor", "is not a cursor of this list")),
        }
    }

    /// Reads a cursor.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let position = i64::from_be_bytes(bytes.try_into().ok()?);
        (position >= 0).then_some(Self(position))
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&URL_SAFE_NO_PAD.encode(self.0.to_be_bytes()))
    }
}

/// A position in a list by time, newest first; the id tells apart what has one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeCursor {
    /// The time.
    pub at: Timestamp,
    /// The row.
    pub id: i64,
}

impl TimeCursor {
    /// The position in the query, if one is given.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is not one of ours.
    pub fn from_query(cx: &Ctx) -> Result<Option<Self>, Error> {
        cx.query_as("cursor", |text| {
            Self::parse(text).ok_or("is not a cursor of this list")
        })
    }

    /// Reads a cursor.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 16] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let both = u128::from_be_bytes(bytes);
        let half = |bits: u128| i64::try_from(bits & u128::from(u64::MAX)).ok();
        Some(Self {
            at: Timestamp::from_millis(half(both >> 64)?),
            id: half(both)?,
        })
    }
}

impl std::fmt::Display for TimeCursor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.at.millis().to_be_bytes());
        bytes[8..].copy_from_slice(&self.id.to_be_bytes());
        formatter.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_by_time_reads_back_and_nothing_else_does() {
        let cursor = TimeCursor {
            at: Timestamp::from_millis(1_800_000_000_000),
            id: 7,
        };
        assert_eq!(TimeCursor::parse(&cursor.to_string()), Some(cursor));
        for bad in ["", "300", &Cursor(300).to_string(), &"_".repeat(22)] {
            assert_eq!(TimeCursor::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_cursor_reads_back_and_nothing_else_does() {
        assert_eq!(Cursor::parse(&Cursor(300).to_string()), Some(Cursor(300)));
        for bad in ["", "300", "AAAA", "__________8"] {
            assert_eq!(Cursor::parse(bad), None, "{bad}");
        }
    }
}
