package orders

// Changes count, since one leader began, how often the list of an instance was changed by anything
// but new resources that were placed into it: what a plan that takes from the list rests on.
type Changes struct {
	// Moved counts the transactions that moved resources out of the list or into it, and changes by
	// other clients; Deleted those that deleted some of it.
	Moved, Deleted int64
}
