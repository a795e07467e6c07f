//! `wasi:keyvalue/store`.

use wasmtime::component::Resource;

use super::keyvalue::store::{Error, Host, HostBucket, KeyResponse};
use super::{Failure, KeyValueState, OpenStore};

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::TableFull => Self::Other("store table full".to_owned()),
            Failure::NoSuchStore => Self::NoSuchStore,
            Failure::AccessDenied => Self::AccessDenied,
            Failure::Other(text) => Self::Other(text),
        }
    }
}

impl Host for KeyValueState {
    async fn open(&mut self, identifier: String) -> Result<Resource<OpenStore>, Error> {
        Ok(KeyValueState::open(self, &identifier)?)
    }
}

impl HostBucket for KeyValueState {
    async fn get(
        &mut self,
        bucket: Resource<OpenStore>,
        key: String,
    ) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.store(&bucket)?.get(&key).await?)
    }

    async fn set(
        &mut self,
        bucket: Resource<OpenStore>,
        key: String,
        value: Vec<u8>,
    ) -> Result<(), Error> {
        Ok(self.store(&bucket)?.set(&key, value).await?)
    }

    async fn delete(&mut self, bucket: Resource<OpenStore>, key: String) -> Result<(), Error> {
        Ok(self.store(&bucket)?.delete(&key).await?)
    }

    async fn exists(&mut self, bucket: Resource<OpenStore>, key: String) -> Result<bool, Error> {
        Ok(self.store(&bucket)?.exists(&key).await?)
    }

    async fn list_keys(
        &mut self,
        bucket: Resource<OpenStore>,
        cursor: Option<String>,
    ) -> Result<KeyResponse, Error> {
        // As in Spin: all keys at once, hence no cursor to go on from.
        if cursor.is_some() {
            return Err(Error::Other("list_keys: cursor not supported".to_owned()));
        }
        let keys = self.store(&bucket)?.keys().await?;
        Ok(KeyResponse { keys, cursor: None })
    }

    async fn drop(&mut self, bucket: Resource<OpenStore>) -> wasmtime::Result<()> {
        self.close(bucket);
        Ok(())
    }
}
