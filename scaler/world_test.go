package scaler

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/adapter/v1alpha1"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/scaler/actuate"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// tester is what *testing.T and *rapid.T share here.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

// world is a StatefulSet and its assignment, small enough to be read at a glance. It checks at
// every write what must never happen.
type world struct {
	t    tester
	now  time.Time
	cfg  config.Kind
	size int
	uid  string
	rev  int // resourceVersion
	pods map[int]string
	// ready are the ordinals whose pod is ready; silent ones beat no more.
	ready, silent map[int]bool
	lists         map[int]int
	open          map[int]bool
	pool          int
	perStep       int // resources moved in one step
	// lost are the pods on lost nodes, terminating those that are held on their way out until when
	// their grace ends.
	lost, terminating map[int]time.Time
	unproven          map[int]string
	crashing          map[int]bool
	// noSet: the StatefulSet was deleted and left its pods. Of orphaned pods it is not the owner,
	// or not yet; ended ones have terminated.
	noSet           bool
	orphaned, ended map[int]bool
	// strangers are other pods of the namespace, uids by name; unseen are pods of which the
	// snapshot does not know yet.
	strangers  map[string]string
	unseen     map[int]bool
	absent     map[int]bool // instances whose status is not there
	flights    []orders.Flight
	podLists   int
	noPods     bool // an API server that has lost its store
	podListErr error
	sizeErr    error
	claimErr   error
	resizeErr  error
	// ctx is that of the looks; nil: one that does not end. What follows runs when the scaler asks
	// for such a thing.
	ctx              context.Context
	onSize           func()
	onRestart        func() error
	onSeed, onStatus func() error
	orders           orders.Orders
	blocked          string
	holder           string // of the head
	epoch            int64
	docs             map[string][]byte
	fail             map[observed.SourceName]bool
	noLead           error  // what Keep answers when set
	tooLarge         string // the document that is refused for its size
	drainErr         error
	hidden           map[int]bool // lists that the snapshot shows empty, being behind
	onDrained        func()       // runs when Drained has looked and before it answers
	group            *observed.Group
	statusWrites     int
	groupStatus      v1alpha1.InstanceGroupStatus
	hpas             []observed.HPA
	writer           string // of replicas, as the API server has it on record
	start            int    // first ordinal
	onResize         func() // runs after a size was written
	log              []string
	events           []string
	unannounced      string
	where            map[string]int // what Lookup says
	warnings         []string
	unread           bool // nothing has been read yet
	pod              int
}

func newWorld(t tester, size int) *world {
	w := &world{
		t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), cfg: config.Default("Thing", "iota-dac"), uid: "set", perStep: 1 << 30,
		pods: map[int]string{}, ready: map[int]bool{}, silent: map[int]bool{}, lists: map[int]int{}, open: map[int]bool{},
		holder: "one/a", epoch: 1, docs: map[string][]byte{}, fail: map[observed.SourceName]bool{},
	}
	w.cfg.Init, w.cfg.Max, w.cfg.Capacity, w.cfg.TargetPerInstance = 1, 20, 100, 100
	w.cfg.Heartbeat = nil
	window := config.Duration(10 * time.Second)
	w.cfg.Behavior.ScaleDown.StabilizationWindow = &window
	w.setSize(size)
	w.settlePods()
	for n := range size {
		w.open[n] = true
	}
	return w
}

func (w *world) note(format string, args ...any) { w.log = append(w.log, fmt.Sprintf(format, args...)) }

// took returns what was written since the last call.
func (w *world) took() []string {
	log := w.log
	w.log = nil
	return log
}

func (w *world) setSize(n int) { w.size, w.rev = n, w.rev+1 }

// scaleBy is a write by another writer.
func (w *world) scaleBy(who string, n int) {
	w.setSize(n)
	w.writer = who
}

// settlePods lets the StatefulSet's controller do all it has to.
func (w *world) settlePods() {
	if w.noSet {
		return
	}
	for n := w.start; n < w.start+w.size; n++ {
		if w.pods[n] == "" {
			w.pod++
			w.pods[n], w.ready[n] = "uid-"+strconv.Itoa(w.pod), true
			delete(w.silent, n)
		}
	}
	for n := range w.pods {
		if _, held := w.terminating[n]; !held && !w.orphaned[n] && (n < w.start || n >= w.start+w.size) {
			delete(w.pods, n)
			delete(w.ready, n)
		}
	}
}

// settleEngine lets the rebalancer follow the orders one step: close what leaves, open what is
// ready, move.
func (w *world) settleEngine() {
	o := w.orders
	if o.Suspended != "" || o.At.IsZero() {
		return
	}
	for n := range w.open {
		if !slices.Contains(o.Stay, n) {
			delete(w.open, n)
		}
	}
	for _, n := range o.Ready {
		w.open[n] = true
	}
	budget := w.perStep
	for _, n := range slices.Sorted(maps.Keys(w.lists)) {
		if slices.Contains(o.Stay, n) {
			continue
		}
		moved := min(budget, w.lists[n], w.room())
		w.lists[n] -= moved
		w.place(moved)
		budget -= moved
	}
	placed := min(w.pool, w.room())
	w.pool -= placed
	w.place(placed)
}

func (w *world) room() (n int) {
	for o := range w.open {
		n += max(0, w.cfg.Capacity-w.lists[o])
	}
	return n
}

func (w *world) place(n int) {
	for _, o := range slices.Sorted(maps.Keys(w.open)) {
		take := min(n, max(0, w.cfg.Capacity-w.lists[o]))
		w.lists[o] += take
		n -= take
	}
}

func (w *world) snapshot() observed.Kind {
	good := func(s observed.SourceName) observed.Source {
		if w.unread {
			return observed.Source{}
		}
		if w.fail[s] {
			return observed.Source{At: w.now.Add(-time.Second), Error: "connection refused", ErrorAt: w.now}
		}
		return observed.Source{At: w.now}
	}
	k := observed.Kind{
		Name: "Thing", Namespace: "iot", Unassigned: w.pool, Open: slices.Sorted(maps.Keys(w.open)), HPAs: w.hpas,
		Workload: &observed.Workload{UID: w.uid, ResourceVersion: strconv.Itoa(w.rev), Replicas: w.size, StatusReplicas: len(w.pods), UpdatedReplicas: len(w.pods)},
		Sources: observed.Sources{
			Store: good(observed.SourceStore), Cluster: good(observed.SourceCluster), Metrics: good(observed.SourceMetrics),
			Catalogue: good(observed.SourceCatalogue), Notify: good(observed.SourceNotify),
			Groups: good(observed.SourceGroups), HPAs: good(observed.SourceHPAs),
		},
	}
	switch {
	case w.group == nil:
	case w.group.Kind == "Thing":
		k.Groups = []observed.Group{*w.group}
	default:
		k.Strangers = []observed.Group{*w.group}
	}
	k.Workload.Start, k.Workload.ReplicasWriter, k.Workload.Selector = w.start, w.writer, "app=iota-dac"
	if w.cfg.Heartbeat != nil {
		bus := good(observed.SourceBus)
		k.Sources.Bus = &bus
	}
	for n := range 100 {
		uid, listed := w.pods[n], w.lists[n]
		if w.unseen[n] {
			uid = ""
		}
		if uid == "" && listed == 0 {
			continue
		}
		if w.hidden[n] {
			listed = 0
		}
		i := observed.Instance{Ordinal: n, List: &observed.List{Count: listed}}
		if w.cfg.HandOff == config.HandOffAcknowledged && !w.absent[n] {
			i.List.Status = &observed.Status{PodUID: uid}
		}
		if uid != "" {
			old := time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC)
			i.Pod = &observed.Pod{Name: fmt.Sprintf("iota-dac-%d", n), UID: uid, Phase: "Running", Ready: w.ready[n], Created: old, Started: old, ReadyChanged: old}
			i.Pod.NodeLost, i.Pod.Node = w.lost[n], fmt.Sprintf("node-%d", n)
			if w.crashing[n] {
				i.Pod.Reason = "CrashLoopBackOff"
			}
			i.Pod.DeleteBy, i.Pod.Terminating = w.terminating[n], !w.terminating[n].IsZero()
			if w.ended[n] {
				i.Pod.Phase, i.Pod.Ready = "Failed", false
			}
			if !w.silent[n] {
				at := w.now
				i.LastBeat = &at
			}
			if w.noSet || w.orphaned[n] {
				i.Pod, i.Unadopted, i.LastBeat = nil, &observed.Pod{Name: i.Pod.Name, UID: uid, Phase: "Running"}, nil
			}
		}
		k.Assigned += listed
		k.Instances = append(k.Instances, i)
	}
	if w.noSet {
		k.Workload = nil
	}
	return k
}

func (w *world) scaler(cfg Config) *Scaler {
	cfg.Kind = "Thing"
	return New(cfg, w, w, slog.New(slog.NewTextHandler(io.Discard, nil)), prometheus.NewRegistry())
}

// tick lets s do a tick after d, and then all others do their part.
func (w *world) tick(s *Scaler, d time.Duration) outcome.Report {
	w.now = w.now.Add(d)
	ctx := w.ctx
	if ctx == nil {
		ctx = context.Background()
	}
	report := look(ctx, w.t, s, w.now, w.cfg, w.snapshot())
	w.previews(s)
	w.settlePods()
	w.settleEngine()
	return report
}

// previews checks that what the tick would order by its own configuration is what it did order, but
// that instances which are to come are there.
func (w *world) previews(s *Scaler) {
	w.t.Helper()
	basis, ordered := s.Basis(), w.orders
	d, o, ok := basis.Orders(basis.Input.Config, basis.Input.Operator)
	if s.cfg.DryRun || !ok {
		return
	}
	if d.Blind == "" {
		for n := d.Start + *d.Current; n < d.Start+d.Stays(); n++ {
			if slices.Contains(o.Stay, n) && !slices.Contains(o.Ready, n) {
				w.t.Fatalf("instance %d is not as if it were ready: %+v", n, o)
			}
		}
		for _, n := range o.Ready {
			if !slices.Contains(ordered.Ready, n) && (w.open[n] && n < d.Start+*d.Current || !slices.Contains(o.Stay, n)) {
				w.t.Fatalf("instance %d is as if it came: %+v", n, o)
			}
		}
		if len(o.Ready) > len(ordered.Ready) {
			ordered.Ready, ordered.SpreadSuspended = o.Ready, o.SpreadSuspended
		}
		if wait := d.DrainWait; wait != nil {
			waits := func(n int) bool { return slices.Contains(wait.Ordinals, n) }
			ordered.Stay = slices.DeleteFunc(slices.Clone(ordered.Stay), waits)
			ordered.Ready = slices.DeleteFunc(slices.Clone(ordered.Ready), waits)
			ordered.MayLeave = o.MayLeave
		}
	}
	if !reflect.DeepEqual(ordered, o) {
		w.t.Fatalf("ordered   %+v\npreviewed %+v", ordered, o)
	}
}

// look is a tick of s. It checks that the decision is still what it was when it was decided, all
// that it refers to included.
func look(ctx context.Context, t tester, s *Scaler, now time.Time, cfg config.Kind, snap observed.Kind) outcome.Report {
	t.Helper()
	d, out := s.Tick(ctx, now, cfg, snap)
	if decided := decide.Decide(s.Basis().Input); !reflect.DeepEqual(decided, d) {
		t.Fatalf("the tick changed its decision\nfrom %+v\nto   %+v", decided, d)
	}
	return *outcome.NewReport(d, out)
}

// The engine.

func (w *world) Order(o orders.Orders) { w.orders = o }

func (w *world) Progress() orders.Progress {
	return orders.Progress{Blocked: w.blocked, Unproven: w.unproven, Unannounced: w.unannounced}
}

func (w *world) Head() (orders.Head, bool) {
	return orders.Head{Epoch: w.epoch, Holder: w.holder}, true
}

func (w *world) InFlight() []orders.Flight { return w.flights }

func (w *world) Lookup(id string) (int, bool) {
	n, known := w.where[id]
	return n, known
}

func (w *world) Leads(ctx context.Context) error {
	_, err := w.Drained(ctx, nil)
	return err
}

func (w *world) Drained(_ context.Context, ordinals []int) (map[int]int, error) {
	if w.drainErr != nil {
		return nil, w.drainErr
	}
	left := map[int]int{}
	for _, n := range ordinals {
		if w.open[n] {
			return nil, fmt.Errorf("instance %d is open", n)
		}
		left[n] = w.lists[n]
	}
	if w.onDrained != nil {
		w.onDrained()
	}
	return left, nil
}

func (w *world) Keep(_ context.Context, name string, change orders.Update) error {
	if w.noLead != nil {
		return w.noLead
	}
	old, _ := w.Kept(name)
	data, err := change(slices.Clone(old))
	if err != nil {
		return err
	}
	if len(data) > orders.MaxDocumentBytes || w.tooLarge == name {
		return fmt.Errorf("keep: document %s: %d bytes: %w", name, len(data), orders.ErrTooLarge)
	}
	w.docs[name] = slices.Clone(data)
	return nil
}

func (w *world) Kept(name string) ([]byte, bool) {
	data, ok := w.docs[name]
	return data, ok
}

// The actuator.

func (w *world) Claim(_ context.Context, _ actuate.Workload, leader string) error {
	if w.claimErr != nil {
		return w.claimErr
	}
	w.rev++
	w.note("claim %s", leader)
	return nil
}

func (w *world) Size(context.Context, actuate.Workload) (actuate.Size, error) {
	if w.onSize != nil {
		w.onSize()
	}
	return actuate.Size{UID: w.uid, ResourceVersion: strconv.Itoa(w.rev), Replicas: w.size}, w.sizeErr
}

func (w *world) Resize(_ context.Context, _ actuate.Workload, read actuate.Size, replicas int) error {
	if w.resizeErr != nil {
		return w.resizeErr
	}
	if read.UID != w.uid || read.ResourceVersion != strconv.Itoa(w.rev) {
		return actuate.ErrConflict
	}
	for n := w.start + replicas; n < w.start+w.size; n++ {
		if w.open[n] || w.lists[n] > 0 {
			w.t.Fatalf("replicas %d -> %d takes instance %d: open %t, owns %d", w.size, replicas, n, w.open[n], w.lists[n])
		}
	}
	w.note("replicas %d -> %d", w.size, replicas)
	w.scaleBy("shardscaler", replicas)
	if w.onResize != nil {
		w.onResize()
	}
	return nil
}

func (w *world) SeedGroup(_ context.Context, g actuate.Workload, generation int64, replicas int) error {
	if w.onSeed != nil {
		return w.onSeed()
	}
	if w.group == nil || g.UID != w.group.UID || generation != w.group.Generation {
		return actuate.ErrConflict
	}
	w.note("seed %d", replicas)
	w.wish(replicas)
	w.group.Seeded = true
	return nil
}

// wish is what an HPA or a person writes.
func (w *world) wish(n int) {
	g := *w.group
	g.Requested, g.Generation = n, g.Generation+1
	w.group = &g
}

func (w *world) UpdateGroupStatus(_ context.Context, _ actuate.Workload, update func(*v1alpha1.InstanceGroupStatus)) (v1alpha1.InstanceGroupStatus, error) {
	if w.onStatus != nil {
		if err := w.onStatus(); err != nil {
			return v1alpha1.InstanceGroupStatus{}, err
		}
	}
	before := w.groupStatus.DeepCopy()
	update(&w.groupStatus)
	if !reflect.DeepEqual(before, &w.groupStatus) {
		w.statusWrites++
	}
	return *w.groupStatus.DeepCopy(), nil
}

func (w *world) Restart(_ context.Context, _ actuate.Workload, pod, uid string) error {
	if w.onRestart != nil {
		return w.onRestart()
	}
	w.note("restart %s", pod)
	for n, id := range w.pods {
		if id == uid {
			delete(w.pods, n)
		}
	}
	return nil
}

func (w *world) ListPods(context.Context) (observed.PodList, error) {
	if w.podLists++; w.podListErr != nil {
		return observed.PodList{}, w.podListErr
	}
	pods := map[string]string{}
	if w.noPods {
		return observed.PodList{Begun: w.now, UIDs: pods}, nil
	}
	maps.Copy(pods, w.strangers)
	for n, uid := range w.pods {
		if !w.ended[n] {
			pods[fmt.Sprintf("iota-dac-%d", n)] = uid
		}
	}
	return observed.PodList{Begun: w.now, UIDs: pods}, nil
}

func (w *world) Publish(_ actuate.Workload, e actuate.Event) {
	w.events = append(w.events, e.Reason)
	if e.Warning {
		w.warnings = append(w.warnings, e.Reason)
	}
}

var _ tester = (*testing.T)(nil)
