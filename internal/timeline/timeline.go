// Package timeline brings a kind's history to ZooKeeper, and back to every replica.
//
// In: the leader's ticks, moves and changes; the document `history` and its parts, as ZooKeeper has
// them. Out: updates, about one a minute while this replica leads; entries for all callers, from
// memory. Invariant: only what is stored is shown, so that every replica shows the same; what
// cannot be stored or read ends nothing else.
package timeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/ops/history"
	"github.com/shardscaler/shardscaler/internal/wake"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Engine is what a Keeper uses of *rebalancer.Engine.
type Engine interface {
	// Leading says whether KeepParts may be called: this process holds the head.
	Leading() bool
	// KeptDocument is the document as last read; the same pointer is the same document.
	KeptDocument(name string) *protocol.Doc
	// KeepParts changes a document and its parts, leader only.
	KeepParts(ctx context.Context, name string, change orders.PartsUpdate) error
}

// Store is what a Keeper uses of *zk.Client.
type Store interface {
	ReadPart(ctx context.Context, kind, doc, part string) (*protocol.Znode, error)
}

const (
	// flushEvery is the time between two updates; what is not stored when a leader dies is at most
	// that old. What a person did does not wait, but that such updates are soonEvery apart. After one
	// that failed there is a pause of retryEvery.
	flushEvery = time.Minute
	soonEvery  = time.Second
	retryEvery = 15 * time.Second
	// lookEvery is how often the document is looked at, in memory.
	lookEvery = time.Second
	// storeTimeout bounds one update, lastTimeout the last one of a term, which a stop waits for,
	// and readTimeout the read of one piece.
	storeTimeout = 10 * time.Second
	lastTimeout  = 2 * time.Second
	readTimeout  = 10 * time.Second
	// rereadEvery is the pause before a piece is read again that could not be.
	rereadEvery = 10 * time.Second
)

// Keeper is the history of one kind on one replica.
type Keeper struct {
	kind   string
	engine Engine
	store  Store
	log    *slog.Logger
	// person holds a token when a person has changed something, and wants to see it.
	person wake.Signal
	// turn is held by what reads pieces or stores one: else a look between an update and the notes of
	// it would read back what this replica has just written.
	turn sync.Mutex

	mu       sync.Mutex
	doc      *protocol.Doc // that contents are of
	contents history.Contents
	pieces   map[string]history.Held
	retry    time.Time // when pieces that could not be read are read again
	damaged  error     // why the contents cannot be read
	rec      *history.Recorder
	last     writing
}

// writing is what this leader knows of the last piece, so as to add to it.
type writing struct {
	name string
	text *history.Text
	// conflicts is how often in a row pieces were not as the contents say.
	conflicts int
}

// New returns a Keeper that does nothing until Run.
func New(kind string, engine Engine, store Store, log *slog.Logger) *Keeper {
	return &Keeper{
		kind: kind, engine: engine, store: store, log: log.With("kind", kind), person: wake.New(),
		pieces: map[string]history.Held{}, contents: history.Contents{},
	}
}

// Run follows what is stored until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	for {
		k.look(ctx)
		if !wake.Sleep(ctx, lookEvery) {
			return
		}
	}
}

// look follows what is stored, after an update that is under way.
func (k *Keeper) look(ctx context.Context) {
	k.turn.Lock()
	defer k.turn.Unlock()
	k.follow(ctx, time.Now())
}

// follow, with the turn held, takes over the contents if they have changed, and reads the pieces that
// it lacks, the newest first.
func (k *Keeper) follow(ctx context.Context, now time.Time) {
	for _, p := range slices.Backward(k.lacking(now)) {
		held := k.read(ctx, p)
		if ctx.Err() != nil {
			return
		}
		k.hold(p.Name, held, now)
	}
}

// lacking takes over the contents, and returns the pieces that are to be read.
func (k *Keeper) lacking(now time.Time) (lacking []history.Info) {
	doc := k.engine.KeptDocument(history.DocName)
	k.mu.Lock()
	defer k.mu.Unlock()
	if doc == k.doc && (k.retry.IsZero() || now.Before(k.retry)) {
		return nil
	}
	k.retry = time.Time{}
	k.take(doc)
	for _, p := range k.contents.Pieces {
		if held, ok := k.pieces[p.Name]; !ok || held.Err != nil || held.Version < p.Version {
			lacking = append(lacking, p)
		}
	}
	return lacking
}

// take makes the document the contents, and lets go of pieces that it does not name.
func (k *Keeper) take(doc *protocol.Doc) {
	if doc == k.doc {
		return
	}
	var data []byte
	if doc != nil {
		data = doc.Data
	}
	contents, err := history.ParseContents(data)
	if err != nil {
		k.log.Error("the history cannot be read, and begins anew", "error", err)
	}
	k.doc, k.contents, k.damaged = doc, contents, err
	named := map[string]bool{}
	for _, p := range contents.Pieces {
		named[p.Name] = true
	}
	for name := range k.pieces {
		if !named[name] {
			delete(k.pieces, name)
		}
	}
}

// read reads a piece.
func (k *Keeper) read(ctx context.Context, p history.Info) history.Held {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	z, err := k.store.ReadPart(ctx, k.kind, history.DocName, p.Name)
	switch {
	case err != nil:
		return history.Held{Err: err}
	case z == nil:
		return history.Hold(p.Version, []byte{}) // it is gone: a damaged piece
	case z.Version < p.Version:
		return history.Held{Err: fmt.Errorf("piece %s has version %d, want %d", p.Name, z.Version, p.Version)}
	}
	return history.Hold(z.Version, z.Data)
}

// hold takes a piece into memory. Of one that could not be read, what was there before stays.
func (k *Keeper) hold(name string, held history.Held, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if held.Err != nil {
		k.retry = now.Add(rereadEvery)
		if was, ok := k.pieces[name]; ok && was.Err == nil {
			return
		}
	}
	k.pieces[name] = held
}

// piece is one in memory, with the lock held.
func (k *Keeper) piece(name string) (history.Held, bool) {
	held, ok := k.pieces[name]
	return held, ok
}

// shown are the contents and the pieces of this moment.
func (k *Keeper) shown() (history.Contents, map[string]history.Held) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.contents, maps.Clone(k.pieces)
}

// List is a page of entries, the newest first.
func (k *Keeper) List(q history.Query) ops.EntryList {
	contents, pieces := k.shown()
	return contents.List(q, func(name string) (history.Held, bool) { held, ok := pieces[name]; return held, ok })
}

// Newest is the id of the newest entry that List shows; "" if there is none. It costs little.
func (k *Keeper) Newest() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.contents.Newest(k.piece)
}

// Decided is a decision as a whole; false: it is not kept.
func (k *Keeper) Decided(id string) (ops.Decision, bool) {
	contents, pieces := k.shown()
	return contents.Decided(id, func(name string) (history.Held, bool) { held, ok := pieces[name]; return held, ok })
}

// Why an update is not stored. Neither is a protocol.ErrConflict, after which the engine would try
// it again, and other documents would wait.
var (
	errMoved   = errors.New("the contents of the history have changed")
	errStrange = errors.New("a piece of the history is not as it was written")
)
