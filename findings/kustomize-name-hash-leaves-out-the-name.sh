#!/usr/bin/env bash
# kustomize api v0.21.1 (kubectl 1.37.1 has the same): the suffix that it gives a generated ConfigMap or Secret does not
# depend on the name, although the code that makes it says that data, kind and name are taken into account (api/hasher). It looks the name up
# as a field that is called "metadata/name", finds none, and hashes an empty name. So two of them with the same data have one suffix, and
# who computes the name elsewhere, in a Helm template for example, must leave the name out.
#
# Output seen; the last line is the SHA-256 of the JSON with an empty name, in kustomize's letters:
#
#	one-f6bkbtm65b
#	another-f6bkbtm65b
#	computed without the name: f6bkbtm65b
#
# Needs Go and a module proxy. Exits 1 if the behaviour is another one.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.26.0

require (
	sigs.k8s.io/kustomize/api v0.21.1
	sigs.k8s.io/kustomize/kyaml v0.21.1
)
MOD
cat >main.go <<'GO'
package main

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

func main() {
	files := filesys.MakeFsInMemory()
	err := files.WriteFile("/kustomization.yaml", []byte(`
configMapGenerator:
- {name: one, literals: [ZOOKEEPER=zookeeper:2181]}
- {name: another, literals: [ZOOKEEPER=zookeeper:2181]}
`))
	if err != nil {
		panic(err)
	}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(files, "/")
	if err != nil {
		panic(err)
	}
	for _, resource := range built.Resources() {
		fmt.Println(resource.GetName())
	}
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(`{"data":{"ZOOKEEPER":"zookeeper:2181"},"kind":"ConfigMap","name":""}`)))
	fmt.Println("computed without the name:", strings.NewReplacer("0", "g", "1", "h", "3", "k", "a", "m", "e", "t").Replace(sum[:10]))
}
GO
GOFLAGS=-mod=mod go run . 2>log | tee out || { cat log; exit 1; }
diff - out <<'WANT'
one-f6bkbtm65b
another-f6bkbtm65b
computed without the name: f6bkbtm65b
WANT
