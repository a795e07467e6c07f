//! Spin's interfaces: version 2, and version 3 with its asynchronous functions.

use std::sync::Arc;

use wasmtime::component::{Accessor, FutureReader, Resource, StreamReader};

use super::{Failure, KeyValue, KeyValueState, OpenStore, Store, v2, v3};
use crate::host::buffered::Buffered;

impl From<Failure> for v2::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::TableFull => Self::StoreTableFull,
            Failure::NoSuchStore => Self::NoSuchStore,
            Failure::AccessDenied => Self::AccessDenied,
            Failure::Other(text) => Self::Other(text),
        }
    }
}

impl From<Failure> for v3::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::TableFull => Self::StoreTableFull,
            Failure::NoSuchStore => Self::NoSuchStore,
            Failure::AccessDenied => Self::AccessDenied,
            Failure::Other(text) => Self::Other(text),
        }
    }
}

impl v2::Host for KeyValueState {}

impl v2::HostStore for KeyValueState {
    async fn open(&mut self, label: String) -> Result<Resource<OpenStore>, v2::Error> {
        Ok(KeyValueState::open(self, &label)?)
    }

    async fn get(
        &mut self,
        store: Resource<OpenStore>,
        key: String,
    ) -> Result<Option<Vec<u8>>, v2::Error> {
        Ok(self.store(&store)?.get(&key).await?)
    }

    async fn set(
        &mut self,
        store: Resource<OpenStore>,
        key: String,
        value: Vec<u8>,
    ) -> Result<(), v2::Error> {
        Ok(self.store(&store)?.set(&key, value).await?)
    }

    async fn delete(&mut self, store: Resource<OpenStore>, key: String) -> Result<(), v2::Error> {
        Ok(self.store(&store)?.delete(&key).await?)
    }

    async fn exists(&mut self, store: Resource<OpenStore>, key: String) -> Result<bool, v2::Error> {
        Ok(self.store(&store)?.exists(&key).await?)
    }

    async fn get_keys(&mut self, store: Resource<OpenStore>) -> Result<Vec<String>, v2::Error> {
        Ok(self.store(&store)?.keys().await?)
    }

    async fn drop(&mut self, store: Resource<OpenStore>) -> wasmtime::Result<()> {
        self.close(store);
        Ok(())
    }
}

impl v3::Host for KeyValueState {}

impl v3::HostStore for KeyValueState {
    async fn drop(&mut self, store: Resource<OpenStore>) -> wasmtime::Result<()> {
        self.close(store);
        Ok(())
    }
}

fn find<T: Send>(
    accessor: &Accessor<T, KeyValue>,
    store: &Resource<OpenStore>,
) -> Result<Arc<Store>, Failure> {
    accessor.with(|mut access| access.get().store(store))
}

impl<T: Send> v3::HostStoreWithStore<T> for KeyValue {
    async fn open(
        accessor: &Accessor<T, Self>,
        label: String,
    ) -> Result<Resource<OpenStore>, v3::Error> {
        Ok(accessor.with(|mut access| access.get().open(&label))?)
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        store: Resource<OpenStore>,
        key: String,
    ) -> Result<Option<Vec<u8>>, v3::Error> {
        Ok(find(accessor, &store)?.get(&key).await?)
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        store: Resource<OpenStore>,
        key: String,
        value: Vec<u8>,
    ) -> Result<(), v3::Error> {
        Ok(find(accessor, &store)?.set(&key, value).await?)
    }

    async fn delete(
        accessor: &Accessor<T, Self>,
        store: Resource<OpenStore>,
        key: String,
    ) -> Result<(), v3::Error> {
        Ok(find(accessor, &store)?.delete(&key).await?)
    }

    async fn exists(
        accessor: &Accessor<T, Self>,
        store: Resource<OpenStore>,
        key: String,
    ) -> Result<bool, v3::Error> {
        Ok(find(accessor, &store)?.exists(&key).await?)
    }

    async fn get_keys(
        accessor: &Accessor<T, Self>,
        store: Resource<OpenStore>,
    ) -> (StreamReader<String>, FutureReader<Result<(), v3::Error>>) {
        let keys = match find(accessor, &store) {
            Ok(store) => store.keys().await,
            Err(failure) => Err(failure),
        };
        let unread = accessor.with(|mut access| access.get().unread.clone());
        let keys = keys.and_then(|keys| {
            let bytes = keys.iter().map(|key| size_of::<String>() + key.len()).sum();
            unread
                .keep(keys, bytes)
                .ok_or_else(|| Failure::Other("too many keys are left unread".to_owned()))
        });
        let (keys, end) = match keys {
            Ok(keys) => (keys, Ok(())),
            Err(failure) => (Buffered::none(), Err(v3::Error::from(failure))),
        };
        accessor.with(|mut access| {
            let keys = StreamReader::new(&mut access, keys)
                .expect("a guest that calls an asynchronous function runs in a concurrent store");
            let end = FutureReader::new(&mut access, async { wasmtime::error::Ok(end) })
                .expect("a guest that calls an asynchronous function runs in a concurrent store");
            (keys, end)
        })
    }
}
