//! What a cluster does with objects beside keeping them: rules that hold for some fields, SpinKube's operator, the garbage
//! collector and the end of namespaces. As much of each as a mistake of the sidecar's would meet.

use http::Response;
use nokube_domain::Quantity;
use nokube_manifests::FIELD_MANAGER;
use serde_json::{Value, json};

use super::wire::{Target, status};
use super::{FakeBody, State};

const DEPLOYMENTS: &str = "deployments";
const SPIN_APPS: &str = "spinapps";
const CLAIMS: &str = "persistentvolumeclaims";
const EXECUTORS: &str = "/spinappexecutors";
const OPERATOR: &str = "spin-operator";
const DEPLOYMENT_LABEL: &str = "nokube.dev/deployment";
/// The storage class of claims that name none.
const DEFAULT_CLASS: &str = "standard";

type Key = (String, String);

/// How an object is applied.
pub(super) struct Apply<'a> {
    pub(super) target: &'a Target,
    pub(super) name: &'a str,
    pub(super) manager: &'a str,
    pub(super) force: bool,
}

impl Apply<'_> {
    fn key(&self) -> Key {
        (self.target.collection.clone(), self.name.to_owned())
    }
}

impl State {
    /// What the API server answers to an apply that cannot be.
    pub(super) fn refusal(
        &self,
        apply: &Apply<'_>,
        found: Option<&Value>,
        body: &Value,
    ) -> Option<Response<FakeBody>> {
        let uid = &body["metadata"]["uid"];
        if !uid.is_null() && found.map(|found| &found["metadata"]["uid"]) != Some(uid) {
            return Some(status(409, "Conflict", "uid mismatch", None));
        }
        let found = found?;
        let invalid = |message: &str| Some(status(422, "Invalid", message, None));
        match apply.target.resource.as_str() {
            DEPLOYMENTS => {
                let selector = &body["spec"]["selector"];
                if !selector.is_null() && *selector != found["spec"]["selector"] {
                    return invalid("spec.selector: Invalid value: field is immutable");
                }
                let copies = &body["spec"]["replicas"];
                let owners = self.copies.get(&apply.key());
                let held = owners.is_some_and(|owners| {
                    !owners.is_empty() && !owners.contains(apply.manager) && !apply.force
                });
                if held && !copies.is_null() && *copies != found["spec"]["replicas"] {
                    let causes = json!([{ "reason": "FieldManagerConflict" }]);
                    let details = Some(json!({ "causes": causes }));
                    return Some(status(
                        409,
                        "Conflict",
                        "Apply failed with 1 conflict",
                        details,
                    ));
                }
                None
            }
            CLAIMS => {
                let class = &body["spec"]["storageClassName"];
                if !class.is_null() && *class != found["spec"]["storageClassName"] {
                    return invalid("spec: Forbidden: spec is immutable after creation");
                }
                if size(body) != size(found) && found["status"]["phase"] != "Bound" {
                    return invalid("spec: Forbidden: spec is immutable except for bound claims");
                }
                if size(body) < size(found) {
                    return invalid("field can not be less than status.capacity");
                }
                None
            }
            _ => None,
        }
    }

    /// What an object is after it was applied.
    pub(super) fn applied(
        &mut self,
        apply: &Apply<'_>,
        found: Option<&Value>,
        mut body: Value,
    ) -> Value {
        match apply.target.resource.as_str() {
            DEPLOYMENTS => {
                let owners = self.copies.entry(apply.key()).or_default();
                let copies = if body["spec"]["replicas"].is_null() {
                    owners.remove(apply.manager);
                    match found {
                        Some(found) if !owners.is_empty() => found["spec"]["replicas"].clone(),
                        _ => json!(1),
                    }
                } else {
                    let same = found
                        .is_some_and(|found| found["spec"]["replicas"] == body["spec"]["replicas"]);
                    if !same {
                        owners.clear();
                    }
                    owners.insert(apply.manager.to_owned());
                    body["spec"]["replicas"].clone()
                };
                if let Some(found) = found
                    && ![FIELD_MANAGER, OPERATOR].contains(&apply.manager)
                {
                    body = found.clone();
                }
                body["spec"]["replicas"] = copies;
            }
            CLAIMS => {
                let class = found.map_or_else(
                    || json!(DEFAULT_CLASS),
                    |found| found["spec"]["storageClassName"].clone(),
                );
                body["status"] = found.map_or_else(
                    || json!({ "phase": "Bound" }),
                    |found| found["status"].clone(),
                );
                if body["spec"]["storageClassName"].is_null() {
                    body["spec"]["storageClassName"] = class;
                }
            }
            _ => {}
        }
        body
    }

    /// As an autoscaler does it.
    pub(super) fn scale(&mut self, collection: &str, name: &str, copies: u32) {
        let key = (collection.to_owned(), name.to_owned());
        let mut object = self.objects[&key].clone();
        object["spec"]["replicas"] = json!(copies);
        self.copies
            .insert(key, ["kube-controller-manager".to_owned()].into());
        self.put(collection, name, object);
    }

    /// SpinKube's operator: a Deployment and a Service for each SpinApp, which it writes over whatever is there.
    pub(super) fn operate(&mut self, target: &Target, name: &str) {
        let key = (target.collection.clone(), name.to_owned());
        let (Some(app), Some(namespace)) = (self.objects.get(&key).cloned(), &target.namespace)
        else {
            return;
        };
        let owner = json!([{
            "apiVersion": "core.spinkube.dev/v1alpha1", "kind": "SpinApp", "name": name,
            "uid": app["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
        }]);
        let labels = json!({ "core.spinkube.dev/app-name": name });
        let metadata = json!({
            "name": name, "namespace": namespace, "labels": labels, "ownerReferences": owner,
        });
        let ready = format!("core.spinkube.dev/app.{name}.status");
        let deployment = json!({ "metadata": metadata, "spec": {
            "replicas": app["spec"]["replicas"],
            "selector": { "matchLabels": { ready: "ready" } },
            "template": { "metadata": {
                "labels": app["spec"]["podLabels"], "annotations": app["spec"]["podAnnotations"],
            } },
        } });
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}");
        let of_deployment = Target::of(&path);
        let apply = Apply {
            target: &of_deployment,
            name,
            manager: OPERATOR,
            force: true,
        };
        let found = self.objects.get(&apply.key()).cloned();
        if self.refusal(&apply, found.as_ref(), &deployment).is_some() {
            // It says so in its log, and tries again for ever.
            return;
        }
        let deployment = self.applied(&apply, found.as_ref(), deployment);
        self.put(&of_deployment.collection, name, deployment);
        let services = format!("/api/v1/namespaces/{namespace}/services");
        self.put(&services, name, json!({ "metadata": metadata }));
    }

    /// Begins to remove a workload. In the foreground it stays until what belongs to it is gone.
    pub(super) fn begin_removal(&mut self, key: &Key, foreground: bool) {
        let template = &self.objects[key]["spec"]["template"]["metadata"]["labels"];
        if let Some(id) = template[DEPLOYMENT_LABEL].as_str() {
            let namespace = Target::of(&key.0).namespace.unwrap_or_default();
            self.ending.insert((namespace, id.to_owned()));
        }
        if foreground {
            self.mark(key);
        } else {
            self.remove(&key.0, &key.1);
        }
    }

    /// One round of the garbage collector, of kubelets and of whoever waits for them. True when there is more to do.
    pub(super) fn collect_garbage(&mut self) -> bool {
        let all: Vec<(Key, Value)> = self
            .objects
            .iter()
            .map(|(key, object)| (key.clone(), object.clone()))
            .collect();
        let mut more = false;
        for (key, object) in &all {
            let owner = &object["metadata"]["ownerReferences"][0]["uid"];
            let owner_there = all.iter().find(|(_, one)| one["metadata"]["uid"] == *owner);
            let is_orphan = !owner.is_null() && owner_there.is_none();
            let owner_goes = !owner.is_null() && owner_there.is_some_and(|(_, one)| goes(one));
            let has_dependents = || {
                let uid = &object["metadata"]["uid"];
                all.iter().any(|(key, other)| {
                    other["metadata"]["ownerReferences"][0]["uid"] == *uid
                        || is_pod_of(key, other, object)
                })
            };
            match Target::of(&key.0).resource.as_str() {
                "pods" => {
                    let is_wanted = all
                        .iter()
                        .any(|(_, other)| !goes(other) && is_pod_of(key, object, other));
                    if is_wanted || !self.ending.contains(&whose(object)) {
                        continue;
                    }
                    // It has some seconds to end.
                    if goes(object) {
                        self.remove(&key.0, &key.1);
                    } else {
                        self.mark(key);
                    }
                }
                DEPLOYMENTS | SPIN_APPS if is_orphan => self.begin_removal(key, false),
                DEPLOYMENTS | SPIN_APPS if goes(object) => {
                    if !has_dependents() {
                        self.begin_removal(key, false);
                    }
                }
                DEPLOYMENTS | SPIN_APPS if owner_goes => self.begin_removal(key, true),
                _ if is_orphan || owner_goes => self.remove(&key.0, &key.1),
                _ => continue,
            }
            more = true;
        }
        self.end_namespaces();
        more
    }

    /// Takes what is in them along with namespaces that are to end. An executor that some SpinApp names, in whichever
    /// namespace, keeps its finalizer, and with it its namespace.
    pub(super) fn end_namespaces(&mut self) {
        let ending: Vec<String> = self
            .objects
            .iter()
            .filter(|((collection, _), object)| collection == "/api/v1/namespaces" && goes(object))
            .map(|((_, name), _)| name.clone())
            .collect();
        for namespace in ending {
            let part = format!("/namespaces/{namespace}/");
            let within: Vec<Key> = self
                .objects
                .keys()
                .filter(|(collection, _)| collection.contains(&part))
                .cloned()
                .collect();
            let (executors, rest): (Vec<Key>, Vec<Key>) = within
                .into_iter()
                .partition(|(collection, _)| collection.ends_with(EXECUTORS));
            for (collection, name) in rest {
                self.remove(&collection, &name);
            }
            for (collection, name) in executors {
                let is_named = self.objects.iter().any(|((place, _), object)| {
                    Target::of(place).resource == SPIN_APPS && object["spec"]["executor"] == *name
                });
                if !is_named {
                    self.remove(&collection, &name);
                }
            }
            let is_empty = !self.objects.keys().any(|(place, _)| place.contains(&part));
            if is_empty {
                self.remove("/api/v1/namespaces", &namespace);
            }
        }
    }

    /// Writes down that an object is being removed.
    pub(super) fn mark(&mut self, key: &Key) {
        if let Some(mut object) = self.objects.get(key).cloned()
            && !goes(&object)
        {
            object["metadata"]["deletionTimestamp"] = json!("2026-11-21T10:00:00Z");
            self.put(&key.0, &key.1, object);
        }
    }
}

fn goes(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

fn is_pod_of(key: &Key, pod: &Value, deployment: &Value) -> bool {
    let of = &deployment["spec"]["template"]["metadata"]["labels"][DEPLOYMENT_LABEL];
    key.0.ends_with("/pods")
        && pod["metadata"]["namespace"] == deployment["metadata"]["namespace"]
        && !of.is_null()
        && pod["metadata"]["labels"][DEPLOYMENT_LABEL] == *of
}

/// The namespace and deployment that a pod is of.
fn whose(pod: &Value) -> Key {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &pod["metadata"];
    (
        text(&metadata["namespace"]),
        text(&metadata["labels"][DEPLOYMENT_LABEL]),
    )
}

fn size(claim: &Value) -> u64 {
    let size = claim["spec"]["resources"]["requests"]["storage"].as_str();
    Quantity::parse(size.unwrap_or("0")).unwrap().units()
}
