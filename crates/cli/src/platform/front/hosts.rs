//! Which host names are deployments', and whether they answer.
//!
//! The local target claims and changes them, the front looks them up. A host that is coming (its
//! process restarts, or its first revision is being put in place) is waited for. One that was put aside
//! is asked for by the first look at it, and waited for too.

mod usage;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, watch};

pub(crate) use usage::Passing;
use usage::Usage;

use super::caller::Caller;
use super::host_name::{is_of_a_tenant, normalized};

/// How long a request waits for its application to come: longer than a restart of the tenants'
/// process takes, shorter than most clients' patience.
const WAIT: Duration = Duration::from_secs(15);
/// Requests that may be under way to one deployment. A quarter of the connections there are, so that one that is slow
/// or asked for by very many leaves most of them to others.
const MOST_UNDER_WAY: usize = 512;

/// Whether the applications of a deployment answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HostState {
    /// Soon.
    Coming,
    /// Now.
    Serves,
    /// As soon as somebody asks.
    Dormant,
    /// Not until something else is wanted; with why.
    Down(&'static str),
}

/// What a request gets to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Pass it on.
    Serves,
    /// There is no such host.
    Unknown,
    /// There is, and it does not answer.
    Down(&'static str),
}

/// Who may reach a deployment's hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Everybody.
    All,
    /// This machine's own programs, other applications among them.
    Machine,
}

/// The table.
pub(crate) struct HostTable {
    base_domain: String,
    entries: RwLock<Entries>,
    /// Deployments that were dormant and are asked for.
    asked: mpsc::UnboundedSender<String>,
    next_asked: Mutex<mpsc::UnboundedReceiver<String>>,
    adopted: watch::Sender<bool>,
}

#[derive(Default)]
struct Entries {
    owner_of: HashMap<String, String>,
    deployments: HashMap<String, Entry>,
}

struct Entry {
    hosts: Vec<String>,
    reach: Reach,
    state: HostState,
    usage: Arc<Usage>,
    /// For requests that are under way, over all its revisions.
    places: Arc<Semaphore>,
}

/// A request's place among those that are under way to one deployment.
pub(crate) type Place = OwnedSemaphorePermit;

/// Too many requests are under way to a deployment.
#[derive(Debug)]
pub(crate) struct Full;

impl HostTable {
    pub(crate) fn new(base_domain: &str) -> Self {
        let (asked, next_asked) = mpsc::unbounded_channel();
        Self {
            base_domain: normalized(base_domain),
            entries: RwLock::default(),
            asked,
            next_asked: Mutex::new(next_asked),
            adopted: watch::Sender::new(false),
        }
    }

    /// Everything that was wanted at the start has its hosts by now.
    pub(crate) fn all_adopted(&self) {
        self.adopted.send_replace(true);
    }

    /// Waits until then: before, a deployment's host would look like nobody's.
    pub(crate) async fn until_all_adopted(&self) {
        // The sender lives as long as this table.
        let _ = self.adopted.subscribe().wait_for(|adopted| *adopted).await;
    }

    /// Gives `hosts` to a deployment, and takes those away that it had before and that are not among
    /// them. Its state stays; a new one is coming.
    ///
    /// # Errors
    /// The host that another deployment has; nothing is changed then.
    pub(crate) fn claim(
        &self,
        deployment_id: &str,
        hosts: &[String],
        reach: Reach,
    ) -> Result<(), String> {
        let mut guard = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let entries = &mut *guard;
        for host in hosts {
            if entries
                .owner_of
                .get(host)
                .is_some_and(|owner| owner != deployment_id)
            {
                return Err(host.clone());
            }
        }
        let entry = entries
            .deployments
            .entry(deployment_id.to_owned())
            .or_insert_with(|| Entry {
                hosts: Vec::new(),
                reach,
                state: HostState::Coming,
                usage: Arc::default(),
                places: Arc::new(Semaphore::new(MOST_UNDER_WAY)),
            });
        for host in &entry.hosts {
            entries.owner_of.remove(host);
        }
        for host in hosts {
            entries
                .owner_of
                .insert(host.clone(), deployment_id.to_owned());
        }
        entry.hosts = hosts.to_vec();
        entry.reach = reach;
        entry.usage.state_changed();
        Ok(())
    }

    /// Changes whether a deployment answers.
    pub(crate) fn set(&self, deployment_id: &str, state: HostState) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.deployments.get_mut(deployment_id) {
            if entry.state != HostState::Serves {
                entry.usage.used();
            }
            entry.state = state;
            entry.usage.state_changed();
        }
    }

    /// The deployments that serve and that nobody asked for `idle`.
    pub(crate) fn idle(&self, idle: Duration) -> Vec<String> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries
            .deployments
            .iter()
            .filter(|(_, entry)| entry.may_sleep(idle))
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// Makes a deployment dormant if it serves, nobody asked it for `idle` and no request is on its way to
    /// it. From then on a request waits, and [`HostTable::next_asked`] tells of it.
    pub(crate) fn fall_asleep(&self, deployment_id: &str, idle: Duration) -> bool {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        match entries.deployments.get_mut(deployment_id) {
            Some(entry) if entry.may_sleep(idle) => {
                entry.state = HostState::Dormant;
                true
            }
            _ => false,
        }
    }

    /// The next dormant deployment that somebody asks for; it is coming from then on. For one caller, who
    /// may give up waiting.
    pub(crate) async fn next_asked(&self) -> String {
        match self.next_asked.lock().await.recv().await {
            Some(id) => id,
            // The sender lives as long as this table.
            None => std::future::pending().await,
        }
    }

    fn wake(&self, deployment_id: &str) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.deployments.get_mut(deployment_id)
            && entry.state == HostState::Dormant
        {
            entry.state = HostState::Coming;
            // The receiver lives as long as this table.
            let _ = self.asked.send(deployment_id.to_owned());
        }
    }

    /// Notes a request for a host until it is dropped: no deployment falls asleep under it. To be held from
    /// before the host is waited for until its process has the request.
    pub(crate) fn pass(&self, host: &str) -> Option<Passing> {
        Some(Passing::begin(self.usage_of(host)?))
    }

    fn usage_of(&self, host: &str) -> Option<Arc<Usage>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.deployments.get(entries.owner_of.get(host)?)?;
        Some(Arc::clone(&entry.usage))
    }

    /// Everything that answers is coming again: the tenants' process has ended.
    pub(crate) fn all_coming(&self) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        for entry in entries.deployments.values_mut() {
            if entry.state == HostState::Serves {
                entry.state = HostState::Coming;
            }
        }
    }

    /// Takes a deployment's hosts away.
    pub(crate) fn release(&self, deployment_id: &str) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.deployments.remove(deployment_id) {
            for host in &entry.hosts {
                entries.owner_of.remove(host);
            }
            drop(entries);
            entry.usage.state_changed();
        }
    }

    /// Whether a (normalized) host is for tenants: of the form that deployments have, or claimed.
    pub(crate) fn is_tenants(&self, host: &str) -> bool {
        is_of_a_tenant(host, &self.base_domain)
            || self
                .entries
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .owner_of
                .contains_key(host)
    }

    /// A place for a request to a host, to be held until its answer is sent. None for a host that nobody has, or that
    /// the caller may not reach.
    pub(crate) fn place(&self, host: &str, caller: &Caller) -> Option<Result<Place, Full>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.deployments.get(entries.owner_of.get(host)?)?;
        if entry.reach == Reach::Machine && !caller.is_this_machine {
            return None;
        }
        let place = Arc::clone(&entry.places).try_acquire_owned();
        Some(place.map_err(|_full| Full))
    }

    /// Whether the application behind a host answers; waits while it is coming.
    pub(crate) async fn wait_until_ready(&self, host: &str, caller: &Caller) -> Readiness {
        if let Some(readiness) = self.look_up(host, caller) {
            return readiness;
        }
        let waiting = async {
            while let Some(usage) = self.usage_of(host) {
                // Before the look, so that no change after it is missed.
                let mut changed = pin!(usage.next_change());
                changed.as_mut().enable();
                match self.look_up(host, caller) {
                    Some(readiness) => return readiness,
                    None => changed.await,
                }
            }
            Readiness::Unknown
        };
        tokio::time::timeout(WAIT, waiting)
            .await
            .unwrap_or(Readiness::Down(
                "The application is starting. Try again soon.",
            ))
    }

    /// None while it is coming, from the moment on that somebody looks.
    fn look_up(&self, host: &str, caller: &Caller) -> Option<Readiness> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let entry = entries
            .owner_of
            .get(host)
            .and_then(|owner| entries.deployments.get(owner))
            .filter(|entry| entry.reach == Reach::All || caller.is_this_machine);
        match entry.map(|entry| entry.state) {
            None => Some(Readiness::Unknown),
            Some(HostState::Serves) => Some(Readiness::Serves),
            Some(HostState::Down(why)) => Some(Readiness::Down(why)),
            Some(HostState::Coming) => None,
            Some(HostState::Dormant) => {
                let owner = entries.owner_of.get(host).cloned();
                drop(entries);
                self.wake(&owner?);
                None
            }
        }
    }
}

impl Entry {
    fn may_sleep(&self, idle: Duration) -> bool {
        self.state == HostState::Serves && self.usage.is_idle_for(idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    use nokube_engine::Client;

    const HOST: &str = "api.shop.ada.localhost";

    fn local() -> Caller {
        Caller {
            client: Client::new(SocketAddr::from(([127, 0, 0, 1], 1))),
            is_this_machine: true,
        }
    }

    fn table() -> HostTable {
        let table = HostTable::new("localhost");
        table.claim("d1", &[HOST.into()], Reach::All).unwrap();
        table
    }

    #[test]
    fn hosts_of_the_form_of_deployments_never_reach_the_platform() {
        let table = table();
        for (host, tenants) in [
            (HOST, true),
            ("unknown.shop.ada.localhost", true),
            ("localhost", false),
            ("api.localhost", false),
            ("a.b.c.d.localhost", false),
            ("127.0.0.1", false),
            ("a.b.c.notlocalhost", false),
            ("", false),
        ] {
            assert_eq!(table.is_tenants(host), tenants, "{host}");
        }
        table
            .claim("d2", &["www.example.com".into()], Reach::All)
            .unwrap();
        assert!(table.is_tenants("www.example.com"));
    }

    #[test]
    fn a_host_belongs_to_one_deployment() {
        let table = table();
        assert_eq!(
            table.claim("d2", &["x".into(), HOST.into()], Reach::All),
            Err(HOST.to_owned())
        );
        assert!(!table.is_tenants("x"));
        table.release("d1");
        table.claim("d2", &[HOST.into()], Reach::All).unwrap();
    }

    #[tokio::test]
    async fn a_coming_application_is_waited_for() {
        let table = Arc::new(table());
        let waiting = tokio::spawn({
            let table = Arc::clone(&table);
            async move { table.wait_until_ready(HOST, &local()).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        table.set("d1", HostState::Serves);
        assert_eq!(waiting.await.unwrap(), Readiness::Serves);
        table.set("d1", HostState::Down("stopped"));
        assert_eq!(
            table.wait_until_ready(HOST, &local()).await,
            Readiness::Down("stopped")
        );
    }

    #[tokio::test]
    async fn an_internal_application_is_unknown_to_whom_is_not_of_this_machine() {
        let table = HostTable::new("localhost");
        table.claim("d1", &[HOST.into()], Reach::Machine).unwrap();
        table.set("d1", HostState::Serves);
        assert_eq!(
            table.wait_until_ready(HOST, &local()).await,
            Readiness::Serves
        );
        // From another machine, through a proxy on this one.
        let other = Caller {
            is_this_machine: false,
            ..local()
        };
        assert_eq!(
            table.wait_until_ready(HOST, &other).await,
            Readiness::Unknown
        );
    }

    #[tokio::test]
    async fn a_dormant_application_is_asked_for_once_and_waited_for() {
        let table = Arc::new(table());
        table.set("d1", HostState::Dormant);
        let waiting = [(); 2].map(|()| {
            let table = Arc::clone(&table);
            tokio::spawn(async move { table.wait_until_ready(HOST, &local()).await })
        });
        assert_eq!(table.next_asked().await, "d1");
        tokio::task::yield_now().await;
        table.set("d1", HostState::Serves);
        for waiting in waiting {
            assert_eq!(waiting.await.unwrap(), Readiness::Serves);
        }
        assert!(
            table.next_asked.lock().await.try_recv().is_err(),
            "one event, however many ask"
        );
    }

    #[tokio::test]
    async fn who_may_not_reach_an_application_does_not_wake_it() {
        let table = HostTable::new("localhost");
        table.claim("d1", &[HOST.into()], Reach::Machine).unwrap();
        table.set("d1", HostState::Dormant);
        let other = Caller {
            client: Client::new(SocketAddr::from(([192, 0, 2, 1], 1))),
            is_this_machine: false,
        };
        assert_eq!(
            table.wait_until_ready(HOST, &other).await,
            Readiness::Unknown
        );
        assert!(table.next_asked.lock().await.try_recv().is_err());
    }

    #[test]
    fn an_application_falls_asleep_only_when_nobody_asked_it_for_long() {
        let table = table();
        assert!(!table.fall_asleep("d1", Duration::ZERO), "it is coming");
        table.set("d1", HostState::Serves);
        assert!(table.idle(Duration::from_secs(60)).is_empty());
        assert!(!table.fall_asleep("d1", Duration::from_secs(60)));
        let passing = table.pass(HOST);
        assert!(!table.fall_asleep("d1", Duration::ZERO), "a request passes");
        drop(passing);
        assert_eq!(table.idle(Duration::ZERO), ["d1"]);
        assert!(table.fall_asleep("d1", Duration::ZERO));
    }

    #[test]
    fn a_deployment_with_too_many_requests_under_way_is_full_and_others_are_not() {
        let table = table();
        table
            .claim("d2", &["other.example".into()], Reach::All)
            .unwrap();
        let under_way: Vec<_> = (0..MOST_UNDER_WAY)
            .map(|_| table.place(HOST, &local()).unwrap().unwrap())
            .collect();
        assert!(table.place(HOST, &local()).unwrap().is_err());
        // A new revision does not count anew.
        table.claim("d1", &[HOST.into()], Reach::All).unwrap();
        assert!(table.place(HOST, &local()).unwrap().is_err());
        assert!(table.place("other.example", &local()).unwrap().is_ok());
        assert!(table.place("nobody.example", &local()).is_none());
        drop(under_way);
        assert!(table.place(HOST, &local()).unwrap().is_ok());
    }

    #[test]
    fn a_new_revision_keeps_the_state_of_the_old_one() {
        let table = table();
        table.set("d1", HostState::Serves);
        table
            .claim("d1", &[HOST.into(), "www.example.com".into()], Reach::All)
            .unwrap();
        assert_eq!(table.look_up(HOST, &local()), Some(Readiness::Serves));
        table.claim("d1", &[HOST.into()], Reach::All).unwrap();
        assert!(!table.is_tenants("www.example.com"));
        table.all_coming();
        assert_eq!(table.look_up(HOST, &local()), None);
    }
}
