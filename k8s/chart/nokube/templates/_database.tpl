{{- define "nokube.databaseUrl" -}}
{{- if eq .root.Values.database.kind "external" -}}
{{ get .root.Values.database.external (printf "%sUrl" .database) }}
{{- else -}}
http://{{ include "nokube.name" .root }}-{{ .database }}-db.{{ .root.Release.Namespace }}.svc:8080
{{- end -}}
{{- end -}}

{{- define "nokube.databases" -}}
[auth, platform]
{{- end -}}
