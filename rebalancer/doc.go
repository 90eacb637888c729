// Package rebalancer keeps one kind's assignment: it makes creates durable, places what has no
// owner, empties what leaves, and spreads what is uneven.
//
// In: creates and deletes, complete reads of the catalogue, and the scaler's orders.Orders. Out:
// transactions through zk, planned by plan. Invariant: every change goes through the protocol's
// steps, so that none is lost and none is owned twice, whichever process dies when.
//
//	orders/       what the scaler and the engine say to each other
//	inventory/    what is known of the resources: where each is, what is asked of it, weights and pins
//	plan/         which moves to make
//	loop/         steps that propose what the term commits: open, repair, remove, compact; releases
//	wave/         what of a plan is stored before it is carried out, resumed, rolled back
//	protocol/     the State of a kind, and one function a step
//	zk/           ZooKeeper itself
//
//	engine.go     what callers see: Create, Delete, Order, Drained, Lookup
//	catalogue.go  complete reads of the catalogue, deletes by a condition, and what a person confirms
//	keep.go       documents changed by the one writer
//	calls.go      callers of the writer, and those that give up
//	rounds.go     when the loops last went round
//	follow.go     every replica: read ZooKeeper, report what is there
//	lead.go       the one that leads: take the head, start a term, start another after trouble
//	term.go       a term: one goroutine owns the State; passes, batches of transactions, reads, alarms
//	batch.go      transactions that are under way together while the next ones are made
//	pauses.go     how long what failed waits for its next attempt, and what is said of it
//	glance.go     a read of what others wrote that goes on beside our own writes
//	write.go      steps of a pass: creates and deletes
//	members.go    what is told of ordinals and duplicates
//	moves.go      steps of a pass: flights that end, the pool and drains (the emergency regime)
//	deal.go       the pool dealt out in whole pieces, two lists a transaction
//	keeps.go      what is said of instances from which nothing is revoked
//	spread.go     steps of a pass: voluntary moves (the periodic regime) and what suspends them
//	waves.go      steps of a pass: the wave begun, taken up by a successor, ended
//	rollback.go   a wave taken back on request
//	balance.go    the planner's world: weights, pins, what is parked; the account of weights that every
//	              replica reads
package rebalancer
