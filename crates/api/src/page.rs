//! Lists that are read page by page.

use serde::{Deserialize, Serialize};

/// One page of a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "PageOf{T}"))]
pub struct Paged<T> {
    /// The entries.
    pub data: Vec<T>,
    /// Where this page is in the whole.
    pub pagination: Pagination,
}

/// Where a page is in the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Pagination {
    /// This page, from 1.
    pub page: u64,
    /// Entries per page.
    pub limit: u64,
    /// Entries in the whole list.
    pub total: u64,
    /// Pages in the whole list.
    pub pages: u64,
}
