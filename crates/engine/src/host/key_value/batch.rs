//! `wasi:keyvalue/batch` and `wasi:keyvalue/atomics`.

use wasmtime::component::Resource;

use super::keyvalue::store::Error;
use super::keyvalue::{atomics, batch};
use super::{Cas, Failure, KeyValueState, MAX_SEEN_BYTES, OpenStore};

impl batch::Host for KeyValueState {
    async fn get_many(
        &mut self,
        bucket: Resource<OpenStore>,
        keys: Vec<String>,
    ) -> Result<Vec<(String, Option<Vec<u8>>)>, Error> {
        Ok(self.store(&bucket)?.get_many(keys).await?)
    }

    async fn set_many(
        &mut self,
        bucket: Resource<OpenStore>,
        entries: Vec<(String, Vec<u8>)>,
    ) -> Result<(), Error> {
        Ok(self.store(&bucket)?.set_many(entries).await?)
    }

    async fn delete_many(
        &mut self,
        bucket: Resource<OpenStore>,
        keys: Vec<String>,
    ) -> Result<(), Error> {
        Ok(self.store(&bucket)?.delete_many(keys).await?)
    }
}

impl KeyValueState {
    /// A swap that succeeds while `key` keeps the value it has now.
    async fn new_cas(
        &mut self,
        store: std::sync::Arc<super::Store>,
        key: String,
    ) -> Result<Resource<Cas>, Failure> {
        let seen = store.get(&key).await?;
        let seen_bytes = seen_together(self.seen, seen.as_ref().map_or(0, Vec::len))?;
        let cas = self.push(Cas { store, key, seen })?;
        self.seen = seen_bytes;
        Ok(cas)
    }

    fn close_cas(&mut self, cas: Resource<Cas>) {
        if let Ok(cas) = self.table.delete(cas) {
            self.open -= 1;
            self.seen -= cas.seen.map_or(0, |seen| seen.len());
        }
    }

    fn cas(&mut self, cas: &Resource<Cas>) -> Result<&mut Cas, Failure> {
        self.table
            .get_mut(cas)
            .map_err(|_unknown| Failure::Other("compare and swap not found".to_owned()))
    }
}

/// The bytes that open swaps have seen, with `more` of them.
fn seen_together(bytes: usize, more: usize) -> Result<usize, Failure> {
    let bytes = bytes.saturating_add(more);
    if bytes > MAX_SEEN_BYTES {
        return Err(Failure::Other(format!(
            "the values of open swaps exceed the limit of {MAX_SEEN_BYTES} bytes"
        )));
    }
    Ok(bytes)
}

impl atomics::Host for KeyValueState {
    async fn increment(
        &mut self,
        bucket: Resource<OpenStore>,
        key: String,
        delta: i64,
    ) -> Result<i64, Error> {
        Ok(self.store(&bucket)?.increment(&key, delta).await?)
    }

    async fn swap(&mut self, cas: Resource<Cas>, value: Vec<u8>) -> Result<(), atomics::CasError> {
        let store_error = |failure: Failure| atomics::CasError::StoreError(failure.into());
        let Cas { store, key, seen } = self.cas(&cas).map_err(store_error)?.clone();
        // The function takes the handle away from the guest.
        self.close_cas(cas);
        let swapped = store.swap(&key, seen, value).await.map_err(store_error)?;
        if swapped {
            return Ok(());
        }
        let retry = self.new_cas(store, key).await.map_err(store_error)?;
        Err(atomics::CasError::CasFailed(retry))
    }
}

impl atomics::HostCas for KeyValueState {
    async fn new(
        &mut self,
        bucket: Resource<OpenStore>,
        key: String,
    ) -> Result<Resource<Cas>, Error> {
        let store = self.store(&bucket)?;
        Ok(self.new_cas(store, key).await?)
    }

    async fn current(&mut self, cas: Resource<Cas>) -> Result<Option<Vec<u8>>, Error> {
        let Cas { store, key, .. } = self.cas(&cas)?.clone();
        let now = store.get(&key).await?;
        let bytes = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len);
        let others = self.seen - bytes(&self.cas(&cas)?.seen);
        self.seen = seen_together(others, bytes(&now))?;
        self.cas(&cas)?.seen.clone_from(&now);
        Ok(now)
    }

    async fn drop(&mut self, cas: Resource<Cas>) -> wasmtime::Result<()> {
        self.close_cas(cas);
        Ok(())
    }
}
