#!/bin/sh
# Makes a serving certificate for the metrics API in a namespace, signed by a CA that is made for it and forgotten: the CA's
# key is not kept, so nothing else can ever be signed with it. Run it again before the certificate ends, then apply again.
#
#   ./generate.sh NAMESPACE [DAYS]
set -eu
namespace=${1:?usage: $0 NAMESPACE [DAYS]}
days=${2:-365}
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
service=shardscaler-metrics.$namespace.svc

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days "$days" -subj "/CN=shardscaler-metrics-ca" \
	-addext "basicConstraints=critical,CA:TRUE,pathlen:0" -addext "keyUsage=critical,keyCertSign" \
	-keyout "$work/ca.key" -out "$work/ca.crt" 2>/dev/null
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$service" \
	-keyout "$work/tls.key" -out "$work/tls.csr" 2>/dev/null
printf '%s\n' "subjectAltName=DNS:$service,DNS:$service.cluster.local" "extendedKeyUsage=serverAuth" \
	"keyUsage=critical,digitalSignature" "basicConstraints=critical,CA:FALSE" >"$work/extensions"
openssl x509 -req -in "$work/tls.csr" -CA "$work/ca.crt" -CAkey "$work/ca.key" -CAcreateserial -days "$days" \
	-extfile "$work/extensions" -out "$work/tls.crt" 2>/dev/null
umask 077
cp "$work/ca.crt" "$work/tls.crt" "$work/tls.key" .
echo "made ca.crt, tls.crt and tls.key for $service, good for $days days"
