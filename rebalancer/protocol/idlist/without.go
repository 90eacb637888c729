package idlist

// Without are those of l less those of gone, in memory of their own. missing is the place in gone of
// one that is not in l, or that stands twice in gone; -1: there is none, and only then is rest good.
func (l List) Without(gone List) (rest List, missing int) {
	if n := l.Len() - gone.Len(); n >= 0 && isReverse(l.Slice(n, l.Len()), gone) {
		// the newest first, as a plan spreads them
		return l.Slice(0, n).Clone(), -1
	}
	if l.UUIDs() != gone.UUIDs() {
		l, gone = l.texts(), gone.texts()
	}
	drop := make(map[string]int, gone.Len())
	for i := range gone.Len() {
		if _, twice := drop[gone.held(i)]; twice {
			return List{}, i
		}
		drop[gone.held(i)] = i
	}
	rest = l.Filter(func(i int) bool {
		_, goes := drop[l.held(i)]
		delete(drop, l.held(i))
		return !goes
	})
	missing = -1
	for _, i := range drop {
		if missing < 0 || i < missing {
			missing = i
		}
	}
	return rest, missing
}

// isReverse says that o are the ids of l, the last first.
func isReverse(l, o List) bool {
	for i := range l.Len() {
		if !l.same(i, o, o.Len()-1-i) {
			return false
		}
	}
	return true
}

// texts are the same ids, held as texts.
func (l List) texts() List {
	if l.starts != nil {
		return l
	}
	b := Builder{ids: l.Len(), bytes: l.Bytes(), starts: make([]uint32, 1, l.Len()+1)}
	b.AddAll(l)
	return b.list()
}
