// Package decide turns what was observed of a kind into the size it should have and into verdicts on its instances' health.
//
// In: one Input, a value that can be saved and replayed. Out: one Decision, a value that can be printed: what each signal
// proposes, what was ignored and why, which limits bound, and the sentence a person reads. "Do nothing" is a decision too.
//
// Invariants. Decide is pure: equal Inputs give equal Decisions. No signal undercuts the number of resources. Input that is
// stale, incomplete or not yet watched for one whole window never shrinks anything; a missing signal never stops a growth.
//
//	resources ─► count ─┐
//	usage ─────► cpu ───┼─► wanted ─► windows ─► rate ─► bounds ─► holds ─► desired
//	             memory ┘
package decide
