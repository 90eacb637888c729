package chaos

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
)

// Rules is what docs/protocol.md rule 12 demands, judged over ZooKeeper's own transaction log: at
// every transaction
//
//   - an id is in one place, and leaves the last one by a delete only;
//   - it leaves a list for the flight alone, and the flight only after its pod had released it;
//   - each transaction checks the head itself, and names new pieces by its epoch, each once.
//
// It knows the layout of docs/protocol.md and nothing of the product's code.
type Rules struct {
	Kind string
	// Faults are the transactions that break a rule, in words; at most maxFaults are told.
	Faults []string
	// Writes counts the leaders' transactions, Heads those that took or changed the head, Epochs
	// the leaderships.
	Writes, Heads, Epochs int
	// Longest is the greatest number of ids that one list ever had.
	Longest int
	// Revoked and LeftFlight count ids that went into the flight and left it; Released counts the
	// latter by the part of rule 6 that allowed it.
	Revoked, LeftFlight int
	Released            map[string]int
	// Deleted counts how often an id was revoked to be deleted.
	Deleted map[string]int
	// Lost are ids that are nowhere at the end.
	Lost map[string]time.Time
	// Held are the ids that are somewhere at the end.
	Held map[string]string
}

// judge is the state of the tree after the transactions so far.
type judge struct {
	*Rules
	o     RulesOptions
	head  headSeen
	nodes map[string]holder // what holds ids, by path
	names map[string]bool   // pool pieces there ever were
	acked map[instancePod]int64
	// status is the latest of each ordinal, absent since when it has none.
	status map[int]statusSeen

	shared, own string
}

// RulesOptions say what the transaction log cannot know.
type RulesOptions struct {
	Chroot, Kind string
	// Acknowledged: what is in flight must have been released by rule 6.
	Acknowledged bool
	// Foreign are sessions that may write as they please: the test's own.
	Foreign map[int64]bool
	// Gone says when Kubernetes no longer had a pod, or its container had terminated, as its
	// watchers saw it; the zero time: it has it.
	Gone func(uid string) time.Time
}

// goneSkew is how much later than the product a watcher may see that a pod is gone.
const goneSkew = 2 * time.Second

// fenceMargin is what rule 6 iii demands beyond the session, less what clocks may differ by.
const fenceMargin = time.Second

const maxFaults = 20

// toDelete is where what is in flight goes if it is to be deleted; so it does where no target is
// given.
const toDelete = -2

type headSeen struct {
	version int32 // -1: there is none
	epoch   int64
	holder  string
}

// holder is the content of one znode that holds ids.
type holder struct {
	where   string // "list", "pool", "flight"
	ordinal int    // whose list, or from whom it was taken
	times   int64
	pod     string
	ids     []string
	to      []int
}

type instancePod struct {
	ordinal int
	pod     string
}

type statusSeen struct {
	Times     int64  `json:"times"`
	Pod       string `json:"pod"`
	Fences    bool   `json:"fences"`
	SessionMs int64  `json:"sessionMs"`
	absent    time.Time
	// there: it exists, as an ephemeral.
	there bool
}

// Judge folds transactions, oldest first.
func Judge(txns []product.Txn, o RulesOptions) *Rules {
	r := &judge{
		Rules: &Rules{Kind: o.Kind, Released: map[string]int{}, Deleted: map[string]int{}, Lost: map[string]time.Time{}, Held: map[string]string{}},
		o:     o, head: headSeen{version: -1}, nodes: map[string]holder{}, names: map[string]bool{}, acked: map[instancePod]int64{}, status: map[int]statusSeen{},
		shared: path.Join("/", o.Chroot, "/iota/orchestration", o.Kind) + "/",
		own:    path.Join("/", o.Chroot, "/iota/shardscaler", o.Kind) + "/",
	}
	for _, t := range txns {
		r.add(t)
	}
	return r.Rules
}

func (r *judge) fault(t product.Txn, format string, args ...any) {
	if len(r.Faults) < maxFaults {
		r.Faults = append(r.Faults, fmt.Sprintf("0x%x at %s: ", t.Zxid, t.Time.Format(time.StampMilli))+fmt.Sprintf(format, args...))
	}
}

// add judges one transaction as a whole: between its operations no client can read.
func (r *judge) add(t product.Txn) {
	checked, touched := false, ""
	before, after := map[string]holder{}, map[string]holder{}
	for _, op := range t.Ops {
		rest, shared := strings.CutPrefix(op.Path, r.shared)
		own, ours := strings.CutPrefix(op.Path, r.own)
		switch {
		case ours && own == "head" && op.Checked:
			checked = op.Version == r.head.version
		case ours && own == "head":
			r.newHead(t, op)
			checked, touched = true, op.Path // a write of the head is its own fence
		case op.Checked || !shared && !ours:
		case shared && strings.HasSuffix(rest, "/tmp/status"):
			r.newStatus(t, op, strings.TrimSuffix(rest, "/tmp/status"))
		default:
			if op.Deleted || len(op.Data) > 0 { // parents have no content
				touched = op.Path
			}
			r.content(t, op, rest, own, before, after)
		}
	}
	if r.o.Foreign[t.Session] {
		r.apply(t, before, after)
		return
	}
	if touched != "" {
		r.Writes++
		if !checked {
			r.fault(t, "%s was written without a check of the head, which has version %d", touched, r.head.version)
		}
	}
	r.movements(t, before, after)
	r.apply(t, before, after)
}

// newHead notes a head that was taken or changed.
func (r *judge) newHead(t product.Txn, op product.TxnOp) {
	var head struct {
		Epoch  int64
		Holder string
	}
	if op.Deleted || json.Unmarshal(op.Data, &head) != nil {
		r.fault(t, "the head was deleted, or is no JSON")
		return
	}
	was := r.head
	next := was.version + 1
	r.head = headSeen{version: op.Version, epoch: head.Epoch, holder: head.Holder}
	r.Heads++
	switch {
	case op.Version != next:
		r.fault(t, "the head went from version %d to %d", was.version, op.Version)
	case head.Epoch != was.epoch && head.Epoch <= was.epoch, head.Epoch == was.epoch && head.Holder != was.holder:
		r.fault(t, "epoch %d of %s follows epoch %d of %s", head.Epoch, head.Holder, was.epoch, was.holder)
	case head.Epoch > was.epoch:
		r.Epochs++
	}
}

// newStatus follows an instance's status: what it acknowledged, and since when it is absent.
func (r *judge) newStatus(t product.Txn, op product.TxnOp, ordinal string) {
	n, err := exact.Ordinal(ordinal)
	if err != nil {
		return
	}
	was := r.status[n]
	if op.Deleted {
		was.there, was.absent = false, t.Time
		r.status[n] = was
		return
	}
	now := statusSeen{there: op.Ephemeral || !op.Created && was.there}
	if json.Unmarshal(op.Data, &now) != nil || !now.there {
		return
	}
	r.status[n] = now
	key := instancePod{n, now.Pod}
	r.acked[key] = max(r.acked[key], now.Times)
}

// content notes what a list, a piece of the pool or of the flight held and holds.
func (r *judge) content(t product.Txn, op product.TxnOp, shared, own string, before, after map[string]holder) {
	h := holder{ordinal: -1}
	name, leaf, _ := strings.Cut(shared, "/")
	switch {
	case leaf == "resources":
		n, err := exact.Ordinal(name)
		if err != nil {
			return // others have put something else there
		}
		h.where, h.ordinal = "list", n
	case strings.HasPrefix(own, "pool/"):
		h.where = "pool"
		r.piece(t, op, strings.TrimPrefix(own, "pool/"))
	case strings.HasPrefix(own, "flight/"):
		h.where = "flight"
	default:
		return
	}
	before[op.Path] = r.nodes[op.Path]
	if op.Deleted {
		after[op.Path] = holder{}
		return
	}
	var content struct {
		IDs   []string `json:"ids"`
		From  int      `json:"from"`
		Times int64    `json:"times"`
		Pod   string   `json:"pod"`
		To    []int    `json:"to"`
	}
	if err := json.Unmarshal(op.Data, &content); err != nil {
		if !r.o.Foreign[t.Session] {
			r.fault(t, "%s: %v", op.Path, err)
		}
		return
	}
	h.ids = content.IDs
	if h.where == "list" {
		r.Longest = max(r.Longest, len(h.ids))
	}
	if h.where == "flight" {
		h.ordinal, h.times, h.pod, h.to = content.From, content.Times, content.Pod, content.To
	}
	after[op.Path] = h
}

// piece holds a new pool piece to its name.
func (r *judge) piece(t product.Txn, op product.TxnOp, name string) {
	if !op.Created || r.o.Foreign[t.Session] {
		return
	}
	if epoch, _, _ := strings.Cut(name, "-"); epoch != strconv.FormatInt(r.head.epoch, 10) {
		r.fault(t, "pool piece %s is created in epoch %d", name, r.head.epoch)
	}
	if r.names[name] {
		r.fault(t, "pool piece %s is created a second time", name)
	}
	r.names[name] = true
}

// movements judges where each id of the changed places went.
func (r *judge) movements(t product.Txn, before, after map[string]holder) {
	was, is := placesOf(before), placesOf(after)
	for id, old := range was {
		now := is[id]
		for _, h := range old {
			if slices.ContainsFunc(now, func(n holder) bool { return n.where == h.where && n.ordinal == h.ordinal && n.times == h.times }) {
				continue // it stayed
			}
			switch h.where {
			case "pool":
				if len(now) == 0 {
					r.Deleted[id]++
				}
			case "list":
				r.Revoked++
				if len(now) != 1 || now[0].where != "flight" || now[0].ordinal != h.ordinal {
					r.fault(t, "%s left the list of %d and is in %v, not in flight from there", id, h.ordinal, whereOf(now))
				}
			case "flight":
				r.LeftFlight++
				r.release(t, id, h)
			}
		}
	}
	for id, now := range is {
		if slices.ContainsFunc(now, dies(id)) && !slices.ContainsFunc(was[id], dies(id)) {
			r.Deleted[id]++
		}
		if len(now) > 1 {
			r.fault(t, "%s is in %v", id, whereOf(now))
		} else if other, held := r.Held[id]; held && len(was[id]) == 0 {
			r.fault(t, "%s is created in %v and is in %s already", id, whereOf(now), other)
		}
	}
}

// release demands that an id that leaves the flight was released.
func (r *judge) release(t product.Txn, id string, f holder) {
	if !r.o.Acknowledged {
		return
	}
	status := r.status[f.ordinal]
	switch gone := r.gone(f.pod); {
	case f.pod != "" && r.acked[instancePod{f.ordinal, f.pod}] >= f.times:
		r.Released["i"]++
	case !gone.IsZero() && gone.Before(t.Time.Add(goneSkew)), f.pod == "" && r.acknowledged(t, f, status.Pod):
		r.Released["ii"]++
	case !status.there && status.Pod == f.pod && status.Fences && status.SessionMs > 0 &&
		!t.Time.Before(status.absent.Add(time.Duration(status.SessionMs)*time.Millisecond+fenceMargin)):
		r.Released["iii"]++
	default:
		r.fault(t, "%s left the flight from %d at times %d, pod %q, and nothing had released it: status %+v", id, f.ordinal, f.times, f.pod, status)
	}
}

// acknowledged says whether the pod that wrote the ordinal's last status has applied the revoke,
// and still existed at the grant: where no pod was recorded, the present one may run the resource.
// A pod that is gone proves nothing of its successor.
func (r *judge) acknowledged(t product.Txn, f holder, pod string) bool {
	gone := r.gone(pod)
	return pod != "" && r.acked[instancePod{f.ordinal, pod}] >= f.times && (gone.IsZero() || gone.After(t.Time.Add(-goneSkew)))
}

func (r *judge) gone(uid string) time.Time {
	if r.o.Gone == nil {
		return time.Time{}
	}
	return r.o.Gone(uid)
}

// apply makes what the transaction left the state.
func (r *judge) apply(t product.Txn, before, after map[string]holder) {
	for file, h := range after {
		for _, id := range before[file].ids {
			delete(r.Held, id)
		}
		if r.nodes[file] = h; h.where == "" {
			delete(r.nodes, file)
		}
	}
	for file, h := range after {
		for _, id := range h.ids {
			r.Held[id] = file
			delete(r.Lost, id)
		}
	}
	for file := range after {
		for _, id := range before[file].ids {
			if r.Held[id] == "" {
				r.Lost[id] = t.Time
			}
		}
	}
}

// placesOf are the places of each id.
func placesOf(nodes map[string]holder) map[string][]holder {
	places := map[string][]holder{}
	for _, h := range nodes {
		for _, id := range h.ids {
			places[id] = append(places[id], h)
		}
	}
	return places
}

// dies says of a place whether the id is in flight there to be deleted.
func dies(id string) func(holder) bool {
	return func(h holder) bool {
		i := slices.Index(h.ids, id)
		return h.where == "flight" && (len(h.to) == 0 || i >= 0 && i < len(h.to) && h.to[i] == toDelete)
	}
}

func whereOf(places []holder) (texts []string) {
	for _, h := range places {
		if h.ordinal >= 0 {
			texts = append(texts, fmt.Sprintf("%s of %d", h.where, h.ordinal))
		} else {
			texts = append(texts, h.where)
		}
	}
	return texts
}
