//! The platform's rendered files, `k8s/rendered`: an API server that knows SpinKube, the Gateway API and the Prometheus
//! operator takes them as `kubectl apply -f` sends them, and its controllers get the pods that they ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

use nokube_tests::cluster::kube::{Answer, Kube};
use nokube_tests::cluster::sidecar::CHANGE_LIMIT;
use nokube_tests::cluster::{visit, visit_alone};
use nokube_tests::platform::{nokube, repository_root};
use nokube_tests::wait::until;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::objects::{name_of, until_nothing_is_in};

const SETS: [&str; 3] = ["whole", "split", "external"];
/// The platform's own namespace.
const PLATFORM: &str = "nokube";
/// Where a document is tried that is not to be kept.
const ELSEWHERE: &str = "default";

/// One object of a file, as it stands there.
pub(crate) struct Document {
    text: String,
    api_version: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    namespace: Option<String>,
}

impl Document {
    /// Reads what says where it belongs; the rest is for the API server.
    fn new(text: &str) -> Self {
        let word = |field: &str| {
            let mut lines = text.lines();
            let found = lines.find_map(|line| line.strip_prefix(field));
            found.map(str::to_owned)
        };
        let needed = |field: &str| word(field).unwrap_or_else(|| panic!("no {field}in:\n{text}"));
        Self {
            text: format!("{text}\n"),
            api_version: needed("apiVersion: "),
            kind: needed("kind: "),
            name: needed("  name: "),
            namespace: word("  namespace: "),
        }
    }

    /// As another text, where nothing is kept.
    fn elsewhere(&self, change: impl Fn(&str) -> String) -> Self {
        let mut text = change(&self.text);
        if let Some(namespace) = &self.namespace {
            let (from, to) = (
                format!("\n  namespace: {namespace}\n"),
                format!("\n  namespace: {ELSEWHERE}\n"),
            );
            text = text.replacen(&from, &to, 1);
        }
        Self::new(text.trim_end())
    }

    /// Its address, as the API server tells where objects of its kind are.
    pub(crate) async fn path(&self, kube: &Kube) -> String {
        let api = match self.api_version.contains('/') {
            true => format!("/apis/{}", self.api_version),
            false => format!("/api/{}", self.api_version),
        };
        let known = kube.get(&api).await.expect(&api);
        let resources = known["resources"].as_array().expect("a list of resources");
        let resource = resources.iter().find(|resource| {
            let name = resource["name"].as_str().unwrap_or_default();
            resource["kind"] == self.kind.as_str() && !name.contains('/')
        });
        let resource = resource.unwrap_or_else(|| panic!("{api} has no {}", self.kind));
        let plural = resource["name"].as_str().expect("a name");
        match &self.namespace {
            Some(namespace) => format!("{api}/namespaces/{namespace}/{plural}/{}", self.name),
            None => format!("{api}/{plural}/{}", self.name),
        }
    }

    /// Applies it, as kubectl does: what nobody knows is a fault.
    pub(crate) async fn apply(&self, kube: &Kube, options: &str) -> Answer {
        let path = self.path(kube).await;
        kube.call(
            Method::PATCH,
            &format!("{path}?fieldManager=kubectl&fieldValidation=Strict{options}"),
            "application/apply-patch+yaml",
            self.text.clone(),
        )
        .await
        .expect("the API server answers")
    }

    /// Whether it would be taken.
    async fn try_out(&self, kube: &Kube) -> Answer {
        self.apply(kube, "&dryRun=All").await
    }
}

pub(crate) fn documents(set: &str) -> Vec<Document> {
    let file = repository_root().join(format!("k8s/rendered/{set}/nokube.yaml"));
    let text = std::fs::read_to_string(&file).expect("it is committed");
    let (_, objects) = text.split_once("---\n").expect("it has documents");
    objects.split("\n---\n").map(Document::new).collect()
}

/// Makes the Secret of the platform's keys, as `k8s/README.md` says.
async fn make_keys(kube: &Kube) {
    let folder = tempfile::tempdir().expect("a folder");
    let made = Command::new(nokube())
        .args(["keys", "--libsql", "--data-dir"])
        .arg(folder.path())
        .output();
    let made = made.expect("nokube starts");
    assert!(made.status.success(), "{made:?}");
    let text = std::fs::read_to_string(folder.path().join("keys.env")).expect("the keys");
    let keys: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "nokube-keys" }, "stringData": keys,
    });
    let path = format!("/api/v1/namespaces/{PLATFORM}/secrets");
    let _ = kube.create(&path, &secret).await.expect("the keys");
}

/// Waits until every Deployment and StatefulSet of a namespace has the pods it asks for; gives their names. Pods that
/// admission refuses, for Pod Security or a missing account, are never made.
async fn until_pods_are_admitted(kube: &Kube, namespace: &str, wanted: &BTreeSet<String>) {
    let began = Instant::now();
    loop {
        let mut workloads = Vec::new();
        for plural in ["deployments", "statefulsets"] {
            let path = format!("/apis/apps/v1/namespaces/{namespace}/{plural}");
            workloads.extend(kube.list(&path).await);
        }
        let has_pods = |workload: &&Value| {
            let asked = workload["spec"]["replicas"].as_u64();
            asked > Some(0) && workload["status"]["replicas"].as_u64() == asked
        };
        let complete = workloads.iter().filter(has_pods);
        let complete: BTreeSet<_> = complete.map(|one| name_of(one).to_owned()).collect();
        if complete == *wanted {
            return;
        }
        assert!(
            began.elapsed() < CHANGE_LIMIT,
            "{namespace}: of {wanted:?} {complete:?} have their pods; {:?}",
            workloads
                .iter()
                .map(|one| &one["status"])
                .collect::<Vec<_>>()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_set_is_applied_from_top_to_bottom_and_its_pods_are_admitted() {
    // Alone: some of its names belong to all platforms of a cluster.
    let Some(visit) = visit_alone().await else {
        return;
    };
    let kube = visit.kube();
    for set in SETS {
        let mut made = Vec::new();
        let mut workloads: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for document in documents(set) {
            let Document { kind, name, .. } = &document;
            // Roles of this name may be there already, of another platform's tests.
            let answer = document.apply(&kube, "&force=true").await;
            let is_new = answer.status == StatusCode::CREATED;
            let _ = answer.expect(&format!("{set}: {kind} {name}"));
            if is_new {
                made.push(document.path(&kube).await);
            }
            if kind == "Namespace" && name == PLATFORM {
                make_keys(&kube).await;
            }
            let namespace = match kind.as_str() {
                "Namespace" => Some(name),
                _ => document.namespace.as_ref(),
            };
            if let Some(namespace) = namespace {
                let names = workloads.entry(namespace.clone()).or_default();
                // Of a SpinApp, SpinKube's operator makes a Deployment of its name.
                if ["Deployment", "StatefulSet", "SpinApp"].contains(&kind.as_str()) {
                    let _ = names.insert(name.clone());
                }
            }
        }
        assert!(
            workloads.values().map(BTreeSet::len).sum::<usize>() >= 2,
            "{set}: {workloads:?}"
        );
        for (namespace, wanted) in &workloads {
            until_pods_are_admitted(&kube, namespace, wanted).await;
        }
        // Once more, as after a change: nothing is in the way of what controllers wrote meanwhile.
        for document in documents(set) {
            let answer = document.apply(&kube, "&force=true").await;
            assert_eq!(answer.status, StatusCode::OK, "{set}: {}", answer.body);
        }
        for path in made.iter().rev() {
            let _ = kube.delete(path).await.expect(path);
        }
        for namespace in workloads.keys() {
            until_nothing_is_in(&kube, namespace).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_none_of_their_kinds_an_unknown_field_or_a_wrong_value_is_taken() {
    let Some(visit) = visit().await else {
        return;
    };
    let kube = visit.kube();
    let mut tried = BTreeSet::new();
    let mut executor = None;
    for document in SETS.into_iter().flat_map(documents) {
        let kind = document.kind.clone();
        if !tried.insert(kind.clone()) {
            continue;
        }
        // What is refused below is refused for what was changed.
        let same = document.elsewhere(str::to_owned);
        if kind == "SpinAppExecutor" {
            // SpinKube takes no application without one.
            let _ = same.apply(&kube, "").await.expect(&kind);
            executor = Some(same.path(&kube).await);
        }
        let taken = || async {
            let answer = same.try_out(&kube).await;
            let is_early = answer.body.to_string().contains("executor does not exist");
            (!is_early).then_some(answer)
        };
        let answer = until("an executor to be known", CHANGE_LIMIT, taken).await;
        let _ = answer.expect(&kind);

        let unknown = document.elsewhere(|text| format!("{text}noSuchField: 1\n"));
        let answer = unknown.try_out(&kube).await;
        let told = answer.body.to_string();
        // What does not fit a kind's own definition, the API server answers with 500.
        let refused = [StatusCode::BAD_REQUEST, StatusCode::INTERNAL_SERVER_ERROR];
        assert!(refused.contains(&answer.status), "{kind}: {told}");
        assert!(told.contains("noSuchField"), "{kind}: {told}");

        if let Some((head, _)) = document.text.split_once("\nspec:\n") {
            let wrong = document.elsewhere(|_| format!("{head}\nspec: wrong\n"));
            let answer = wrong.try_out(&kube).await;
            let told = answer.body.to_string();
            let is_refused = answer.status.is_client_error() || told.contains("expected map");
            assert!(is_refused, "{kind}: {told}");
        }
    }
    let executor = executor.expect("the sets have one");
    let _ = kube.delete(&executor).await.expect(&executor);
    for kind in ["SpinApp", "HTTPRoute", "ServiceMonitor", "Deployment"] {
        assert!(tried.contains(kind), "{tried:?}");
    }
}
