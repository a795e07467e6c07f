{{/* Made by `cargo xtask k8s` of what the sidecar calls (`nokube-sidecar rbac`): change it there. */}}

{{- define "nokube.clusterRules" -}}
- apiGroups: [""]
  resources: [namespaces]
  verbs: [create, delete, get, patch]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [rolebindings]
  verbs: [create, patch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [list, watch]
- apiGroups: [core.spinkube.dev]
  resources: [spinapps]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [list, watch]
{{- end -}}

{{- define "nokube.systemRules" -}}
- apiGroups: [""]
  resources: [secrets]
  verbs: [create, delete, get, list, update]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [create, delete, list, patch]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create, get, update]
{{- end -}}

{{- define "nokube.tenantRules" -}}
- apiGroups: [""]
  resources: [limitranges]
  verbs: [create, patch]
- apiGroups: [""]
  resources: [resourcequotas]
  verbs: [create, get, patch]
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [create, patch]
- apiGroups: [core.spinkube.dev]
  resources: [spinappexecutors]
  verbs: [create, patch]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [create, delete, get, patch]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [create, delete, get, list, patch]
- apiGroups: [""]
  resources: [secrets]
  verbs: [create, delete, get, list, patch]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [create, delete, get, list, patch]
- apiGroups: [""]
  resources: [services]
  verbs: [create, delete, get, list, patch]
- apiGroups: [core.spinkube.dev]
  resources: [spinapps]
  verbs: [create, delete, get, patch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [create, delete, get, patch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [create, delete, get, patch]
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [create, delete, get, patch]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [create, delete, get, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [create, delete, get, patch]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
{{- end -}}

{{- define "nokube.namespacesPolicy" -}}
failurePolicy: Fail
matchConditions:
- name: sidecar
  expression: request.userInfo.username == 'system:serviceaccount:{{ .Release.Namespace }}:{{ include "nokube.name" . }}-sidecar'
matchConstraints:
  resourceRules:
  - apiGroups:
    - ""
    apiVersions:
    - v1
    operations:
    - CREATE
    - UPDATE
    - DELETE
    resources:
    - namespaces
validations:
- expression: request.operation == 'CREATE' || (has(oldObject.metadata.labels) && 'nokube.dev/platform' in oldObject.metadata.labels && oldObject.metadata.labels['nokube.dev/platform'] == '{{ include "nokube.name" . }}')
  message: only namespaces of this platform are changed or removed
- expression: request.operation == 'DELETE' || (has(object.metadata.labels) && 'nokube.dev/platform' in object.metadata.labels && object.metadata.labels['nokube.dev/platform'] == '{{ include "nokube.name" . }}')
  message: a namespace bears this platform's label
{{- end -}}

{{- define "nokube.rolebindingsPolicy" -}}
failurePolicy: Fail
matchConditions:
- name: sidecar
  expression: request.userInfo.username == 'system:serviceaccount:{{ .Release.Namespace }}:{{ include "nokube.name" . }}-sidecar'
matchConstraints:
  resourceRules:
  - apiGroups:
    - rbac.authorization.k8s.io
    apiVersions:
    - v1
    operations:
    - CREATE
    - UPDATE
    resources:
    - rolebindings
validations:
- expression: has(namespaceObject.metadata.labels) && 'nokube.dev/platform' in namespaceObject.metadata.labels && namespaceObject.metadata.labels['nokube.dev/platform'] == '{{ include "nokube.name" . }}'
  message: roles are bound in namespaces of this platform alone
- expression: object.roleRef.kind == 'ClusterRole' && object.roleRef.name == '{{ include "nokube.name" . }}-tenant'
  message: no role is bound but that of tenants' namespaces
- expression: has(object.subjects) && object.subjects.all(subject, subject.kind == 'ServiceAccount' && subject.name == '{{ include "nokube.name" . }}-sidecar' && subject.namespace == '{{ .Release.Namespace }}')
  message: it is bound to the sidecar alone
{{- end -}}

{{- define "nokube.secretsPolicy" -}}
failurePolicy: Fail
matchConditions:
- name: sidecar
  expression: request.userInfo.username == 'system:serviceaccount:{{ .Release.Namespace }}:{{ include "nokube.name" . }}-sidecar'
matchConstraints:
  resourceRules:
  - apiGroups:
    - ""
    apiVersions:
    - v1
    operations:
    - UPDATE
    - DELETE
    resources:
    - secrets
validations:
- expression: request.namespace != '{{ .Release.Namespace }}' || oldObject.type == 'nokube.dev/deployment'
  message: of the platform's own Secrets only those that keep desired state are changed or removed
{{- end -}}
