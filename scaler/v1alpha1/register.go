package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is that of every type here.
var GroupVersion = schema.GroupVersion{Group: "shardscaler.io", Version: "v1alpha1"}

// Names of the InstanceGroup in the API.
const (
	Kind     = "InstanceGroup"
	Resource = "instancegroups"
)

// AddToScheme registers the types with a client's scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &InstanceGroup{}, &InstanceGroupList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
