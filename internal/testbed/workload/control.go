package workload

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/samesite"
)

// Instance is what the control address says of one instance.
type Instance struct {
	Kind     string `json:"kind"`
	Ordinal  int    `json:"instance"`
	Pod      string `json:"pod"`
	UID      string `json:"uid"`
	Restarts int32  `json:"restarts,omitempty"`
	// Count resources run; Hash is HashIDs of them; Times is the `_reload.times` last applied.
	Count int    `json:"count"`
	Hash  uint64 `json:"hash,string"`
	Times int64  `json:"times"`
	// State is what it does now: runs, waits, or the error it meets.
	State string `json:"state"`
	Hung  bool   `json:"hung,omitempty"`
	Muted bool   `json:"muted,omitempty"`
	// Answered is when ZooKeeper last answered it; nil: never.
	Answered *time.Time `json:"answered,omitempty"`
	// IDs are there only when asked for.
	IDs []string `json:"ids,omitempty"`
}

// Handler is the control address. It is for loopback, since every caller may break every instance;
// pages of other sites, and requests for a host that is not this machine's own, are refused.
//
//	GET  /v1/instances[?ids=1]
//	GET  /v1/hooks
//	POST /v1/instances/{kind}/{ordinal}/hang|stall|crash[?for=10s]
//	POST /v1/instances/{kind}/{ordinal}/resume|mute|unmute
//	POST /v1/kinds/{kind}/load?cpu=2&memory=1.5
func (s *Sim) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/instances", s.serveInstances)
	mux.HandleFunc("GET /v1/hooks", func(w http.ResponseWriter, _ *http.Request) { s.answer(w, s.hooked()) })
	mux.HandleFunc("POST /v1/instances/{kind}/{ordinal}/{fault}", s.serveFault)
	mux.HandleFunc("POST /v1/kinds/{kind}/load", s.serveLoad)
	return samesite.Only(mux, true)
}

func (s *Sim) serveInstances(w http.ResponseWriter, r *http.Request) {
	list := []Instance{}
	for _, in := range s.all() {
		list = append(list, in.describe(r.FormValue("ids") != ""))
	}
	s.answer(w, list)
}

func (s *Sim) answer(w http.ResponseWriter, list any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(list); err != nil {
		s.log.Debug("answer", "error", err)
	}
}

func (in *instance) describe(withIDs bool) Instance {
	ids := in.work.ids()
	d := Instance{
		Kind: in.kind.Name, Ordinal: in.ordinal, Pod: in.pod, UID: in.uid, Restarts: in.restarts,
		Count: len(ids), Hash: HashIDs(ids), Times: in.work.appliedTimes(), Hung: in.hung.Load(), Muted: in.muted.Load(),
	}
	d.State, _ = in.doing.Load().(string)
	if heard := in.line.heard.Load(); heard != 0 {
		at := time.Unix(0, heard)
		d.Answered = &at
	}
	if withIDs {
		d.IDs = ids
	}
	return d
}

func (s *Sim) serveFault(w http.ResponseWriter, r *http.Request) {
	var span time.Duration
	if v := r.FormValue("for"); v != "" {
		var err error
		if span, err = time.ParseDuration(v); err != nil || span <= 0 {
			http.Error(w, fmt.Sprintf("for %q: want a time greater than 0 such as 10s", v), http.StatusBadRequest)
			return
		}
	}
	in, err := s.find(r.PathValue("kind"), r.PathValue("ordinal"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	if err := s.fault(r.Context(), in, r.PathValue("fault"), span); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Sim) fault(ctx context.Context, in *instance, fault string, span time.Duration) error {
	switch fault {
	case "hang", "stall":
		if fault == "hang" {
			in.hang()
		} else {
			in.stall()
		}
		if span > 0 {
			time.AfterFunc(span, in.resume)
		}
	case "resume":
		in.resume()
	case "mute", "unmute":
		in.muted.Store(fault == "mute")
	case "crash":
		return s.crash(ctx, in, cmp.Or(span, s.cfg.Restart))
	default:
		return fmt.Errorf("fault %q: must be hang, stall, resume, crash, mute or unmute", fault)
	}
	return nil
}

func (s *Sim) find(kind, ordinal string) (*instance, error) {
	n, err := exact.Ordinal(ordinal)
	if err != nil {
		return nil, fmt.Errorf("instance of %s: %w", kind, err)
	}
	for _, in := range s.all() {
		if in.kind.Name == kind && in.ordinal == n {
			return in, nil
		}
	}
	return nil, fmt.Errorf("instance %s/%d: does not run", kind, n)
}

func (s *Sim) serveLoad(w http.ResponseWriter, r *http.Request) {
	kind := r.PathValue("kind")
	factors, played := s.factorsOf(kind)
	if !played {
		http.Error(w, fmt.Sprintf("kind %q: is not played", kind), http.StatusNotFound)
		return
	}
	err := errors.Join(parseFactor(r, "cpu", &factors.CPU), parseFactor(r, "memory", &factors.Memory))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.factors[kind] = factors
	s.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}

func parseFactor(r *http.Request, field string, into *float64) error {
	v := r.FormValue(field)
	if v == "" {
		return nil
	}
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || !(f >= 0 && f <= 1000) {
		return fmt.Errorf("%s %q: want a factor from 0 to 1000", field, v)
	}
	*into = f
	return nil
}
