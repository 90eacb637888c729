package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// table is every figure, in the order of measuring; docs/bars.md says how each is got and what it
// is compared with. A cold start, which happens once on a machine, is measured only if asked for:
// it takes ten minutes.
func table(cold bool) []group {
	first := group{"sandbox_first_from_cache", "sandbox.go", measureWarm(1), figures("s")}
	if cold {
		first = group{"sandbox_cold", "sandbox.go", measureCold, figures("s")}
	}
	imported := inWorld(10, createImported+createSingles, measureCreate)
	fresh := inWorld(freshInstances, createImported, measureFresh)
	answer := figures("cpu_per_request_over_floor <=1.15", "p50_over_floor <=1.25", "p99_over_floor <=2",
		"p50_ms", "p99_ms", "cpu_ms_per_request")
	const growth = "last_quarter_over_second"
	return slices.Concat([]group{
		first,
		{"sandbox_warm", "sandbox.go", measureWarm(3), figures("s <=15")},
		{"create", "create.go", imported, figures("import_20000_things_per_s",
			"durable_p50_ms", "durable_p99_ms", "listed_p50_ms", "listed_p99_ms")},
		{"metrics_1000_pods", "metrics.go", answersOf(1_000, 100), answer},
		{"metrics_10000_pods", "metrics.go", answersOf(10_000, 10), answer},
		{"metrics_compare", "metrics.go", compare, figures("upstream_calls_per_read <=0")},
		{"metrics_fresh", "freshness.go", fresh, figures("beat_p50_ms", "beat_p99_ms <=500",
			"create_p50_ms", "create_p99_ms <=500")},
		{"metrics_memory_10000_pods", "memory.go", memoryWithPods, figures("peak_above_test_adapter_MB <=140",
			growth+quarterNoise)},
		// A small heap is still on its way to the size that it may reach: its growth has no bar.
		{"memory_20000", "memory.go", memoryOf(20_000), footprint(growth)},
		{"memory_350000", "memory.go", memoryOf(350_000), footprint(growth + quarterNoise)},
		{"kubectl", "kubectl.go", inWorld(kubectlInstances, 10_000, measureKubectl), figures("first_answer_p50_ms", "first_answer_p99_ms <=300")},
		{"page", "page/page_test.go", benchmark("page", "BenchmarkPage$", 1), figures("gzip_kB <=80", "usable_at_quarter_speed_s <=1",
			"filter_longest_ms <100", "updates_frames_per_s >=55", "update_longest_task_ms <=50", "find_longest_ms <100", "update_kB", "state_kB")},
	}, inStore(), []group{
		{"decide", "decide/bench_test.go", benchmark("decide", "BenchmarkDecide$", 31), figures("1000_targets_ms <100",
			"real_calculator_time_over_ours_ratio >1")},
		{"virtual", "virtual/day_test.go", benchmark("virtual", "BenchmarkDay$", 1), figures("day_350000_resources_100_instances_s <=20")},
	}, inPlan(), atScale(), onAThousand())
}

// quarterNoise bounds how far the median of the last quarter may lie above the second's by noise
// alone: memory that still grows then is a leak.
const quarterNoise = " <=1.02"

// footprint is the memory of the server beyond what any metrics API server needs.
func footprint(growth string) []figure {
	return figures("rest_above_test_adapter_MB <=80", "peak_above_test_adapter_MB <=80", growth)
}

func inStore() []group {
	of := func(name string, rounds int) measure { return benchmark("store", name, rounds) }
	grow := figures("s", "ratio <=2")
	return []group{
		{"store_place_450000", "store/moves_test.go", of("BenchmarkGrow/^place$", 15), grow},
		{"store_spread_100_to_101", "store/moves_test.go", of("BenchmarkGrow/^spread$", 15), grow},
		// A server that has just started answers slower during the first rounds.
		{"store_load_500000", "store/load_test.go", of("BenchmarkLoad/^500000$", 31), figures("s", "ratio <=1.5", "lead_s")},
		{"store_create_idle", "store/create_test.go", of("BenchmarkCreate$", 2000), figures("p50_ms", "p99_ms",
			"p50_ratio", "p99_ratio <=3")},
		{"store_storm", "store/storm_test.go", of("BenchmarkStorm$", 1), figures("durable_p50_ms", "durable_p99_ms <=50",
			"listed_p50_ms", "listed_p99_ms <=5000", fmt.Sprint("pool_pieces <=", protocol.MaxPool))},
		{"store_log_100000_creates", "store/create_test.go", of("BenchmarkLog$", 1), figures("MB <=10")},
		{"store_heap_1000MB", "store/heap_test.go", of("BenchmarkHeap$", 2000), figures("full_moves >=2000")},
	}
}

func inPlan() []group {
	const code = "plan/plan_test.go"
	of := func(name string, rounds int) measure { return benchmark("plan", name, rounds) }
	change := figures("ms", "times_faster_than_franz_go >=8", "allocated_bytes_per_move <=16", "moves_over_bound <=1",
		"spread <=1")
	return []group{
		{"plan_100_to_101", code, of("BenchmarkChange/^100_to_101$", 9), change},
		{"plan_100_to_99", code, of("BenchmarkChange/^100_to_99$", 9), change},
		{"plan_10_to_100", code, of("BenchmarkChange/^10_to_100$", 9), change},
		{"plan_5m_over_500k", code, of("BenchmarkLarge$", 1), figures("times <=20")},
		{"plan_text_and_id_of_450k_moves", code, of("BenchmarkText$", 9), figures("ms <=100")},
		{"plan_weighted_100_hot_cold", code, of("BenchmarkWeighted$", 3), figures("ms", "moves", "spread_over_mean <=0.02",
			"times_faster_than_greedy")},
		{"plan_offline_500k_json_lines", "plan/offline_test.go", of("BenchmarkOffline$", 3), figures("s <=2")},
	}
}

// atScale are several replicas with their default settings.
func atScale() []group {
	return []group{
		{"scale_failover", "failover.go", failover(scaleThings, strikes{kill: 20, freeze: 15, cut: 15, today: 3}), figures(
			"kill_worst_s <=4", "kill_median_s", "freeze_worst_s <=4", "freeze_median_s", "cut_worst_s <=4", "cut_median_s",
			"today_kill_s", "over_today <=0.25", "reads_failed <=0", "old_epoch_writes <=0")},
		{"scale_size", "size.go", sized(sizeThings, sizeInstances), figures("rest_bytes_per_resource <=80", "peak_bytes_per_resource <=130",
			"follower_bytes_per_resource", "metrics_p99_over_floor <=1.15", "metrics_p99_ms", "failover_s", "import_things_per_s")},
		{"scale_restart", "restart.go", restarts(scaleThings, 20), figures("gap_worst_ms <=500", "gap_median_ms",
			"rollout_gap_worst_ms <=500")},
		{"scale_rest", "rest.go", atRest(scaleThings, idle{rounds: 2, settle: 2 * time.Minute, look: 2 * time.Minute}), figures(
			"leader_cpu_s_per_min", "today_leader_cpu_s_per_min", "leader_cpu_over_today <=0.5",
			"leader_api_requests_per_min", "today_leader_api_requests_per_min", "leader_api_requests_over_today <=0.2",
			"leader_zookeeper_reads_per_min", "today_leader_zookeeper_reads_per_min",
			"follower_zookeeper_reads_per_min", "today_follower_zookeeper_reads_per_min", "zookeeper_reads_over_today <=0.2",
			"zookeeper_syncs_per_min", "today_zookeeper_syncs_per_min")},
		{"scale_moves", "moves.go", spreads(scaleThings, 5), figures("s <=5", "moves", "ownerless_p99_s <=1.2", "ownerless_p50_s",
			"ownerless_worst_s", "immediate_s", "immediate_moves", "immediate_ownerless_p99_s", "immediate_ownerless_p50_s",
			"immediate_ownerless_worst_s", "run_twice <=0")},
		{"scale_dead", "dead.go", deaths(deadThings, 5), figures("resources", "gone_p99_s <=3", "gone_p50_s", "ended_p99_s <=3", "ended_p50_s",
			"fenced_p99_s <=25", "fenced_p50_s", "run_twice <=0")},
		{"scale_kinds", "kinds.go", manyKinds(250, 1000, idle{settle: time.Minute, look: 90 * time.Second}), figures(
			"leader_cores <=0.3", "leader_api_requests_per_min <=200", "create_listed_p50_ms", "create_listed_p99_ms <=2000",
			"some_leader_cores", "some_leader_api_requests_per_min", "cores_a_kind_over_some <=1.5", "follower_cores",
			"zookeeper_requests_per_min", "some_zookeeper_requests_per_min")},
	}
}

// onAThousand are figures of millions of resources on a thousand instances.
func onAThousand() []group {
	inStore := func(name string, rounds int) measure { return benchmark("store", name, rounds) }
	inPlan := func(name string) measure { return benchmark("plan", name, 9) }
	commit := figures("s", "ratio <=1.8", "list_writes_ratio", "bytes_ratio")
	meanwhile := figures("p50_ms", "p99_ms", "p99_ratio <=3")
	return []group{
		{"scale_load_5000000", "store/load_test.go", inStore("BenchmarkLoad/^5000000$", 7), figures("s", "ratio <=1.5", "lead_s")},
		{"scale_plan_999_to_1000", "plan/plan_test.go", inPlan("BenchmarkScale/^999_to_1000$"), figures("ms <50")},
		{"scale_plan_1000_to_900", "plan/plan_test.go", inPlan("BenchmarkScale/^1000_to_900$"), figures("ms <50")},
		{"scale_commit_100_to_101", "store/commit_test.go", inStore("BenchmarkCommit/^100_to_101$", 7), commit},
		{"scale_commit_999_to_1000", "store/commit_test.go", inStore("BenchmarkCommit/^999_to_1000$", 7), commit},
		{"scale_commit_1000_to_900", "store/commit_test.go", inStore("BenchmarkCommit/^1000_to_900$", 7), commit},
		{"scale_create_meanwhile", "store/meanwhile_test.go", inStore("BenchmarkMeanwhile/^999_to_1000$", 5), meanwhile},
		{"scale_create_meanwhile_drain", "store/meanwhile_test.go", inStore("BenchmarkMeanwhile/^1000_to_900$", 3), meanwhile},
		{"scale_heap_1000MB", "store/hold_test.go", inStore("BenchmarkHold$", 3), figures("changes >=6", "live_MB")},
	}
}
