{{/*
Prints the objects of a manifest in files/, which are links to the folders beside this chart: what
kustomize applies and what this chart applies cannot differ but by the values. Called with a list:
the root, the file, and the values of a component where it has a Deployment.
*/}}
{{- define "manifest" -}}
{{- $root := index . 0 }}
{{- $file := index . 1 }}
{{- $component := dict }}
{{- if gt (len .) 2 }}{{ $component = index . 2 }}{{ end }}
{{- $values := $root.Values }}
{{- $text := $root.Files.Get $file }}
{{- if not $text }}{{ fail (printf "%s is missing in the chart" $file) }}{{ end }}
{{- range $document := regexSplit "(?m)^---\\s*$" $text -1 }}
{{- $object := fromYaml $document }}
{{- $kind := default "" $object.kind }}
{{- if and $kind (not (and (eq $kind "PodMonitor") (eq $values.monitoring.kind "none"))) }}
{{- if hasPrefix "Cluster" $kind }}
{{- $_ := set $object.metadata "name" (print $object.metadata.name $values.clusterSuffix) }}
{{- else }}
{{- $_ := set $object.metadata "namespace" $root.Release.Namespace }}
{{- end }}
{{- if hasKey $object "roleRef" }}
{{- if hasPrefix "Cluster" $object.roleRef.kind }}
{{- $_ := set $object.roleRef "name" (print $object.roleRef.name $values.clusterSuffix) }}
{{- end }}
{{- range $subject := $object.subjects }}{{ $_ := set $subject "namespace" $root.Release.Namespace }}{{ end }}
{{- end }}
{{- if has $kind (list "PodMonitor" "ServiceMonitor" "PrometheusRule") }}
{{- $labels := merge (dict) (omit $object.metadata.labels "release") $values.monitoring.labels }}
{{- $_ := set $object.metadata "labels" $labels }}
{{- end }}
{{- if and (has $kind (list "PodMonitor" "ServiceMonitor")) (eq $object.metadata.name "kong-metrics-exporter") }}
{{- range $endpoint := concat (default list $object.spec.podMetricsEndpoints) (default list $object.spec.endpoints) }}
{{- $_ := set $endpoint "interval" $values.monitoring.interval }}
{{- end }}
{{- end }}
{{- if eq $kind "NetworkPolicy" }}
{{- $ports := list }}
{{- range $values.networkPolicy.kongPorts }}{{ $ports = append $ports (dict "protocol" "TCP" "port" .) }}{{ end }}
{{- $_ := set (index $object.spec.ingress 0) "ports" $ports }}
{{- $from := index (index $object.spec.ingress 1).from 0 }}
{{- $_ := set $from.namespaceSelector.matchLabels "kubernetes.io/metadata.name" $values.networkPolicy.prometheusNamespace }}
{{- end }}
{{- if eq $kind "Deployment" }}
{{- $pod := $object.spec.template.spec }}
{{- $container := index $pod.containers 0 }}
{{- $_ := set $object.spec "replicas" $component.replicas }}
{{- $_ := set $container "image" (printf "%s:%s" $values.image.repository (default $root.Chart.AppVersion $values.image.tag)) }}
{{- $_ := set $container "imagePullPolicy" $values.image.pullPolicy }}
{{- $_ := set $container "args" (concat $container.args $component.arguments) }}
{{- with $component.resources }}{{ $_ := set $container "resources" . }}{{ end }}
{{- with $component.nodeSelector }}{{ $_ := set $pod "nodeSelector" . }}{{ end }}
{{- with $component.tolerations }}{{ $_ := set $pod "tolerations" . }}{{ end }}
{{- with $values.image.pullSecrets }}{{ $_ := set $pod "imagePullSecrets" . }}{{ end }}
{{- end }}
---
{{ toYaml $object }}
{{ end }}
{{- end }}
{{- end }}
