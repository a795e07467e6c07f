//! `wasi:keyvalue/batch` and `wasi:keyvalue/atomics`.

use wasmtime::component::Resource;

use super::keyvalue::store::Error;
use super::keyvalue::{atomics, batch};
use super::{Cas, Failure, KeyValueState, OpenStore};

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
        self.push(Cas { store, key, seen })
    }

    fn cas(&mut self, cas: &Resource<Cas>) -> Result<&mut Cas, Failure> {
        self.table
            .get_mut(cas)
            .map_err(|_unknown| Failure::Other("compare and swap not found".to_owned()))
    }
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
        self.close(cas);
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
        let seen = store.get(&key).await?;
        self.cas(&cas)?.seen.clone_from(&seen);
        Ok(seen)
    }

    async fn drop(&mut self, cas: Resource<Cas>) -> wasmtime::Result<()> {
        self.close(cas);
        Ok(())
    }
}
