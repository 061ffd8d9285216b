{{/* Everything that is refused before anything is installed, each with what would be right. */}}
{{- define "bodega.checks" -}}
{{- $programs := include "bodega.programs" . | fromYaml }}
{{- $enabled := (include "bodega.enabled" . | fromYaml).names }}
{{- range $name := keys .Values.services }}
  {{- if not (hasKey $programs $name) }}
    {{- fail (printf "services.%s: there is no such program; there are %s" $name (keys $programs | sortAlpha | join ", ")) }}
  {{- end }}
{{- end }}
{{- $computed := dict "WORKERS" "workers" "READ_CONNECTIONS" "connections.read" "SLOW_CONNECTIONS" "connections.slow" "WRITE_CONNECTIONS" "connections.write" "DRAIN_DELAY" "drainDelay" "DRAIN_TIMEOUT" "drainTimeout" }}
{{- range $name := $enabled }}
  {{- $service := include "bodega.service" (list $ $name) | fromYaml }}
  {{- range $variable, $key := $computed }}
    {{- if hasKey $service.env $variable }}
      {{- fail (printf "services.%s.env.%s: set services.%s.%s instead, from which the chart computes more than the variable" $name $variable $name $key) }}
    {{- end }}
  {{- end }}
  {{- range $callee, $variable := $service.calls }}
    {{- if not (or (has $callee $enabled) (hasKey $service.env $variable)) }}
      {{- fail (printf "services.%s.enabled is false, but %s calls %s: set services.%s.env.%s to where it is" $callee $name $callee $name $variable) }}
    {{- end }}
  {{- end }}
  {{- if and $service.autoscaling.enabled (lt (int $service.autoscaling.maxReplicas) (int $service.autoscaling.minReplicas)) }}
    {{- fail (printf "services.%s.autoscaling: maxReplicas %d is less than minReplicas %d" $name (int $service.autoscaling.maxReplicas) (int $service.autoscaling.minReplicas)) }}
  {{- end }}
{{- end }}
{{- if and .Values.tls.enabled (not .Values.tls.existingSecret) (not .Values.certificate.enabled) }}
  {{- fail "tls.enabled needs tls.existingSecret (type kubernetes.io/tls), or certificate.enabled, which has cert-manager make it" }}
{{- end }}
{{- include "bodega.checkSecrets" . }}
{{- if .Values.postgresql.enabled }}
  {{- $connections := include "bodega.connections" . | fromYaml }}
  {{- if gt (int $connections.total) (sub (int .Values.postgresql.maxConnections) 10 | int) }}
    {{- fail (printf "the services may open %d connections to the database (%s), but postgresql.maxConnections %d less 10 for people and migrations are %d: raise it, or lower maxReplicas, workers or connections" (int $connections.total) (include "bodega.connectionList" .) (int .Values.postgresql.maxConnections) (sub (int .Values.postgresql.maxConnections) 10)) }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "bodega.connectionList" -}}
{{- $list := list }}
{{- range $name, $most := (include "bodega.connections" . | fromYaml).services }}
{{- $list = append $list (printf "%s %d" $name (int $most)) }}
{{- end }}
{{- join ", " $list }}
{{- end }}
