//! Desired state in Secrets.

use std::io;
use std::sync::Arc;

use nokube_sidecar::Keep as _;
use serde_json::json;

use crate::api::Cluster;
use crate::metrics::Metrics;
use crate::secrets::Secrets;
use crate::testing::{Fake, Rule};

const SECRETS: &str = "/api/v1/namespaces/nokube-system/secrets";

async fn open(fake: &Fake, holder: &str) -> Arc<Secrets> {
    let cluster = Cluster::new(fake.client(), Arc::new(Metrics::default()));
    let namespace = "nokube-system".to_owned();
    let platform = "nokube".to_owned();
    let secrets = Secrets::open(cluster, namespace, platform, holder.to_owned()).await;
    Arc::new(secrets.unwrap())
}

/// Where it may block, as the sidecar does it.
async fn write(secrets: &Arc<Secrets>, id: &str, text: &str) -> io::Result<()> {
    let (secrets, id) = (Arc::clone(secrets), id.to_owned());
    let bytes = json!({ "wanted": text, "settled": null }).to_string();
    tokio::task::spawn_blocking(move || secrets.write(&id, bytes.as_bytes()))
        .await
        .unwrap()
}

async fn remove(secrets: &Arc<Secrets>, id: &str) -> io::Result<()> {
    let (secrets, id) = (Arc::clone(secrets), id.to_owned());
    tokio::task::spawn_blocking(move || secrets.remove(&id))
        .await
        .unwrap()
}

pub(super) async fn what_is_kept_is_read_again() -> Fake {
    let fake = Fake::new();
    let first = open(&fake, "a").await;
    for number in 0..130 {
        write(&first, &format!("d{number}"), "one").await.unwrap();
    }
    write(&first, "d0", "two").await.unwrap();
    remove(&first, "d1").await.unwrap();
    remove(&first, "d1").await.unwrap();
    // The next one's list is told to begin anew.
    fake.script(Rule::status("LIST", "/secrets", 410, "too old"));
    let second = open(&fake, "b").await;
    let kept = second.read().unwrap();
    assert_eq!(kept.len(), 129);
    let zero = kept.iter().find(|kept| kept.name.ends_with("-d0")).unwrap();
    assert!(String::from_utf8_lossy(&zero.bytes).contains("two"));
    // And the next one writes on.
    write(&second, "d0", "three").await.unwrap();
    fake
}

pub(super) async fn a_lost_answer_is_no_other_writer() -> Fake {
    let fake = Fake::new();
    let secrets = open(&fake, "a").await;
    write(&secrets, "d", "one").await.unwrap();
    // It was not written, or was and nobody said so.
    fake.script(Rule::status("REPLACE", "/secrets/", 503, "later"));
    write(&secrets, "d", "two").await.unwrap();
    let stored = fake.get(SECRETS, "nokube-deployment-d").unwrap();
    fake.insert(SECRETS, stored);
    write(&secrets, "d", "three").await.unwrap();
    assert!(!*secrets.superseded().borrow());
    // Nothing is acknowledged that is not kept.
    fake.script(Rule::status("REPLACE", "/secrets/", 503, "later").times(9));
    let error = write(&secrets, "d", "four").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotConnected);
    fake
}

pub(super) async fn another_writer_ends_the_lead() -> Fake {
    let fake = Fake::new();
    let first = open(&fake, "a").await;
    write(&first, "d", "one").await.unwrap();
    let second = open(&fake, "b").await;
    write(&second, "d", "two").await.unwrap();
    assert!(write(&first, "d", "late").await.is_err());
    assert!(*first.superseded().borrow());
    // Nor does it remove what the other one wrote.
    let former = open(&fake, "f").await;
    write(&second, "d", "two").await.unwrap();
    assert!(remove(&former, "d").await.is_err());
    assert!(*former.superseded().borrow());
    let read = open(&fake, "c").await.read().unwrap();
    assert!(String::from_utf8_lossy(&read[0].bytes).contains("two"));
    fake
}
