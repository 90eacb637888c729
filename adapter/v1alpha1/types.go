package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is that of every type here.
var GroupVersion = schema.GroupVersion{Group: "shardscaler.io", Version: "v1alpha1"}

// Names of the InstanceGroup in the API.
const (
	Kind     = "InstanceGroup"
	Resource = "instancegroups"
)

// InstanceGroup is the size that an HPA or a person requests for the StatefulSet of one kind of
// resources. With `replicas: {owner: group}` in the configuration the request is followed:
// what leaves is drained first, and a request that is too small for the resources is not followed.
//
// +kubebuilder:resource:shortName=ig
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.replicas,statuspath=.status.replicas,selectorpath=.status.selector
// +kubebuilder:printcolumn:name="Desired",type=integer,JSONPath=`.status.desired`,description="Desired replicas"
// +kubebuilder:printcolumn:name="Current",type=integer,JSONPath=`.status.replicas`,description="Current replicas of the StatefulSet"
// +kubebuilder:printcolumn:name="Assigned",type=integer,JSONPath=`.status.assigned`,description="Resources that an instance owns"
// +kubebuilder:printcolumn:name="Unassigned",type=integer,JSONPath=`.status.unassigned`,description="Resources that no instance owns"
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Wish",type=integer,JSONPath=`.spec.replicas`,priority=1,description="Replicas that the HPA or a person requests"
// +kubebuilder:printcolumn:name="Kind",type=string,JSONPath=`.spec.kind`,priority=1
// +kubebuilder:printcolumn:name="StatefulSet",type=string,JSONPath=`.spec.statefulSetName`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type InstanceGroup struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec InstanceGroupSpec `json:"spec"`
	// +optional
	Status InstanceGroupStatus `json:"status,omitempty"`
}

// InstanceGroupSpec is the request.
type InstanceGroupSpec struct {
	// Kind is the kind of resources, as shardscaler's configuration names it: Thing, Rule, …
	//
	// +kubebuilder:validation:Pattern=`^[A-Za-z][A-Za-z0-9_-]{0,62}$`
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="kind cannot change: delete the InstanceGroup and make another"
	Kind string `json:"kind"`
	// StatefulSetName is the StatefulSet that runs the kind's instances; the same as in
	// shardscaler's configuration.
	//
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=52
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="statefulSetName cannot change: delete the InstanceGroup and make another"
	StatefulSetName string `json:"statefulSetName"`
	// Replicas is the requested size. When the InstanceGroup is new, or was replaced as a whole,
	// shardscaler sets it once to the size of the StatefulSet; from then on only an HPA or a person
	// writes it. Like any request, 0 is bounded by init.
	//
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=0
	// +optional
	Replicas int32 `json:"replicas"`
	// Paused stops every write for the kind, sizes and moves, while metrics go on.
	//
	// +optional
	Paused bool `json:"paused,omitempty"`
}

// SeededAnnotation says that spec.replicas was set to the StatefulSet's size, and what that was.
// Replacing the object as a whole removes both.
const SeededAnnotation = "shardscaler.io/seeded"

// State is the InstanceGroup in one word.
//
// +kubebuilder:validation:Enum=Steady;Growing;Draining;DrainBlocked;Paused;Blind;Stopped;NotFollowed
type State string

// The states.
const (
	Steady       State = "Steady"       // the size is the one desired
	Growing      State = "Growing"      // the StatefulSet is to get more replicas
	Draining     State = "Draining"     // leaving instances are being drained
	DrainBlocked State = "DrainBlocked" // the drain is blocked; the condition Draining says why
	Paused       State = "Paused"       // nothing is written
	Blind        State = "Blind"        // an input is too old, incomplete or contradictory: nothing is decided
	Stopped      State = "Stopped"      // sizes are not written, since another writer or an HPA writes them
	NotFollowed  State = "NotFollowed"  // the request does not count; the condition ScalingActive says why
)

// Types of conditions, and what is so when they are true.
const (
	ConditionSeeded         = "Seeded"         // spec.replicas was set to the size of the StatefulSet, once
	ConditionScalingActive  = "ScalingActive"  // the request is followed, as far as ScalingLimited lets it
	ConditionScalingLimited = "ScalingLimited" // another size than the requested one is desired
	ConditionDraining       = "Draining"       // leaving instances are being drained
	ConditionForeignWriter  = "ForeignWriter"  // another writer writes replicas against shardscaler, which has yielded
	ConditionConflictingHPA = "ConflictingHPA" // there is an HPA on the StatefulSet itself
)

// Reasons of conditions.
const (
	ReasonFollowed           = "Followed"
	ReasonSeeded             = "Seeded"
	ReasonNotSeeded          = "NotSeeded"
	ReasonNoStatefulSet      = "NoStatefulSet"
	ReasonStatefulSetDiffers = "StatefulSetDiffers"
	ReasonUnknownKind        = "UnknownKind"
	ReasonOtherOwner         = "OtherOwner"
	ReasonDuplicate          = "Duplicate"
	ReasonPaused             = "Paused"
	ReasonBlind              = "Blind"
	ReasonWithinLimits       = "WithinLimits"
	ReasonResourceFloor      = "ResourceFloor"
	ReasonTooFewReplicas     = "TooFewReplicas"
	ReasonTooManyReplicas    = "TooManyReplicas"
	ReasonOtherSignal        = "OtherSignal"
	ReasonShrinkHeld         = "ShrinkHeld"
	ReasonGrowthHeld         = "GrowthHeld"
	ReasonForeignRaise       = "ForeignRaise"
	ReasonEmptying           = "Emptying"
	ReasonBlocked            = "Blocked"
	ReasonDrained            = "Drained"
	ReasonContraryWrites     = "ContraryWrites"
	ReasonNoContraryWrites   = "NoContraryWrites"
	ReasonAmbiguousSelector  = "AmbiguousSelector"
	ReasonOnStatefulSet      = "OnStatefulSet"
	ReasonNone               = "None"
)

// InstanceGroupStatus is what shardscaler makes of the request.
type InstanceGroupStatus struct {
	// ObservedGeneration is the generation of the spec that this status is about.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Replicas and Selector are the StatefulSet's: an HPA reads the size and finds the pods by them.
	//
	// +optional
	Replicas int32 `json:"replicas"`
	// +optional
	Selector string `json:"selector,omitempty"`
	// Desired is the desired replicas.
	//
	// +optional
	Desired int32 `json:"desired,omitempty"`
	// Assigned, InFlight and Unassigned count the kind's resources.
	//
	// +optional
	Assigned int64 `json:"assigned"`
	// +optional
	InFlight int64 `json:"inFlight"`
	// +optional
	Unassigned int64 `json:"unassigned"`
	// +optional
	State State `json:"state,omitempty"`
	// Message is the decision in one sentence.
	//
	// +optional
	Message string `json:"message,omitempty"`
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
