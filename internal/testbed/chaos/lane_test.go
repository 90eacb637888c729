package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

const (
	thing    = "Thing"
	thingSet = "iota-dac"
	// target is how many resources an instance is to have, as configured; batch is what one piece
	// of work creates or deletes: more than one instance.
	target, batch = 10, 12
	// least is the number of resources that a lane begins with, for two instances.
	least = 18
)

// laneConfig has short timers. The catalogue's table stays empty and its deletes wait for a person:
// what is created and deleted is what the messages say, so that a message acknowledged too early is
// a loss that nothing makes good.
const laneConfig = `
syncPeriod: 500ms
kinds:
- name: Thing
  statefulSet: iota-dac
  capacity: 20
  targetPerInstance: 10
  init: 2
  max: 8
  handOff: acknowledged
  behavior: {scaleDown: {stabilizationWindow: 0s}}
  catalogue: {interval: 1h, maxDeleteShare: 0}
  freshness: {catalogue: 24h}
  rebalance: {listInterval: 100ms}
`

// lane is one product with its workload, in a namespace and below a chroot of its own. It is worked
// by one goroutine.
type lane struct {
	*product.Stack
	t    *testing.T
	pods *podBook
	// spec is the file that arms faults, log where the product tells what it passed.
	spec, log string
	ids       []string        // what must be there
	gone      []string        // what was deleted
	taken     map[string]bool // what was ever asked to be deleted
	made      int
	reloads   int
	posted    int
	target    int       // resources an instance
	silent    types.UID // of the pod that must be replaced before the lane is settled
	done      *report
	// foreign are sessions over which a test edited the tree by hand.
	foreign map[int64]bool
}

// laneOptions change what a lane is started with.
type laneOptions struct {
	change func(*product.Options)
	config func(*config.Kind)
}

// startLane starts a product on the ensemble and gives it its first resources.
func startLane(t *testing.T, env *servers.Env, z *servers.ZooKeeper, o laneOptions) *lane {
	t.Helper()
	dir := t.TempDir()
	l := &lane{t: t, target: target, spec: filepath.Join(dir, "faults"), log: filepath.Join(dir, "passed"), done: &counted, foreign: map[int64]bool{}, taken: map[string]bool{}}
	cfg, err := config.Parse([]byte(laneConfig))
	require.NoError(t, err)
	if o.config != nil {
		o.config(&cfg.Kinds[0])
	}
	options := product.Options{
		Dir: dir, Programs: programs, Private: true, Config: cfg, ZooKeeper: z,
		Namespace: env.Kubernetes.Namespace(t), Chroot: z.Path(t), BeatTopic: "unused",
		MQTTTopic: env.MQTT.Topic(t), Catalogue: env.Postgres.NewDatabase(t), Sizes: map[string]int{thingSet: 2},
		ServerEnv:     []string{fault.FileVar + "=" + l.spec, fault.LogVar + "=" + l.log},
		ServerFlags:   []string{"--insecure-local", "--leader-elect=false", "--secure-port", "0", "--kafka", "", "--log-level", "debug"},
		WorkloadFlags: []string{"--session-timeout", "4s", "--cpu-base", "0", "--memory-base", "0"},
	}
	if o.change != nil {
		o.change(&options)
	}
	l.Stack, err = product.Start(t.Context(), env, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			l.show()
		}
		if err := l.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	l.pods = watchPods(t, l.Kube, l.Namespace)
	// Else the first one receives all, and nothing is revoked where instances do not acknowledge.
	l.sees("both instances may receive", func(a *product.Assignment) bool {
		return len(a.Open) == 2
	})
	l.create(least)
	l.settled()
	return l
}

// show tells what a failed lane left.
func (l *lane) show() {
	for _, v := range l.Servers {
		l.t.Logf("%s\n%s", v.Log, v.Tail(200))
		scrape, err := v.Text(context.Background(), "/metrics")
		for line := range strings.Lines(scrape) { // whether what was published has come, is what the log does not say
			if strings.HasPrefix(line, "shardscaler_notify_") || strings.HasPrefix(line, "shardscaler_rebalancer_leading") {
				l.t.Log(line)
			}
		}
		if err != nil {
			l.t.Log(err)
		}
	}
	l.t.Logf("%s\n%s", l.Workload.Log, l.Workload.Tail(20))
	if a, err := l.Assignment(context.Background(), thing); err == nil {
		for _, n := range a.Ordinals() {
			l.t.Logf("list %d: %v", n, a.Instances[n].IDs)
		}
		l.t.Logf("pool %v, flight %+v, open %v", a.Pool, a.Flight, a.Open)
	}
}

func (l *lane) until(what string, try func(ctx context.Context) error) {
	l.t.Helper()
	if err := product.Until(l.t.Context(), product.Patience, try); err != nil {
		l.t.Fatalf("never: %s: %v", what, err)
	}
}

// sees waits until the assignment is as it is to be.
func (l *lane) sees(what string, holds func(*product.Assignment) bool) {
	l.t.Helper()
	l.until(what, func(ctx context.Context) error {
		a, err := l.Assignment(ctx, thing)
		if err == nil && !holds(a) {
			err = fmt.Errorf("%d are assigned, %d wait, in flight are %+v, open are %v", a.Assigned(), len(a.Pool), a.Flight, a.Open)
		}
		return err
	})
}

// assignment reads the assignment; a ZooKeeper that does not answer is asked again.
func (l *lane) assignment() (a *product.Assignment) {
	l.t.Helper()
	l.until("the assignment is read", func(ctx context.Context) (err error) {
		a, err = l.Assignment(ctx, thing)
		return err
	})
	return a
}

// shows waits until the first product's /metrics has this line, or it has ended.
func (l *lane) shows(line string) {
	l.t.Helper()
	l.until(line, func(ctx context.Context) error {
		if !l.server().Running() {
			return nil
		}
		scrape, err := l.server().Text(ctx, "/metrics")
		if err == nil && !strings.Contains(scrape, "\n"+line+"\n") {
			err = errors.New("another value")
		}
		return err
	})
}

// leads waits until the first product writes the assignment, or does so no more.
func (l *lane) leads(yes int) {
	l.t.Helper()
	l.shows(fmt.Sprintf(`shardscaler_rebalancer_leading{kind="Thing"} %d`, yes))
}

// create publishes new ids, in one message: it is done when the product says so, whenever that is.
func (l *lane) create(n int) []string {
	l.t.Helper()
	fresh := make([]string, n)
	for i := range fresh {
		fresh[i] = resourceName(l.made)
		l.made++
	}
	l.ids = append(l.ids, fresh...)
	half := n / 2
	messages := []product.Notification{product.BulkCreated(thing, fresh[half:])}
	for _, id := range fresh[:half] {
		messages = append(messages, product.Created(thing, id))
	}
	require.NoError(l.t, l.Platform.Publish(l.t.Context(), messages...))
	return fresh
}

// resourceName is what the n-th resource is called.
func resourceName(n int) string { return fmt.Sprintf("r%05d", n) }

// up creates more resources than the instances have room for.
func (l *lane) up() { l.create(batch) }

// down deletes as many: those that leaving chose.
func (l *lane) down() { l.take(l.leaving()) }

// leaving chooses ids of other instances than the last one, if these have enough: the last one
// leaves, and its drain must have something to move.
func (l *lane) leaving() []string {
	l.t.Helper()
	a := l.assignment()
	owners, last := a.Owners(), len(a.Instances)-1
	var its, others []string
	for _, id := range l.ids {
		if owners[id] == last {
			its = append(its, id)
		} else {
			others = append(others, id)
		}
	}
	return slices.Concat(others, its)[:batch]
}

// size is what the resources need.
func (l *lane) size() int { return max(2, (len(l.ids)+l.target-1)/l.target) }

// missing says what keeps the lane from being settled: the right size, every id in one list of it,
// and nothing left over.
func (l *lane) missing(ctx context.Context) error {
	want := l.size()
	got, err := l.Size(ctx, thingSet)
	if err != nil {
		return err
	}
	if got != (product.Size{Spec: want, Status: want, Ready: want}) {
		return fmt.Errorf("size %+v, want %d", got, want)
	}
	a, err := l.Assignment(ctx, thing)
	if err != nil {
		return err
	}
	owners := a.Owners()
	if len(a.Pool)+a.InFlight() > 0 || len(owners) != len(l.ids) || len(a.Instances) != want {
		return fmt.Errorf("%d in lists of %d instances, %d wait, %d in flight; want %d in %d", len(owners), len(a.Instances), len(a.Pool), a.InFlight(), len(l.ids), want)
	}
	for _, id := range l.ids {
		if _, ok := owners[id]; !ok {
			return fmt.Errorf("%s has no owner", id)
		}
	}
	for n, in := range a.Instances {
		if len(in.IDs) == 0 {
			return fmt.Errorf("instance %d has nothing yet", n)
		}
	}
	return nil
}

func (l *lane) settled() {
	l.t.Helper()
	if l.silent != "" {
		l.replaced()
	}
	l.until(fmt.Sprintf("%d resources settle", len(l.ids)), l.missing)
}

func (l *lane) server() *product.Server { return l.Servers[0] }

// arm makes the running product, or the next one, fail as the spec says; disarm ends that.
func (l *lane) arm(spec string) {
	l.t.Helper()
	_, err := fault.Parse(spec)
	require.NoError(l.t, err)
	temp := l.spec + ".new"
	require.NoError(l.t, os.WriteFile(temp, []byte(spec), 0o600))
	require.NoError(l.t, os.Rename(temp, l.spec))
}

func (l *lane) disarm() {
	l.t.Helper()
	if err := os.Remove(l.spec); !errors.Is(err, os.ErrNotExist) {
		require.NoError(l.t, err)
	}
}

// told counts the lines of the product's fault log that say this of a point; every point if it is
// empty.
func (l *lane) told(what, point string) (n int) {
	file, err := os.Open(l.log)
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	require.NoError(l.t, err)
	defer file.Close()
	for in := bufio.NewScanner(file); in.Scan(); {
		if f := strings.Fields(in.Text()); len(f) == 4 && f[2] == what && (point == "" || f[3] == point) {
			n++
		}
	}
	return n
}

// verdict is the judgement over everything the lane did.
type verdict struct {
	rules   *Rules
	lowered int
	faults  []string
}

// judgeMoves reads what ZooKeeper did and what the instances ran: this holds at every moment, also
// in the middle of some work.
func (l *lane) judgeMoves() (v verdict) {
	l.t.Helper()
	txns, err := l.Transactions()
	require.NoError(l.t, err)
	v.rules = Judge(txns, RulesOptions{
		Chroot: l.Chroot, Kind: thing, Acknowledged: l.Config.Kinds[0].HandOff == config.HandOffAcknowledged, Gone: l.pods.gone,
		Foreign: l.foreign,
	})
	v.faults = append(v.faults, v.rules.Faults...)
	for _, id := range l.ids {
		if n := v.rules.Deleted[id]; n > 0 && !l.taken[id] {
			v.faults = append(v.faults, fmt.Sprintf("%s was there all the time, and was taken away to be deleted %d times", id, n))
		}
	}
	runs, err := l.Runs()
	require.NoError(l.t, err)
	if v.rules.LeftFlight > 0 && runs.Records == 0 {
		v.faults = append(v.faults, "the instances' own log is empty")
	}
	for _, o := range runs.Overlaps {
		v.faults = append(v.faults, fmt.Sprintf("%s ran on %+v and began on %+v at %s", o.ID, o.First, o.Second, o.At.Format(time.StampMilli)))
	}
	return v
}

// judge reads all logs.
func (l *lane) judge() verdict {
	l.t.Helper()
	v := l.judgeMoves()
	deleted := map[string]bool{}
	for _, id := range l.gone {
		deleted[id] = true
	}
	for _, id := range slices.Sorted(maps.Keys(v.rules.Lost)) {
		if !deleted[id] {
			v.faults = append(v.faults, id+" is gone and was not deleted")
		}
	}
	for _, id := range l.ids {
		if v.rules.Held[id] == "" {
			v.faults = append(v.faults, id+" was acknowledged and is nowhere")
		}
	}
	var err error
	if v.lowered, err = l.DrainedFirst(l.t.Context(), thing, thingSet, 2); err != nil {
		v.faults = append(v.faults, err.Error())
	}
	return v
}

// clean requires that nothing was broken, and that there was something to break.
func (l *lane) clean() verdict {
	l.t.Helper()
	l.until("the instances run what they are assigned", func(ctx context.Context) error { return l.RunsAsAssigned(ctx, thing) })
	v := l.judge()
	require.Empty(l.t, v.faults)
	require.Positive(l.t, v.rules.Writes)
	l.done.transactions.Add(int64(v.rules.Writes))
	return v
}

// hang freezes an instance as SIGSTOP would, stall only keeps it from acknowledging; resume ends
// both.
func (l *lane) hang(ordinal int) { l.instance(ordinal, "hang", 0) }

// stall waits for the instance's status first: no voluntary move takes anything from an instance
// that has never had one.
func (l *lane) stall(ordinal int) {
	l.t.Helper()
	l.sees(fmt.Sprintf("instance %d has a status", ordinal), func(a *product.Assignment) bool {
		return a.Instances[ordinal] != nil && a.Instances[ordinal].Status != ""
	})
	l.instance(ordinal, "stall", 0)
}

func (l *lane) resume(ordinal int) { l.instance(ordinal, "resume", 0) }

// instance does something to an instance, when there is one.
func (l *lane) instance(ordinal int, what string, span time.Duration) {
	l.t.Helper()
	l.until(fmt.Sprintf("%s %d", what, ordinal), func(ctx context.Context) error {
		return l.Control.Fault(ctx, thing, ordinal, what, span)
	})
}
