package idlist

import "slices"

// Builder makes a List of ids that come one by one.
type Builder struct {
	data   []byte
	starts []uint32 // nil: all that have come are UUIDs
	// ids, bytes are how many will come, and the length of their texts together; more may.
	ids, bytes int
}

// NewBuilder expects so many ids, of texts of that length together.
func NewBuilder(ids, bytes int) *Builder { return &Builder{ids: ids, bytes: bytes} }

// Len is how many have come.
func (b *Builder) Len() int { return b.list().Len() }

// Add appends an id, and keeps nothing of its text.
func (b *Builder) Add(id string) {
	if b.starts == nil {
		if uuid, ok := parseUUID(id); ok {
			b.addUUIDs(view(uuid[:]))
			return
		}
		b.becomeTexts()
	}
	b.data = append(b.data, id...)
	b.starts = append(b.starts, uint32(len(b.data)))
}

// AddOf appends the i-th of a List.
func (b *Builder) AddOf(l List, i int) {
	switch {
	case l.starts != nil:
		b.Add(l.held(i))
	case b.starts == nil:
		b.addUUIDs(l.held(i))
	default:
		b.data = l.Append(b.data, i)
		b.starts = append(b.starts, uint32(len(b.data)))
	}
}

// AddAll appends a List.
func (b *Builder) AddAll(l List) {
	if b.starts == nil && l.starts == nil {
		b.addUUIDs(l.data)
		return
	}
	for i := range l.Len() {
		b.AddOf(l, i)
	}
}

func (b *Builder) addUUIDs(uuids string) {
	if b.data == nil {
		b.data = make([]byte, 0, max(b.ids*uuidBytes, len(uuids)))
	}
	b.data = append(b.data, uuids...)
}

// becomeTexts writes what has come, UUIDs until now, as texts.
func (b *Builder) becomeTexts() {
	uuids := b.list()
	b.data = make([]byte, 0, max(b.bytes, uuids.Bytes()))
	b.starts = make([]uint32, 1, max(b.ids, uuids.Len())+1)
	b.AddAll(uuids)
}

// List is what has come. The Builder is of no use afterwards.
func (b *Builder) List() List {
	if b.Len() == 0 {
		return List{}
	}
	const worthwhile = 8 // parts of what was made room for
	if spare := cap(b.data) - len(b.data); spare > len(b.data)/worthwhile {
		b.data = slices.Clip(slices.Clone(b.data))
	}
	return b.list()
}

func (b *Builder) list() List {
	return List{data: view(b.data), starts: b.starts}
}
