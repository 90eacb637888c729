package main

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/shardscaler/shardscaler/internal/virtual"
)

// virtualGroup tells how long a day takes in virtual time: the whole core, 43,200 looks of it, against a ZooKeeper, a cluster and
// instances in memory, with every transaction judged by protocol rule 12. It needs no server.
var virtualGroup = group{
	name:    "virtual",
	figures: []figure{{name: "virtual_day_350000_resources_100_instances_s", bound: atMost(20)}},
	measure: measureVirtual,
}

// virtualGCPercent is how much garbage there may be beside what is alive: a simulation has the machine to itself.
const virtualGCPercent = 200

func measureVirtual(ctx context.Context, b *bench) (map[string]float64, error) {
	defer debug.SetGCPercent(debug.SetGCPercent(virtualGCPercent))
	day, err := virtual.NewDay(1, 350_000, 100)
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	r, err := day.Run(ctx)
	took := time.Since(begun)
	if err != nil {
		return nil, fmt.Errorf("play the day: %w", err)
	}
	b.tell("%d looks, %d resizes, %d created, %d deleted, %d leaders, %d transactions of %d MB: digest %.16s",
		r.Looks, r.Resizes, r.Created, r.Deleted, r.Terms, r.Transactions, r.Bytes>>20, r.Digest)
	if r.Resizes < 20 || r.Deleted < 25_000 {
		return nil, fmt.Errorf("the day is too easy: %d resizes, %d deletes", r.Resizes, r.Deleted)
	}
	return map[string]float64{"virtual_day_350000_resources_100_instances_s": took.Seconds()}, nil
}
