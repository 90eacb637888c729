package workload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"path"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/internal/testbed/gate"
	"github.com/shardscaler/shardscaler/internal/wake"
)

// identity is what an instance knows of itself before it reads anything.
type identity struct {
	kind    Kind
	ordinal int
	pod     string // name
	uid     string
	// restarts tells one process of a pod from the next.
	restarts int32
	// mode is how it answers a reload, if its pod says so.
	mode Mode
}

// instance is one process that runs resources. Its loop brings what runs into line with ZooKeeper
// again and again:
//
//	own status ─► read _reload ─► read resources ─► stop what was removed ─► acknowledge
//	           ─► start what is new
//
// Every step may be repeated, so an event only wakes the loop and is never counted.
type instance struct {
	identity
	cfg  Config
	log  *slog.Logger
	root string // znode of the ordinal

	line  *line
	wake  wake.Signal // by every event of its session
	work  *work
	doing atomic.Value // a string

	hung  atomic.Bool
	muted atomic.Bool
	// paused is shut while it hangs or is stalled; pauseMu makes one change of hung, line and
	// paused.
	pauseMu sync.Mutex
	paused  gate.Gate

	ctx    context.Context // until end, and of its own: so that the log has the reason
	cancel context.CancelFunc
	done   chan struct{} // closed when its session is closed too
}

// retryEvery is the time between two passes when one failed, pollEvery when all is well (it cures a
// lost watch).
const (
	retryEvery = 300 * time.Millisecond
	pollEvery  = 10 * time.Second
)

func newInstance(id identity, cfg Config, runs *RunLog, log *slog.Logger) *instance {
	if id.mode != "" {
		cfg.Mode = id.mode
	}
	in := &instance{
		identity: id,
		cfg:      cfg,
		log:      log.With("kind", id.kind.Name, "instance", id.ordinal, "pod", id.uid),
		root:     path.Join("/", cfg.Chroot, "iota/orchestration", id.kind.Name, strconv.Itoa(id.ordinal)),
		line:     newLine(cfg.Session / 2),
		wake:     wake.New(),
		done:     make(chan struct{}),
	}
	of := Record{Kind: id.kind.Name, Ordinal: id.ordinal, Pod: id.uid}
	in.work = &work{runs: runs, of: of, fenced: in.fenced, held: sets.Set[string]{}}
	in.ctx, in.cancel = context.WithCancel(context.Background())
	in.doing.Store("connects")
	return in
}

// run lives until end was called, which has then stopped the work with its reason.
func (in *instance) run() {
	defer close(in.done)
	ctx := in.ctx
	conn, _, err := zk.Connect(in.cfg.ZooKeeper, in.cfg.Session,
		zk.WithDialer(in.line.dial),
		// the event channel drops what it cannot hold
		zk.WithEventCallback(func(zk.Event) { in.wake.Wake() }),
		zk.WithMaxBufferSize(2<<20),
		zk.WithMaxConnBufferSize(16<<10), // all it ever sends is a status
		zk.WithLogInfo(false),
		zk.WithLogger(log.New(io.Discard, "", 0))) // all it says comes back as an error of a call
	if err != nil {
		in.log.Error("connect to ZooKeeper", "error", err)
		return
	}
	// calls take no context: closing is what ends them
	unblock := context.AfterFunc(ctx, conn.Close)
	defer unblock()
	if in.cfg.Fences {
		go in.fence(ctx)
	}
	// Without an event since the last good pass its watches are still set: another one of each
	// would stay in the client until it fires.
	get := getWatching
	for ctx.Err() == nil {
		wait := retryEvery
		if err := in.pass(ctx, conn, get); err != nil {
			in.say(err.Error())
		} else {
			wait, get = pollEvery, (*zk.Conn).Get
		}
		select {
		case <-ctx.Done():
		case <-in.wake:
			get = getWatching
		case <-time.After(wait):
		}
	}
	conn.Close()
}

// pass brings what runs into line with ZooKeeper once.
func (in *instance) pass(ctx context.Context, conn *zk.Conn, get getter) error {
	if err := in.ensureStatus(ctx, conn, get); err != nil {
		return err
	}
	list := func() ([]string, error) { return in.readList(conn) }
	if fault.ListReadFirst.Made() {
		ids, err := list()
		list = func() ([]string, error) { return ids, err }
	}
	raw, err := in.read(conn, "/_reload", get)
	if err != nil {
		return err
	}
	var reload struct {
		Times int64 `json:"times"`
	}
	if err := json.Unmarshal(raw, &reload); err != nil {
		return fmt.Errorf("read _reload: %w", err)
	}
	if in.work.isCurrent(reload.Times) {
		in.say("runs")
		return nil
	}
	ids, err := list()
	if err != nil {
		return err
	}
	return in.apply(ctx, conn, reload.Times, ids)
}

// apply stops what was removed, acknowledges, and only then starts what is new. A freeze may fall
// between any two steps.
func (in *instance) apply(ctx context.Context, conn *zk.Conn, times int64, ids []string) error {
	stops, starts := in.work.diff(ids)
	if err := in.paused.Pass(ctx); err != nil {
		return err
	}
	in.work.stop(times, "reload", stops)
	if err := in.paused.Pass(ctx); err != nil {
		return err
	}
	if err := in.acknowledge(conn, times); err != nil {
		return err
	}
	if err := in.paused.Pass(ctx); err != nil {
		return err
	}
	if !in.work.start(times, starts) {
		return errors.New("it has fenced itself or ended: nothing is started")
	}
	in.say("runs")
	return nil
}

// fence stops all work once ZooKeeper has been silent for 2/3 of the session.
func (in *instance) fence(ctx context.Context) {
	for ctx.Err() == nil {
		wait := in.limit() - in.line.silence()
		if wait <= 0 {
			in.work.halt("fence", false)
			wait = 50 * time.Millisecond
		}
		wake.Sleep(ctx, max(wait, time.Millisecond))
	}
}

// limit is the silence after which a fencing instance must not run anything.
func (in *instance) limit() time.Duration {
	if s := in.line.session(); s > 0 {
		return s * 2 / 3
	}
	return in.cfg.Session * 2 / 3
}

// fenced says whether it must not run anything: it declares that it fences, and ZooKeeper has been
// silent for too long.
func (in *instance) fenced() bool { return in.cfg.Fences && in.line.silence() >= in.limit() }

// end stops the work at once and lets the loop end; a clean end closes the session, any other drops
// it.
func (in *instance) end(reason string, clean bool) {
	in.work.halt(reason, true)
	if !clean {
		in.line.cut()
	}
	in.cancel() // before it is resumed: it must not go on with what it was at
	in.resume()
}

// hang freezes the process as SIGSTOP would: what runs is left as it is, and nothing else happens
// until resume.
func (in *instance) hang() {
	in.pauseMu.Lock()
	defer in.pauseMu.Unlock()
	in.hung.Store(true)
	in.paused.Shut()
	in.line.gate.Shut()
}

// stall keeps the instance from bringing what runs into line until resume, as one that takes long
// to stop something: its session lives, and it beats.
func (in *instance) stall() { in.paused.Shut() }

func (in *instance) resume() {
	in.pauseMu.Lock()
	defer in.pauseMu.Unlock()
	in.hung.Store(false)
	in.line.gate.Open()
	in.paused.Open()
}

// say keeps what the instance does for the control address and logs it when it changes.
func (in *instance) say(what string) {
	if in.doing.Swap(what) != what {
		in.log.Debug("instance", "state", what)
	}
}
