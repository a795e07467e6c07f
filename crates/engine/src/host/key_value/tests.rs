//! What a guest can and can't do with a store.

use tempfile::TempDir;

use super::keyvalue::{atomics, batch, store as wasi_store};
use super::*;
use crate::host::sqlite::{Allowance, Heap};
use crate::threads::Threads;

fn allowance() -> Allowance {
    Allowance {
        threads: Arc::new(Threads::new("database", 4, 0).unwrap()).share(4),
        heap: Heap::unbounded(),
        space: None,
    }
}

fn limits() -> Limits {
    Limits::tenant()
}

fn store(limits: Limits) -> (TempDir, Arc<Store>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kv/default.db");
    (
        folder,
        Arc::new(Store::new("default", path, limits, allowance())),
    )
}

fn bytes(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

#[tokio::test]
async fn a_value_is_kept_until_it_is_deleted() {
    let (_folder, store) = store(limits());
    assert_eq!(store.get("k").await.unwrap(), None);
    store.set("k", bytes("one")).await.unwrap();
    store.set("k", bytes("two")).await.unwrap();
    assert_eq!(store.get("k").await.unwrap(), Some(bytes("two")));
    assert!(store.exists("k").await.unwrap());
    assert_eq!(store.keys().await.unwrap(), ["k"]);
    store.delete("k").await.unwrap();
    store.delete("k").await.unwrap();
    assert!(!store.exists("k").await.unwrap());
    assert!(store.keys().await.unwrap().is_empty());
}

#[tokio::test]
async fn empty_keys_and_values_are_values_too() {
    let (_folder, store) = store(limits());
    store.set("", Vec::new()).await.unwrap();
    assert_eq!(store.get("").await.unwrap(), Some(Vec::new()));
}

#[tokio::test]
async fn stores_in_one_file_are_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kv.db");
    let a = Store::new("a", &path, limits(), allowance());
    let b = Store::new("b", &path, limits(), allowance());
    a.set("k", bytes("a")).await.unwrap();
    assert_eq!(b.get("k").await.unwrap(), None);
    assert!(b.keys().await.unwrap().is_empty());
}

#[tokio::test]
async fn keys_values_and_stores_have_a_largest_size() {
    let mut limits = limits();
    limits.max_key_bytes = 8;
    limits.max_value_bytes = 100_000;
    limits.file.max_database_bytes = Some(512 * 1024);
    let (_folder, store) = store(limits);
    let error = store.set("123456789", Vec::new()).await.unwrap_err();
    assert_eq!(error.to_string(), "the key exceeds the limit of 8 bytes");
    let error = store.set("k", vec![0; 100_001]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the value of \"k\" exceeds the limit of 100000 bytes"
    );
    let mut refused = None;
    for key in 0..16 {
        if let Err(error) = store.set(&key.to_string(), vec![0; 100_000]).await {
            refused = Some(error.to_string());
            break;
        }
    }
    assert_eq!(refused.as_deref(), Some("the store is full"));
    store.delete("0").await.unwrap();
    store.set("0", vec![0; 1000]).await.unwrap();
}

#[tokio::test]
async fn batches_happen_as_a_whole_or_not_at_all() {
    let mut limits = limits();
    limits.max_key_bytes = 8;
    let (_folder, store) = store(limits);
    let entries = vec![("a".to_owned(), bytes("1")), ("b".to_owned(), bytes("2"))];
    store.set_many(entries).await.unwrap();
    let entries = vec![
        ("a".to_owned(), bytes("9")),
        ("too long a key".to_owned(), bytes("2")),
    ];
    store.set_many(entries).await.unwrap_err();
    let keys = ["b", "x", "a"].map(str::to_owned).to_vec();
    let values = store.get_many(keys).await.unwrap();
    let expected = [("b", Some("2")), ("x", None), ("a", Some("1"))];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.map(bytes)));
    assert_eq!(values, expected);
    let keys = ["a", "x"].map(str::to_owned).to_vec();
    store.delete_many(keys).await.unwrap();
    assert_eq!(store.keys().await.unwrap(), ["b"]);
}

#[tokio::test]
async fn increments_at_once_are_all_counted() {
    let (_folder, store) = store(limits());
    let increments = (0..20).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.increment("n", 2).await })
    });
    for increment in increments.collect::<Vec<_>>() {
        increment.await.unwrap().unwrap();
    }
    assert_eq!(store.increment("n", -40).await.unwrap(), 0);
    store.set("text", bytes("x")).await.unwrap();
    assert!(store.increment("text", 1).await.is_err());
}

#[tokio::test]
async fn a_guest_gets_the_stores_it_was_granted_and_no_other() {
    let (_folder, store) = store(limits());
    let mut grants = Grants::default();
    grants.grant("default", store);
    grants.declare("lost");
    let mut state = KeyValueState::new(Arc::new(grants));
    let opened = v2::HostStore::open(&mut state, "other".to_owned()).await;
    assert!(matches!(opened, Err(v2::Error::AccessDenied)), "{opened:?}");
    let opened = wasi_store::Host::open(&mut state, "lost".to_owned()).await;
    assert!(
        matches!(opened, Err(wasi_store::Error::NoSuchStore)),
        "{opened:?}"
    );
    for _ in 0..MAX_OPEN {
        v2::HostStore::open(&mut state, "default".to_owned())
            .await
            .unwrap();
    }
    let opened = v2::HostStore::open(&mut state, "default".to_owned()).await;
    assert!(
        matches!(opened, Err(v2::Error::StoreTableFull)),
        "{opened:?}"
    );
}

#[tokio::test]
async fn the_interfaces_see_one_store() {
    let (_folder, store) = store(limits());
    let grants = [("default".to_owned(), store)];
    let mut state = KeyValueState::new(Arc::new(grants.into_iter().collect()));
    let spin = v2::HostStore::open(&mut state, "default".to_owned())
        .await
        .unwrap();
    let bucket = wasi_store::Host::open(&mut state, "default".to_owned())
        .await
        .unwrap();
    let own = |handle: &Resource<OpenStore>| Resource::new_own(handle.rep());
    let set = v2::HostStore::set(&mut state, own(&spin), "k".to_owned(), bytes("v"));
    set.await.unwrap();
    let value = wasi_store::HostBucket::get(&mut state, own(&bucket), "k".to_owned()).await;
    assert_eq!(value.unwrap(), Some(bytes("v")));
    let keys = wasi_store::HostBucket::list_keys(&mut state, own(&bucket), None)
        .await
        .unwrap();
    assert_eq!((keys.keys, keys.cursor), (vec!["k".to_owned()], None));
    let values = batch::Host::get_many(&mut state, own(&bucket), vec!["k".to_owned()]).await;
    assert_eq!(values.unwrap(), [("k".to_owned(), Some(bytes("v")))]);
}

#[tokio::test]
async fn a_swap_fails_when_the_value_changed_and_can_be_retried() {
    let (_folder, store) = store(limits());
    let grants = [("default".to_owned(), Arc::clone(&store))];
    let mut state = KeyValueState::new(Arc::new(grants.into_iter().collect()));
    let bucket = wasi_store::Host::open(&mut state, "default".to_owned())
        .await
        .unwrap();
    let cas = atomics::HostCas::new(&mut state, bucket, "k".to_owned())
        .await
        .unwrap();
    store.set("k", bytes("other")).await.unwrap();
    let swapped = atomics::Host::swap(&mut state, cas, bytes("mine")).await;
    let Err(atomics::CasError::CasFailed(retry)) = swapped else {
        panic!("{swapped:?}");
    };
    let handle = Resource::new_own(retry.rep());
    let current = atomics::HostCas::current(&mut state, handle).await.unwrap();
    assert_eq!(current, Some(bytes("other")));
    atomics::Host::swap(&mut state, retry, bytes("mine"))
        .await
        .unwrap();
    assert_eq!(store.get("k").await.unwrap(), Some(bytes("mine")));
}

#[tokio::test]
async fn one_call_takes_so_many_keys_and_no_more() {
    let mut limits = limits();
    limits.max_batch = 3;
    let (_folder, store) = store(limits);
    let keys = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
    let entries = |count: usize| keys(count).into_iter().map(|k| (k, bytes("v"))).collect();
    store.set_many(entries(3)).await.unwrap();
    assert_eq!(store.get_many(keys(3)).await.unwrap().len(), 3);
    for refused in [
        store.set_many(entries(4)).await,
        store.get_many(keys(4)).await.map(drop),
        store.delete_many(keys(4)).await,
    ] {
        let reason = refused.unwrap_err().to_string();
        assert!(reason.contains("the limit of 3"), "{reason}");
    }
    store.delete_many(keys(3)).await.unwrap();
    assert!(store.keys().await.unwrap().is_empty());
}

#[tokio::test]
async fn open_swaps_keep_so_many_bytes_and_no_more() {
    let (_folder, store) = store(limits());
    store.set("k", vec![0; 3 << 20]).await.unwrap();
    let mut grants = Grants::default();
    grants.grant("default", Arc::clone(&store));
    let mut state = KeyValueState::new(Arc::new(grants));
    let open = async |state: &mut KeyValueState| {
        let bucket = state.open("default").unwrap();
        atomics::HostCas::new(state, bucket, "k".to_owned()).await
    };
    let first = open(&mut state).await.unwrap();
    let _second = open(&mut state).await.unwrap();
    let refused = open(&mut state).await.unwrap_err();
    assert!(format!("{refused:?}").contains("open swaps"), "{refused:?}");
    atomics::HostCas::drop(&mut state, first).await.unwrap();
    open(&mut state).await.unwrap();
}
