package api

import (
	"crypto/sha256"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/shardscaler/shardscaler/internal/api/packed"
	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

const (
	// keptFor is how long the text of a list is kept after it was last asked for.
	keptFor = 10 * time.Second
	// maxOutdated bounds the bytes of texts that only slow readers of older states still hold.
	maxOutdated = 64 << 20
)

// encodings keeps the texts of instances, each encoded once while the instance is unchanged.
// Answers share them: a slow reader costs its connection, and the lists that changed since it
// began.
type encodings struct {
	mu       sync.Mutex
	kinds    map[string]map[int]*encoded
	outdated int64 // bytes of texts that are no longer kept and not yet sent
	clear    *time.Timer
}

// encoded is one instance as a member of `instances`.
type encoded struct {
	of *protocol.Instance // its States never change it
	packed.Part
	hash [sha256.Size]byte
	// answers hold it; kept: so does encodings.
	answers int
	kept    bool
}

// full says that readers of older states hold as much memory as they may.
func (e *encodings) full() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.outdated > maxOutdated
}

// take returns the texts of all instances, by ordinal. release must be called when they are sent.
func (e *encodings) take(kind string, st *protocol.State) (texts []*encoded, release func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.update(kind, st)
	for _, n := range slices.Sorted(maps.Keys(st.Instances)) {
		text := e.kinds[kind][n]
		text.answers++
		texts = append(texts, text)
	}
	if e.clear == nil {
		e.clear = time.AfterFunc(keptFor, e.dropAll)
	}
	e.clear.Reset(keptFor)
	return texts, func() { e.release(texts) }
}

func (e *encodings) update(kind string, st *protocol.State) {
	if e.kinds == nil {
		e.kinds = map[string]map[int]*encoded{}
	}
	old, texts := e.kinds[kind], make(map[int]*encoded, len(st.Instances))
	for n, in := range st.Instances {
		if texts[n] = old[n]; texts[n] == nil || texts[n].of != in {
			texts[n] = encode(n, in)
		}
	}
	for n, text := range old {
		if texts[n] != text {
			e.drop(text)
		}
	}
	e.kinds[kind] = texts
}

func encode(n int, in *protocol.Instance) *encoded {
	text, err := exact.Marshal(instance(in))
	if err != nil {
		panic(err) // numbers and text
	}
	plain := slices.Concat([]byte(strconv.Quote(strconv.Itoa(n))+":"), text)
	return &encoded{of: in, Part: packed.Shared(plain), hash: sha256.Sum256(plain), kept: true}
}

// drop forgets a text that is not that of its instance any more; e.mu is held.
func (e *encodings) drop(text *encoded) {
	text.kept = false
	if text.answers > 0 {
		e.outdated += int64(len(text.Plain))
	}
}

func (e *encodings) dropAll() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, texts := range e.kinds {
		for _, text := range texts {
			e.drop(text)
		}
	}
	e.kinds = nil
}

func (e *encodings) release(texts []*encoded) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, text := range texts {
		if text.answers--; text.answers == 0 && !text.kept {
			e.outdated -= int64(len(text.Plain))
		}
	}
}

// document is a JSON text in parts, some of them shared with other documents.
type document []packed.Part

var comma = packed.Shared([]byte(","))

func (d document) plain(yield func([]byte) bool) {
	for _, p := range d {
		if !yield(p.Plain) {
			return
		}
	}
}

// gzip is the document compressed, piece by piece.
func (d document) gzip(yield func([]byte) bool) {
	var s packed.Stream
	if !yield(s.Begin()) {
		return
	}
	for _, p := range d {
		if !yield(s.Add(p)) {
			return
		}
	}
	yield(s.End())
}
