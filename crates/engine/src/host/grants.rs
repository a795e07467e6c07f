//! What a component's manifest grants it under a label: databases and key-value stores.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

/// The labels that a component declared, and what stands behind each.
#[derive(Debug)]
pub struct Grants<T> {
    by_label: BTreeMap<String, Option<Arc<T>>>,
}

/// Why a label leads nowhere.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum NotGranted {
    /// The component's manifest does not list the label.
    #[error("the label is not declared by the component")]
    Undeclared,
    /// The manifest lists it, but the runtime configuration has nothing behind it.
    #[error("nothing is configured under the label")]
    Unconfigured,
}

impl<T> Default for Grants<T> {
    fn default() -> Self {
        Self {
            by_label: BTreeMap::new(),
        }
    }
}

impl<T> Grants<T> {
    /// Grants `resource` under `label`.
    pub fn grant(&mut self, label: impl Into<String>, resource: Arc<T>) {
        self.by_label.insert(label.into(), Some(resource));
    }

    /// Notes that the component declares `label`, with nothing behind it.
    pub fn declare(&mut self, label: impl Into<String>) {
        self.by_label.entry(label.into()).or_insert(None);
    }

    /// What stands behind `label`.
    ///
    /// # Errors
    ///
    /// When the label is not declared or not configured.
    pub fn find(&self, label: &str) -> Result<&Arc<T>, NotGranted> {
        match self.by_label.get(label) {
            Some(Some(resource)) => Ok(resource),
            Some(None) => Err(NotGranted::Unconfigured),
            None => Err(NotGranted::Undeclared),
        }
    }

    /// Whether the component declares no label at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_label.is_empty()
    }
}

impl<T> FromIterator<(String, Arc<T>)> for Grants<T> {
    fn from_iter<I: IntoIterator<Item = (String, Arc<T>)>>(resources: I) -> Self {
        let mut grants = Self::default();
        for (label, resource) in resources {
            grants.grant(label, resource);
        }
        grants
    }
}
