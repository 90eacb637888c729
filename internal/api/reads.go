package api

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/api/access"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/limits"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// Orchestration is a kind's answer to GET.
type Orchestration struct {
	Kind string `json:"kind"`
	// Instances by ordinal, as ZooKeeper holds them.
	Instances map[string]Instance `json:"instances"`
	// Orchestrating is true while resources are being moved; Succeeded says whether the
	// last pass of the loop could do what it proposed.
	Orchestrating bool   `json:"orchestrating"`
	Succeeded     bool   `json:"succeeded"`
	Problem       string `json:"problem,omitempty"`

	Resources  int `json:"resources" doc:"assigned + in flight + unassigned"`
	Unassigned int `json:"unassigned"`
	InFlight   int `json:"inFlight"`

	// The two values that POST sets, and where each comes from.
	MaxInstances        Setting `json:"maxInstances"`
	ResourcePerInstance Setting `json:"resourcePerInstance"`

	// Paused: voluntary moves are stopped.
	Paused PauseSetting `json:"paused"`
	// HandOff says whether every instance acknowledges.
	HandOff HandOff `json:"handOff"`
	// NotAcknowledging are the open instances that do not acknowledge, and why, by ordinal.
	NotAcknowledging map[string]string `json:"mute,omitempty" doc:"open instances that do not acknowledge, and why, by ordinal"`

	Decision *outcome.Report `json:"decision,omitempty"`
	Progress orders.Progress `json:"progress"`
	// Waiting are deletes found by a reconcile that a person must confirm.
	Waiting *resync.Waiting `json:"waiting,omitempty"`
	ReadAt  time.Time       `json:"readAt,omitzero" doc:"when this was last known to equal ZooKeeper"`
}

// Instance is one ordinal's subtree.
type Instance struct {
	Data struct {
		Used  int `json:"used"`
		Count int `json:"count"`
	} `json:"data"`
	Reload struct {
		Times int64 `json:"times"`
	} `json:"_reload"`
	Resources struct {
		IDs []string `json:"ids"`
	} `json:"resources"`
	Status *protocol.Status `json:"status,omitempty"`
}

// Setting is a value and its source.
type Setting struct {
	Value  int    `json:"value"`
	Source string `json:"source" enum:"ConfigMap,override"`
}

func source(overridden bool) string {
	if overridden {
		return "override"
	}
	return "ConfigMap"
}

// PauseSetting is whether voluntary moves are stopped, and by what.
type PauseSetting struct {
	Value  bool   `json:"value"`
	Source string `json:"source" enum:"ConfigMap,override"`
}

func pauseSetting(v *KindView) PauseSetting {
	return PauseSetting{Value: v.Config.Rebalance.Paused, Source: source(v.Override.Paused != nil)}
}

// HandOff says when a revoked resource counts as released, and whether instances could do more.
type HandOff struct {
	Mode config.HandOff `json:"mode" enum:"immediate,acknowledged"`
	// Instances are open; the present pods of those Acknowledging have applied their whole list.
	Instances     int    `json:"instances"`
	Acknowledging int    `json:"acknowledging"`
	Hint          string `json:"hint,omitempty"`
}

// handOff says how many instances acknowledge; without is how many do not.
func handOff(v *KindView, without int) HandOff {
	h := HandOff{Mode: v.Config.HandOff, Instances: len(v.State.Head.Open)}
	for _, n := range v.State.Head.Open {
		in, seen := v.State.Instances[n], v.Snapshot.Instance(n)
		if in == nil || in.Status == nil || in.Status.Times != in.Times || seen == nil {
			continue
		}
		if pod := seen.Occupant(); pod != nil && pod.UID == in.Status.Pod {
			h.Acknowledging++
		}
	}
	switch all := h.Instances > 0 && h.Acknowledging == h.Instances; {
	case h.Mode == config.HandOffImmediate && all:
		h.Hint = "every instance acknowledges: handOff can be acknowledged"
	case h.Mode == config.HandOffAcknowledged && h.Acknowledging == 0 && h.Instances > 0:
		h.Hint = "no instance acknowledges: nothing is moved out of them, and they cannot be drained; handOff must be immediate"
	case h.Mode == config.HandOffAcknowledged && without > 0:
		h.Hint = fmt.Sprintf("instances not acknowledging: %d of %d; nothing is moved out of them: they cannot be drained", without, h.Instances)
	}
	return h
}

// notAcknowledging has the reason of each open instance that does not; one that lags behind does.
func notAcknowledging(v *KindView) map[string]string {
	why := map[string]string{}
	for _, n := range v.State.Head.Open {
		var status *observed.Status
		fault, uid := "", ""
		if in := v.State.Instances[n]; in != nil {
			if fault = in.StatusFault; in.Status != nil {
				status = &observed.Status{PodUID: in.Status.Pod}
			}
		}
		if seen := v.Snapshot.Instance(n); seen != nil && seen.Occupant() != nil {
			uid = seen.Occupant().UID
		}
		if text := observed.NotAcknowledging(status, fault, uid); text != "" {
			why[strconv.Itoa(n)] = text
		}
	}
	return why
}

// KindPath names the kind in a path; exported because the library fills in only such fields.
type KindPath struct {
	Kind string `path:"kind" doc:"The kind as configured: Thing, Rule, …"`
}

type jsonBody[T any] struct {
	Body T
}

func (h *handlers) registerReads() {
	read := func(id, path, summary string, share *limits.Share) huma.Operation {
		return huma.Operation{OperationID: id, Method: http.MethodGet, Path: "/v1/api/" + path, Summary: summary, Middlewares: append(h.places(share), h.guard.LetOldRead)}
	}
	whole := read("get-orchestration", "orchestrations/{kind}", "A kind's orchestration: each instance with its data, _reload and resources", h.large)
	whole.Responses = orchestrationResponse(h.api)
	huma.Register(h.api, whole, h.getOrchestration)
	huma.Register(h.api, read("find-resource", "orchestrations/{kind}/{id}/instances", "The instance that runs a resource", h.small), h.findResource)
	huma.Register(h.api, read("get-decision", "orchestrations/{kind}/decision",
		"The latest size decision with every input, limit and reason", h.small), h.getDecision)
	huma.Register(h.api, read("get-snapshot", "snapshot",
		"What each kind's latest decision was made from, with the age of every part; `shardscaler decide` decides it again", h.large), h.getSnapshot)
	drain := read("get-pod-drain", "drains/{namespace}/{pod}",
		"Whether a pod that ends may end: asked by the preStop hook, answered by any replica from a synced read", h.drains)
	drain.Middlewares = h.places(h.drains) // the hook has no token, and gives up when it is asked for one
	huma.Register(h.api, drain, h.getPodDrain)
}

// orchestration lays a view out as GET shows it, but for the instances.
func orchestration(v KindView) Orchestration {
	k, without := &v.Snapshot, notAcknowledging(&v)
	o := Orchestration{
		Kind:      v.Config.Name,
		Resources: k.Resources(), Unassigned: k.Unassigned, InFlight: k.InFlight,
		Orchestrating:       v.Progress.PlanID != "" || len(v.Progress.Draining) > 0,
		MaxInstances:        Setting{v.Config.Max, source(v.Override.MaxInstances != nil)},
		ResourcePerInstance: Setting{v.Config.Capacity, source(v.Override.ResourcePerInstance != nil)},
		Paused:              pauseSetting(&v),
		HandOff:             handOff(&v, len(without)),
		NotAcknowledging:    without,
		Decision:            v.Decision,
		Progress:            v.Progress,
		Waiting:             v.Waiting,
		ReadAt:              v.State.ReadAt,
	}
	o.Problem = cmp.Or(orders.Trouble(v.State, &v.Progress), v.Progress.Blocked, k.Sources.Store.Error, k.Sources.Cluster.Error, v.Decision.Problem())
	o.Succeeded = o.Problem == "" && v.Decision != nil
	if k.Sources.Notify.Error != "" {
		o.Problem = cmp.Or(o.Problem, "notifications: "+k.Sources.Notify.Error)
	}
	return o
}

func instance(in *protocol.Instance) Instance {
	var out Instance
	out.Data.Used, out.Data.Count = in.Used, in.Capacity
	out.Reload.Times = in.Times
	out.Resources.IDs = in.IDs.Strings()
	if out.Resources.IDs == nil {
		out.Resources.IDs = []string{}
	}
	out.Status = in.Status
	return out
}

// RunIn names the instance that runs a resource; null while none does.
type RunIn struct {
	RunIn *string `json:"runIn"`
}

type resourcePath struct {
	KindPath
	ID string `path:"id" maxLength:"256"`
}

func (h *handlers) findResource(_ context.Context, in *resourcePath) (*jsonBody[RunIn], error) {
	v, err := h.view(in.Kind)
	if err != nil {
		return nil, err
	}
	if v.State == nil {
		return nil, huma.Error503ServiceUnavailable("ZooKeeper has not been read yet")
	}
	ordinal, ok := v.Lookup(in.ID)
	if !ok {
		return nil, huma.Error404NotFound("no " + in.Kind + " has the id " + strconv.Quote(in.ID))
	}
	out := &jsonBody[RunIn]{}
	if ordinal >= 0 {
		s := strconv.Itoa(ordinal)
		out.Body.RunIn = &s
	}
	return out, nil
}

func (h *handlers) getDecision(_ context.Context, in *KindPath) (*jsonBody[*outcome.Report], error) {
	v, err := h.view(in.Kind)
	if err != nil {
		return nil, err
	}
	if v.Decision == nil {
		return nil, huma.Error503ServiceUnavailable("no decision has been made yet")
	}
	return &jsonBody[*outcome.Report]{Body: v.Decision}, nil
}

// getSnapshot leaves out the kinds that the caller may not see.
func (h *handlers) getSnapshot(ctx context.Context, _ *struct{}) (*jsonBody[decide.Saved], error) {
	saved := h.backend.Saved()
	saved.Inputs = slices.DeleteFunc(saved.Inputs, func(in decide.Input) bool { return !access.Sees(ctx, in.Config.Name) })
	saved.Configured = slices.DeleteFunc(saved.Configured, func(c decide.Configured) bool { return !access.Sees(ctx, c.Kind) })
	return &jsonBody[decide.Saved]{Body: saved}, nil
}
