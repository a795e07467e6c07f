{{/* What `nokube-sidecar` is told; `nokube-sidecar --help` has the variables' meanings. */}}
{{- define "nokube.sidecarEnvironment" -}}
{{- $edge := .Values.edge -}}
- name: NOKUBE_LISTEN
  value: 0.0.0.0:3001
- name: NOKUBE_DATA_DIR
  value: /data
- name: NOKUBE_PLATFORM
  value: {{ include "nokube.name" . | quote }}
- name: NOKUBE_ACCOUNT
  value: {{ include "nokube.name" . }}-sidecar
- name: NOKUBE_TENANT_ROLE
  value: {{ include "nokube.name" . }}-tenant
- name: NOKUBE_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: NOKUBE_POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: NOKUBE_POD_IP
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
- name: NOKUBE_PLATFORM_URL
  value: {{ include "nokube.appUrl" (dict "root" $ "capability" "meta") | quote }}
- name: NOKUBE_PUBLIC_URL
  value: {{ .Values.publicUrl | trimSuffix "/" | quote }}
- name: NOKUBE_BASE_DOMAIN
  value: {{ .Values.baseDomain | quote }}
- name: NOKUBE_EDGE
  {{- if eq $edge.kind "gateway" }}
  value: {{ printf "gateway:%s/%s#%s,%s" $edge.gateway.namespace $edge.gateway.name $edge.gateway.section $edge.gateway.httpsSection | quote }}
  {{- else if eq $edge.kind "ingress" }}
  value: {{ printf "ingress:%s" $edge.ingress.className | quote }}
  {{- else }}
  value: none
  {{- end }}
{{- with $edge.namespace }}
- name: NOKUBE_EDGE_NAMESPACE
  value: {{ . | quote }}
{{- end }}
{{- with $edge.nodeAddress }}
- name: NOKUBE_NODE_ADDRESS
  value: {{ . | quote }}
{{- end }}
{{- with $edge.cidrs }}
- name: NOKUBE_EDGE_NETWORKS
  value: {{ join "," . | quote }}
{{- end }}
{{- $dns := .Values.networkPolicy.dns }}
{{- $pods := list }}
{{- range $label := keys $dns.pods | sortAlpha }}
{{- $pods = append $pods (printf "%s=%s" $label (get $dns.pods $label)) }}
{{- end }}
- name: NOKUBE_DNS_NAMESPACE
  value: {{ $dns.namespace | quote }}
- name: NOKUBE_DNS_PODS
  value: {{ join "," $pods | quote }}
- name: NOKUBE_DNS_PORTS
  value: {{ join "," $dns.ports | quote }}
{{- with $edge.issuer }}
- name: NOKUBE_CERTIFICATE_ISSUER
  value: {{ . | quote }}
{{- end }}
- name: NOKUBE_RUNTIME_CLASS
  value: {{ .Values.platform.executor.runtimeClassName | quote }}
{{- with .Values.applications.storageClass }}
- name: NOKUBE_STORAGE_CLASS
  value: {{ . | quote }}
{{- end }}
{{- with .Values.applications.deniedCidrs }}
- name: NOKUBE_DENIED_NETWORKS
  value: {{ join "," . | quote }}
{{- end }}
{{- with .Values.applications.allowedCidrs }}
- name: NOKUBE_ALLOWED_NETWORKS
  value: {{ join "," . | quote }}
{{- end }}
{{- $quota := .Values.applications.quota }}
{{- range $name := keys $quota | sortAlpha }}
- name: NOKUBE_{{ if ne $name "ephemeralStorage" }}QUOTA_{{ end }}{{ snakecase $name | upper }}
  value: {{ get $quota $name | toString | quote }}
{{- end }}
{{- if .Values.registry.pullSecret }}
- name: NOKUBE_PULL_SECRET
  value: /etc/nokube/pull-secret/.dockerconfigjson
{{- end }}
- name: NOKUBE_SPIN_WASI_0_3
  value: {{ .Values.sidecar.wasi03 | quote }}
- name: NOKUBE_LOG
  value: {{ .Values.sidecar.log | quote }}
{{- range $key := list "SIDECAR_TOKEN" "SYSTEM_TOKEN" "SEALING_KEY" }}
- name: SPIN_VARIABLE_{{ $key }}
  valueFrom:
    secretKeyRef:
      name: {{ $.Values.keysSecret }}
      key: SPIN_VARIABLE_{{ $key }}
{{- end }}
{{- end -}}
