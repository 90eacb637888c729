package protocol

// NextPiece is the least k above those of the pieces `<epoch>-<k>` in this State. A caller that creates several pieces counts on
// from it, and never goes back within an epoch.
func (s *State) NextPiece() int64 {
	next := int64(0)
	for name := range s.Pool {
		if epoch, k, _ := parsePair(name); epoch == s.Head.Epoch && k >= next {
			next = k + 1
		}
	}
	return next
}

// Create adds a pool piece `<epoch>-<k>` with resources that are nowhere yet; that, the caller knows (an id whose delete is
// in flight goes through Redirect). At most MaxPieceBytes, see Fit, and MaxPool pieces, see CompactPool.
func Create(s *State, k int64, ids []string) (Multi, error) {
	b, err := begin(s, "create")
	if err != nil {
		return Multi{}, err
	}
	if len(s.Pool) >= MaxPool {
		return b.fail("%d pool pieces, at most %d: compact the pool first", len(s.Pool), MaxPool)
	}
	if n := Fit(ids, MaxPieceBytes); n < len(ids) {
		return b.fail("%d ids, the first %d fill a piece of %d bytes: %w", len(ids), n, MaxPieceBytes, ErrTooLarge)
	}
	seen := make(map[string]struct{}, len(ids))
	for _, id := range ids {
		if err := CheckID(id); err != nil {
			return b.fail("%w", err)
		}
		if _, twice := seen[id]; twice {
			return b.fail("id %q: is given twice", id)
		}
		seen[id] = struct{}{}
	}
	if err := b.newPiece(k, ids); err != nil {
		return b.fail("%w", err)
	}
	return b.done()
}

// Assign moves ids from the pool to at most two lists.
func Assign(s *State, grants ...Give) (Multi, error) {
	b, err := begin(s, "assign")
	if err != nil {
		return Multi{}, err
	}
	return b.place(grants, b.takePooled)
}

// DeletePooled removes ids that are in the pool.
func DeletePooled(s *State, from ...Take) (Multi, error) {
	b, err := begin(s, "delete-pooled")
	if err != nil {
		return Multi{}, err
	}
	if _, err := b.takePooled(from); err != nil {
		return b.fail("%w", err)
	}
	return b.done()
}

// CompactPool merges small pieces into one, `<epoch>-<k>`; false when there is nothing worth merging.
func CompactPool(s *State, k int64) (Multi, bool) {
	b, err := begin(s, "compact")
	if err != nil {
		return Multi{}, false
	}
	var merged []*Piece
	size := len(listOpen + listClose)
	for _, name := range s.PoolNames() {
		p := s.Pool[name]
		if p.bytes > MaxPieceBytes/2 || size+p.bytes > MaxPieceBytes {
			continue
		}
		size += p.bytes
		merged = append(merged, p)
	}
	if len(merged) < 2 {
		return Multi{}, false
	}
	var ids []string
	for _, p := range merged {
		ids = append(ids, p.IDs...)
		b.setPiece(p, nil)
	}
	if err := b.newPiece(k, ids); err != nil {
		return Multi{}, false
	}
	m, err := b.done()
	return m, err == nil
}
