package main

import (
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

const (
	floor   = "the library with a provider that returns ready-made lists, in turns"
	adapter = "the library's own test adapter, beside it on the same API server"
	bare    = "the bare ZooKeeper client on the same server, in turns"
	atStart = "seconds until every server answers its own protocol"
)

// table is every figure, in the order of measuring. A cold start, which happens once on a machine and takes ten minutes, is among them
// only if asked for. docs/bars.md is written from it.
func table(cold bool) []group {
	first := group{
		name: "sandbox_first_from_cache", code: "sandbox.go", measure: measureWarm(1),
		how:     "the first start of the run, with what is in the cache folder",
		figures: []figure{{name: "s", what: atStart}},
	}
	if cold {
		first = group{
			name: "sandbox_cold", code: "sandbox.go", measure: measureCold,
			how: "a start with an empty cache folder, Go's build cache included but not what the network gives: Go's modules and " +
				"Maven's repository stay; only with `COLD=1`",
			figures: []figure{{name: "s", what: atStart}},
		}
	}
	groups := []group{first, {
		name: "sandbox_warm", code: "sandbox.go", measure: measureWarm(3),
		how:     "median of three starts with what is in the cache folder",
		figures: []figure{{"s", atMost(15), atStart}},
	}, {
		name: "create", code: "create.go", measure: inWorld(10, createImported+createSingles, measureCreate),
		how: "the product with 10 instances; seen by a ZooKeeper client of its own",
		figures: []figure{
			{name: "import_20000_things_per_s", what: "rate of an import, half of it one by one, from the first publish until all are in lists"},
			{name: "durable_p50_ms", what: "from before a create is published until it is in the pool; 1,000 at random moments, 20 a second"},
			{name: "durable_p99_ms", what: "the same"},
			{name: "listed_p50_ms", what: "the same until it is in an instance's list"},
			{name: "listed_p99_ms", what: "the same"},
		},
	}}
	groups = append(groups, metricsFigures("1000", answersOf(1_000, 100)), metricsFigures("10000", answersOf(10_000, 10)))
	groups = append(groups, group{
		name: "metrics_compare", code: "metrics.go", measure: compare,
		how:     "200 reads of 500 of 1,000 pods one by one, counted by a proxy before the API server; a table of time, memory and calls is told",
		against: floor + "; the library's own test adapter",
		figures: []figure{{"upstream_calls_per_read", atMost(0), "calls to the API server, reviews of who asks apart"}},
	}, group{
		name: "metrics_fresh", code: "freshness.go", measure: inWorld(freshInstances, createImported, measureFresh),
		how: "200 changes on 10 instances, the replica's own port asked again and again",
		figures: []figure{
			{name: "beat_p50_ms", what: "from a heartbeat handed to Kafka until an answer shows it"},
			{"beat_p99_ms", atMost(500), "the same"},
			{name: "create_p50_ms", what: "from a create handed to the broker, which is before its commit, until an answer counts it"},
			{"create_p99_ms", atMost(500), "the same"},
		},
	}, group{
		name: "metrics_memory_10000_pods", code: "memory.go", measure: memoryWithPods, against: adapter,
		how: "RssAnon of the server, every 50 ms, beside 10,000 pods that change twice each in three minutes while metrics are read",
		figures: []figure{
			{"peak_above_test_adapter_MB", atMost(140), "highest, above the adapter's highest"},
			{"last_quarter_over_second", atMost(quarterNoise), "median of the last quarter over the second's: growth is a leak"},
		},
	})
	// A small heap is still on its way to the size that it may reach: its growth has no bar.
	groups = append(groups, memoryFigures("20000", 20_000, bound{}), memoryFigures("350000", 350_000, atMost(quarterNoise)))
	return append(append(append(groups, storeFigures()...), decideFigures), planFigures()...)
}

func metricsFigures(pods string, measure measure) group {
	return group{
		name: "metrics_" + pods + "_pods", code: "metrics.go", measure: measure, against: floor,
		how: "five rounds of 8 s straight to a process's port, half of the pods by label, with TLS, a service account's token and the API " +
			"server's reviews; asked at a fixed rate, timed from when due, every value checked",
		figures: []figure{
			{"cpu_per_request_over_floor", atMost(1.15), "processor time an answer, median of the rounds' ratios"},
			{"p50_over_floor", atMost(1.25), "time to the last byte, median of the rounds' ratios"},
			{"p99_over_floor", atMost(2), "the same"},
			{name: "p50_ms", what: "time to the last byte, median of the rounds"},
			{name: "p99_ms", what: "the same"},
			{name: "cpu_ms_per_request", what: "processor time an answer, median of the rounds"},
		},
	}
}

func memoryFigures(name string, things int, growth bound) group {
	return group{
		name: "memory_" + name, code: "memory.go", measure: memoryOf(things), against: adapter,
		how: "RssAnon of the server, every 50 ms, with that many Things on 100 instances while metrics are read: an import, three minutes in " +
			"which a tenth is replaced, a rest, a restart",
		figures: []figure{
			{"rest_above_test_adapter_MB", atMost(80), "median of a minute at rest, 130 s after the last change, above the adapter's"},
			{"peak_above_test_adapter_MB", atMost(80), "highest of all, above the adapter's highest"},
			{"last_quarter_over_second", growth, "median of the last quarter of the three minutes over the second's"},
		},
	}
}

func storeFigures() []group {
	grow := []figure{
		{name: "s", what: "from the orders for more instances until everything is in its list, median of 15"},
		{"ratio", atMost(2), "that over setting every changed list once, three times before and three after; median of the rounds' ratios"},
	}
	return []group{{
		name: "store_place_450000", code: "store/moves_test.go", measure: benchmark("store", "BenchmarkGrow/^place$", 15),
		how: "500,000 resources from 10 full instances and the pool to 100 instances", against: bare, figures: grow,
	}, {
		name: "store_spread_100_to_101", code: "store/moves_test.go", measure: benchmark("store", "BenchmarkGrow/^spread$", 15),
		how: "490,000 resources from 100 instances to 101", against: bare, figures: grow,
	}, {
		name: "store_load_500000", code: "store/load_test.go", measure: benchmark("store", "BenchmarkLoad$", 9),
		how:     "the start of a replica with 500,000 resources on 100 instances, median of 9",
		against: bare + ", which reads the lists and puts each id into a map",
		figures: []figure{
			{name: "s", what: "from an open session until everything is read and an id is found"},
			{"ratio", atMost(1.5), "that over the bare client's; median of the rounds' ratios"},
			{name: "lead_s", what: "until the first leader may write"},
		},
	}, {
		name: "store_create_idle", code: "store/create_test.go", measure: benchmark("store", "BenchmarkCreate$", 2000),
		how: "2,000 creates, each until it is durable and after the one before is in a list", against: bare + ": check and create",
		figures: []figure{
			{name: "p50_ms", what: "time of a create"},
			{name: "p99_ms", what: "the same"},
			{name: "p50_ratio", what: "that over the bare client's p50"},
			{"p99_ratio", atMost(3), "the p99 over the bare client's p99"},
		},
	}, {
		name: "store_storm", code: "store/storm_test.go", measure: benchmark("store", "BenchmarkStorm$", 1),
		how: "300,000 creates for 100 instances, 5,000 a second whether or not those before are done, timed from when due; ZooKeeper's own " +
			"log tells when each came to a list, and that none was lost or in two places",
		figures: []figure{
			{name: "durable_p50_ms", what: "until the engine says that it is durable"},
			{"durable_p99_ms", atMost(50), "the same"},
			{name: "listed_p50_ms", what: "until the transaction that puts it into a list"},
			{"listed_p99_ms", atMost(5000), "the same"},
			{"pool_pieces", atMost(protocol.MaxPool), "most pieces that the pool had after a transaction"},
		},
	}, {
		name: "store_log_100000_creates", code: "store/create_test.go", measure: benchmark("store", "BenchmarkLog$", 1),
		how:     "100,000 creates, 5,000 a second and one by one, while nothing is assigned",
		figures: []figure{{"MB", atMost(10), "size of the records that they add to ZooKeeper's transaction log"}},
	}, {
		name: "store_heap_1000MB", code: "store/heap_test.go", measure: benchmark("store", "BenchmarkHeap$", 2000),
		how:     "two lists of 5,000 rewritten by one transaction of 400 kB, on a server with ZooKeeper's default heap of 1,000 MB",
		figures: []figure{{"full_moves", atLeast(2000), "how many of 2,000 in a row it survives"}},
	}}
}

var decideFigures = group{
	name: "decide", code: "decide/bench_test.go", measure: benchmark("decide", "BenchmarkDecide$", 31),
	how:     "targets of 20 pods with three signals, on one core; 31 rounds",
	against: "the real HPA's calculator on the same inputs, for its three proposals alone, in turns",
	figures: []figure{
		{"1000_targets_ms", below(100), "complete decisions of 1,000 targets, median"},
		{"real_calculator_time_over_ours_ratio", above(1), "the calculator's time over ours, median of the rounds' ratios"},
	},
}

func planFigures() (groups []group) {
	const code, ids = "plan/plan_test.go", "500,000 resources; each plan checked to have the least moves and to say so; "
	for _, change := range [][2]string{{"100_to_101", "one instance more"}, {"100_to_99", "one less"}, {"10_to_100", "ten times as many"}} {
		name, how := change[0], change[1]
		groups = append(groups, group{
			name: "plan_" + name, code: code, measure: benchmark("plan", "BenchmarkChange/^"+name+"$", 9),
			how: ids + how, against: "franz-go's sticky balancer on the same world, in turns; a table of it and of hashing is told",
			figures: []figure{
				{name: "ms", what: "time of a plan, median of 9 rounds"},
				{"times_faster_than_franz_go", atLeast(8), "franz-go's time over ours, median of the rounds' ratios"},
				{"allocated_bytes_per_move", atMost(16), "bytes allocated in a plan over its moves"},
				{"moves_over_bound", atMost(1), "moves over the least that there can be"},
				{"spread", atMost(1), "how many the fullest instance holds more than the emptiest"},
			},
		})
	}
	return append(groups, group{
		name: "plan_5m_over_500k", code: code, measure: benchmark("plan", "BenchmarkLarge$", 9), how: "the three changes above",
		against: "the same with a tenth of the resources and instances, in turns",
		figures: []figure{{"times", atMost(20), "time of a plan over the smaller one's, median of 9 ratios, the worst of the three"}},
	}, group{
		name: "plan_text_and_id_of_450k_moves", code: code, measure: benchmark("plan", "BenchmarkText$", 9), how: "median of 9",
		figures: []figure{{"ms", atMost(100), "the canonical text of a plan of 450,000 moves, and its hash"}},
	}, group{
		name: "plan_weighted_100_hot_cold", code: code, measure: benchmark("plan", "BenchmarkWeighted$", 3),
		how:     "500,000 resources of lognormal weights on 100 instances, one hot and one cold; three rounds",
		against: "a greedy planner as Cadence describes its own, in turns",
		figures: []figure{
			{name: "ms", what: "time of a plan, median"},
			{name: "moves", what: "moves of the plan"},
			{"spread_over_mean", atMost(0.02), "what the heaviest instance carries more than the lightest, over the mean"},
			{name: "times_faster_than_greedy", what: "the greedy planner's time over ours, median of the rounds' ratios"},
		},
	}, group{
		name: "plan_offline_500k_json_lines", code: "plan/offline_test.go", measure: benchmark("plan", "BenchmarkOffline$", 3),
		how:     "what `shardscaler plan` does, but for the start of its process; median of three",
		figures: []figure{{"s", atMost(2), "500,000 resources in JSON Lines with weight and owner: read, planned, described"}},
	})
}
