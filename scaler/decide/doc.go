// Package decide turns what was observed of a kind into the size it should have and into verdicts
// on its instances' health.
//
// In: one Input, a value that can be saved and replayed. Out: one Decision, a value that can be
// printed: what each signal proposes, what was ignored and why, which limits bound, and the
// sentence a person reads. "Do nothing" is a decision too.
//
// Invariants. Decide is pure: equal Inputs give equal Decisions. No signal undercuts the number of
// resources. Input that is too old, incomplete or not yet watched for one whole window never scales
// down; a missing signal never stops a scale up.
//
//	resources ─► count ─┐
//	usage ─────► cpu ───┼─► needed ─► windows ─► policies ─► bounds ─► holds ─► desired
//	             memory ┘
package decide
