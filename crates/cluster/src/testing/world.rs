//! A target over a fake cluster, with what controllers would do done by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use nokube_api::sidecar::AppSpec;
use nokube_artifact::layout::Layout;
use nokube_keys::Secret;
use nokube_manifests::{Edge, Settings, workload};
use nokube_sidecar::{Health, Observed, Target, TargetError};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::Instant;

use super::fake::{Fake, SYSTEM};
use crate::api::Cluster;
use crate::leader::Term;
use crate::metrics::Metrics;
use crate::target::{ClusterTarget, TargetOptions};

/// Of the paused clock.
const LIMIT: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// As if the lease was renewed all the time: longer than any scenario.
const FOR_GOOD: Duration = Duration::from_secs(365 * 24 * 3600);

/// A cluster and the sidecar's part in it.
pub(crate) struct World {
    pub(crate) fake: Fake,
    pub(crate) target: Arc<ClusterTarget>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) term: Arc<Term>,
    renewed: watch::Sender<Instant>,
    settings: Settings,
    _dir: TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Fake::new(), settings()).await
    }

    pub(crate) async fn with_edge(edge: Edge) -> Self {
        let settings = Settings { edge, ..settings() };
        Self::with(Fake::new(), settings).await
    }

    /// Where somebody has said where nodes are.
    pub(crate) async fn with_node_address(address: &str) -> Self {
        let settings = Settings {
            node_address: Some(address.to_owned()),
            ..settings()
        };
        Self::with(Fake::new(), settings).await
    }

    /// In a cluster that was prepared.
    pub(crate) async fn over(fake: Fake) -> Self {
        Self::with(fake, settings()).await
    }

    async fn with(fake: Fake, settings: Settings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Metrics::default());
        let (renewed, renewals) = watch::channel(Instant::now() + FOR_GOOD);
        let term = Arc::new(Term::new(renewals));
        let options = TargetOptions {
            settings: settings.clone(),
            layout: Layout::open(dir.path()).unwrap(),
            wasi_0_3: false,
            term: Arc::clone(&term),
        };
        let cluster = Cluster::new(fake.client(), Arc::clone(&metrics));
        let target = ClusterTarget::open(cluster, Arc::clone(&metrics), options)
            .await
            .unwrap();
        let world = Self {
            fake,
            target,
            metrics,
            term,
            renewed,
            settings,
            _dir: dir,
        };
        world
            .until("the watches to have listed everything", || async {
                world.target.is_ready().await.then_some(())
            })
            .await;
        world
    }

    /// As after a crash: nothing is left but what is in the cluster.
    pub(crate) async fn restarted(self) -> Self {
        Self::with(self.fake.clone(), self.settings.clone()).await
    }

    /// The same with other settings.
    pub(crate) async fn restarted_with(self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.settings.clone();
        change(&mut settings);
        Self::with(self.fake.clone(), settings).await
    }

    /// The lease was renewed then, and not since.
    pub(crate) fn renewed_at(&self, at: Instant) {
        self.renewed.send_replace(at);
    }

    pub(crate) async fn apply(&self, app: &AppSpec) -> Result<(), TargetError> {
        self.apply_since(app, 0).await
    }

    /// When a restart was asked for in that generation.
    pub(crate) async fn apply_since(
        &self,
        app: &AppSpec,
        restarted: u64,
    ) -> Result<(), TargetError> {
        let secrets = BTreeMap::from([("API_KEY".to_owned(), Secret::new("hidden".to_owned()))]);
        self.target.apply(app, restarted, &secrets).await
    }

    pub(crate) async fn observe(&self, app: &AppSpec) -> Observed {
        self.target.observe(app).await.unwrap()
    }

    /// Applies until that is done. What is refused on the way would be refused for good.
    pub(crate) async fn applied(&self, app: &AppSpec) {
        self.until("it to be applied", || async {
            match self.apply(app).await {
                Ok(()) => Some(()),
                Err(TargetError::Unavailable(_)) => None,
                Err(error) => panic!("{error}"),
            }
        })
        .await;
    }

    /// The same, until its pods are ready.
    pub(crate) async fn becomes(&self, app: &AppSpec) {
        self.applied(app).await;
        self.make_pods(app, &ready());
        self.until_health(app, |health| *health == Health::Ready)
            .await;
    }

    /// Applies, makes the pods as the cluster would, and waits until it is ready.
    pub(crate) async fn runs(&self, app: &AppSpec) {
        self.apply(app).await.unwrap();
        self.make_pods(app, &ready());
        self.until_health(app, |health| *health == Health::Ready)
            .await;
    }

    /// Removes until nothing is left.
    pub(crate) async fn removed(&self, app: &AppSpec) {
        self.until("nothing to be left of it", || async {
            self.target.remove(app).await.unwrap();
            (!self.observe(app).await.present).then_some(())
        })
        .await;
    }

    pub(crate) async fn until_health(
        &self,
        app: &AppSpec,
        wanted: impl Fn(&Health) -> bool,
    ) -> Health {
        self.until("the deployment to become so", || async {
            Some(self.observe(app).await.health).filter(&wanted)
        })
        .await
    }

    /// Looks until there is something, on the paused clock.
    pub(crate) async fn until<T, F>(&self, what: &str, look: impl Fn() -> F) -> T
    where
        F: Future<Output = Option<T>>,
    {
        let looking = async {
            loop {
                if let Some(found) = look().await {
                    return found;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        match tokio::time::timeout(LIMIT, looking).await {
            Ok(found) => found,
            Err(_) => panic!("waited in vain for {what}; calls: {:#?}", self.fake.calls()),
        }
    }

    /// Where objects of a kind of a deployment are.
    pub(crate) fn place(app: &AppSpec, group: &str, plural: &str) -> String {
        format!("{group}/namespaces/{}/{plural}", app.namespace)
    }

    /// The SpinApp or Deployment, unless it is being removed.
    pub(crate) fn workload(&self, app: &AppSpec) -> Option<Value> {
        let workload = workload(app);
        let place = match workload.kind {
            "SpinApp" => Self::place(app, "/apis/core.spinkube.dev/v1alpha1", "spinapps"),
            _ => Self::place(app, "/apis/apps/v1", "deployments"),
        };
        let found = self.fake.get(&place, &workload.name)?;
        let is_going = !found["metadata"]["deletionTimestamp"].is_null();
        (!is_going).then_some(found)
    }

    /// What controllers make of a workload: its pods in this state, in place of earlier ones.
    pub(crate) fn make_pods(&self, app: &AppSpec, status: &Value) {
        self.remove_pods(app);
        self.add_pods(app, status);
    }

    /// The same beside earlier ones.
    pub(crate) fn add_pods(&self, app: &AppSpec, status: &Value) {
        let workload = self.workload(app).unwrap();
        let spec = &workload["spec"];
        let (labels, annotations) = match workload["kind"].as_str() {
            Some("SpinApp") => (&spec["podLabels"], &spec["podAnnotations"]),
            _ => (
                &spec["template"]["metadata"]["labels"],
                &spec["template"]["metadata"]["annotations"],
            ),
        };
        let mut replicas = spec["replicas"].as_u64().unwrap_or_default();
        if app.spec.enable_autoscaling {
            replicas = replicas.max(app.spec.min_replicas.into());
        }
        let version = workload["metadata"]["resourceVersion"].as_str().unwrap();
        for number in 0..replicas {
            let pod = json!({
                "metadata": {
                    "name": format!("{}-{version}-{number}", app.service),
                    "namespace": app.namespace,
                    "labels": labels, "annotations": annotations,
                    "ownerReferences": [{ "kind": "ReplicaSet" }],
                },
                "spec": { "containers": [{ "name": app.service }] },
                "status": status,
            });
            self.fake.insert(&Self::place(app, "/api/v1", "pods"), pod);
        }
    }

    pub(crate) fn remove_pods(&self, app: &AppSpec) {
        for name in self.pods(app) {
            self.fake.take(&Self::place(app, "/api/v1", "pods"), &name);
        }
    }

    pub(crate) fn pods(&self, app: &AppSpec) -> Vec<String> {
        let names = self.fake.names(&app.namespace);
        let own = |name: &String| Some(name.strip_prefix("pods/")?.to_owned());
        names
            .iter()
            .filter_map(own)
            .filter(|name| name.starts_with(&format!("{}-", app.service)))
            .collect()
    }

    /// `resource/name` of what is in the deployment's namespace.
    pub(crate) fn names(&self, app: &AppSpec) -> Vec<String> {
        self.fake.names(&app.namespace)
    }

    /// What the cluster complains about.
    pub(crate) fn warn(&self, app: &AppSpec, object: (&str, &str), reason: &str, message: &str) {
        let now = nokube_domain::Timestamp::from_millis(crate::target::now_ms());
        let event = json!({
            "metadata": { "name": format!("{}.{reason}", object.1), "namespace": app.namespace },
            "involvedObject": {
                "kind": object.0, "name": object.1, "namespace": app.namespace,
            },
            "type": "Warning", "reason": reason, "message": message,
            "lastTimestamp": now.to_string(),
        });
        self.fake
            .insert(&Self::place(app, "/api/v1", "events"), event);
    }
}

/// The status of a pod that answers.
pub(crate) fn ready() -> Value {
    json!({ "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] })
}

fn settings() -> Settings {
    Settings {
        system_namespace: SYSTEM.to_owned(),
        pull_secret: Some(Arc::new(Secret::new("{\"auths\":{}}".to_owned()))),
        ..Settings::default()
    }
}
