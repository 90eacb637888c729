package workload

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"path"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/shardscaler/shardscaler/internal/fault"
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

// status is the content of `tmp/status` of an instance that acknowledges.
type status struct {
	Times     int64  `json:"times"`
	Pod       string `json:"pod"`
	Fences    bool   `json:"fences"`
	SessionMs int64  `json:"sessionMs"`
}

// instance is one process that runs resources. Its loop brings what runs into line with ZooKeeper again and again:
//
//	own status ─► read _reload ─► read resources ─► stop what was removed ─► acknowledge ─► start what is new
//
// Every step may be repeated, so an event only wakes the loop and is never counted.
type instance struct {
	identity
	cfg  Config
	log  *slog.Logger
	runs *RunLog
	root string // znode of the ordinal

	line *line
	wake chan struct{} // holds one
	// watching says which znodes have a live watch; an event for a path, or a lost connection, ends it.
	watchMu  sync.Mutex
	watching map[string]bool

	hung  atomic.Bool
	muted atomic.Bool
	// resumed is closed when a hang and a stall have ended.
	hangMu  sync.Mutex
	stalled bool
	resumed chan struct{}

	mu   sync.Mutex
	held map[string]struct{}
	// applied is the `_reload.times` last acknowledged; current says that held is what was read then.
	applied int64
	current bool
	over    bool
	doing   string

	cancel context.CancelFunc
	done   chan struct{} // closed when its session is closed too
}

// retryEvery is the time between two passes when one failed, pollEvery when all is well (it cures a lost watch).
const (
	retryEvery = 300 * time.Millisecond
	pollEvery  = 10 * time.Second
)

func newInstance(id identity, cfg Config, runs *RunLog, log *slog.Logger) *instance {
	resumed := make(chan struct{})
	close(resumed)
	if id.mode != "" {
		cfg.Mode = id.mode
	}
	return &instance{
		identity: id,
		cfg:      cfg,
		log:      log.With("kind", id.kind.Name, "instance", id.ordinal, "pod", id.uid),
		runs:     runs,
		root:     path.Join("/", cfg.Chroot, "iota/orchestration", id.kind.Name, strconv.Itoa(id.ordinal)),
		line:     newLine(cfg.Session / 2),
		wake:     make(chan struct{}, 1),
		watching: map[string]bool{},
		resumed:  resumed,
		held:     map[string]struct{}{},
		doing:    "connects",
		done:     make(chan struct{}),
	}
}

// run lives until end was called, which has then stopped the work with its reason.
func (in *instance) run(ctx context.Context) {
	defer close(in.done)
	conn, _, err := zk.Connect(in.cfg.ZooKeeper, in.cfg.Session,
		zk.WithDialer(in.line.dial),
		zk.WithEventCallback(in.event), // the event channel drops what it cannot hold
		zk.WithMaxBufferSize(2<<20),
		zk.WithMaxConnBufferSize(16<<10), // all it ever sends is a status
		zk.WithLogInfo(false),
		zk.WithLogger(quiet{}))
	if err != nil {
		in.log.Error("connect to ZooKeeper", "error", err)
		return
	}
	unblock := context.AfterFunc(ctx, conn.Close) // calls take no context: closing is what ends them
	defer unblock()
	if in.cfg.Fences {
		go in.fence(ctx)
	}
	for ctx.Err() == nil {
		wait := pollEvery
		if err := in.pass(ctx, conn); err != nil {
			wait = retryEvery
			in.say(err.Error())
		}
		select {
		case <-ctx.Done():
		case <-in.wake:
		case <-time.After(wait):
		}
	}
	conn.Close()
}

// pass brings what runs into line with ZooKeeper once.
func (in *instance) pass(ctx context.Context, conn *zk.Conn) error {
	if err := in.ensureStatus(ctx, conn); err != nil {
		return err
	}
	list := func() ([]string, error) { return in.readList(conn) }
	if fault.ListReadFirst.Made() {
		ids, err := list()
		list = func() ([]string, error) { return ids, err }
	}
	raw, err := in.read(conn, in.root+"/_reload", true)
	if err != nil {
		return err
	}
	var reload struct {
		Times int64 `json:"times"`
	}
	if err := json.Unmarshal(raw, &reload); err != nil {
		return fmt.Errorf("read _reload: %w", err)
	}
	if in.isCurrent(reload.Times) {
		in.say("runs")
		return nil
	}
	ids, err := list()
	if err != nil {
		return err
	}
	return in.apply(ctx, conn, reload.Times, ids)
}

// apply stops what was removed, acknowledges, and only then starts what is new. A freeze may fall between any two steps.
func (in *instance) apply(ctx context.Context, conn *zk.Conn, times int64, ids []string) error {
	stops, starts := in.diff(ids)
	if err := in.thawed(ctx); err != nil {
		return err
	}
	in.stopIDs(times, "reload", stops)
	if err := in.thawed(ctx); err != nil {
		return err
	}
	if err := in.acknowledge(conn, times); err != nil {
		return err
	}
	if err := in.thawed(ctx); err != nil {
		return err
	}
	if !in.startIDs(times, starts) {
		return errors.New("it has fenced itself or ended: nothing is started")
	}
	in.say("runs")
	return nil
}

// ensureStatus makes the ephemeral status exist under this session, before anything is read.
func (in *instance) ensureStatus(ctx context.Context, conn *zk.Conn) error {
	if in.cfg.Mode == ModeLegacy {
		return nil
	}
	if err := in.thawed(ctx); err != nil {
		return err
	}
	file := in.root + "/tmp/status"
	raw, stat, err := in.get(conn, file, true)
	switch {
	case errors.Is(err, zk.ErrNoNode):
		_, err = conn.Create(file, in.status(in.appliedTimes()), zk.FlagEphemeral, zk.WorldACL(zk.PermAll))
		if err == nil {
			in.poke() // the next pass sets the watch on what now exists
			return nil
		}
		return fmt.Errorf("create status: %w", err)
	case err != nil:
		return fmt.Errorf("read status: %w", err)
	case stat.EphemeralOwner == conn.SessionID(), in.cfg.Mode == ModeImmediate:
		return nil
	}
	var left status
	if json.Unmarshal(raw, &left) != nil || left.Pod != in.uid {
		return errors.New("waits: the status is another's")
	}
	if err := conn.Delete(file, stat.Version); err != nil && !errors.Is(err, zk.ErrNoNode) {
		return fmt.Errorf("delete own leftover status: %w", err)
	}
	return errors.New("has deleted the status of its former session")
}

func (in *instance) acknowledge(conn *zk.Conn, times int64) error {
	if in.cfg.Mode != ModeAcknowledged {
		return nil
	}
	file := in.root + "/tmp/status"
	raw, stat, err := conn.Get(file)
	if err != nil {
		return fmt.Errorf("acknowledge: %w", err)
	}
	if stat.EphemeralOwner != conn.SessionID() {
		return errors.New("acknowledge: the status is not of this session")
	}
	want := in.status(times)
	if bytes.Equal(raw, want) {
		return nil
	}
	if _, err := conn.Set(file, want, stat.Version); err != nil {
		return fmt.Errorf("acknowledge: %w", err)
	}
	return nil
}

func (in *instance) status(times int64) []byte {
	if in.cfg.Mode != ModeAcknowledged {
		return nil
	}
	raw, err := json.Marshal(status{Times: times, Pod: in.uid, Fences: in.cfg.Fences, SessionMs: in.line.session().Milliseconds()})
	if err != nil {
		panic(err) // numbers and strings always marshal
	}
	return raw
}

func (in *instance) readList(conn *zk.Conn) ([]string, error) {
	raw, err := in.read(conn, in.root+"/resources", false)
	if err != nil {
		return nil, err
	}
	var list struct {
		IDs *[]any `json:"ids"`
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&list); err != nil {
		return nil, fmt.Errorf("read resources, what runs goes on: %w", err)
	}
	if list.IDs == nil {
		return nil, fmt.Errorf("read resources: no ids in %d bytes, what runs goes on", len(raw))
	}
	ids := make([]string, len(*list.IDs))
	for i, id := range *list.IDs {
		ids[i] = fmt.Sprint(id)
	}
	return ids, nil
}

func (in *instance) read(conn *zk.Conn, file string, watch bool) ([]byte, error) {
	raw, _, err := in.get(conn, file, watch)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path.Base(file), err)
	}
	return raw, nil
}

// get sets a watch unless one is still live: each watch stays in the client until it fires.
func (in *instance) get(conn *zk.Conn, file string, watch bool) ([]byte, *zk.Stat, error) {
	if !watch || in.isWatching(file) {
		return conn.Get(file)
	}
	in.setWatching(file, true) // before the read, so that an event in between is not forgotten
	raw, stat, _, err := conn.GetW(file)
	if err != nil {
		in.setWatching(file, false)
	}
	return raw, stat, err
}

// event is called by the client for every event; it must not block.
func (in *instance) event(ev zk.Event) {
	switch {
	case ev.Type != zk.EventSession:
		in.setWatching(ev.Path, false)
	case ev.State == zk.StateDisconnected:
		in.watchMu.Lock()
		clear(in.watching)
		in.watchMu.Unlock()
	}
	in.poke()
}

func (in *instance) poke() {
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

func (in *instance) isWatching(file string) bool {
	in.watchMu.Lock()
	defer in.watchMu.Unlock()
	return in.watching[file]
}

func (in *instance) setWatching(file string, live bool) {
	in.watchMu.Lock()
	defer in.watchMu.Unlock()
	in.watching[file] = live
}

// fence stops all work once ZooKeeper has been silent for 2/3 of the session.
func (in *instance) fence(ctx context.Context) {
	for ctx.Err() == nil {
		wait := in.limit() - in.line.silence()
		if wait <= 0 {
			in.halt("fence", false)
			wait = 50 * time.Millisecond
		}
		select {
		case <-ctx.Done():
		case <-time.After(max(wait, time.Millisecond)):
		}
	}
}

// limit is the silence after which a fencing instance must not run anything.
func (in *instance) limit() time.Duration {
	if s := in.line.session(); s > 0 {
		return s * 2 / 3
	}
	return in.cfg.Session * 2 / 3
}

// diff compares what runs with what should.
func (in *instance) diff(want []string) (stops, starts []string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	wanted := make(map[string]struct{}, len(want))
	for _, id := range want {
		wanted[id] = struct{}{}
		if _, ok := in.held[id]; !ok {
			starts = append(starts, id)
		}
	}
	for id := range in.held {
		if _, ok := wanted[id]; !ok {
			stops = append(stops, id)
		}
	}
	slices.Sort(stops)
	return stops, slices.Compact(starts)
}

func (in *instance) stopIDs(times int64, reason string, ids []string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.current = false
	if in.over || len(ids) == 0 {
		return
	}
	for _, id := range ids {
		delete(in.held, id)
	}
	in.runs.write(in.record(EventStop, times, reason, ids))
}

func (in *instance) startIDs(times int64, ids []string) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.over || in.cfg.Fences && in.line.silence() >= in.limit() {
		return false
	}
	if len(ids) > 0 {
		in.runs.write(in.record(EventRun, times, "", ids))
	}
	for _, id := range ids {
		in.held[id] = struct{}{}
	}
	in.applied, in.current = times, true
	return true
}

// halt stops everything at once; with final, nothing is ever started again.
func (in *instance) halt(reason string, final bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.over = in.over || final
	in.current = false
	if len(in.held) == 0 {
		return
	}
	ids := make([]string, 0, len(in.held))
	for id := range in.held {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	clear(in.held)
	in.runs.write(in.record(EventStop, 0, reason, ids))
}

func (in *instance) record(event Event, times int64, reason string, ids []string) Record {
	return Record{Event: event, Kind: in.kind.Name, Ordinal: in.ordinal, Pod: in.uid, Times: times, Reason: reason, IDs: ids}
}

// end stops the work at once and lets the loop end; a clean end closes the session, any other drops it.
func (in *instance) end(reason string, clean bool) {
	in.halt(reason, true)
	if !clean {
		in.line.cut()
	}
	in.cancel() // before it is resumed: it must not go on with what it was at
	in.resume()
}

// hang freezes the process as SIGSTOP would: what runs is left as it is, and nothing else happens until resume.
func (in *instance) hang() {
	in.hangMu.Lock()
	defer in.hangMu.Unlock()
	if in.hung.CompareAndSwap(false, true) {
		if !in.stalled {
			in.resumed = make(chan struct{})
		}
		in.line.freeze()
	}
}

// stall keeps the instance from bringing what runs into line until resume, as one that takes long
// to stop something: its session lives, and it beats.
func (in *instance) stall() {
	in.hangMu.Lock()
	defer in.hangMu.Unlock()
	if !in.stalled && !in.hung.Load() {
		in.resumed = make(chan struct{})
	}
	in.stalled = true
}

func (in *instance) resume() {
	in.hangMu.Lock()
	defer in.hangMu.Unlock()
	hung := in.hung.CompareAndSwap(true, false)
	if hung {
		in.line.thaw()
	}
	if hung || in.stalled {
		close(in.resumed)
	}
	in.stalled = false
}

// thawed returns once the process is neither frozen nor stalled; an error, once it is to end.
func (in *instance) thawed(ctx context.Context) error {
	in.hangMu.Lock()
	resumed := in.resumed
	in.hangMu.Unlock()
	select {
	case <-resumed:
	case <-ctx.Done():
	}
	return ctx.Err()
}

func (in *instance) isCurrent(times int64) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.current && in.applied == times
}

func (in *instance) appliedTimes() int64 {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.applied
}

// say keeps what the instance does for the control address and logs it when it changes.
func (in *instance) say(what string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.doing != what {
		in.doing = what
		in.log.Debug("instance", "state", what)
	}
}

func (in *instance) count() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.held)
}

// ids are those that run, sorted; hash is the same for the same set in any order.
func (in *instance) ids() (ids []string, hash uint64) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for id := range in.held {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids, HashIDs(ids)
}

// HashIDs is the sum of the ids' FNV-1a hashes: equal sets have equal sums, in whatever order they are listed.
func HashIDs(ids []string) uint64 {
	var sum uint64
	h := fnv.New64a()
	for _, id := range ids {
		h.Reset()
		_, _ = h.Write([]byte(id))
		sum += h.Sum64()
	}
	return sum
}

// quiet takes the client's own log: everything it says comes back as an error of a call.
type quiet struct{}

func (quiet) Printf(string, ...any) {}
