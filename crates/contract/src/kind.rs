//! What a parameter of a path or a query may be.

use serde_json::{Value, json};

/// The type of a parameter and its bounds.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// The number of a row, from 1.
    Id,
    /// A UUID of version 7.
    Uuid,
    /// A name that is a DNS label.
    Label,
    /// Any text.
    Any,
    /// Text of at most so many characters.
    Text(u32),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A whole number between these.
    Number(u64, u64),
    /// `true` or `false`.
    Flag,
    /// A time.
    Time,
    /// A position that an earlier answer gave.
    Cursor,
}

impl Kind {
    pub(crate) fn schema(self) -> Value {
        match self {
            Self::Id => json!({ "type": "integer", "format": "int64", "minimum": 1 }),
            Self::Uuid => json!({ "type": "string", "format": "uuid" }),
            Self::Label => {
                json!({ "type": "string", "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", "maxLength": 63 })
            }
            Self::Any => json!({ "type": "string" }),
            Self::Text(max) => json!({ "type": "string", "maxLength": max }),
            Self::OneOf(words) => json!({ "type": "string", "enum": words }),
            Self::Number(least, most) => {
                json!({ "type": "integer", "minimum": least, "maximum": most })
            }
            Self::Flag => json!({ "type": "boolean", "default": false }),
            Self::Time => json!({ "type": "string", "format": "date-time" }),
            Self::Cursor => json!({ "type": "string", "maxLength": 256 }),
        }
    }
}
