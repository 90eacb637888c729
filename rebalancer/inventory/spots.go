package inventory

import "math/bits"

// spots holds a spot for each hash, in 20 to 25 bytes; a map takes 26 to 28.
//
// The cells are sorted by hash, with empty ones between them. Each is at or after its home, which
// grows with the hash, and no empty cell is between its home and it: so it is found from there on.
type spots struct {
	cells []cell
	slots int // homes are before; cells that find no room there follow
	n     int
}

// cell is empty where its hash is 0; emptyHash stands for a hash that is.
type cell struct {
	hash uint64
	spot spot
}

const emptyHash, instead = 0, 1

// fullNum of fullDen slots are taken before there are growNum/growDen as many.
const (
	fullNum, fullDen = 5, 6
	growNum, growDen = 5, 4
)

// newSpots has room for n.
func newSpots(n int) *spots {
	t := &spots{}
	t.room(n)
	return t
}

// room makes empty cells for n.
func (t *spots) room(n int) {
	const atLeast, beyond = 4, 32
	t.slots = n*fullDen/fullNum + atLeast
	t.cells, t.n = make([]cell, t.slots+t.slots/beyond+atLeast), 0
}

func (t *spots) home(hash uint64) int {
	home, _ := bits.Mul64(hash, uint64(t.slots)) //nolint:gosec // it is no negative number
	return int(home)                             //nolint:gosec // less than slots
}

// find is where the hash is, or, if it is not there, where it would be.
func (t *spots) find(hash uint64) (i int, found bool) {
	for i = t.home(hash); i < len(t.cells); i++ {
		if at := t.cells[i].hash; at == emptyHash || at >= hash {
			return i, at == hash
		}
	}
	return i, false
}

func (t *spots) get(hash uint64) (spot, bool) {
	i, found := t.find(max(hash, instead))
	if !found {
		return spot{}, false
	}
	return t.cells[i].spot, true
}

func (t *spots) put(hash uint64, s spot) {
	hash = max(hash, instead)
	i, found := t.find(hash)
	if found {
		t.cells[i].spot = s
		return
	}
	end := i
	for end < len(t.cells) && t.cells[end].hash != emptyHash {
		end++
	}
	if end == len(t.cells) || t.n*fullDen >= t.slots*fullNum {
		t.grow()
		t.put(hash, s)
		return
	}
	copy(t.cells[i+1:end+1], t.cells[i:end])
	t.cells[i] = cell{hash, s}
	t.n++
}

// drop takes a hash out; those behind it come nearer to their homes.
func (t *spots) drop(hash uint64) {
	i, found := t.find(max(hash, instead))
	if !found {
		return
	}
	end := i + 1
	for end < len(t.cells) && t.cells[end].hash != emptyHash && t.home(t.cells[end].hash) < end {
		end++
	}
	copy(t.cells[i:], t.cells[i+1:end])
	t.cells[end-1] = cell{}
	t.n--
}

func (t *spots) grow() {
	was := t.cells
	for n := max(t.n, t.slots*fullNum/fullDen); ; {
		n = n*growNum/growDen + 1
		if t.room(n); t.fill(was) {
			return
		}
	}
}

// fill puts sorted cells into empty ones; false: those behind the last home are too few.
func (t *spots) fill(sorted []cell) bool {
	next := 0
	for _, c := range sorted {
		if c.hash == emptyHash {
			continue
		}
		if next = max(next, t.home(c.hash)); next == len(t.cells) {
			return false
		}
		t.cells[next] = c
		next++
		t.n++
	}
	return true
}
