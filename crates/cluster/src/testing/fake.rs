//! The fake API service: enough of a cluster's API for what the sidecar calls, in memory.
//!
//! It checks every call against the permissions, so that no scenario passes with a call that a real
//! cluster would refuse, and notes which were used. Failures are scripted by [`Rule`]s. What a cluster does by itself is
//! in `controllers`.

mod controllers;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::watch;
use url::form_urlencoded;

use self::controllers::Apply;
use self::wire::{Target, json_answer, matches, scripted, status, text_answer, verb};
use crate::permissions::{PERMISSIONS, Scope};

type FakeBody = UnsyncBoxBody<Bytes, Infallible>;

/// Where the sidecar of the scenarios lives.
pub(crate) const SYSTEM: &str = "nokube-system";
/// Between two rounds of the garbage collector.
const GARBAGE_PAUSE: Duration = Duration::from_secs(1);

/// A cluster in memory.
#[derive(Clone)]
pub(crate) struct Fake {
    state: Arc<Mutex<State>>,
    /// The number of changes so far; watches wait for the next.
    changes: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    /// By the collection's path and the name.
    objects: BTreeMap<(String, String), Value>,
    version: u64,
    /// (version, type, resource, object), the history that watches are told.
    history: Vec<(u64, &'static str, String, Value)>,
    /// Watches that began before this many changes are ended.
    watches_end_at: u64,
    /// No controller counts what a new quota bounds.
    quotas_wait: bool,
    /// Those that would go on from before are refused, instead of begun and ended by an event.
    refuses_watches: bool,
    rules: Vec<Rule>,
    logs: BTreeMap<String, String>,
    calls: Vec<String>,
    used: BTreeSet<(Scope, &'static str, &'static str, &'static str)>,
    refused: Vec<String>,
    /// Who holds the number of a Deployment's copies.
    copies: BTreeMap<(String, String), BTreeSet<String>>,
    /// Namespaces and deployments whose pods end.
    ending: BTreeSet<(String, String)>,
}

/// A scripted failure: the next `times` calls that match are answered so.
#[derive(Clone)]
pub(crate) struct Rule {
    /// `PATCH`, `WATCH`, `LIST` and so on.
    pub(crate) verb: &'static str,
    /// A part of the path.
    pub(crate) path: &'static str,
    pub(crate) times: usize,
    pub(crate) status: u16,
    pub(crate) retry_after: Option<&'static str>,
    /// How long the answer takes.
    pub(crate) after: Duration,
    pub(crate) body: Value,
}

impl Rule {
    pub(crate) fn status(
        verb: &'static str,
        path: &'static str,
        status: u16,
        message: &str,
    ) -> Self {
        Self {
            verb,
            path,
            times: 1,
            status,
            retry_after: None,
            after: Duration::ZERO,
            body: json!({ "kind": "Status", "message": message, "code": status }),
        }
    }

    pub(crate) fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }
}

impl Fake {
    pub(crate) fn new() -> Self {
        let fake = Self {
            state: Arc::default(),
            changes: watch::Sender::new(0),
        };
        fake.insert(
            "/api/v1/namespaces",
            json!({ "metadata": { "name": SYSTEM } }),
        );
        fake
    }

    pub(crate) fn client(&self) -> kube::Client {
        let fake = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let fake = fake.clone();
            async move { Ok::<_, Infallible>(fake.answer(request).await) }
        });
        kube::Client::new(service, SYSTEM)
    }

    /// Puts an object there, as somebody else would.
    pub(crate) fn insert(&self, collection: &str, object: Value) {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let mut state = self.lock();
        state.put(collection, &name, object);
        drop(state);
        self.tell();
    }

    /// Removes an object, as somebody else would.
    pub(crate) fn take(&self, collection: &str, name: &str) {
        {
            let mut state = self.lock();
            if collection == "/api/v1/namespaces" {
                state.mark(&(collection.to_owned(), name.to_owned()));
                state.end_namespaces();
            } else {
                state.remove(collection, name);
            }
        }
        self.tell();
    }

    /// Scales a Deployment, as an autoscaler would.
    pub(crate) fn scale(&self, collection: &str, name: &str, copies: u32) {
        self.lock().scale(collection, name, copies);
        self.tell();
    }

    pub(crate) fn get(&self, collection: &str, name: &str) -> Option<Value> {
        let key = (collection.to_owned(), name.to_owned());
        self.lock().objects.get(&key).cloned()
    }

    /// `resource/name` of everything in a namespace.
    pub(crate) fn names(&self, namespace: &str) -> Vec<String> {
        let part = format!("/namespaces/{namespace}/");
        let state = self.lock();
        let keys = state.objects.keys();
        keys.filter_map(|(collection, name)| {
            Some(format!("{}/{name}", collection.split_once(&part)?.1))
        })
        .collect()
    }

    pub(crate) fn script(&self, rule: Rule) {
        self.lock().rules.push(rule);
    }

    /// What a pod's log says.
    pub(crate) fn set_log(&self, pod: &str, text: &str) {
        self.lock().logs.insert(pod.to_owned(), text.to_owned());
    }

    /// Ends all watches; with a history that is forgotten, so that they have to begin anew (410).
    pub(crate) fn forget_history(&self) {
        let mut state = self.lock();
        state.watches_end_at = state.version;
        state.history.clear();
        drop(state);
        self.tell();
    }

    /// From now on a watch from a version that is forgotten is not begun: the answer's status is 410.
    pub(crate) fn refuse_old_watches(&self) {
        self.lock().refuses_watches = true;
    }

    /// New quotas are counted from now on, or not yet.
    pub(crate) fn let_quotas_wait(&self, wait: bool) {
        self.lock().quotas_wait = wait;
    }

    /// `VERB path` of all calls so far.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.lock().calls.clone()
    }

    /// Calls that the permissions do not cover.
    pub(crate) fn refused(&self) -> Vec<String> {
        self.lock().refused.clone()
    }

    /// Permissions that were used.
    pub(crate) fn used(&self) -> BTreeSet<(Scope, &'static str, &'static str, &'static str)> {
        self.lock().used.clone()
    }

    fn tell(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn answer(&self, request: Request<Body>) -> Response<FakeBody> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap();
        let query: BTreeMap<String, String> =
            form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let target = Target::of(parts.uri.path());
        let verb = verb(&parts.method, &target, &query);
        {
            let mut state = self.lock();
            let is_dry = query.contains_key("dryRun");
            let said = if is_dry { "DRY" } else { verb };
            state.calls.push(format!("{said} {}", parts.uri.path()));
            if !state.may(verb, &target) {
                return status(403, "Forbidden", "the permissions do not cover it", None);
            }
            // What is applied is made when it is not there.
            let is_there = target.name.as_ref().is_some_and(|name| {
                let key = (target.collection.clone(), name.clone());
                state.objects.contains_key(&key)
            });
            if verb == "PATCH" && !is_there && !state.may("CREATE", &target) {
                return status(403, "Forbidden", "the permissions do not cover it", None);
            }
        }
        if let Some(rule) = self.scripted(verb, parts.uri.path(), &query) {
            tokio::time::sleep(rule.after).await;
            return scripted(&rule);
        }
        if verb == "WATCH" {
            return self.watch(&target, &query);
        }
        let answer = self.lock().answer(verb, &target, &query, &body);
        self.tell();
        if verb == "DELETE" {
            self.collect();
        }
        answer
    }

    /// The next scripted failure of a call. A forced apply meets no other manager.
    fn scripted(&self, verb: &str, path: &str, query: &BTreeMap<String, String>) -> Option<Rule> {
        let mut state = self.lock();
        let rule = state.rules.iter_mut().find(|rule| {
            let is_conflict = rule.body.to_string().contains("FieldManagerConflict");
            rule.times > 0
                && rule.verb == verb
                && path.contains(rule.path)
                && !(is_conflict && query.contains_key("force"))
        })?;
        rule.times -= 1;
        Some(rule.clone())
    }

    /// Lets the controllers work until there is nothing to do.
    fn collect(&self) {
        let fake = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(GARBAGE_PAUSE).await;
                let more = fake.lock().collect_garbage();
                fake.tell();
                if !more {
                    return;
                }
            }
        });
    }

    /// A watch tells what happened since the version it names, then what happens.
    fn watch(&self, target: &Target, query: &BTreeMap<String, String>) -> Response<FakeBody> {
        let since: u64 = query["resourceVersion"].parse().unwrap_or_default();
        let labels = query.get("labelSelector").cloned().unwrap_or_default();
        let (end_at, refuses) = {
            let state = self.lock();
            (state.watches_end_at, state.refuses_watches)
        };
        if since < end_at && refuses {
            return status(410, "Expired", "too old resource version", None);
        }
        if since < end_at {
            // As the API server mostly says it: a good answer with one bad event.
            let gone = json!({
                "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410,
                "reason": "Expired", "message": "too old resource version",
            });
            let line = json!({ "type": "ERROR", "object": gone }).to_string() + "\n";
            return text_answer(&line);
        }
        let resource = target.resource.clone();
        let fake = self.clone();
        let changes = self.changes.subscribe();
        let stream = stream::unfold((since, changes), move |(since, mut changes)| {
            let (fake, resource, labels) = (fake.clone(), resource.clone(), labels.clone());
            async move {
                loop {
                    let next = {
                        let state = fake.lock();
                        if since < state.watches_end_at {
                            return None;
                        }
                        state
                            .history
                            .iter()
                            .find(|(version, _, of, object)| {
                                *version > since && *of == resource && matches(object, &labels)
                            })
                            .cloned()
                    };
                    if let Some((version, kind, _, object)) = next {
                        let line = json!({ "type": kind, "object": object }).to_string() + "\n";
                        let frame = Ok::<_, Infallible>(Frame::data(Bytes::from(line)));
                        return Some((frame, (version, changes)));
                    }
                    changes.changed().await.ok()?;
                }
            }
        });
        Response::new(StreamBody::new(stream).boxed_unsync())
    }
}

impl State {
    fn may(&mut self, verb: &'static str, target: &Target) -> bool {
        let resource = match &target.subresource {
            Some(subresource) => format!("{}/{subresource}", target.resource),
            None => target.resource.clone(),
        };
        let verb = match verb {
            "REPLACE" => "update",
            "CREATE" => "create",
            "DELETE" => "delete",
            "GET" => "get",
            "LIST" => "list",
            "PATCH" => "patch",
            _ => "watch",
        };
        let own = match target.namespace.as_deref() {
            Some(SYSTEM) => Some(Scope::System),
            Some(_) => Some(Scope::Tenants),
            None => None,
        };
        // What it has in a namespace, it has by a RoleBinding there.
        let is_bound = target.namespace.as_ref().is_none_or(|namespace| {
            let group = "/apis/rbac.authorization.k8s.io/v1";
            let bindings = format!("{group}/namespaces/{namespace}/rolebindings");
            self.objects
                .keys()
                .any(|(collection, _)| *collection == bindings)
        });
        for scope in [Some(Scope::Cluster), own].into_iter().flatten() {
            for permission in PERMISSIONS {
                if permission.scope == scope
                    && permission.group == target.group
                    && permission.resource == resource
                    && let Some(verb) = permission
                        .verbs
                        .iter()
                        .copied()
                        .find(|known| *known == verb)
                {
                    if scope == Scope::Tenants && !is_bound {
                        return false;
                    }
                    self.used
                        .insert((scope, permission.group, permission.resource, verb));
                    return true;
                }
            }
        }
        self.refused
            .push(format!("{verb} {}/{resource}", target.group));
        false
    }

    fn answer(
        &mut self,
        verb: &str,
        target: &Target,
        query: &BTreeMap<String, String>,
        body: &[u8],
    ) -> Response<FakeBody> {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let given = body["metadata"]["name"].as_str().unwrap_or_default();
        let name = target.name.as_deref().unwrap_or(given).to_owned();
        let name = name.as_str();
        let key = (target.collection.clone(), name.to_owned());
        let found = self.objects.get(&key).cloned();
        let missing = || {
            let details = json!({ "name": name, "kind": target.resource });
            status(404, "NotFound", &format!("{name} not found"), Some(details))
        };
        if let Some(namespace) = &target.namespace {
            let key = ("/api/v1/namespaces".to_owned(), namespace.clone());
            let there = self.objects.get(&key);
            let makes = verb == "CREATE" || (verb == "PATCH" && found.is_none());
            if there.is_none() && matches!(verb, "CREATE" | "PATCH") {
                let details = json!({ "name": namespace, "kind": "namespaces" });
                return status(404, "NotFound", "no such namespace", Some(details));
            }
            if makes && there.is_some_and(|there| !there["metadata"]["deletionTimestamp"].is_null())
            {
                return status(403, "Forbidden", "because it is being terminated", None);
            }
        }
        match (verb, found) {
            ("GET", _) if target.subresource.as_deref() == Some("log") => {
                let previous = query.contains_key("previous");
                let name = format!("{name}{}", if previous { " previous" } else { "" });
                match self.logs.get(&name) {
                    Some(text) => text_answer(text),
                    None => status(400, "BadRequest", "not found", None),
                }
            }
            ("GET", Some(object)) => json_answer(200, &object),
            ("LIST", _) => self.list(target, query),
            ("CREATE", Some(_)) => status(409, "AlreadyExists", "exists", None),
            ("CREATE", None) => json_answer(201, &self.put(&target.collection, name, body)),
            ("REPLACE", Some(object)) => {
                let is_same =
                    object["metadata"]["resourceVersion"] == body["metadata"]["resourceVersion"];
                if is_same {
                    json_answer(200, &self.put(&target.collection, name, body))
                } else {
                    status(409, "Conflict", "the object has been modified", None)
                }
            }
            ("PATCH", found) => {
                let code = if found.is_some() { 200 } else { 201 };
                let apply = Apply {
                    target,
                    name,
                    manager: query["fieldManager"].as_str(),
                    force: query.contains_key("force"),
                };
                if let Some(refusal) = self.refusal(&apply, found.as_ref(), &body) {
                    return refusal;
                }
                if query.contains_key("dryRun") {
                    return json_answer(code, &body);
                }
                let body = self.applied(&apply, found.as_ref(), body);
                let answer = json_answer(code, &self.put(&target.collection, name, body));
                if target.resource == "spinapps" {
                    self.operate(target, name);
                }
                answer
            }
            ("DELETE", Some(object)) => {
                for field in ["uid", "resourceVersion"] {
                    let wanted = &body["preconditions"][field];
                    if !wanted.is_null() && *wanted != object["metadata"][field] {
                        return status(409, "Conflict", "a precondition does not hold", None);
                    }
                }
                let foreground = body["propagationPolicy"] == "Foreground";
                self.delete(target, name, &object, foreground)
            }
            (_, None) => missing(),
            (verb, Some(_)) => panic!("{verb} is no verb"),
        }
    }

    fn list(&self, target: &Target, query: &BTreeMap<String, String>) -> Response<FakeBody> {
        let labels = query.get("labelSelector").map_or("", String::as_str);
        let limit: usize = query.get("limit").map_or(Ok(500), |n| n.parse()).unwrap();
        let from: usize = query.get("continue").map_or(Ok(0), |n| n.parse()).unwrap();
        let of_kind = |collection: &str| match &target.namespace {
            Some(_) => collection == target.collection,
            None => Target::of(collection).resource == target.resource,
        };
        let all: Vec<&Value> = self
            .objects
            .iter()
            .filter(|((collection, _), object)| of_kind(collection) && matches(object, labels))
            .map(|(_, object)| object)
            .collect();
        let page: Vec<&Value> = all.iter().skip(from).take(limit).copied().collect();
        let mut metadata = json!({ "resourceVersion": self.version.to_string() });
        if from + limit < all.len() {
            metadata["continue"] = Value::from((from + limit).to_string());
        }
        json_answer(
            200,
            &json!({ "kind": "List", "apiVersion": "v1", "metadata": metadata, "items": page }),
        )
    }

    /// As a cluster does: a namespace takes what is in it along, a workload its pods after a while.
    fn delete(
        &mut self,
        target: &Target,
        name: &str,
        object: &Value,
        foreground: bool,
    ) -> Response<FakeBody> {
        let key = (target.collection.clone(), name.to_owned());
        match target.resource.as_str() {
            "namespaces" => {
                self.mark(&key);
                self.end_namespaces();
                return json_answer(200, object);
            }
            "deployments" | "spinapps" => {
                self.begin_removal(&key, foreground);
                if foreground {
                    return json_answer(200, object);
                }
            }
            _ => self.remove(&target.collection, name),
        }
        json_answer(200, &json!({ "kind": "Status", "status": "Success" }))
    }

    fn put(&mut self, collection: &str, name: &str, mut object: Value) -> Value {
        self.version += 1;
        let key = (collection.to_owned(), name.to_owned());
        let before = self.objects.get(&key);
        let uid = before.map_or_else(
            || Value::from(format!("uid-{}", self.version)),
            |before| before["metadata"]["uid"].clone(),
        );
        let kind = if before.is_some() {
            "MODIFIED"
        } else {
            "ADDED"
        };
        let generation = before.map_or(1, |before| {
            let known = before["metadata"]["generation"].as_i64().unwrap_or(1);
            known + i64::from(before["spec"] != object["spec"])
        });
        if collection.ends_with("/resourcequotas") && !self.quotas_wait {
            object["status"]["hard"] = object["spec"]["hard"].clone();
        }
        if object["spec"]["type"] == "NodePort" {
            object["spec"]["ports"][0]["nodePort"] = Value::from(31_080);
        }
        object["metadata"]["generation"] = Value::from(generation);
        if let Some(at) = before.and_then(|before| before["metadata"].get("deletionTimestamp")) {
            object["metadata"]["deletionTimestamp"] = at.clone();
        }
        object["metadata"]["uid"] = uid;
        object["metadata"]["resourceVersion"] = Value::from(self.version.to_string());
        object["metadata"]["managedFields"] =
            json!([{ "manager": "nokube", "fieldsV1": { "f:spec": {} } }]);
        self.objects.insert(key, object.clone());
        let resource = Target::of(collection).resource;
        self.history
            .push((self.version, kind, resource, object.clone()));
        object
    }

    fn remove(&mut self, collection: &str, name: &str) {
        let key = (collection.to_owned(), name.to_owned());
        if let Some(mut object) = self.objects.remove(&key) {
            self.version += 1;
            object["metadata"]["resourceVersion"] = Value::from(self.version.to_string());
            let resource = Target::of(collection).resource;
            self.history
                .push((self.version, "DELETED", resource, object));
        }
    }
}
