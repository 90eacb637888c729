// Package chaos kills the product at every point of its work, on a real ensemble of three ZooKeeper
// servers and a real Kubernetes API, and judges what it left.
//
// In: shardscaler built with -tags faults (package fault names the points), dacsim as the workload,
// and what is to go wrong. Out: a verdict on ZooKeeper's own transaction log (Rules,
// docs/protocol.md rule 12), on the API server's audit log (drained before scaled down) and on the
// instances' own logs (none runs twice), and the counts of what was tried. Invariant: a case counts
// only if its fault fired and the work went on afterwards; the counts are asserted, so that an
// empty run fails.
//
//	lane_test.go    one product with its workload, and what is asked of it
//	kill_test.go    killed at every point once
//	reply_test.go   each transaction's answer lost once, by lost_test.go
//	faults_test.go  the faults that docs/protocol.md names, a test each
//	bugs_test.go    seeded bugs: each must turn the verdict red
//	cross_test.go   each point with each fault: `make chaos`, not part of `make test`
//	crossed_test.go the faults of that
//	rules_test.go   the verdict; pods_test.go tells when each pod was gone, tales_test.go tests it
//	scenes_test.go  work that goes wrong by itself, crossed with faults: orphans_test.go,
//	                mute_test.go, posts_test.go, late_test.go
//	report_test.go  the counts
package chaos
