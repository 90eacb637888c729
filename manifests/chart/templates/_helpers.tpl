{{- define "shardscaler.image" -}}
{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag }}{{ end }}
{{- end }}

{{- define "shardscaler.addresses" -}}
KAFKA: {{ .Values.kafka | quote }}
MQTT: {{ .Values.mqtt | quote }}
ZOOKEEPER: {{ .Values.zookeeper | quote }}
{{- end }}

{{- /* The name that kustomize gives a generated ConfigMap: ten digits of the sum of its JSON, in which the name is empty, in letters that
spell nothing. */ -}}
{{- define "shardscaler.addressesName" -}}
{{- $name := "shardscaler-addresses" -}}
{{- $sum := dict "data" (include "shardscaler.addresses" . | fromYaml) "kind" "ConfigMap" "name" "" | toJson | sha256sum | trunc 10 -}}
{{ $name }}-{{ $sum | replace "0" "g" | replace "1" "h" | replace "3" "k" | replace "a" "m" | replace "e" "t" }}
{{- end }}

{{- define "shardscaler.subject" -}}
subjects:
- kind: ServiceAccount
  name: shardscaler
  namespace: {{ .Release.Namespace }}
{{- end }}
