package chaos

import (
	"encoding/binary"
	"hash/fnv"
	"strings"
	"sync"

	"github.com/shardscaler/shardscaler/internal/testbed/zkproxy"
)

// lostOnce loses the answer of every transaction once: the same one sent again is answered.
type lostOnce struct {
	mu   sync.Mutex
	seen map[uint64]bool // those that were lost, by their content
	lost map[string]int  // how many, by what the transaction did
}

// keptOften bounds how often a document's write is lost: there is one every second, each with another content.
const keptOften = 2

func (l *lostOnce) harm(f []byte) zkproxy.Harm {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := fnv.New64a()
	_, _ = h.Write(f[8:]) // all but its length and number
	key, what := h.Sum64(), describe(f)
	if l.seen[key] || what == "keep" && l.lost[what] >= keptOften {
		return zkproxy.None
	}
	l.seen[key] = true
	l.lost[what]++
	return zkproxy.DropAnswer
}

// The types of operations in ZooKeeper's protocol.
const (
	opCreate  = 1
	opDelete  = 2
	opSet     = 5
	opCheck   = 13
	opCreate2 = 15
)

// describe says what a transaction does, in the words of docs/protocol.md, by the znodes that it creates, sets and deletes.
func describe(frame []byte) string {
	did := map[string]bool{}
	for _, op := range operations(frame) {
		if verb, ok := verbs[op.kind]; ok {
			did[verb+" "+place(op.path)] = true
		}
	}
	for _, w := range words {
		if did[w.is] && (w.and == "" || did[w.and]) {
			return w.word
		}
	}
	return "keep"
}

var verbs = map[int32]string{opCreate: "create", opCreate2: "create", opSet: "set", opDelete: "delete"}

// words are tried in this order.
var words = []struct{ word, is, and string }{
	{"head", "set head", ""},
	{"head", "create head", ""},
	{"add-ordinal", "create list", ""},
	{"remove-ordinal", "delete list", ""},
	{"revoke", "create flight", "set list"},
	{"grant", "set list", "set flight"},
	{"grant", "set list", "delete flight"},
	{"assign", "set list", "set piece"},
	{"assign", "set list", "delete piece"},
	{"release", "create piece", "set flight"},
	{"release", "create piece", "delete flight"},
	{"compact", "create piece", "delete piece"},
	{"create", "create piece", ""},
	{"delete-pooled", "set piece", ""},
	{"delete-pooled", "delete piece", ""},
	{"redirect", "set flight", ""},
	{"forget", "delete flight", ""},
	{"plan", "set plan", ""},
	{"plan", "create plan", ""},
	{"list", "set list", ""},
}

func place(path string) string {
	switch {
	case strings.HasSuffix(path, "/head"):
		return "head"
	case strings.HasSuffix(path, "/resources"):
		return "list"
	case strings.Contains(path, "/pool/"):
		return "piece"
	case strings.Contains(path, "/flight/"):
		return "flight"
	case strings.HasSuffix(path, "/plan"), strings.Contains(path, "/plan/"):
		return "plan"
	}
	return "else"
}

type operation struct {
	kind int32
	path string
}

// operations reads those of a multi's frame; what it cannot read ends it.
func operations(frame []byte) (ops []operation) {
	r := reader{rest: frame[min(len(frame), 12):]} // length, xid, type
	for !r.short {
		kind, done := r.int32(), r.bytes(1)
		r.int32() // error
		if r.short || kind < 0 || done[0] != 0 {
			return ops
		}
		op := operation{kind: kind, path: string(r.buffer())}
		switch kind {
		case opCreate, opCreate2:
			r.buffer()
			for n := r.int32(); n > 0 && !r.short; n-- { // access list
				r.int32()
				r.buffer()
				r.buffer()
			}
			r.int32() // flags
		case opSet:
			r.buffer()
			r.int32()
		case opDelete, opCheck:
			r.int32()
		default:
			return ops
		}
		if !r.short {
			ops = append(ops, op)
		}
	}
	return ops
}

// reader reads ZooKeeper's encoding; short says that it ended early.
type reader struct {
	rest  []byte
	short bool
}

func (r *reader) bytes(n int) []byte {
	if r.short = r.short || n > len(r.rest); r.short {
		return make([]byte, 1)
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) int32() int32 {
	if b := r.bytes(4); len(b) == 4 {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *reader) buffer() []byte { return r.bytes(max(0, int(r.int32()))) }
