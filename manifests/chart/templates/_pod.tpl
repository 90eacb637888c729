{{- /* What the pods of the server and of its preflight have in common. */ -}}
{{- define "shardscaler.flags" -}}
- --config-map=shardscaler
- --listen=:{{ .Values.ports.http }}
{{- if ne (int .Values.ports.http) 8080 }}
- --advertise=$(POD_IP):{{ .Values.ports.http }}
{{- end }}
- --secure-port={{ .Values.ports.metrics }}
{{- if eq .Values.certificate.mode "selfManaged" }}
- --tls-self-managed
{{- else }}
- --tls-cert-file=/etc/shardscaler/tls/tls.crt
- --tls-private-key-file=/etc/shardscaler/tls/tls.key
{{- end }}
- --zookeeper=$(ZOOKEEPER)
- --kafka=$(KAFKA)
- --mqtt=$(MQTT)
- --catalogue-dsn-file=/etc/shardscaler/credentials/catalogue-dsn
- --log-format=json
{{- if ne .Values.mode "act" }}
- --mode={{ .Values.mode }}
{{- end }}
{{- if .Values.sessionKeys }}
- --session-key-file=/etc/shardscaler/credentials/session-keys
{{- end }}
{{- with .Values.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "shardscaler.env" -}}
# With apiVersion, which is its default: without it a second apply of the same would conflict with the first.
- name: POD_NAME
  valueFrom: {fieldRef: {apiVersion: v1, fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {apiVersion: v1, fieldPath: metadata.namespace}}
- name: POD_IP
  valueFrom: {fieldRef: {apiVersion: v1, fieldPath: status.podIP}}
# 7/8 of the memory limit.
- {name: GOMEMLIMIT, value: {{ .Values.goMemoryLimit }}}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "shardscaler.mounts" -}}
{{- if ne .Values.certificate.mode "selfManaged" -}}
- {name: tls, mountPath: /etc/shardscaler/tls, readOnly: true}
{{ end -}}
- {name: credentials, mountPath: /etc/shardscaler/credentials, readOnly: true}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "shardscaler.volumes" -}}
{{- if ne .Values.certificate.mode "selfManaged" -}}
- name: tls
  secret: {secretName: shardscaler-serving-cert, items: [{key: tls.crt, path: tls.crt}, {key: tls.key, path: tls.key}]}
{{ end -}}
- name: credentials
  secret: {secretName: {{ .Values.credentialsSecret }}}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* How a pod and its container are held: without privileges, and without a writable root. */ -}}
{{- define "shardscaler.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "shardscaler.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "shardscaler.place" -}}
{{- range $field := list "imagePullSecrets" "priorityClassName" "nodeSelector" "tolerations" "affinity" }}
{{- with index $.Values $field }}
{{ dict $field . | toYaml }}
{{- end }}
{{- end }}
{{- end }}
