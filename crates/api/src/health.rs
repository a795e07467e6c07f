//! Whether a capability works.

use serde::{Deserialize, Serialize};

/// `GET /api/v1/<capability>/health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Health {
    /// `ok` or `unavailable`.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["ok", "unavailable"])))]
    pub status: String,
    /// The capability.
    pub service: String,
    /// The platform's version.
    pub version: String,
    /// Now, RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub time: String,
}

/// `GET /health`: the whole application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ApplicationHealth {
    /// `ok` when every component is, else `unavailable`.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["ok", "unavailable"])))]
    pub status: String,
    /// `nokube`.
    pub service: String,
    /// The platform's version.
    pub version: String,
    /// Now, RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub time: String,
    /// Each component.
    pub components: Vec<ComponentHealth>,
}

/// One component's part of [`ApplicationHealth`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ComponentHealth {
    /// The component.
    pub name: String,
    /// `ok` or `unavailable`.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["ok", "unavailable"])))]
    pub status: String,
}
