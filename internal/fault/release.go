//go:build !faults

package fault

import "context"

// Point is a place at which the process may die.
func Point(string) {}

// Fail is a Point that can also return an error.
func Fail(string) error { return nil }

// Made says whether the bug is made.
func (Bug) Made() bool { return false }

// Doing notes in ctx what the transactions sent with it are part of.
func Doing(ctx context.Context, _ string) context.Context { return ctx }

// Step is the Point `<step>.<stage>` of a transaction.
func Step(_ context.Context, _, _ string) {}

// FailStep is a Step that can also return an error.
func FailStep(_ context.Context, _, _ string) error { return nil }

// Soon is a Step whose fault comes a moment later, while the process goes on: when what is on its
// way is on its way.
func Soon(_ context.Context, _, _ string) {}

// SoonAt is Soon for a Point.
func SoonAt(string) {}
