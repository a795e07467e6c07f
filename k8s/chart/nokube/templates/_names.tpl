{{/* What things are called, and how to reach them. */}}

{{- define "nokube.name" -}}
{{- default .Release.Name .Values.platformName | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* The SpinAppExecutor of the platform's own SpinApps. SpinKube's operator 0.6 lets an executor end only when no SpinApp
of any namespace names it, so no two namespaces have one of the same name. */}}
{{- define "nokube.executor" -}}
{{- default (printf "%s.%s" (include "nokube.name" .) .Release.Namespace) .Values.platform.executor.name -}}
{{- end -}}

{{/* Labels of everything; the argument is (dict "root" $ "component" "…"). */}}
{{- define "nokube.labels" -}}
{{ include "nokube.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: nokube
app.kubernetes.io/managed-by: {{ if .root.Values.plain }}kubectl{{ else }}{{ .root.Release.Service }}{{ end }}
{{- if not .root.Values.plain }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}
{{- end -}}

{{/* What never changes, so that selectors may use it. */}}
{{- define "nokube.selector" -}}
app.kubernetes.io/name: nokube
app.kubernetes.io/instance: {{ include "nokube.name" .root }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "nokube.image" -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag }}
{{- end -}}
{{- end -}}

{{/* The SpinApp that has a capability, which is its Service's name too. */}}
{{- define "nokube.app" -}}
{{- if eq .root.Values.platform.mode "whole" -}}
{{ include "nokube.name" .root }}
{{- else -}}
{{ include "nokube.name" .root }}-{{ .capability }}
{{- end -}}
{{- end -}}

{{- define "nokube.appUrl" -}}
http://{{ include "nokube.app" . }}.{{ .root.Release.Namespace }}.svc
{{- end -}}

{{- define "nokube.sidecarUrl" -}}
http://{{ include "nokube.name" . }}-sidecar.{{ .Release.Namespace }}.svc:3001
{{- end -}}

{{/* Capabilities, in the order of spin.toml, each with the components of its SpinApp when it is one of its own.
     The sidecar has one address to call: what it asks of builds and deploy is answered beside meta. */}}
{{- define "nokube.capabilities" -}}
auth: [auth]
projects: [projects]
builds: [builds]
deploy: [deploy]
events: [events]
meta: [builds, deploy, meta]
{{- end -}}

{{- define "nokube.publicHost" -}}
{{- (urlParse .Values.publicUrl).hostname -}}
{{- end -}}

{{/* Paths that visitors may reach, by capability. What the platform's parts ask each other (/internal) is not among
     them. */}}
{{- define "nokube.paths" -}}
auth: [/api/v1/auth, /api/auth]
projects: [/api/v1/projects, /api/projects, /api/v1/audit, /api/audit]
builds: [/api/v1/builds, /api/builds, /api/v1/runner, /api/runner]
deploy: [/api/v1/deploy, /api/deploy, /api/v1/deployments, /api/deployments]
events: [/api/v1/events, /api/events]
meta: [/api, /health]
{{- end -}}

{{/* A container of ours as Pod Security's `restricted` wants it. */}}
{{- define "nokube.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
readOnlyRootFilesystem: true
{{- end -}}

{{- define "nokube.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .user }}
runAsGroup: {{ .user }}
fsGroup: {{ .user }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "nokube.pullSecrets" -}}
{{- with .Values.registry.pullSecret -}}
imagePullSecrets:
  - name: {{ . }}
{{- end -}}
{{- end -}}
