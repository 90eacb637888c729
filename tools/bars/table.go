package main

import (
	"slices"

	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// table is every figure, in the order of measuring; docs/bars.md says how each is got and what it
// is compared with. A cold start, which happens once on a machine, is measured only if asked for: it
// takes ten minutes.
func table(cold bool) []group {
	first := group{"sandbox_first_from_cache", "sandbox.go", measureWarm(1), told("s")}
	if cold {
		first = group{"sandbox_cold", "sandbox.go", measureCold, told("s")}
	}
	imported := inWorld(10, createImported+createSingles, measureCreate)
	fresh := inWorld(freshInstances, createImported, measureFresh)
	return slices.Concat([]group{
		first,
		{"sandbox_warm", "sandbox.go", measureWarm(3), []figure{{"s", atMost(15)}}},
		{"create", "create.go", imported, told("import_20000_things_per_s",
			"durable_p50_ms", "durable_p99_ms", "listed_p50_ms", "listed_p99_ms")},
		{"metrics_1000_pods", "metrics.go", answersOf(1_000, 100), answer},
		{"metrics_10000_pods", "metrics.go", answersOf(10_000, 10), answer},
		{"metrics_compare", "metrics.go", compare, []figure{{"upstream_calls_per_read", atMost(0)}}},
		{"metrics_fresh", "freshness.go", fresh, []figure{
			{name: "beat_p50_ms"},
			{"beat_p99_ms", atMost(500)},
			{name: "create_p50_ms"},
			{"create_p99_ms", atMost(500)},
		}},
		{"metrics_memory_10000_pods", "memory.go", memoryWithPods, []figure{
			{"peak_above_test_adapter_MB", atMost(140)},
			{"last_quarter_over_second", atMost(quarterNoise)},
		}},
		// A small heap is still on its way to the size that it may reach: its growth has no bar.
		{"memory_20000", "memory.go", memoryOf(20_000), footprint(bound{})},
		{"memory_350000", "memory.go", memoryOf(350_000), footprint(atMost(quarterNoise))},
	}, inStore(), []group{
		{"decide", "decide/bench_test.go", benchmark("decide", "BenchmarkDecide$", 31), []figure{
			{"1000_targets_ms", below(100)},
			{"real_calculator_time_over_ours_ratio", above(1)},
		}},
		{"virtual", "virtual/day_test.go", benchmark("virtual", "BenchmarkDay$", 1), []figure{
			{"day_350000_resources_100_instances_s", atMost(20)},
		}},
	}, inPlan())
}

// told are figures without a bar.
func told(names ...string) (figures []figure) {
	for _, name := range names {
		figures = append(figures, figure{name: name})
	}
	return figures
}

// answer is what an answer of the metrics API costs.
var answer = append([]figure{
	{"cpu_per_request_over_floor", atMost(1.15)},
	{"p50_over_floor", atMost(1.25)},
	{"p99_over_floor", atMost(2)},
}, told("p50_ms", "p99_ms", "cpu_ms_per_request")...)

// footprint is the memory of the server beyond what any metrics API server needs.
func footprint(growth bound) []figure {
	return []figure{
		{"rest_above_test_adapter_MB", atMost(80)},
		{"peak_above_test_adapter_MB", atMost(80)},
		{"last_quarter_over_second", growth},
	}
}

func inStore() []group {
	of := func(name string, rounds int) measure { return benchmark("store", name, rounds) }
	grow := []figure{{name: "s"}, {"ratio", atMost(2)}}
	return []group{
		{"store_place_450000", "store/moves_test.go", of("BenchmarkGrow/^place$", 15), grow},
		{"store_spread_100_to_101", "store/moves_test.go", of("BenchmarkGrow/^spread$", 15), grow},
		{"store_load_500000", "store/load_test.go", of("BenchmarkLoad$", 9), []figure{
			{name: "s"}, {"ratio", atMost(1.5)}, {name: "lead_s"},
		}},
		{"store_create_idle", "store/create_test.go", of("BenchmarkCreate$", 2000), []figure{
			{name: "p50_ms"}, {name: "p99_ms"}, {name: "p50_ratio"}, {"p99_ratio", atMost(3)},
		}},
		{"store_storm", "store/storm_test.go", of("BenchmarkStorm$", 1), []figure{
			{name: "durable_p50_ms"},
			{"durable_p99_ms", atMost(50)},
			{name: "listed_p50_ms"},
			{"listed_p99_ms", atMost(5000)},
			{"pool_pieces", atMost(protocol.MaxPool)},
		}},
		{"store_log_100000_creates", "store/create_test.go", of("BenchmarkLog$", 1), []figure{
			{"MB", atMost(10)},
		}},
		{"store_heap_1000MB", "store/heap_test.go", of("BenchmarkHeap$", 2000), []figure{
			{"full_moves", atLeast(2000)},
		}},
	}
}

func inPlan() []group {
	const code = "plan/plan_test.go"
	of := func(name string, rounds int) measure { return benchmark("plan", name, rounds) }
	change := []figure{
		{name: "ms"},
		{"times_faster_than_franz_go", atLeast(8)},
		{"allocated_bytes_per_move", atMost(16)},
		{"moves_over_bound", atMost(1)},
		{"spread", atMost(1)},
	}
	return []group{
		{"plan_100_to_101", code, of("BenchmarkChange/^100_to_101$", 9), change},
		{"plan_100_to_99", code, of("BenchmarkChange/^100_to_99$", 9), change},
		{"plan_10_to_100", code, of("BenchmarkChange/^10_to_100$", 9), change},
		{"plan_5m_over_500k", code, of("BenchmarkLarge$", 1), []figure{{"times", atMost(20)}}},
		{"plan_text_and_id_of_450k_moves", code, of("BenchmarkText$", 9), []figure{
			{"ms", atMost(100)},
		}},
		{"plan_weighted_100_hot_cold", code, of("BenchmarkWeighted$", 3), []figure{
			{name: "ms"},
			{name: "moves"},
			{"spread_over_mean", atMost(0.02)},
			{name: "times_faster_than_greedy"},
		}},
		{"plan_offline_500k_json_lines", "plan/offline_test.go", of("BenchmarkOffline$", 3), []figure{
			{"s", atMost(2)},
		}},
	}
}
