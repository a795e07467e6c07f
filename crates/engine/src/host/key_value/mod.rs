//! Key-value stores: `fermyon:spin/key-value@2.0.0`, `spin:key-value/key-value@3.0.0` and `wasi:keyvalue@0.2.0-draft2`
//! (store, batch, atomics).
//!
//! A store is a SQLite file with Spin's table in it, so that a store moves between Spin and here as it is. Keys, values
//! and stores have largest sizes.

mod batch;
mod host;
mod store;
#[cfg(test)]
mod tests;
mod wasi;

use std::sync::Arc;

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};

pub use self::store::{Failure, Limits, Store};
use super::Grants;
use super::bindings::spin_v2::key_value as v2;
use super::bindings::spin_v3::key_value::key_value as v3;
use super::bindings::wasi::keyvalue;
use super::buffered::Budget;
use super::grants::NotGranted;

/// How many stores and swaps one instance may have open. As in Spin.
const MAX_OPEN: usize = 256;

/// Bytes of values that the open swaps of one instance may have seen together: two of the largest. The same for keys
/// that it reads as streams.
const MAX_SEEN_BYTES: usize = 8 << 20;

/// The stores of one instance and those it has open.
#[derive(Debug)]
pub struct KeyValueState {
    grants: Arc<Grants<Store>>,
    table: ResourceTable,
    open: usize,
    /// Bytes that open swaps have seen.
    seen: usize,
    /// Keys that are not read yet.
    unread: Budget,
}

/// Names [`KeyValueState`] to the bindings.
#[derive(Debug)]
pub struct KeyValue;

impl HasData for KeyValue {
    type Data<'a> = &'a mut KeyValueState;
}

/// A store in a guest's hands.
#[derive(Clone, Debug)]
pub struct OpenStore {
    store: Arc<Store>,
}

/// A compare-and-swap in a guest's hands: it succeeds as long as the key still has the value that was read.
#[derive(Clone, Debug)]
pub struct Cas {
    store: Arc<Store>,
    key: String,
    seen: Option<Vec<u8>>,
}

impl KeyValueState {
    /// A state that opens the stores in `grants`.
    #[must_use]
    pub fn new(grants: Arc<Grants<Store>>) -> Self {
        Self {
            grants,
            table: ResourceTable::new(),
            open: 0,
            seen: 0,
            unread: Budget::new(MAX_SEEN_BYTES),
        }
    }

    fn open(&mut self, label: &str) -> Result<Resource<OpenStore>, Failure> {
        let store = self.grants.find(label).map_err(|reason| match reason {
            NotGranted::Undeclared => Failure::AccessDenied,
            NotGranted::Unconfigured => Failure::NoSuchStore,
        })?;
        let store = Arc::clone(store);
        self.push(OpenStore { store })
    }

    fn push<R: Send + 'static>(&mut self, resource: R) -> Result<Resource<R>, Failure> {
        if self.open >= MAX_OPEN {
            return Err(Failure::TableFull);
        }
        let handle = self
            .table
            .push(resource)
            .map_err(|_full| Failure::TableFull)?;
        self.open += 1;
        Ok(handle)
    }

    fn store(&self, handle: &Resource<OpenStore>) -> Result<Arc<Store>, Failure> {
        self.table
            .get(handle)
            .map(|open| Arc::clone(&open.store))
            .map_err(|_unknown| Failure::Other("invalid store".to_owned()))
    }

    fn close<R: 'static>(&mut self, handle: Resource<R>) {
        if self.table.delete(handle).is_ok() {
            self.open -= 1;
        }
    }
}

/// Adds every key-value interface to `linker`; `state` finds the state in the store's data.
///
/// # Errors
///
/// When one of the interfaces is in `linker` already.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    state: fn(&mut T) -> &mut KeyValueState,
) -> wasmtime::Result<()> {
    v2::add_to_linker::<T, KeyValue>(linker, state)?;
    v3::add_to_linker::<T, KeyValue>(linker, state)?;
    keyvalue::store::add_to_linker::<T, KeyValue>(linker, state)?;
    keyvalue::batch::add_to_linker::<T, KeyValue>(linker, state)?;
    keyvalue::atomics::add_to_linker::<T, KeyValue>(linker, state)
}
