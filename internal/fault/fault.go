// Package fault marks the places at which a process may die, so that tests can make it die at every
// one of them.
//
// In: a name at each place, and in builds with the tag `faults` what is to happen there
// (SHARDSCALER_FAULT). Out: nothing, or the fault. Invariant: a release build holds neither a
// symbol of this package nor a point's name.
//
// A fault is `point=action@n`: the n-th time the process passes the point, 1 unless given, one of
//
//	kill           SIGKILL to itself
//	stop           SIGSTOP to itself; another process continues it
//	panic          a panic
//	sleep:2s       a pause
//	error          an error, at points that can fail
//
// Several are separated by commas. The variable holds them, or SHARDSCALER_FAULT_FILE names a file
// that does and may change at any time. SHARDSCALER_FAULT_LOG names a file that gets a line for
// each point when it is first passed, and for each fault before it fires.
package fault

// Names of the variables that a build with -tags faults reads.
const (
	SpecVar = "SHARDSCALER_FAULT"
	FileVar = "SHARDSCALER_FAULT_FILE"
	LogVar  = "SHARDSCALER_FAULT_LOG"
)
