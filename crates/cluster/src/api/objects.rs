//! One object at a time: read, applied, made, replaced, removed, listed.

use std::collections::BTreeMap;

use http::Request;
use kube::api::{
    DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy,
};
use kube::core::Request as Builder;
use nokube_manifests::{FIELD_MANAGER, Object};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::error::{CallError, Why};
use super::send::Cluster;

/// Objects of a page: the memory of one is held at a time.
const PAGE: u32 = 100;
/// Holds the number of copies between us and an autoscaler.
const SCALE_MANAGER: &str = "nokube-scale";
/// A list that had to begin anew so often is given up.
const LISTS: u32 = 3;

/// Objects of one kind in one namespace, or in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    pub(crate) kind: &'static str,
    pub(crate) namespace: Option<&'a str>,
}

/// What is read of an object's metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Meta {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) resource_version: String,
    /// Grows with every change of what is wanted of it; of some kinds there is none.
    pub(crate) generation: i64,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) deletion_timestamp: Option<String>,
    pub(crate) owner_references: Vec<Value>,
}

/// Whether an object is gone after its removal was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deleted {
    /// It is.
    Gone,
    /// Something has to happen first: its pods end, its finalizers are done.
    Going,
}

#[derive(Deserialize)]
struct WithMeta {
    #[serde(default)]
    metadata: Meta,
}

#[derive(Deserialize)]
struct DeleteAnswer {
    #[serde(default)]
    kind: String,
}

#[derive(Deserialize)]
struct Page<T> {
    #[serde(default)]
    metadata: PageMeta,
    /// `null` when only metadata was asked for and there is nothing.
    items: Option<Vec<T>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PageMeta {
    #[serde(rename = "continue")]
    next: Option<String>,
}

impl Place<'_> {
    fn builder(self) -> Builder {
        let (version, plural) = super::kind(self.kind).expect("only kinds of the table are named");
        Builder::new(path(version, self.namespace, plural))
    }
}

/// The path of a collection.
fn path(version: &str, namespace: Option<&str>, plural: &str) -> String {
    let root = if version.contains('/') { "apis" } else { "api" };
    match namespace {
        Some(namespace) => format!("/{root}/{version}/namespaces/{namespace}/{plural}"),
        None => format!("/{root}/{version}/{plural}"),
    }
}

/// Names come from checked specs; a request that cannot be made would be a mistake of ours.
fn made(
    request: Result<Request<Vec<u8>>, kube::core::request::Error>,
) -> Result<Request<Vec<u8>>, CallError> {
    request.map_err(|error| {
        tracing::error!(%error, "a call of the cluster's API cannot be made");
        CallError::Unreachable("cannot be asked for that")
    })
}

impl Cluster {
    /// An object's metadata; none when there is no such object.
    pub(crate) async fn metadata(
        &self,
        place: Place<'_>,
        name: &str,
    ) -> Result<Option<Meta>, CallError> {
        let request = made(place.builder().get_metadata(name, &Default::default()))?;
        match self.send(request).await {
            Ok(answer) => Ok(Some(answer.json::<WithMeta>()?.metadata)),
            Err(error) if matches!(error.why(), Some(Why::NotFound | Why::NoNamespace)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A whole object; none when there is no such object.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        place: Place<'_>,
        name: &str,
    ) -> Result<Option<T>, CallError> {
        let request = made(place.builder().get(name, &Default::default()))?;
        match self.send(request).await {
            Ok(answer) => Ok(Some(answer.json()?)),
            Err(error) if matches!(error.why(), Some(Why::NotFound | Why::NoNamespace)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Server-side apply: the object has at least these fields, and they are ours. What it is then. With
    /// `force` fields that others hold become ours; with `dry` nothing changes.
    pub(crate) async fn apply(
        &self,
        object: &Object,
        force: bool,
        dry: bool,
    ) -> Result<Meta, CallError> {
        let mut params = PatchParams::apply(FIELD_MANAGER);
        params.force = force;
        params.dry_run = dry;
        let path = path(
            &object.api_version,
            object.namespace.as_deref(),
            object.plural,
        );
        let request = made(Builder::new(path).patch_metadata(
            &object.name,
            &params,
            &Patch::Apply(&object.body),
        ))?;
        Ok(self.send(request).await?.json::<WithMeta>()?.metadata)
    }

    /// Makes an object that is not there yet.
    pub(crate) async fn create(&self, place: Place<'_>, body: &Value) -> Result<Meta, CallError> {
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let request = made(
            place
                .builder()
                .create(&params, body.to_string().into_bytes()),
        )?;
        Ok(self.send(request).await?.json::<WithMeta>()?.metadata)
    }

    /// Replaces an object, if it still has the resource version that `body` names.
    pub(crate) async fn replace(
        &self,
        place: Place<'_>,
        name: &str,
        body: &Value,
    ) -> Result<Meta, CallError> {
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let request = made(
            place
                .builder()
                .replace(name, &params, body.to_string().into_bytes()),
        )?;
        // The same again would not be the same: it has another resource version then.
        Ok(self.send_once(request).await?.json::<WithMeta>()?.metadata)
    }

    /// Gives the number of a workload's copies to whoever scales it from now on: a field that no manager has any more
    /// is set to its default.
    pub(crate) async fn hand_over_copies(
        &self,
        place: Place<'_>,
        name: &str,
        uid: &str,
        copies: u32,
    ) -> Result<(), CallError> {
        let (version, _) = super::kind(place.kind).expect("only kinds of the table are named");
        let body = json!({
            "apiVersion": version,
            "kind": place.kind,
            // Of one that is gone meanwhile nothing is made.
            "metadata": { "name": name, "namespace": place.namespace, "uid": uid },
            "spec": { "replicas": copies },
        });
        let params = PatchParams::apply(SCALE_MANAGER).force();
        let request = made(place.builder().patch(name, &params, &Patch::Apply(&body)))?;
        self.send(request).await.map(|_| ())
    }

    /// Removes an object with all that belongs to it; with a uid, only that one. A workload is there until its pods are
    /// gone.
    pub(crate) async fn delete(
        &self,
        place: Place<'_>,
        name: &str,
        uid: Option<&str>,
    ) -> Result<Deleted, CallError> {
        let conditions = uid.map(|uid| Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        });
        self.delete_if(place, name, conditions).await
    }

    /// Removes an object as it was when it had this resource version.
    pub(crate) async fn delete_version(
        &self,
        place: Place<'_>,
        name: &str,
        version: &str,
    ) -> Result<Deleted, CallError> {
        let conditions = Preconditions {
            uid: None,
            resource_version: Some(version.to_owned()),
        };
        self.delete_if(place, name, Some(conditions)).await
    }

    async fn delete_if(
        &self,
        place: Place<'_>,
        name: &str,
        preconditions: Option<Preconditions>,
    ) -> Result<Deleted, CallError> {
        let has_version = preconditions
            .as_ref()
            .is_some_and(|conditions| conditions.resource_version.is_some());
        let params = DeleteParams {
            propagation_policy: Some(match place.kind {
                "Deployment" | "SpinApp" => PropagationPolicy::Foreground,
                _ => PropagationPolicy::Background,
            }),
            preconditions,
            ..DeleteParams::default()
        };
        let request = made(place.builder().delete(name, &params))?;
        let sent = if has_version {
            // Another version stays another one, however often it is asked for.
            self.send_once(request).await
        } else {
            self.send(request).await
        };
        match sent {
            // The object itself is answered when it has to wait for something.
            Ok(answer) => Ok(match answer.json::<DeleteAnswer>()?.kind.as_str() {
                "Status" => Deleted::Gone,
                _ => Deleted::Going,
            }),
            Err(error) if matches!(error.why(), Some(Why::NotFound | Why::NoNamespace)) => {
                Ok(Deleted::Gone)
            }
            Err(error) => Err(error),
        }
    }

    /// All objects with these labels, page by page.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        place: Place<'_>,
        labels: &str,
    ) -> Result<Vec<T>, CallError> {
        self.pages(|params| place.builder().list(params), labels)
            .await
    }

    /// The metadata of all objects with these labels.
    pub(crate) async fn list_metadata(
        &self,
        place: Place<'_>,
        labels: &str,
    ) -> Result<Vec<Meta>, CallError> {
        let all: Vec<WithMeta> = self
            .pages(|params| place.builder().list_metadata(params), labels)
            .await?;
        Ok(all.into_iter().map(|object| object.metadata).collect())
    }

    async fn pages<T: DeserializeOwned>(
        &self,
        request: impl Fn(&ListParams) -> Result<Request<Vec<u8>>, kube::core::request::Error>,
        labels: &str,
    ) -> Result<Vec<T>, CallError> {
        let mut lists = 1;
        let mut all = Vec::new();
        let mut params = ListParams::default().labels(labels).limit(PAGE);
        loop {
            match self.send(made(request(&params))?).await {
                Ok(answer) => {
                    let page: Page<T> = answer.json()?;
                    all.extend(page.items.into_iter().flatten());
                    match page.metadata.next.filter(|next| !next.is_empty()) {
                        Some(next) => params.continue_token = Some(next),
                        None => return Ok(all),
                    }
                }
                // The place in the list is forgotten after some minutes.
                Err(error) if error.why() == Some(Why::Gone) && lists < LISTS => {
                    lists += 1;
                    all.clear();
                    params.continue_token = None;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_nothing_has_no_items() {
        // As kube-apiserver 1.36 answers when only metadata is asked for.
        let text = r#"{"kind":"PartialObjectMetadataList","metadata":{"resourceVersion":"7"},"items":null}"#;
        let page: Page<WithMeta> = serde_json::from_str(text).unwrap();
        assert_eq!(page.items.into_iter().flatten().count(), 0);
    }

    #[test]
    fn paths_are_those_of_the_api() {
        assert_eq!(
            path("v1", Some("shop"), "services"),
            "/api/v1/namespaces/shop/services"
        );
        assert_eq!(
            path("apps/v1", None, "deployments"),
            "/apis/apps/v1/deployments"
        );
    }
}
