package v1alpha1

import "k8s.io/apimachinery/pkg/runtime/schema"

// GroupVersion is that of every type here.
var GroupVersion = schema.GroupVersion{Group: "shardscaler.io", Version: "v1alpha1"}

// Names of the InstanceGroup in the API.
const (
	Kind     = "InstanceGroup"
	Resource = "instancegroups"
)
