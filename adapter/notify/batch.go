package notify

import "github.com/shardscaler/shardscaler/adapter/observed"

// change is what one message asks of one kind, what it takes, and how it is acknowledged.
type change struct {
	Message
	bytes int
	ack   func()
}

// folded is what many changes come to. Deletes must be committed first, then creates, then claims;
// what was shown comes last.
type folded struct {
	deletes []string
	creates []observed.ResourceKnown
	claims  []string
	shown   []string
}

// fold turns changes, in the order of their messages, into one delete, one create and one claim
// that leave the same behind: an id whose last word is "delete" is deleted; one whose last word is
// "create" is created, and deleted before if any earlier word was "delete". A claim and a shown row
// count unless a create or delete follows. The ids keep the order in which they were first named.
func fold(changes []change) (f folded) {
	type said struct {
		id                              string
		deleted, exists, claimed, shown bool
	}
	var all []said
	at := map[string]int{}
	about := func(id string) *said {
		i, ok := at[id]
		if !ok {
			i = len(all)
			at[id] = i
			all = append(all, said{id: id})
		}
		return &all[i]
	}
	for _, c := range changes {
		for _, id := range c.Create {
			s := about(id)
			s.exists, s.claimed, s.shown = true, false, false
		}
		for _, id := range c.Delete {
			*about(id) = said{id: id, deleted: true}
		}
		for _, id := range c.Claim {
			about(id).claimed = true
		}
		for _, id := range c.Shown {
			about(id).shown = true
		}
	}
	for _, s := range all {
		if s.deleted {
			f.deletes = append(f.deletes, s.id)
		}
		if s.exists {
			f.creates = append(f.creates, observed.ResourceKnown{ID: s.id})
		}
		if s.claimed {
			f.claims = append(f.claims, s.id)
		}
		if s.shown {
			f.shown = append(f.shown, s.id)
		}
	}
	return f
}
