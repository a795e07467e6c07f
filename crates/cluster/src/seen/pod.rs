//! One pod of a deployment: whether it is ready, and if not, why, in words for the application's owner.

use super::Template;
use super::raw::{ContainerStatus, Raw};
use crate::api::shortened;

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pod {
    /// Which making it is of.
    pub(crate) template: Template,
    pub(crate) uid: Box<str>,
    /// The container whose log is the application's.
    pub(crate) container: Box<str>,
    pub(crate) ready: bool,
    /// It is being removed.
    pub(crate) going: bool,
    /// The container has ended before: there may be an earlier log.
    pub(crate) restarts: u32,
    /// Why it is not ready.
    pub(crate) trouble: Option<Trouble>,
}

/// Why something is not ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It takes its time, or waits for something.
    Waits(Box<str>),
    /// It has begun and does not say that it is ready.
    Unanswered,
    /// It will hardly get better by itself.
    Fails(Box<str>),
}

/// Pods by name. Mostly one or two: a tree would have room for eleven.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pods(Vec<(Box<str>, Pod)>);

impl Pods {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Pod)> {
        self.0.iter().map(|(name, pod)| (&**name, pod))
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Pod> {
        self.0.iter().map(|(_, pod)| pod)
    }

    /// True when that changes something.
    pub(crate) fn insert(&mut self, name: &str, pod: Pod) -> bool {
        match self.place(name) {
            Ok(at) if self.0[at].1 == pod => return false,
            Ok(at) => self.0[at].1 = pod,
            Err(at) => {
                self.0.reserve_exact(1);
                self.0.insert(at, (name.into(), pod));
            }
        }
        true
    }

    pub(super) fn remove(&mut self, name: &str) {
        if let Ok(at) = self.place(name) {
            self.0.remove(at);
            self.0.shrink_to_fit();
        }
    }

    pub(super) fn retain(&mut self, is_kept: impl Fn(&str) -> bool) {
        self.0.retain(|(name, _)| is_kept(name));
        self.0.shrink_to_fit();
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| (**known).cmp(name))
    }
}

impl Pod {
    pub(super) fn of(raw: &Raw) -> Self {
        let ready = raw
            .status
            .conditions
            .iter()
            .any(|condition| condition.kind == "Ready" && condition.status == "True");
        let container = raw.spec.containers.first();
        let own = raw
            .status
            .container_statuses
            .iter()
            .find(|status| container.is_some_and(|container| container.name == status.name));
        Self {
            template: raw.template(),
            uid: raw.uid().into(),
            container: container
                .map(|container| container.name.as_str())
                .unwrap_or_default()
                .into(),
            ready,
            going: raw.is_going(),
            restarts: own.map_or(0, |status| status.restart_count),
            trouble: (!ready).then(|| trouble(raw)),
        }
    }
}

fn trouble(raw: &Raw) -> Trouble {
    let status = &raw.status;
    let mut containers = status
        .init_container_statuses
        .iter()
        .chain(&status.container_statuses);
    if let Some(trouble) = containers.find_map(container_fails) {
        return Trouble::Fails(trouble);
    }
    if status.phase == "Failed" {
        let reason = match status.reason.as_str() {
            "" => "the cluster gives no reason",
            reason => reason,
        };
        return Trouble::Fails(told(
            &format!("the cluster ended a copy ({reason})"),
            &status.message,
        ));
    }
    let unscheduled = status.conditions.iter().find(|condition| {
        condition.kind == "PodScheduled"
            && condition.status == "False"
            && condition.reason == "Unschedulable"
    });
    if let Some(condition) = unscheduled {
        return Trouble::Waits(told("no node has room for it", &condition.message));
    }
    let has_begun = status
        .container_statuses
        .iter()
        .any(|status| status.state.waiting.is_none())
        && !status.container_statuses.is_empty();
    if has_begun {
        Trouble::Unanswered
    } else {
        Trouble::Waits("its container is being made".into())
    }
}

/// What keeps a container from running, when it will hardly get better by itself.
fn container_fails(status: &ContainerStatus) -> Option<Box<str>> {
    let waiting = status.state.waiting.as_ref()?;
    Some(match waiting.reason.as_str() {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => told("its image cannot be pulled", &waiting.message),
        "CrashLoopBackOff" => match &status.last_state.terminated {
            Some(ended) if ended.reason == "OOMKilled" => {
                "it needs more memory than its limit, and is ended each time it starts".into()
            }
            Some(ended) => format!(
                "it ends each time it is started, with exit code {}; its log may say why",
                ended.exit_code
            )
            .into(),
            None => "it ends each time it is started; its log may say why".into(),
        },
        "CreateContainerConfigError"
        | "CreateContainerError"
        | "RunContainerError"
        | "PreCreateHookError"
        | "PostStartHookError"
        | "PreStartHookError" => told("its container cannot be started", &waiting.message),
        _ => return None,
    })
}

/// Our words, then the cluster's where it has any.
pub(crate) fn told(ours: &str, theirs: &str) -> Box<str> {
    if theirs.is_empty() {
        ours.into()
    } else {
        format!("{ours}: {}", shortened(theirs)).into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: Value) -> Pod {
        let raw = json!({
            "metadata": {
                "name": "api-1-a", "uid": "u", "annotations": { "nokube.dev/revision": "3", "nokube.dev/restarted": "7" },
                "managedFields": [{ "fieldsV1": { "f:spec": {} } }],
            },
            "spec": { "containers": [{ "name": "api", "image": "x" }] },
            "status": status,
        });
        Pod::of(&serde_json::from_value(raw).unwrap())
    }

    fn waiting(reason: &str, message: &str) -> Value {
        json!({ "containerStatuses": [{
            "name": "api", "restartCount": 4, "ready": false,
            "state": { "waiting": { "reason": reason, "message": message } },
            "lastState": { "terminated": { "exitCode": 137, "reason": "OOMKilled" } },
        }] })
    }

    #[test]
    fn a_ready_pod_has_no_trouble() {
        let pod = pod(json!({ "conditions": [{ "type": "Ready", "status": "True" }] }));
        assert!(pod.ready);
        assert_eq!(pod.trouble, None);
        let template = Template {
            revision: 3,
            restarted: 7,
        };
        assert_eq!((pod.template, &*pod.container), (template, "api"));
    }

    #[test]
    fn reasons_are_told_in_words() {
        let fails = |status| match pod(status).trouble {
            Some(Trouble::Fails(reason)) => reason.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            fails(waiting("ImagePullBackOff", "not found")),
            "its image cannot be pulled: not found"
        );
        assert!(fails(waiting("CrashLoopBackOff", "")).contains("more memory"));
        assert!(fails(waiting("CreateContainerConfigError", "x")).ends_with("started: x"));
        let evicted = json!({ "phase": "Failed", "reason": "Evicted", "message": "disk" });
        assert_eq!(fails(evicted), "the cluster ended a copy (Evicted): disk");
    }

    #[test]
    fn what_waits_is_told_apart_from_what_fails() {
        let unscheduled = json!({ "conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/1 nodes are available",
        }] });
        assert!(matches!(
            pod(unscheduled).trouble,
            Some(Trouble::Waits(reason)) if reason.starts_with("no node has room")
        ));
        assert!(matches!(
            pod(waiting("ContainerCreating", "")).trouble,
            Some(Trouble::Waits(_))
        ));
        let running =
            json!({ "containerStatuses": [{ "name": "api", "state": { "running": {} } }] });
        assert_eq!(pod(running).trouble, Some(Trouble::Unanswered));
    }
}
