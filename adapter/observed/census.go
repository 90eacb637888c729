package observed

import "time"

// Census is a complete list of the pods of the namespace that have not ended, with any name and any
// owner or none, by the API server itself. Only a census tells that a pod is gone: a watch tells
// what there is, and may be behind.
type Census struct {
	// Begun is when it was asked for: a uid that it lacks was gone or had ended since, for good.
	Begun time.Time
	// uids has the uid of each pod by its name, names the other way round.
	uids, names map[string]string
}

// NewCensus is the census of these pods: uids by name.
func NewCensus(begun time.Time, pods map[string]string) Census {
	c := Census{Begun: begun, uids: pods, names: make(map[string]string, len(pods))}
	for name, uid := range pods {
		c.names[uid] = name
	}
	return c
}

// Has says whether a pod had that uid.
func (c *Census) Has(uid string) bool {
	_, has := c.names[uid]
	return has
}

// UID is the uid of the pod of that name; "" if there was none.
func (c *Census) UID(name string) string { return c.uids[name] }

// Len is the number of pods.
func (c *Census) Len() int { return len(c.uids) }
