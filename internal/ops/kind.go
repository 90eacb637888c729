package ops

import (
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// Kind is one kind of resources at one moment.
type Kind struct {
	Name string    `json:"name" doc:"the kind as configured: Thing, Rule, …"`
	Mode string    `json:"mode" enum:"observe,recommend,act" doc:"the most that is done for the kind; nothing is written but in act"`
	At   time.Time `json:"at,omitzero" doc:"the moment for which ages are computed"`
	// Groups are the StatefulSets that run it, with disjoint ordinals. There is one today.
	Groups []Group `json:"groups" nullable:"false"`
	// Verb, Reason and Why are the latest decision's: Why is its sentence. Blind is why there is
	// none that counts.
	Verb   string `json:"verb,omitempty" doc:"grow, shrink, keep or still"`
	Reason string `json:"reason,omitempty" doc:"what determined the size"`
	Why    string `json:"why" doc:"the decision in one sentence"`
	Blind  string `json:"blind,omitempty" doc:"why nothing is decided now"`

	// Resources is absent until ZooKeeper was read.
	Resources *Resources `json:"resources,omitempty"`
	WorstLag  *WorstLag  `json:"worstLag,omitempty" doc:"absent for a kind without heartbeat and where no lag is known"`
	Alarms    []Alarm    `json:"alarms" nullable:"false" doc:"what a person should look at, the gravest first"`
	Paused    Paused     `json:"paused"`
	Overrides []Override `json:"overrides" nullable:"false" doc:"what persons have put over the configuration"`
	// Progress is what is being moved; Drain how far what leaves has come.
	Progress orders.Progress `json:"progress"`
	Drain    *outcome.Drain  `json:"drain,omitempty"`
	// Waiting are deletes that a comparison with the catalogue found and a person must confirm.
	Waiting *resync.Waiting `json:"waiting,omitempty"`
	Sources []Source        `json:"sources" nullable:"false" doc:"each input, when it was last read completely, and what is wrong with it"`
	// Epoch is the head's, Generation the configuration's: it grows with each change.
	Epoch      int64 `json:"epoch,omitempty"`
	Generation int64 `json:"generation"`
}

// KindList are the kinds, in the order of the configuration.
type KindList struct {
	Items []Kind `json:"items" nullable:"false"`
}

// Group is one StatefulSet of a kind.
type Group struct {
	StatefulSet string `json:"statefulSet"`
	Namespace   string `json:"namespace"`
	Start       int    `json:"start" doc:"the first ordinal"`
	// Replicas is spec.replicas; Ready counts ready pods. Both are absent while the StatefulSet is
	// not known.
	Replicas *int `json:"replicas,omitempty"`
	Ready    *int `json:"ready,omitempty"`
	// Desired is the size decided on, Needed what the signals ask for before windows, rates and
	// holds, Recommended our own recommendation.
	Desired     *int `json:"desired,omitempty"`
	Needed      *int `json:"needed,omitempty"`
	Recommended *int `json:"recommended,omitempty"`

	Init              int    `json:"init"`
	Max               int    `json:"max"`
	Capacity          int    `json:"capacity" doc:"hard limit of resources on an instance"`
	TargetPerInstance int    `json:"targetPerInstance"`
	Owner             string `json:"owner" enum:"shardscaler,group,hpa" doc:"which writer of replicas the size is left to"`
	Mode              string `json:"mode,omitempty" enum:"observe,recommend,act" doc:"the most that is done about the size"`
	// Open are the ordinals that may receive, as runs: 0-4,7.
	Open string `json:"open"`
}

// Resources counts a kind's resources. It is valid as of Source store.
type Resources struct {
	Total      int  `json:"total" doc:"assigned + in flight + unassigned"`
	Assigned   int  `json:"assigned"`
	InFlight   int  `json:"inFlight"`
	Unassigned int  `json:"unassigned"`
	Catalogue  *int `json:"catalogue,omitempty" doc:"rows of the last complete read of the catalogue"`
	Excess     int  `json:"excess,omitempty" doc:"beyond max × capacity: they wait"`
}

// WorstLag is the largest heartbeat lag of a kind's instances.
type WorstLag struct {
	Instance int    `json:"instance"`
	Lag      string `json:"lag" doc:"a duration: 1m30s"`
}

// Alarm is something a person should look at, and what to do about it.
type Alarm struct {
	// Name is stable. Params are what its sentence names, for programs.
	Name     string            `json:"name"`
	Severity string            `json:"severity" enum:"critical,warning,info"`
	Text     string            `json:"text" doc:"what is wrong, in English"`
	Cure     string            `json:"cure" doc:"what to do, in English"`
	Since    time.Time         `json:"since,omitzero"`
	Ordinals []int             `json:"ordinals,omitempty" doc:"the instances that it is about"`
	Params   map[string]string `json:"params,omitempty"`
}

// Paused says whether voluntary moves are stopped, and by what.
type Paused struct {
	Value  bool   `json:"value"`
	Source string `json:"source" enum:"ConfigMap,override,InstanceGroup"`
	// Sizes says that replicas are not written either: the whole kind is paused.
	Sizes bool `json:"sizes,omitempty"`
	Said
}

// Said is who asked for something, when, and until when it counts; Until zero: until it is ended.
type Said = config.Said

// Override is one thing that a person has put over the configuration.
type Override struct {
	What string `json:"what" enum:"size,maxInstances,resourcePerInstance,paused,drain,pin,move"`
	// Value is the size, maxInstances or resourcePerInstance; Paused whether voluntary moves are
	// stopped; Instance the drained instance, or where Resource is pinned.
	Value    *int   `json:"value,omitempty"`
	Paused   *bool  `json:"paused,omitempty"`
	Instance *int   `json:"instance,omitempty"`
	Resource string `json:"resource,omitempty"`
	Said
}

// Source is one input of a kind.
type Source struct {
	Name  string    `json:"name" enum:"store,cluster,metrics,catalogue,bus,notify,groups,hpas"`
	At    time.Time `json:"at,omitzero" doc:"when it was last read completely; absent: never"`
	Age   string    `json:"age,omitempty" doc:"a duration"`
	Error string    `json:"error,omitempty" doc:"why the latest try failed"`
	Since time.Time `json:"since,omitzero" doc:"since when it fails"`
}
