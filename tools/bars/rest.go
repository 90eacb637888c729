package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/tools/bars/rounds"
)

// idle is how long the replicas at rest are left alone before they are looked at, and how long they
// are looked at: together less than the time between two reads of the catalogue, so that what is
// measured has none.
type idle struct {
	rounds       int
	settle, look time.Duration
}

// usage is what a build took in one round, a minute.
type usage struct {
	cpu, calls, reads, followerReads, syncs float64 // cpu and calls are the leader's
}

// Requests to ZooKeeper that read, by their numbers in its ZooDefs.OpCode: exists, getData, getACL,
// getChildren, getChildren2, multiRead, getEphemerals and getAllChildrenNumber. A sync counts as one
// too.
var zooKeeperReads = []int32{3, 4, 6, 8, 12, 22, 103, 104}

const zooKeeperSync = 9

// atRest measures what a leader and a follower take while nothing happens, in turns with today's
// build.
func atRest(things int, long idle) measure {
	return inFleet(things, 2, wires{zookeeper: true, api: true}, func(ctx context.Context, f *fleet) (map[string]float64, error) {
		today, err := f.b.buildToday(ctx)
		if err != nil {
			return nil, err
		}
		var ours, theirs []usage
		for round := range long.rounds {
			of := func(name, program string, into *[]usage) func() {
				return func() {
					if err != nil {
						return
					}
					var u usage
					if u, err = f.use(ctx, program, long); err == nil {
						*into = append(*into, u)
						f.b.tell("round %d, %s build, a minute: leader's CPU %s s, its calls %s; reads of ZooKeeper: leader %s, follower %s; syncs %s", round+1,
							name, number(u.cpu), number(u.calls), number(u.reads), number(u.followerReads), number(u.syncs))
					}
				}
			}
			rounds.Alternate(round, of("today's", today, &theirs), of("this", f.b.programs.Shardscaler, &ours))
		}
		if err != nil {
			return nil, err
		}
		measured := map[string]float64{}
		compareUse(measured, "leader_cpu", "_s_per_min", ours, theirs, func(u usage) float64 { return u.cpu })
		compareUse(measured, "leader_api_requests", "_per_min", ours, theirs, func(u usage) float64 { return u.calls })
		compareUse(measured, "leader_zookeeper_reads", "_per_min", ours, theirs, func(u usage) float64 { return u.reads })
		compareUse(measured, "follower_zookeeper_reads", "_per_min", ours, theirs, func(u usage) float64 { return u.followerReads })
		compareUse(measured, "zookeeper_reads", "_per_min", ours, theirs, func(u usage) float64 { return u.reads + u.followerReads })
		compareUse(measured, "zookeeper_syncs", "_per_min", ours, theirs, func(u usage) float64 { return u.syncs })
		return measured, nil
	})
}

// compareUse puts a use into what was measured: ours, theirs, and ours over theirs, each over all
// rounds.
func compareUse(into map[string]float64, name, unit string, ours, theirs []usage, of func(usage) float64) {
	mean := func(all []usage) (sum float64) {
		for _, u := range all {
			sum += of(u)
		}
		return sum / float64(len(all))
	}
	into[name+unit], into["today_"+name+unit] = mean(ours), mean(theirs)
	into[name+"_over_today"] = mean(ours) / mean(theirs)
}

// use lets the replicas rest as a build, and says what they take in a minute.
func (f *fleet) use(ctx context.Context, program string, long idle) (u usage, err error) {
	if err := f.become(ctx, program); err != nil {
		return u, err
	}
	leader, err := f.settled(ctx)
	if err == nil {
		err = pause(ctx, long.settle)
	}
	if err != nil {
		return u, err
	}
	before, began := f.used(leader), time.Now()
	if err := pause(ctx, long.look); err != nil {
		return u, err
	}
	after, minutes := f.used(leader), time.Since(began).Minutes()
	now, err := f.settled(ctx)
	if err == nil && now != leader {
		err = fmt.Errorf("%s leads instead of %s: it was no rest", now.Name, leader.Name)
	}
	if err != nil {
		return u, err
	}
	per := func(after, before float64) float64 { return (after - before) / minutes }
	return usage{
		cpu: per(after.cpu, before.cpu), calls: per(after.calls, before.calls), syncs: per(after.syncs, before.syncs),
		reads: per(after.reads, before.reads), followerReads: per(after.followerReads, before.followerReads),
	}, nil
}

// used is what was taken since the start.
func (f *fleet) used(leader *product.Server) (u usage) {
	api := f.api[slices.Index(f.Servers, leader)]
	u.cpu, u.calls = cpuOf(leader.Server), float64(api.calls.Load()+api.reviews.Load())
	for i, v := range f.Servers {
		requests := f.zookeeper[i].Requests()
		reads := requests[zooKeeperSync]
		for _, kind := range zooKeeperReads {
			reads += requests[kind]
		}
		u.syncs += float64(requests[zooKeeperSync])
		if v == leader {
			u.reads += float64(reads)
		} else {
			u.followerReads += float64(reads)
		}
	}
	return u
}
