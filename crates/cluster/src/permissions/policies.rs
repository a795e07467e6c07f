//! What roles cannot say: of which namespaces. The sidecar makes namespaces, whose names nobody knows
//! before, and binds its tenants' role in them; without the first two policies it could do so in each namespace
//! of the cluster, and read what is secret there. Nor can they say of which Secrets: in its own namespace are the
//! platform's keys too. It could still read those, which no admission is asked about; the third keeps it from changing
//! or removing them.
//!
//! They are admission policies in CEL, which Kubernetes has since 1.30.

use nokube_manifests::Object;
use serde_json::{Value, json};

use super::{CORE, Names, RBAC, object_of};
use crate::secrets::TYPE;

const ADMISSION: &str = "admissionregistration.k8s.io";
/// The label of a platform's namespaces.
const PLATFORM: &str = "nokube.dev/platform";

/// The policies and their bindings.
pub(super) fn objects(names: &Names) -> Vec<Object> {
    let Names {
        platform,
        namespace,
        account,
        tenant_role,
    } = names;
    let ours = |object: &str| {
        let labels = format!("{object}.metadata.labels");
        format!(
            "has({labels}) && '{PLATFORM}' in {labels} && {labels}['{PLATFORM}'] == '{platform}'"
        )
    };
    let namespaces = Policy {
        group: CORE,
        resource: "namespaces",
        operations: &["CREATE", "UPDATE", "DELETE"],
        rules: vec![
            (
                format!("request.operation == 'CREATE' || ({})", ours("oldObject")),
                "only namespaces of this platform are changed or removed",
            ),
            (
                format!("request.operation == 'DELETE' || ({})", ours("object")),
                "a namespace bears this platform's label",
            ),
        ],
    };
    let bindings = Policy {
        group: RBAC,
        resource: "rolebindings",
        operations: &["CREATE", "UPDATE"],
        rules: vec![
            (
                ours("namespaceObject"),
                "roles are bound in namespaces of this platform alone",
            ),
            (
                format!(
                    "object.roleRef.kind == 'ClusterRole' && object.roleRef.name == '{tenant_role}'"
                ),
                "no role is bound but that of tenants' namespaces",
            ),
            (
                format!(
                    "has(object.subjects) && object.subjects.all(subject, subject.kind == 'ServiceAccount' \
                     && subject.name == '{account}' && subject.namespace == '{namespace}')"
                ),
                "it is bound to the sidecar alone",
            ),
        ],
    };
    let secrets = Policy {
        group: CORE,
        resource: "secrets",
        operations: &["UPDATE", "DELETE"],
        rules: vec![(
            format!("request.namespace != '{namespace}' || oldObject.type == '{TYPE}'"),
            "of the platform's own Secrets only those that keep desired state are changed or removed",
        )],
    };
    [namespaces, bindings, secrets]
        .iter()
        .flat_map(|policy| policy.objects(names))
        .collect()
}

struct Policy {
    group: &'static str,
    resource: &'static str,
    operations: &'static [&'static str],
    /// What has to hold, and what is told when it does not.
    rules: Vec<(String, &'static str)>,
}

impl Policy {
    fn objects(&self, names: &Names) -> [Object; 2] {
        let name = format!("{}-{}-{}", names.account, names.platform, self.resource);
        let validations: Vec<Value> = self
            .rules
            .iter()
            .map(|(expression, message)| json!({ "expression": expression, "message": message }))
            .collect();
        let sidecar = format!(
            "request.userInfo.username == 'system:serviceaccount:{}:{}'",
            names.namespace, names.account
        );
        let policy = json!({
            "failurePolicy": "Fail",
            "matchConstraints": { "resourceRules": [{
                "apiGroups": [self.group],
                "apiVersions": ["v1"],
                "operations": self.operations,
                "resources": [self.resource],
            }] },
            "matchConditions": [{ "name": "sidecar", "expression": sidecar }],
            "validations": validations,
        });
        let binding = json!({ "policyName": name, "validationActions": ["Deny"] });
        let object = |kind: &str, plural: &'static str, spec: Value| {
            object_of(
                ADMISSION,
                kind,
                plural,
                None,
                &name,
                &json!({ "spec": spec }),
            )
        };
        [
            object(
                "ValidatingAdmissionPolicy",
                "validatingadmissionpolicies",
                policy,
            ),
            object(
                "ValidatingAdmissionPolicyBinding",
                "validatingadmissionpolicybindings",
                binding,
            ),
        ]
    }
}
