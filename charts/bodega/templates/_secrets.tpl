{{/*
Secrets: one Secret with a key for each file. In production somebody else makes it (existingSecret). The dev profile
(secrets.create) makes it once, by a hook that is only rendered when something is missing, from random bytes and from
what there is already, so that nothing that exists ever changes.
*/}}

{{- define "bodega.secretName" -}}
{{- .Values.existingSecret | default (include "bodega.fullname" .) }}
{{- end }}

{{/* The keys that the enabled services need, as {"keys": [...]}. */}}
{{- define "bodega.secretKeys" -}}
{{- $keys := list }}
{{- range $name := (include "bodega.enabled" . | fromYaml).names }}
{{- $service := include "bodega.service" (list $ $name) | fromYaml }}
{{- $keys = concat $keys (keys (include "bodega.secretFiles" $service | fromYaml)) }}
{{- end }}
{{- dict "keys" ($keys | uniq | sortAlpha) | toYaml }}
{{- end }}

{{/* A service's secret files, as YAML: key and the variable that names the file. */}}
{{- define "bodega.secretFiles" -}}
{{- $files := deepCopy .secrets }}
{{- range .uses }}
{{- if eq . "postgresql" }}
{{- $_ := set $files (printf "%s-database-url" $.name) "DATABASE_URL_FILE" }}
{{- else }}
{{- $_ := set $files (printf "%s-url" .) (printf "%s_URL_FILE" (upper .)) }}
{{- end }}
{{- end }}
{{- toYaml $files }}
{{- end }}

{{/* "yes" when there is a cluster to look things up in: without one (helm template, lint) a list has no items. */}}
{{- define "bodega.hasCluster" -}}
{{- if hasKey (lookup "v1" "Secret" .Release.Namespace "") "items" }}yes{{ end }}
{{- end }}

{{/* Refuses to go on without the secrets, and names the keys. */}}
{{- define "bodega.checkSecrets" -}}
{{- $keys := (include "bodega.secretKeys" . | fromYaml).keys }}
{{- if .Values.existingSecret }}
  {{- if .Values.secrets.create }}
    {{- fail "existingSecret and secrets.create exclude each other: either you make the Secret or the chart does" }}
  {{- end }}
  {{- if include "bodega.hasCluster" . }}
    {{- $data := (lookup "v1" "Secret" .Release.Namespace .Values.existingSecret).data | default dict }}
    {{- $missing := list }}
    {{- range $keys }}{{ if not (get $data .) }}{{ $missing = append $missing . }}{{ end }}{{ end }}
    {{- if $missing }}
      {{- fail (printf "Secret %q in namespace %q lacks the keys %s (docs/operations.md says what each is)" .Values.existingSecret .Release.Namespace (join ", " $missing)) }}
    {{- end }}
  {{- end }}
{{- else if not .Values.secrets.create }}
  {{- fail (printf "existingSecret is not set: name a Secret in namespace %q with the keys %s (docs/operations.md says what each is)" .Release.Namespace (join ", " $keys)) }}
{{- else if not (include "bodega.hasCluster" .) }}
  {{- fail (printf "secrets.create needs a cluster to look in, so that what exists is kept: for what is rendered without one set secrets.create=false and existingSecret, a Secret with the keys %s" (join ", " $keys)) }}
{{- end }}
{{- end }}

{{/* New values for all keys, as YAML: random, and the URLs of the servers inside. */}}
{{- define "bodega.newSecrets" -}}
{{- $new := dict "keys-secret" (randBytes 32) "password-pepper" (randBytes 32) "cursor-secret" (randBytes 32) }}
{{- $_ := set $new "webhook-secrets" (printf "whsec_%s" (randBytes 32)) }}
{{- $lines := list }}
{{- range list "orders products" "users orders" "orders payments" "gateway users" "gateway orders" "gateway products" }}
{{- $lines = append $lines (printf "%s %s" . (randBytes 32)) }}
{{- end }}
{{- $_ := set $new "internal-secrets" (join "\n" $lines) }}
{{- $at := include "bodega.fullname" . }}
{{- range list "users" "products" "orders" "payments" }}
{{- $_ := set $new (printf "%s-database-url" .) (printf "postgresql://%s_a:%s@%s-postgresql:5432/%s_db" . (randAlphaNum 32) $at .) }}
{{- end }}
{{- $_ := set $new "redis-url" (printf "redis://:%s@%s-redis:6379" (randAlphaNum 32) $at) }}
{{- $_ := set $new "rabbitmq-url" (printf "amqp://bodega:%s@%s-rabbitmq:5672/%%2f" (randAlphaNum 32) $at) }}
{{- $_ := set $new "rabbitmq-cookie" (randAlphaNum 40) }}
{{- toYaml $new }}
{{- end }}
