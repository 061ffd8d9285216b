{{/* Names and labels, by Helm's guide. */}}
{{- define "bodega.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* 40 characters leave room for the longest suffix, "-postgresql-clients". */}}
{{- define "bodega.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "bodega.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "bodega.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* The labels that select; they never change. (list $ "users") */}}
{{- define "bodega.selector" -}}
{{- $root := first . -}}
app.kubernetes.io/name: {{ include "bodega.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
{{- with last . }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{/* All labels of an object. (list $ "users"); "" for what belongs to no program. */}}
{{- define "bodega.labels" -}}
{{- $root := first . -}}
{{ include "bodega.selector" . }}
app.kubernetes.io/part-of: {{ include "bodega.name" $root }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The programs' facts, as YAML: files/programs.yaml. */}}
{{- define "bodega.programs" -}}
{{- .Files.Get "files/programs.yaml" }}
{{- end }}

{{/* One service, as YAML: its facts, and its values over the defaults. (list $ "users") */}}
{{- define "bodega.service" -}}
{{- $root := first . }}
{{- $name := last . }}
{{- $facts := get (include "bodega.programs" $root | fromYaml) $name }}
{{- $values := mergeOverwrite (deepCopy $root.Values.defaults) (deepCopy (get $root.Values.services $name | default dict)) }}
{{- merge (dict "name" $name "fullname" (printf "%s-%s" (include "bodega.fullname" $root) $name)) $facts $values | toYaml }}
{{- end }}

{{/* The services that are enabled, as {"names": [...]}. */}}
{{- define "bodega.enabled" -}}
{{- $names := list }}
{{- range $name := list "gateway" "users" "products" "orders" "payments" }}
{{- $service := include "bodega.service" (list $ $name) | fromYaml }}
{{- if $service.enabled }}{{ $names = append $names $name }}{{ end }}
{{- end }}
{{- dict "names" $names | toYaml }}
{{- end }}

{{/* repository:tag, or repository@digest. (list $ .Values.image) */}}
{{- define "bodega.image" -}}
{{- $root := first . }}
{{- $image := last . }}
{{- if $image.digest -}}
{{ printf "%s@%s" $image.repository $image.digest }}
{{- else -}}
{{ printf "%s:%s" $image.repository ($image.tag | default $root.Chart.AppVersion) }}
{{- end }}
{{- end }}

{{- define "bodega.serviceAccountName" -}}
{{- if .serviceAccount.create }}{{ .serviceAccount.name | default .fullname }}{{ else }}{{ .serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{/* A duration as the programs write it, in whole seconds, rounded up. */}}
{{- define "bodega.seconds" -}}
{{- $text := toString . }}
{{- if not (regexMatch "^[0-9]+(ms|s|m|h)$" $text) }}
{{- fail (printf "%q is not a duration: write it like 500ms, 10s, 2m" $text) }}
{{- end }}
{{- $number := regexFind "^[0-9]+" $text | int }}
{{- $unit := regexFind "[a-z]+$" $text }}
{{- if eq $unit "ms" }}{{ div (add $number 999) 1000 }}
{{- else }}{{ mul $number (get (dict "s" 1 "m" 60 "h" 3600) $unit) }}{{ end }}
{{- end }}

{{/* How long a pod may take to end: delay + timeout + 10 s. A smaller one is refused, because it would cut requests. */}}
{{- define "bodega.gracePeriod" -}}
{{- $least := add (include "bodega.seconds" .drainDelay | int) (include "bodega.seconds" .drainTimeout | int) 10 | int }}
{{- $given := .terminationGracePeriodSeconds | int }}
{{- if and $given (lt $given $least) }}
{{- fail (printf "services.%s.terminationGracePeriodSeconds is %d, but drainDelay %s, drainTimeout %s and 10 s take %d: leave it at 0, which computes it" .name $given .drainDelay .drainTimeout $least) }}
{{- end }}
{{- max $given $least }}
{{- end }}

{{/* The most pods of a service at one time: those it may have, and the surge of a rolling update. */}}
{{- define "bodega.podsMax" -}}
{{- $pods := ternary .autoscaling.maxReplicas .replicas .autoscaling.enabled | int }}
{{- $surge := toString .maxSurge }}
{{- if hasSuffix "%" $surge }}
{{- add $pods (div (add (mul $pods (trimSuffix "%" $surge | int)) 99) 100) }}
{{- else }}
{{- add $pods (int $surge) }}
{{- end }}
{{- end }}

{{/* Threads that a pod serves with, as its program reckons them: by the limit on CPU if there is one, else `workers`. */}}
{{- define "bodega.workers" -}}
{{- $limit := include "bodega.cpuLimit" . }}
{{- if not $limit }}
{{- .workers }}
{{- else if hasSuffix "m" $limit }}
{{- min 8 (div (add (trimSuffix "m" $limit | int) 999) 1000) }}
{{- else }}
{{- min 8 (ceil (float64 $limit) | int) }}
{{- end }}
{{- end }}

{{- define "bodega.cpuLimit" -}}
{{- ((.resources | default dict).limits | default dict).cpu | default "" }}
{{- end }}

{{/* Connections to the database, as YAML: those of each service at the most, and all together. */}}
{{- define "bodega.connections" -}}
{{- $services := dict }}
{{- $total := 0 }}
{{- range $name := (include "bodega.enabled" . | fromYaml).names }}
{{- $service := include "bodega.service" (list $ $name) | fromYaml }}
{{- if has "postgresql" $service.uses }}
{{- $pool := add (int $service.connections.read) (int $service.connections.slow) (int $service.connections.write) }}
{{- $most := mul (include "bodega.podsMax" $service | int) (include "bodega.workers" $service | int) $pool }}
{{- $_ := set $services $name $most }}
{{- $total = add $total $most }}
{{- end }}
{{- end }}
{{- dict "services" $services "total" $total | toYaml }}
{{- end }}

{{/* Pod Security "restricted"; (int) the user. */}}
{{- define "bodega.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ int . }}
runAsGroup: {{ int . }}
fsGroup: {{ int . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "bodega.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "bodega.backing" -}}
{{- $names := list }}
{{- range $name := list "postgresql" "redis" "rabbitmq" }}
{{- if (get $.Values $name).enabled }}{{ $names = append $names $name }}{{ end }}
{{- end }}
{{- dict "names" $names | toYaml }}
{{- end }}

{{/* Which port each server listens on inside the cluster. */}}
{{- define "bodega.backingPorts" -}}
postgresql: 5432
redis: 6379
rabbitmq: 5672
{{- end }}

{{- define "bodega.tlsSecretName" -}}
{{- .Values.tls.existingSecret | default (printf "%s-tls" (include "bodega.fullname" .)) }}
{{- end }}
