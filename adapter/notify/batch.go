package notify

import "github.com/shardscaler/shardscaler/adapter/observed"

// change is what one message asks of one kind, and how it is acknowledged.
type change struct {
	create, delete []string
	bytes          int
	ack            func()
}

// fold turns changes, in the order of their messages, into one delete and one create that leave the same behind: an id whose last
// word is "delete" is deleted; one whose last word is "create" is created, and deleted before if any earlier word was "delete".
// Deletes must be committed first. The ids keep the order in which they were first named.
func fold(changes []change) (deletes []string, creates []observed.ResourceKnown) {
	type said struct {
		id              string
		deleted, exists bool
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
		for _, id := range c.create {
			about(id).exists = true
		}
		for _, id := range c.delete {
			*about(id) = said{id: id, deleted: true}
		}
	}
	for _, s := range all {
		if s.deleted {
			deletes = append(deletes, s.id)
		}
		if s.exists {
			creates = append(creates, observed.ResourceKnown{ID: s.id})
		}
	}
	return deletes, creates
}
