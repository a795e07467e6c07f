//! One sidecar acts, by a Lease; the others wait for it to go.
//!
//! As Kubernetes' own programs do it: whoever finds a lease that was not renewed for its whole length, by
//! its own clock, takes it over. The holder renews it often, and gives up acting well before anybody else
//! may begin: clocks are never compared.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nokube_domain::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{RwLock, RwLockReadGuard, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::api::{CallError, Cluster, Meta, Place, Why};

/// Where the holder's API is reached.
const ADDRESS: &str = "nokube.dev/address";
/// Not renewed for so long, it is free.
const LENGTH: Duration = Duration::from_secs(15);
/// Who could not renew it for so long acts no more.
const RENEW_WITHIN: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_secs(2);
/// One attempt.
const CALL: Duration = Duration::from_secs(4);

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Role {
    /// This process.
    Leading,
    /// Another one, at this address when it is known.
    Following(Option<String>),
    /// This process acted, and must not any more.
    Lost,
}

/// The time in which this process acts: each write to the cluster needs its leave.
///
/// It is over when it is said to be, and by the clock, which goes on while a process is stopped (SIGSTOP, a frozen
/// container). What was sent just before that arrives all the same: only of what names a version the cluster knows it.
pub(crate) struct Term {
    renewed: watch::Receiver<Instant>,
    over: AtomicBool,
    /// Held for reading by each write that is under way.
    writes: RwLock<()>,
}

impl Term {
    /// `renewed` is when the lease was last asked for and given.
    pub(crate) fn new(renewed: watch::Receiver<Instant>) -> Self {
        Self {
            renewed,
            over: AtomicBool::new(false),
            writes: RwLock::new(()),
        }
    }

    /// Whether this process may act now.
    pub(crate) fn holds(&self) -> bool {
        !self.over.load(Ordering::Relaxed) && self.renewed.borrow().elapsed() < RENEW_WITHIN
    }

    /// Leave for one write, until it is dropped. None when this process may not act any more.
    pub(crate) async fn leave(&self) -> Option<RwLockReadGuard<'_, ()>> {
        let write = self.writes.read().await;
        self.holds().then_some(write)
    }

    /// Nothing more is written; what is under way is not waited for.
    pub(crate) fn revoke(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// The same, and what is under way is done.
    pub(crate) async fn end(&self) {
        // Whoever asks for leave from now on waits behind this, and gets none.
        let _all = self.writes.write().await;
        self.revoke();
    }
}

/// A candidate.
pub(crate) struct Candidate {
    pub(crate) cluster: Cluster,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Of this process alone.
    pub(crate) identity: String,
    pub(crate) address: String,
    /// Told when the lease that this process holds was last renewed.
    pub(crate) renewed: watch::Sender<Instant>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Lease {
    #[serde(default)]
    metadata: Meta,
    #[serde(default)]
    spec: LeaseSpec,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct LeaseSpec {
    holder_identity: Option<String>,
    renew_time: Option<String>,
    acquire_time: Option<String>,
    lease_duration_seconds: Option<i32>,
    lease_transitions: Option<i32>,
}

/// The lease as it was last seen, and since when it is so.
struct Known {
    lease: Lease,
    since: Instant,
}

impl Candidate {
    /// Tells `role` who acts, until this process does and then does not any more.
    pub(crate) async fn run(&self, role: watch::Sender<Role>) {
        let mut known: Option<Known> = None;
        let mut renewed = Instant::now();
        while !self.try_to_lead(&mut known, &role).await {
            sleep(EVERY).await;
            renewed = Instant::now();
        }
        tracing::info!(identity = self.identity, "leading");
        self.renewed.send_replace(renewed);
        role.send_replace(Role::Leading);
        loop {
            sleep(EVERY).await;
            let begun = Instant::now();
            let left = RENEW_WITHIN.saturating_sub(renewed.elapsed());
            match timeout(CALL.min(left), self.renew(&mut known)).await {
                Ok(Ok(true)) => {
                    renewed = begun;
                    self.renewed.send_replace(renewed);
                }
                Ok(Ok(false)) => {
                    tracing::error!("another sidecar holds the lease");
                    break;
                }
                Ok(Err(error)) => tracing::warn!(%error, "the lease could not be renewed"),
                Err(_) => tracing::warn!("the lease could not be renewed in time"),
            }
            if renewed.elapsed() + EVERY >= RENEW_WITHIN {
                break;
            }
        }
        role.send_replace(Role::Lost);
    }

    /// Gives the lease back, so that another one need not wait for its end.
    pub(crate) async fn give_back(&self) {
        let work = async {
            let lease = self.read().await?;
            if let Some(lease) = lease.filter(|lease| self.holds(lease)) {
                let mut spec = lease.spec.clone();
                spec.holder_identity = Some(String::new());
                spec.lease_duration_seconds = Some(1);
                self.write(Some(&lease), &spec, false).await?;
            }
            Ok::<_, CallError>(())
        };
        if !matches!(timeout(CALL, work).await, Ok(Ok(()))) {
            tracing::warn!("the lease could not be given back; it ends by itself");
        }
    }

    async fn try_to_lead(&self, known: &mut Option<Known>, role: &watch::Sender<Role>) -> bool {
        match timeout(CALL, self.acquire(known)).await {
            Ok(Ok(acquired)) => {
                if !acquired {
                    let address = known
                        .as_ref()
                        .filter(|known| !is_free(known))
                        .and_then(|known| known.lease.metadata.annotations.get(ADDRESS).cloned());
                    role.send_if_modified(|role| {
                        let new = Role::Following(address);
                        let changed = *role != new;
                        *role = new;
                        changed
                    });
                }
                acquired
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the lease cannot be read or taken");
                false
            }
            Err(_) => {
                tracing::warn!("the lease cannot be read in time");
                false
            }
        }
    }

    /// True when this process holds the lease now.
    async fn acquire(&self, known: &mut Option<Known>) -> Result<bool, CallError> {
        let Some(found) = self.read().await? else {
            let spec = self.spec(None);
            return self
                .write(None, &spec, true)
                .await
                .map(|lease| self.note(known, lease));
        };
        // Every write is a sign of life, whatever the writer's clock says.
        let is_same = known.as_ref().is_some_and(|known| {
            known.lease.metadata.resource_version == found.metadata.resource_version
        });
        if !is_same {
            *known = Some(Known {
                lease: found.clone(),
                since: Instant::now(),
            });
        }
        if !known.as_ref().is_some_and(is_free) {
            return Ok(false);
        }
        let spec = self.spec(Some(&found));
        self.write(Some(&found), &spec, true)
            .await
            .map(|lease| self.note(known, lease))
    }

    /// False when another process holds the lease.
    async fn renew(&self, known: &mut Option<Known>) -> Result<bool, CallError> {
        let Some(found) = self.read().await? else {
            // Somebody removed it. Whoever makes it anew holds it.
            return self.acquire(known).await;
        };
        if !self.holds(&found) {
            return Ok(false);
        }
        let mut spec = found.spec.clone();
        spec.renew_time = Some(now());
        let lease = self.write(Some(&found), &spec, true).await?;
        // None: changed between reading and writing; read again the next time.
        if lease.is_none() {
            return Err(CallError::Unreachable(
                "was asked to change what had changed",
            ));
        }
        Ok(self.note(known, lease))
    }

    fn note(&self, known: &mut Option<Known>, lease: Option<Lease>) -> bool {
        let Some(lease) = lease else {
            return false;
        };
        let holds = self.holds(&lease);
        *known = Some(Known {
            lease,
            since: Instant::now(),
        });
        holds
    }

    fn holds(&self, lease: &Lease) -> bool {
        lease.spec.holder_identity.as_ref() == Some(&self.identity)
    }

    fn spec(&self, before: Option<&Lease>) -> LeaseSpec {
        let transitions = before.map_or(0, |lease| {
            lease
                .spec
                .lease_transitions
                .unwrap_or_default()
                .saturating_add(1)
        });
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            renew_time: Some(now()),
            acquire_time: Some(now()),
            lease_duration_seconds: i32::try_from(LENGTH.as_secs()).ok(),
            lease_transitions: Some(transitions),
        }
    }

    fn place(&self) -> Place<'_> {
        Place {
            kind: "Lease",
            namespace: Some(&self.namespace),
        }
    }

    async fn read(&self) -> Result<Option<Lease>, CallError> {
        self.cluster.get(self.place(), &self.name).await
    }

    /// Writes the lease if it is as it was read; nothing when it is not.
    async fn write(
        &self,
        before: Option<&Lease>,
        spec: &LeaseSpec,
        with_address: bool,
    ) -> Result<Option<Lease>, CallError> {
        let mut body = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": self.name,
                "namespace": self.namespace,
            },
            "spec": spec,
        });
        if with_address {
            body["metadata"]["annotations"] = json!({ ADDRESS: self.address });
        }
        let written = match before {
            Some(lease) => {
                body["metadata"]["resourceVersion"] =
                    Value::from(lease.metadata.resource_version.as_str());
                self.cluster.replace(self.place(), &self.name, &body).await
            }
            None => self.cluster.create(self.place(), &body).await,
        };
        match written {
            Ok(metadata) => Ok(Some(Lease {
                metadata,
                spec: spec.clone(),
            })),
            Err(error) if matches!(error.why(), Some(Why::Conflict | Why::Exists)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn is_free(known: &Known) -> bool {
    let spec = &known.lease.spec;
    if spec
        .holder_identity
        .as_deref()
        .unwrap_or_default()
        .is_empty()
    {
        return true;
    }
    let length = spec
        .lease_duration_seconds
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map_or(LENGTH, Duration::from_secs);
    known.since.elapsed() >= length
}

/// `MicroTime` wants six digits.
fn now() -> String {
    let time = Timestamp::from_millis(crate::target::now_ms()).to_string();
    time.replace('Z', "000Z")
}
