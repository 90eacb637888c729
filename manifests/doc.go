// Package manifests holds what installs shardscaler: a Helm chart, and what kustomize needs, which
// is generated from it. Its tests build both, hold them against each other, the real API server and
// the program's own configuration and flags.
package manifests

//go:generate go run ./generate
