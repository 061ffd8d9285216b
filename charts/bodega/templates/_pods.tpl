{{/* Pieces of pods that more than one template needs. */}}

{{/* A service's environment, as YAML. (list $ service) */}}
{{- define "bodega.environment" -}}
{{- $root := first . }}
{{- $service := last . }}
{{- $environment := dict "DRAIN_DELAY" $service.drainDelay "DRAIN_TIMEOUT" $service.drainTimeout "LIVE_CONFIG_DIR" "/etc/bodega/live" }}
{{- if not (include "bodega.cpuLimit" $service) }}
{{- $_ := set $environment "WORKERS" $service.workers }}
{{- end }}
{{- if has "postgresql" $service.uses }}
{{- $environment = merge $environment (dict "READ_CONNECTIONS" $service.connections.read "SLOW_CONNECTIONS" $service.connections.slow "WRITE_CONNECTIONS" $service.connections.write) }}
{{- end }}
{{- range $callee, $variable := $service.calls }}
{{- $facts := get (include "bodega.programs" $root | fromYaml) $callee }}
{{- $_ := set $environment $variable (printf "http://%s-%s-headless:%d" (include "bodega.fullname" $root) $callee (int $facts.port)) }}
{{- end }}
{{- range $key, $variable := (include "bodega.secretFiles" $service | fromYaml) }}
{{- $_ := set $environment $variable (printf "/etc/bodega/secrets/%s" $key) }}
{{- end }}
{{- if eq $service.name "gateway" }}
{{- if $root.Values.tls.enabled }}
{{- $environment = merge $environment (dict "TLS_PORT" 8443 "TLS_CERT_FILE" "/etc/bodega/tls/tls.crt" "TLS_KEY_FILE" "/etc/bodega/tls/tls.key") }}
{{- else }}
{{- $_ := set $environment "TLS_PORT" 0 }}
{{- end }}
{{- end }}
{{- range $variable, $value := mergeOverwrite $environment $service.env }}
{{ $variable }}: {{ toString $value | quote }}
{{- end }}
{{- end }}

{{/* A volume with those keys of the Secret that are named. (list secret keys) */}}
{{- define "bodega.secretVolume" -}}
- name: secrets
  secret:
    secretName: {{ first . }}
    defaultMode: 288 # 0440
    items:
      {{- range last . | sortAlpha }}
      - {key: {{ . }}, path: {{ . }}}
      {{- end }}
{{- end }}

{{/* Even over zones and nodes, but never at the price of not running. (list $ service) */}}
{{- define "bodega.topologySpread" -}}
{{- $root := first . }}
{{- $service := last . }}
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: ScheduleAnyway
  matchLabelKeys: [pod-template-hash]
  labelSelector:
    matchLabels:
      {{- include "bodega.selector" (list $root $service.name) | nindent 6 }}
{{- end }}
{{- end }}
