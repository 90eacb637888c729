// Package rebalancer keeps one kind's assignment: it makes creates durable, places what has no owner, empties what leaves, and
// spreads what is uneven.
//
// In: creates and deletes, and the scaler's orders.Orders. Out: transactions through zk, planned by plan. Invariant: every change goes
// through the protocol's steps, so that none is lost and none is owned twice, whoever dies when.
//
//	orders/       what the scaler and the engine say to each other
//	engine.go     what callers see: Create, Delete, Order, Drained, Lookup
//	keep.go       documents changed by the one writer; callers who give up
//	lend.go       the reconciler, lent for long work outside of the engine's lock
//	rounds.go     when the loops last went round
//	follow.go     every replica: look at ZooKeeper, report what is there
//	lead.go       the one that leads: take the head, start a term, start another after trouble
//	term.go       a term: one goroutine owns the State; passes, rounds of transactions, looks, alarms
//	batch.go      transactions that are under way together while the next ones are made
//	pauses.go     how long what failed waits for its next attempt, and what is said of it
//	glance.go     a look at what others wrote that goes on beside our own writes
//	write.go      steps of a pass: creates and deletes
//	members.go    steps of a pass: ordinals opened, closed, added, removed, mended; duplicates
//	moves.go      steps of a pass: flights that land, the pool and drains (the emergency regime)
//	deal.go       the pool dealt out in whole pieces, two lists a transaction
//	keeps.go      from whom nothing is taken, since it would not be released
//	evacuate.go   steps of a pass: what is lost or declared dead leaves, if its release is proven
//	spread.go     steps of a pass: voluntary moves (the periodic regime) and what holds them
//	wave.go       a wave of moves: what is stored before its first revoke, and how far it is
//	waves.go      steps of a pass: the wave begun, taken up by a successor, ended
//	rollback.go   a wave taken back on request
//	balance.go    the planner's world: weights, pins, what is parked; the account of weights that every replica reads
//	traits.go     what the catalogue says of resources beside their ids, reduced to what balance and pins need
//	claims.go     deletes by a condition, which wait for a read of the catalogue
//	unannounced.go  rows of which no message tells
//	catalogue.go  complete reads of the catalogue, compared by package reconcile
package rebalancer
