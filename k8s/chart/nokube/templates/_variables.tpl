{{/* The variables of spin.toml: which of them are keys, which follow from the rest, and what each component reads.
     `cargo xtask check` compares this with spin.toml. */}}

{{/* In the Secret of keys, as SPIN_VARIABLE_<NAME>; true when it may be missing there. */}}
{{- define "nokube.keyVariables" -}}
jwt_private_key: false
jwt_public_keys: false
setup_code: true
sealing_key: false
auth_sealing_key: true
runner_token: false
sidecar_token: false
system_token: false
{{- end -}}

{{/* Spin starts no application in which one of these has no value, also if no component of it reads them. */}}
{{- define "nokube.requiredVariables" -}}
[jwt_private_key, jwt_public_keys, sealing_key, runner_token, sidecar_token, system_token]
{{- end -}}

{{- define "nokube.derivedVariables" -}}
platform_url: {{ .Values.publicUrl | trimSuffix "/" | quote }}
sidecar_url: {{ include "nokube.sidecarUrl" . | quote }}
blob_url: {{ .Values.publicUrl | trimSuffix "/" | quote }}
base_domain: {{ .Values.baseDomain | quote }}
registry: {{ .Values.registry.prefix | quote }}
reserved_namespaces: {{ include "nokube.reservedNamespaces" . | quote }}
{{- if eq .Values.platform.mode "split" }}
{{- range $capability := list "auth" "projects" "builds" "deploy" "events" }}
{{ $capability }}_url: {{ include "nokube.appUrl" (dict "root" $ "capability" $capability) | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Namespaces that are somebody else's, as far as the values tell. */}}
{{- define "nokube.reservedNamespaces" -}}
{{- $named := list .Release.Namespace .Values.edge.namespace .Values.edge.gateway.namespace .Values.runner.namespace .Values.monitoring.namespace .Values.networkPolicy.dns.namespace -}}
{{- concat $named .Values.applications.reservedNamespaces | compact | uniq | sortAlpha | join "," -}}
{{- end -}}

{{- define "nokube.componentVariables" -}}
auth: [jwt_private_key, jwt_public_keys, setup_code, registration, second_factor, auth_sealing_key, hashes_at_once, system_token, login_limit_per_account, login_limit_everywhere, login_limit_per_address, register_limit_per_address, token_limit_per_address, refresh_limit_per_address, password_memory_kib, password_passes, max_api_tokens_per_user, projects_url, cors_origins, trusted_proxies]
projects: [jwt_public_keys, system_token, auth_url, deploy_url, max_projects_per_user, max_members_per_project, git_access, denied_ports, cors_origins, trusted_proxies]
builds: [jwt_public_keys, system_token, runner_token, sealing_key, sidecar_token, sidecar_url, blob_url, platform_url, registry, keep_builds, keep_sources_hours, git_access, denied_ports, cors_origins, trusted_proxies]
deploy: [jwt_public_keys, system_token, sealing_key, sidecar_token, sidecar_url, platform_url, base_domain, registry, container_images, reserved_namespaces, max_deployments_per_project, keep_revisions, cors_origins, trusted_proxies]
events: [jwt_public_keys, system_token, auth_url, platform_url, max_events_per_user, feed_limit_per_calendar, feed_limit_per_address, cors_origins, trusted_proxies]
meta: [system_token, auth_url, projects_url, builds_url, deploy_url, events_url, cors_origins, trusted_proxies]
{{- end -}}

{{/* Which databases each component opens. */}}
{{- define "nokube.componentDatabases" -}}
auth: [auth]
projects: [platform]
builds: [platform]
deploy: [platform]
events: [platform]
meta: []
{{- end -}}

{{/* The `variables` of a SpinApp with these components: (dict "root" $ "components" (list …)). */}}
{{- define "nokube.variables" -}}
{{- $keys := include "nokube.keyVariables" .root | fromYaml -}}
{{- $derived := include "nokube.derivedVariables" .root | fromYaml -}}
{{- $byComponent := include "nokube.componentVariables" .root | fromYaml -}}
{{- $names := list -}}
{{- range $component := .components -}}
{{- $names = concat $names (get $byComponent $component) -}}
{{- end -}}
{{- range $name := $names | uniq | sortAlpha }}
{{- if hasKey $keys $name }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef:
      name: {{ $.root.Values.keysSecret }}
      key: SPIN_VARIABLE_{{ upper $name }}
      {{- if get $keys $name }}
      optional: true
      {{- end }}
{{- else if hasKey $derived $name }}
- name: {{ $name }}
  value: {{ get $derived $name | quote }}
{{- else if hasKey $.root.Values.platform.variables $name }}
- name: {{ $name }}
  value: {{ get $.root.Values.platform.variables $name | quote }}
{{- end }}
{{- end }}
{{- range $name := include "nokube.requiredVariables" .root | fromYamlArray }}
{{- if not (has $name $names) }}
# No component of this part reads it; Spin wants a value all the same.
- name: {{ $name }}
  value: unused
{{- end }}
{{- end }}
{{- end -}}
