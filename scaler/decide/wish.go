package decide

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
)

// Group is the InstanceGroup whose request counts; nil: there is none, or replicas.owner is not
// group.
func (in *Input) Group() *observed.Group {
	if in.Config.Replicas.Owner != config.OwnerGroup {
		return nil
	}
	return in.Observed.GroupFor(in.Config.StatefulSet)
}

// Paused says what is paused, so that nothing is written; "": nothing is.
func (in *Input) Paused() string {
	if in.Config.Paused {
		return "the kind is paused"
	}
	if g := in.Group(); g != nil && g.Paused {
		return fmt.Sprintf("InstanceGroup %s is paused", g.Name)
	}
	return ""
}

// requested is the size that an HPA or a person writes into the InstanceGroup. It counts like any
// other signal, save that it has had its windows where it comes from, and that it is no signal of
// our own: recommended_replicas never follows it.
func requested(in *Input) Signal {
	s := Signal{Name: ByRequest}
	g, src := in.Group(), in.Observed.Sources.Groups
	switch {
	case !src.Known() && src.Error != "":
		s.Missing = "the InstanceGroups cannot be read: " + src.Error
	case !src.Known():
		s.Missing = "the InstanceGroups have not been read yet"
	case !src.Fresh(in.Now, observed.ClusterMaxAge):
		s.Missing = "the InstanceGroups were last read " + ago(src, in.Now) + src.Because()
	case g == nil:
		s.Missing = fmt.Sprintf("no InstanceGroup of kind %s for StatefulSet %s is known", in.Config.Name, in.Config.StatefulSet) + src.Because()
	case !g.Seeded:
		s.Missing = fmt.Sprintf("InstanceGroup %s has not been set to the size of the StatefulSet yet", g.Name)
	default:
		s.Proposed, s.Need = g.Requested, float64(g.Requested)
		s.Inputs = fmt.Sprintf("InstanceGroup %s requests %d", g.Name, g.Requested)
	}
	return s
}

// owner is who writes replicas: what the configuration says, unless an HPA on the StatefulSet does.
// One of the two would undo what the other does, so sizes are left to it, and the conflict is
// reported. Two HPAs over the same pods stop each other: then shardscaler alone writes.
func (in *Input) owner() (owner config.Owner, conflict *Conflict) {
	var onSet, onGroup []string
	group := in.Observed.GroupFor(in.Config.StatefulSet)
	for _, h := range in.Observed.HPAs {
		switch {
		case !h.OnGroup && h.Target == in.Config.StatefulSet:
			onSet = append(onSet, h.Name)
		case h.OnGroup && group != nil && h.Target == group.Name:
			onGroup = append(onGroup, h.Name)
		}
	}
	owner = in.Config.Replicas.Owner
	switch {
	case len(onSet)+len(onGroup) > 1 && (len(onSet) > 0 || owner == config.OwnerGroup):
		return owner, &Conflict{Ambiguous: true, Text: fmt.Sprintf(
			"HPAs %s select the same pods (%d on StatefulSet %s, %d on its InstanceGroup): Kubernetes stops them all, AmbiguousSelector",
			strings.Join(append(onSet, onGroup...), ", "), len(onSet), in.Config.StatefulSet, len(onGroup))}
	case len(onSet) == 1 && owner != config.OwnerHPA:
		return config.OwnerHPA, &Conflict{Text: fmt.Sprintf(
			"HPA %s writes replicas of StatefulSet %s, but replicas.owner is %s: shardscaler writes none until this HPA is deleted or replicas.owner is hpa",
			onSet[0], in.Config.StatefulSet, owner)}
	}
	return owner, nil
}

// Conflict says that HPAs and the configuration, or several HPAs, are at odds about who owns the
// size.
type Conflict struct {
	// Ambiguous: the HPAs stop each other.
	Ambiguous bool   `json:"ambiguous,omitempty"`
	Text      string `json:"text"`
}

// raised is the latest raise by another writer that still stands: neither ours nor what we
// recommended, this moment included.
func (in *Input) raised(own int) *Raise {
	h, current := &in.History, in.Observed.Workload.Replicas
	if h.Replicas == 0 || current <= h.Replicas || in.ours() {
		return h.Raised
	}
	if owner, _ := in.owner(); owner == config.OwnerHPA && current <= max(own, h.Own) {
		return h.Raised // the HPA follows us
	}
	return &Raise{At: in.Now, To: current}
}

// ourManager signs our writes in managedFields.
const ourManager = "shardscaler"

// ours says whether the present size was written by us. The record of a write may be lost with a
// leader; the API server's is not.
func (in *Input) ours() bool {
	w := in.Observed.Workload
	return w.Replicas == in.History.Wrote || w.ReplicasWriter == ourManager
}

// contraryWithin is the time within which a second write against us means that the writer insists.
const contraryWithin = 10 * time.Minute

// Foreign is a write by another writer of another size than the desired one. Several in a row are
// one: the writer is still trying. Once shardscaler has answered with a size of its own, the next
// one within contraryWithin makes it yield.
type Foreign struct {
	At time.Time `json:"at,omitzero"`
	// Writer is the field manager as the API server recorded it.
	Writer string `json:"writer"`
	From   int    `json:"from"`
	To     int    `json:"to"`
	// Answered: we have written a size since.
	Answered bool `json:"answered,omitempty"`
	// Stopped: replicas are left to that writer. Lifting: the kind has been paused since, and
	// resuming it ends that.
	Stopped bool `json:"stopped,omitempty"`
	Lifting bool `json:"lifting,omitempty"`
}

// Text is what a person reads about a stop; "" without one. f may be nil.
func (f *Foreign) Text() string {
	if f == nil || !f.Stopped {
		return ""
	}
	return fmt.Sprintf("%s wrote replicas %d -> %d against shardscaler, for the second time within %s: replicas are left to it; pause and resume the kind to end this",
		f.name(), f.From, f.To, config.Duration(contraryWithin))
}

func (f *Foreign) name() string { return cmp.Or(f.Writer, "another writer") }

// foreign is what other writers did against us, this moment included; nil: nothing of late. Where
// an HPA writes sizes, or a person who follows a recommendation, all writes are another writer's
// and none is against us.
func (in *Input) foreign(owner config.Owner) *Foreign {
	h, w := &in.History, in.Observed.Workload
	f := h.Foreign
	if owner == config.OwnerHPA || in.Config.Replicas.Mode == config.ModeRecommend {
		return nil
	}
	if f != nil && f.Stopped { // a pause that ends lifts the stop
		paused, lifting := in.Paused() != "", *f
		if f.Lifting && !paused {
			return nil
		}
		lifting.Lifting = paused
		return &lifting
	}
	if f != nil && in.Now.Sub(f.At) > contraryWithin {
		f = nil
	}
	if in.Paused() != "" {
		return f // a write during a pause is not against us
	}
	sameSet := h.Set == "" || h.Set == w.UID
	if h.Replicas == 0 || h.Desired == 0 || !sameSet || w.Replicas == h.Replicas {
		return f
	}
	if in.ours() {
		return f.answered()
	}
	if w.Replicas == h.Desired {
		return f // what we want too
	}
	return f.and(Foreign{At: in.Now, Writer: w.ReplicasWriter, From: h.Replicas, To: w.Replicas})
}

// and is f after one more contrary write.
func (f *Foreign) and(next Foreign) *Foreign {
	next.Stopped = f != nil && f.Answered && next.At.Sub(f.At) <= contraryWithin
	return &next
}

func (f *Foreign) answered() *Foreign {
	if f == nil || f.Answered {
		return f
	}
	g := *f
	g.Answered = true
	return &g
}

// Intended is h when we are about to write a size. It is kept before, so that a successor does not
// take the size for another's.
func (h History) Intended(to int) History {
	h.Wrote, h.Unseen = to, false
	return h
}

// Written is h after we wrote a size.
func (h History) Written(to int) History {
	h.Wrote, h.Unseen = to, true
	h.Foreign = h.Foreign.answered()
	return h
}

// Undone says that replicas, read at this moment, are not what we wrote last and have not seen yet.
func (h *History) Undone(replicas int) bool { return h.Unseen && replicas != h.Wrote }

// Opposed is h after such a write by another writer was found out.
func (h History) Opposed(now time.Time, writer string, replicas int) History {
	h.Foreign = h.Foreign.answered().and(Foreign{At: now, Writer: writer, From: h.Wrote, To: replicas})
	h.Unseen = false
	return h
}
