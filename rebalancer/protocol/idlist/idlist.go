// Package idlist holds ids in as little memory as is simple.
//
// In: ids, as texts. Out: Lists, which tell them as they were. Invariant: a List never changes, and
// holds no part of the texts that it was made of.
//
// Where all ids are UUIDs in their usual form, a List holds their 16 bytes each, else their texts
// one after the other and 4 bytes for each. A slice of strings would take 16 bytes beside each text,
// and be looked through by each collection of garbage.
package idlist

import (
	"hash/maphash"
	"iter"
	"strings"
	"unsafe"
)

// List is some ids in order. The zero List is empty.
type List struct {
	// data are the ids one after the other: UUIDs as bytes where starts is nil, else texts, the i-th
	// from starts[i] to before starts[i+1].
	data   string
	starts []uint32
}

// Of are the ids of a slice.
func Of(ids []string) List { return List{}.With(ids...) }

// Len is how many there are.
func (l List) Len() int {
	if l.starts == nil {
		return len(l.data) / uuidBytes
	}
	return len(l.starts) - 1
}

// UUIDs says that all are UUIDs in their usual form.
func (l List) UUIDs() bool { return l.starts == nil }

// Size is the length of the text of the i-th.
func (l List) Size(i int) int {
	if l.starts == nil {
		return uuidText
	}
	return len(l.held(i))
}

// Bytes is the length of their texts together.
func (l List) Bytes() int {
	if l.starts == nil {
		return l.Len() * uuidText
	}
	return int(l.starts[len(l.starts)-1] - l.starts[0])
}

// At is the i-th.
func (l List) At(i int) string {
	if l.starts != nil {
		return l.held(i)
	}
	return view(appendUUID(make([]byte, 0, uuidText), l.held(i)))
}

// Append appends the text of the i-th.
func (l List) Append(dst []byte, i int) []byte {
	if l.starts != nil {
		return append(dst, l.held(i)...)
	}
	return appendUUID(dst, l.held(i))
}

// AppendUUIDs appends all as strings of JSON with commas between them, where UUIDs is true.
func (l List) AppendUUIDs(dst []byte) []byte {
	const one = `"00000000-0000-0000-0000-000000000000",`
	for rest := l.data; rest != ""; rest = rest[uuidBytes:] {
		dst = append(dst, one...)
		putUUID(dst[len(dst)-len(one)+len(`"`):], rest)
	}
	if l.data != "" {
		dst = dst[:len(dst)-len(`,`)]
	}
	return dst
}

// held is the i-th as it is held.
func (l List) held(i int) string {
	if l.starts != nil {
		return l.data[l.starts[i]:l.starts[i+1]]
	}
	return l.data[i*uuidBytes : (i+1)*uuidBytes]
}

// All yields each with its place.
func (l List) All() iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		for i := range l.Len() {
			if !yield(i, l.At(i)) {
				return
			}
		}
	}
}

// Lent yields each with its place, and takes no memory for it: an id is lent until the next one is
// yielded, and strings.Clone keeps it.
func (l List) Lent() iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		text := make([]byte, 0, uuidText)
		for i := range l.Len() {
			id := ""
			if l.starts != nil {
				id = l.held(i)
			} else {
				text = appendUUID(text[:0], l.held(i))
				id = view(text)
			}
			if !yield(i, id) {
				return
			}
		}
	}
}

func view(text []byte) string { return unsafe.String(unsafe.SliceData(text), len(text)) }

// Strings are all of them, as parts of one text.
func (l List) Strings() []string {
	ids, text := make([]string, l.Len()), make([]byte, 0, l.Bytes())
	for i := range ids {
		text = l.Append(text, i)
	}
	all, at := view(text), 0
	for i := range ids {
		end := at + l.Size(i)
		ids[i], at = all[at:end], end
	}
	return ids
}

// Hashes yields the Hash of each with its place.
func (l List) Hashes(seed maphash.Seed) iter.Seq2[int, uint64] {
	return func(yield func(int, uint64) bool) {
		for i := range l.Len() {
			h := uint64(0)
			if l.starts != nil {
				h = Hash(seed, l.held(i))
			} else {
				h = hashUUID(seed, l.held(i))
			}
			if !yield(i, h) {
				return
			}
		}
	}
}

// Hash is that of an id.
func Hash(seed maphash.Seed, id string) uint64 {
	if uuid, ok := parseUUID(id); ok {
		return hashUUID(seed, view(uuid[:]))
	}
	return maphash.String(seed, id)
}

// hashUUID differs from the hash of an id of which the text is the same 16 bytes.
func hashUUID(seed maphash.Seed, uuid string) uint64 { return ^maphash.String(seed, uuid) }

// Slice are those from one place to before another. It shares their memory with l.
func (l List) Slice(from, to int) List {
	if l.starts == nil {
		return List{data: l.data[from*uuidBytes : to*uuidBytes]}
	}
	return List{data: l.data, starts: l.starts[from : to+1 : to+1]}
}

// Filter are those at the places that keep says, in memory of their own. It asks once of each, in
// order.
func (l List) Filter(keep func(i int) bool) List {
	b := NewBuilder(l.Len(), l.Bytes())
	for i := range l.Len() {
		if keep(i) {
			b.AddOf(l, i)
		}
	}
	return b.List()
}

// Clone are the same ids in memory of their own: what l is a Slice of is not held by it.
func (l List) Clone() List { return l.Concat() }

// Concat are those of l and then of the others, in memory of their own.
func (l List) Concat(others ...List) List {
	ids, bytes := l.Len(), l.Bytes()
	for _, o := range others {
		ids, bytes = ids+o.Len(), bytes+o.Bytes()
	}
	b := NewBuilder(ids, bytes)
	b.AddAll(l)
	for _, o := range others {
		b.AddAll(o)
	}
	return b.List()
}

// With are those of l and then ids.
func (l List) With(ids ...string) List {
	bytes := l.Bytes()
	for _, id := range ids {
		bytes += len(id)
	}
	b := NewBuilder(l.Len()+len(ids), bytes)
	b.AddAll(l)
	for _, id := range ids {
		b.Add(id)
	}
	return b.List()
}

// Among are those that are in the set, in order.
func (l List) Among(set map[string]struct{}) (ids []string) {
	for _, id := range l.Lent() {
		if _, ok := set[id]; ok {
			ids = append(ids, strings.Clone(id))
		}
	}
	return ids
}

// Index is the first place of an id, or -1.
func (l List) Index(id string) int {
	held := id
	if l.starts == nil {
		uuid, ok := parseUUID(id)
		if !ok {
			return -1
		}
		held = string(uuid[:])
	}
	for i := range l.Len() {
		if l.held(i) == held {
			return i
		}
	}
	return -1
}

// Is says that both are the same in memory: then so are the ids. Others may be equal too.
func (l List) Is(o List) bool {
	return l.Len() == o.Len() && unsafe.StringData(l.data) == unsafe.StringData(o.data) &&
		unsafe.SliceData(l.starts) == unsafe.SliceData(o.starts)
}

// Differ drops what both begin with and what both end with: lists mostly grow at their end.
func (l List) Differ(o List) (rest, other List) {
	begin := l.begin(o, min(l.Len(), o.Len()))
	l, o = l.Slice(begin, l.Len()), o.Slice(begin, o.Len())
	n, m := l.Len(), o.Len()
	for n > 0 && m > 0 && l.same(n-1, o, m-1) {
		n, m = n-1, m-1
	}
	return l.Slice(0, n), o.Slice(0, m)
}

// begin is how many of the first n are the same in o. UUIDs are compared in blocks.
func (l List) begin(o List, n int) (same int) {
	const block = 64
	for ; l.starts == nil && o.starts == nil && same+block <= n; same += block {
		from, to := same*uuidBytes, (same+block)*uuidBytes
		if l.data[from:to] != o.data[from:to] {
			break
		}
	}
	for same < n && l.same(same, o, same) {
		same++
	}
	return same
}

// same says whether the i-th is the k-th of o.
func (l List) same(i int, o List, k int) bool {
	if (l.starts == nil) == (o.starts == nil) {
		return l.held(i) == o.held(k)
	}
	return l.At(i) == o.At(k)
}
