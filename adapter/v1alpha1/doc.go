// Package v1alpha1 has the types of the API group shardscaler.io: the InstanceGroup, by which an
// HPA or a person owns the size of a kind's StatefulSet.
//
// In: spec.replicas, the requested replicas, written through /scale by an HPA or a person. Out:
// status, written by the leading shardscaler alone. Invariant: the request is one signal among
// others. It never takes an instance that owns resources, since shardscaler drains before it
// mirrors the request, and it never undercuts the number of resources. Bounds and thresholds are in
// the ConfigMap and nowhere else.
//
// The deep copies here and the CustomResourceDefinition in manifests/cluster/base come from these
// types: `make generate`.
//
// +kubebuilder:object:generate=true
// +groupName=shardscaler.io
package v1alpha1

//go:generate go tool -modfile=../../tools/gen/go.mod controller-gen object crd paths=. output:crd:dir=../../manifests/cluster/base
