package inventory

// unannouncedReads is how many reads must find new rows, without a message between them, before it
// counts as more than chance: a row without a message is nothing rare, with raw SQL or an upsert.
const unannouncedReads = 3

// unannouncedText is the warning. It does not change, so that it is raised once.
const unannouncedText = "reads of the catalogue keep finding new rows for which no notification came: " +
	"a broker may grant the subscription and still let nothing through to this user (an ACL), or the platform may not publish"

// unannounced counts reads that find new rows though no message has come since the read before.
type unannounced struct {
	ended    bool // a read has: what the first one of a leader finds says nothing
	messages int
	reads    int
	rows     int
}

// read takes in a complete read, and says whether it is the one that makes it a matter of warning.
func (u *unannounced) read(fresh, messages int) (warn bool) {
	switch {
	case !u.ended || messages != u.messages:
		*u = unannounced{ended: true, messages: messages}
	case fresh > 0:
		u.reads++
		u.rows += fresh
		return u.reads == unannouncedReads
	}
	return false
}
