// Package rebalancer keeps one kind's assignment: it makes creates durable, places what has no
// owner, drains what leaves, and spreads what is uneven.
//
// In: creates and deletes, complete reads of the catalogue, and the scaler's orders.Orders. Out:
// transactions through zk, planned by plan. Invariant: every change goes through the protocol's
// steps, so that none is lost and none is owned twice, at whatever point a process ends.
//
//	orders/       what the scaler and the engine say to each other
//	inventory/    what is known of the resources: where each is, what is asked of it, its weight
//	              and pins
//	plan/         which moves to make
//	pack/         turns what they assign from the pool into transactions
//	steps/        what to do next: pure, one file a step
//	release/      when what was revoked may be granted
//	wave/         what of a plan is stored before it is carried out, resumed, rolled back
//	seen/         what a State tells the rest of the program
//	loop/         asks the steps, sends what they propose, reads what others write
//	protocol/     the State of a kind, and one function a step
//	zk/           ZooKeeper itself
package rebalancer
