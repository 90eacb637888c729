package fault

// Info describes a point.
type Info struct {
	// Group is the piece of work it belongs to, Name what SHARDSCALER_FAULT calls it.
	Group, Name string
	// Passed says what has been done when it is passed.
	Passed string
	// Fails: an error can be returned there.
	Fails bool
}

// Stages of every transaction, in their order, as `<step>.<stage>`: the table lists those at which
// tests kill the product.
const (
	Sending = "sending" // computed, not sent
	Sent    = "sent"    // on its way: whether the server does it is open
	Replied = "replied" // done, and nothing in memory says so
	Applied = "applied" // in this process's State, not published
)

// Points are all there are.
var Points = []Info{
	{Group: "message", Name: "message.received", Passed: "a notification has come"},
	{Group: "message", Name: "message.parsed", Passed: "it is read, and waits to be committed"},
	{Group: "message", Name: "message.acknowledged", Passed: "it is acknowledged to the broker"},

	{Group: "create", Name: "create.received", Passed: "creates are asked for"},
	{Group: "create", Name: "create.queued", Passed: "they wait for the leader's next pass"},
	{Group: "create", Name: "create.sending", Passed: "their pool piece is computed", Fails: true},
	{Group: "create", Name: "create.sent", Passed: "it is on its way to ZooKeeper"},
	{Group: "create", Name: "create.replied", Passed: "it is durable, and nothing in memory says so"},
	{Group: "create", Name: "create.applied", Passed: "memory says so, no reader knows"},
	{Group: "create", Name: "create.published", Passed: "readers know, who asked does not"},

	{Group: "delete", Name: "delete.received", Passed: "deletes are asked for"},
	{Group: "delete", Name: "delete.queued", Passed: "they wait for the leader's next pass"},
	{Group: "delete", Name: "delete.sending", Passed: "what takes them from the pool, the list or the flight is computed", Fails: true},
	{Group: "delete", Name: "delete.sent", Passed: "it is on its way to ZooKeeper"},
	{Group: "delete", Name: "delete.replied", Passed: "it is durable, and nothing in memory says so"},
	{Group: "delete", Name: "delete.applied", Passed: "memory says so, no reader knows"},
	{Group: "delete", Name: "delete.published", Passed: "readers know, who asked does not"},
	{Group: "delete", Name: "forget.sending", Passed: "the instance has released it; the flight record is to go", Fails: true},
	{Group: "delete", Name: "forget.replied", Passed: "it is gone"},

	{Group: "move", Name: "move.planned", Passed: "moves are planned, and the wave that holds them is to be stored"},
	{Group: "move", Name: "store-plan.sent", Passed: "a wave of them is on its way to ZooKeeper, and nothing is taken yet"},
	{Group: "move", Name: "store-plan.replied", Passed: "it is stored"},
	{Group: "move", Name: "revoke.sending", Passed: "what takes them from a list is computed", Fails: true},
	{Group: "move", Name: "revoke.sent", Passed: "it is on its way to ZooKeeper"},
	{Group: "move", Name: "revoke.replied", Passed: "they are in flight, and nothing in memory says so"},
	{Group: "move", Name: "revoke.applied", Passed: "memory says so, no reader knows"},
	{Group: "move", Name: "move.released", Passed: "the former instance is seen to have released it"},
	{Group: "move", Name: "grant.sending", Passed: "what gives them to a list is computed", Fails: true},
	{Group: "move", Name: "grant.sent", Passed: "it is on its way to ZooKeeper"},
	{Group: "move", Name: "grant.replied", Passed: "they are in a list, and nothing in memory says so"},
	{Group: "move", Name: "grant.applied", Passed: "memory says so, no reader knows"},
	{Group: "move", Name: "clear-plan.replied", Passed: "all of the wave has arrived, and it is stored no more"},
	{Group: "move", Name: "assign.sent", Passed: "what gives the pool's to a list is on its way"},
	{Group: "move", Name: "assign.replied", Passed: "it is done, and nothing in memory says so"},

	{Group: "scale", Name: "scale.decided", Passed: "another size is decided"},
	{Group: "scale", Name: "scale.read", Passed: "/scale is to be read", Fails: true},
	{Group: "scale", Name: "scale.verified", Passed: "ordinals that go are verified to own nothing"},
	{Group: "scale", Name: "scale.sending", Passed: "the new size is to be written", Fails: true},
	{Group: "scale", Name: "scale.sent", Passed: "it is on its way to Kubernetes"},
	{Group: "scale", Name: "scale.replied", Passed: "it is written"},
	{Group: "scale", Name: "add-ordinal.sending", Passed: "znodes of a new ordinal are computed", Fails: true},
	{Group: "scale", Name: "add-ordinal.replied", Passed: "they are there"},
	{Group: "scale", Name: "open.sending", Passed: "another set of open ordinals is computed", Fails: true},
	{Group: "scale", Name: "open.sent", Passed: "it is on its way to ZooKeeper"},
	{Group: "scale", Name: "open.replied", Passed: "it is in the head, and nothing in memory says so"},
	{Group: "scale", Name: "drain.planned", Passed: "it is planned where what leaving ordinals own and what the pool holds will go"},
	{Group: "scale", Name: "drain.undone", Passed: "what is in flight from an ordinal that stays after all is sent home"},
	{Group: "scale", Name: "remove-ordinal.sending", Passed: "an empty ordinal's znodes are to go", Fails: true},
	{Group: "scale", Name: "remove-ordinal.replied", Passed: "they are gone"},

	{Group: "restart", Name: "restart.sending", Passed: "a silent instance's pod is to be deleted", Fails: true},
	{Group: "restart", Name: "restart.replied", Passed: "Kubernetes has taken that, and nothing remembers it"},

	{Group: "override", Name: "override.sending", Passed: "what a POST changes is computed", Fails: true},
	{Group: "override", Name: "override.sent", Passed: "it is on its way to ZooKeeper"},
	{Group: "override", Name: "override.replied", Passed: "it is durable, and nothing in memory says so"},
	{Group: "override", Name: "override.applied", Passed: "memory says so, who asked does not know"},

	{Group: "leadership", Name: "lead.elected", Passed: "the beat is ours"},
	{Group: "leadership", Name: "lead.begun", Passed: "the engine was told to lead"},
	{Group: "leadership", Name: "lead.sending", Passed: "everything is read, the head is to be taken", Fails: true},
	{Group: "leadership", Name: "lead.sent", Passed: "the new head is on its way to ZooKeeper"},
	{Group: "leadership", Name: "lead.replied", Passed: "the head is ours, and nothing in memory says so"},
	{Group: "leadership", Name: "lead.reread", Passed: "everything is read under the new head"},
	{Group: "leadership", Name: "lead.claiming", Passed: "the StatefulSet is to be marked", Fails: true},
	{Group: "leadership", Name: "lead.claimed", Passed: "the StatefulSet is marked"},
	{Group: "leadership", Name: "lead.resigning", Passed: "the engine leads no more; who waits is not answered yet"},
	{Group: "leadership", Name: "lead.stopped", Passed: "the beat is given up or lost"},

	{Group: "metrics", Name: "metrics.one", Passed: "one object's value is asked for"},
	{Group: "metrics", Name: "metrics.one-read", Passed: "it is read, not sent"},
	{Group: "metrics", Name: "metrics.many", Passed: "the values of a selector are asked for"},
	{Group: "metrics", Name: "metrics.many-read", Passed: "they are read, not sent"},
	{Group: "metrics", Name: "metrics.external", Passed: "an external value is asked for"},
	{Group: "metrics", Name: "metrics.external-read", Passed: "it is read, not sent"},
	{Group: "metrics", Name: "metrics.kept", Passed: "the decision is kept, from which followers serve"},

	{Group: "reload", Name: "config.offered", Passed: "a new text of the configuration has come", Fails: true},
	{Group: "reload", Name: "config.parsed", Passed: "it is good, and not in force"},
	{Group: "reload", Name: "config.in-force", Passed: "it is in force, no reader has looked"},
	{Group: "reload", Name: "config.applied", Passed: "sources and kinds follow it"},
}
