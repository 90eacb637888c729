package explain_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/resource"
	"pgregory.net/rapid"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/ops/explain"
	"github.com/shardscaler/shardscaler/internal/ops/opstest"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/decide/hpa"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

func explained(in decide.Input) (decide.Decision, ops.Explanation) {
	d := decide.Decide(in)
	return d, explain.Explain(outcome.NewReport(d, outcome.Outcome{}), &in)
}

func input(t require.TestingT, n int, change func(in *decide.Input)) decide.Input {
	v, err := opstest.View(n)
	require.NoError(t, err)
	change(&v.Input)
	return v.Input
}

// unsampled takes the samples of the first n pods away.
func unsampled(in *decide.Input, n int) {
	for i := range n {
		in.Observed.Instances[i].Usage = nil
	}
}

func codes(as []ops.Answer) (all []string) {
	for _, a := range as {
		all = append(all, a.Code)
	}
	return all
}

// The six questions are answered for every decision, in one order.
func TestTheSixQuestions(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(in *decide.Input)
		want    string // codes
		applies string // codes of those that changed the decision
		text    string
	}{
		"nothing to do": {
			func(*decide.Input) {}, "tolerance-within bounds-free policies-free window-free missing-none nothing-to-do", "nothing-to-do",
			"cpu is at 1.00 of its target, within the tolerance (0.90 to 1.10)",
		},
		"the tolerance keeps the size": {
			func(in *decide.Input) { explain.Scale(in, decide.ByCPU, 1.05) },
			"tolerance-within bounds-free policies-free window-free missing-none nothing-to-do", "tolerance-within nothing-to-do", "1.05",
		},
		"pods without a sample are filled in, and that is within the tolerance": {
			func(in *decide.Input) { explain.Scale(in, decide.ByCPU, 1.2); unsampled(in, 2) },
			"tolerance-within bounds-free policies-free window-free missing-some nothing-to-do", "nothing-to-do",
			"cpu is at 0.96 of its target, with the pods filled in that have no usable sample (1.20 without those), within the tolerance (0.90 to 1.10)",
		},
		"pods without a sample are filled in, and would turn the direction": {
			func(in *decide.Input) { explain.Scale(in, decide.ByCPU, 1.2); unsampled(in, 3) },
			"tolerance-turned bounds-free policies-free window-free missing-some nothing-to-do", "nothing-to-do",
			"cpu is at 0.84 of its target, with the pods filled in that have no usable sample (1.20 without those): those would turn the direction",
		},
		"pods without a sample are filled in, and the rest is outside the tolerance": {
			func(in *decide.Input) { explain.Scale(in, decide.ByCPU, 1.5); unsampled(in, 1) },
			"tolerance-outside bounds-free policies-free window-free missing-some nothing-changes", "",
			"cpu is at 1.35 of its target, with the pods filled in that have no usable sample (1.50 without those), outside the tolerance (0.90 to 1.10)",
		},
		"max bounds it": {
			func(in *decide.Input) { in.Config.Max = 10; explain.Resources(in, 4500*12) },
			"tolerance-within bounds-max policies-free window-free missing-none nothing-to-do", "bounds-max nothing-to-do", "12 was asked for, and max is 10",
		},
		"init bounds it": {
			func(in *decide.Input) {
				in.Config.Init, in.Config.CPU = 10, nil
				explain.Resources(in, 100)
			},
			"tolerance-none bounds-init policies-free window-free missing-none nothing-to-do", "bounds-init nothing-to-do", "1 was asked for, and init is 10",
		},
		"a policy limits it": {
			func(in *decide.Input) {
				explain.Resources(in, 4500*20)
				in.Config.Behavior.ScaleUp.Policies = []config.ScalingPolicy{{Type: config.PolicyPods, Value: 2, Period: config.Duration(time.Minute)}}
			},
			"tolerance-within bounds-free policies-rate window-free missing-none nothing-changes", "policies-rate", "20 was asked for, and now it is 12",
		},
		"the window keeps it": {
			func(in *decide.Input) {
				explain.Resources(in, 4500*8)
				in.Config.CPU = nil
				in.History.Recommendations = []decide.Recommendation{{From: in.Now.Add(-time.Minute), To: in.Now.Add(-time.Minute), Size: 10, Own: 10}}
			},
			"tolerance-none bounds-free policies-free window-higher missing-none nothing-kept", "window-higher", "recommendations of the last 5m were higher",
		},
		"a signal is missing": {
			func(in *decide.Input) {
				explain.Resources(in, 4500*8)
				in.Observed.Sources.Metrics = observed.Source{}
			},
			"tolerance-none bounds-free policies-free window-free missing-some nothing-kept", "missing-some", "no usage has been read yet",
		},
		"blind": {
			func(in *decide.Input) { in.Observed.Sources.Store.Error = "away" },
			"tolerance-blind bounds-blind policies-blind window-blind missing-blind nothing-blind", "nothing-blind", "ZooKeeper cannot be read: away",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, got := explained(input(t, 10, c.change))
			require.Equal(t, c.want, strings.Join(codes(got.Answers), " "))
			var applies, text []string
			for i, a := range got.Answers {
				require.Equal(t, []string{"tolerance", "bounds", "policies", "window", "missing", "nothing"}[i], a.Question)
				require.NotEmpty(t, a.Text)
				if text = append(text, a.Text); a.Applies {
					applies = append(applies, a.Code)
				}
			}
			require.Equal(t, c.applies, strings.Join(applies, " "))
			require.Contains(t, strings.Join(text, "\n"), c.text)
			require.NotNil(t, got.Otherwise)
		})
	}
}

// A decision of the history is explained by what it says itself.
func TestADecisionWithoutItsInputHasAnswersAndNoThreshold(t *testing.T) {
	in := input(t, 10, func(in *decide.Input) { in.Observed.Sources.Metrics = observed.Source{} })
	d := decide.Decide(in)
	got := explain.Explain(outcome.NewReport(d, outcome.Outcome{}), nil)
	require.Len(t, got.Answers, 6)
	for _, a := range got.Otherwise {
		require.Contains(t, a.Code, "hold-")
	}
	require.NotEmpty(t, got.Otherwise)
}

func TestWhatWouldHaveToBeTrue(t *testing.T) {
	_, got := explained(input(t, 10, func(*decide.Input) {}))
	text := map[string]string{}
	for _, a := range got.Otherwise {
		text[a.Code] = a.Text
	}
	require.Equal(t, map[string]string{
		"resources-above": "larger with more than 45000 resources",
		"cpu-above":       "larger with cpu above 1.10 of its target (77 % of the requests)",
		"target-below":    "larger with targetPerInstance at 4199 or less",
		"all-below":       "smaller with at most 40500 resources and cpu below 0.90 of its target (63 % of the requests) for 5m",
	}, text)
}

func TestASizeThatAPersonSetSaysWhenItEnds(t *testing.T) {
	_, got := explained(input(t, 10, func(in *decide.Input) {
		in.Operator.Size = &config.OperatorSize{Value: 12, Said: config.Saying("ann", in.Now, time.Hour)}
	}))
	require.Len(t, got.Otherwise, 1)
	require.Contains(t, got.Otherwise[0].Text, "set the size to 12")
	require.Contains(t, got.Otherwise[0].Text, "2026-03-01T13:00:00Z")
}

func drawnInput(t *rapid.T) decide.Input {
	size := rapid.IntRange(1, 30).Draw(t, "size")
	return input(t, size, func(in *decide.Input) {
		c := &in.Config
		c.Init = rapid.IntRange(1, size).Draw(t, "init")
		c.Max = rapid.IntRange(c.Init, 40).Draw(t, "max")
		c.TargetPerInstance = rapid.IntRange(1, 5000).Draw(t, "target")
		c.Behavior.ScaleDown.StabilizationWindow = new(config.Duration(rapid.IntRange(0, 300).Draw(t, "down")) * config.Duration(time.Second))
		c.Behavior.ScaleUp.StabilizationWindow = new(config.Duration(rapid.SampledFrom([]int{0, 0, 60}).Draw(t, "up")) * config.Duration(time.Second))
		c.Behavior.ScaleUp.CoolDown = config.Duration(rapid.SampledFrom([]int{0, 0, 120}).Draw(t, "up cool-down")) * config.Duration(time.Second)
		c.Behavior.ScaleDown.CoolDown = config.Duration(rapid.SampledFrom([]int{0, 0, 120}).Draw(t, "down cool-down")) * config.Duration(time.Second)
		c.Tolerance = config.Tolerance{Up: new(rapid.Float64Range(0, 0.3).Draw(t, "tolerance up")), Down: new(rapid.Float64Range(0, 0.3).Draw(t, "tolerance down"))}
		if rapid.Bool().Draw(t, "no cpu") {
			c.CPU = nil
		}
		if rapid.Bool().Draw(t, "memory") {
			c.Memory = &config.ResourceTarget{TargetAverageValue: new(resource.MustParse("512Mi"))}
			explain.Scale(in, decide.ByMemory, rapid.Float64Range(0.3, 2).Draw(t, "memory use"))
		}
		if rapid.IntRange(0, 3).Draw(t, "owner") == 3 {
			c.Replicas.Owner = config.OwnerHPA
		}
		explain.Scale(in, decide.ByCPU, rapid.Float64Range(0.3, 2).Draw(t, "cpu use"))
		explain.Resources(in, rapid.IntRange(0, 150_000).Draw(t, "resources"))
		in.Config.Paused = rapid.IntRange(0, 9).Draw(t, "paused") == 9
		if rapid.IntRange(0, 9).Draw(t, "metrics") == 9 {
			in.Observed.Sources.Metrics = observed.Source{}
		}
		if rapid.Bool().Draw(t, "past") {
			past := in.Now.Add(-time.Duration(rapid.IntRange(1, 290).Draw(t, "ago")) * time.Second)
			asked := rapid.IntRange(1, 40).Draw(t, "asked")
			in.History.Recommendations = []decide.Recommendation{{From: past, To: past, Size: asked, Own: asked}}
		}
		if rapid.Bool().Draw(t, "scaled") {
			in.History.Scales = []hpa.Scale{{At: in.Now.Add(-time.Duration(rapid.IntRange(1, 200).Draw(t, "scaled ago")) * time.Second), From: size + 1, To: size}}
		}
		if rapid.IntRange(0, 5).Draw(t, "unready") == 5 {
			p := in.Observed.Instances[0].Pod
			p.Ready, p.ReadyChanged = false, p.Started
		}
	})
}

// become makes the condition of an answer true; false: the answer names no threshold.
func become(t require.TestingT, a ops.Answer, in *decide.Input, d *decide.Decision) bool {
	amount := func(name string) int {
		n, err := strconv.Atoi(a.Params[name])
		require.NoError(t, err, "%s of %+v", name, a)
		return n
	}
	scale := func(signal, ratio string, by float64) {
		f, err := strconv.ParseFloat(ratio, 64)
		require.NoError(t, err)
		for _, s := range d.Signals {
			if string(s.Name) == signal {
				explain.Scale(in, s.Name, f*by/s.Ratio)
			}
		}
	}
	switch a.Code {
	case "resources-above":
		explain.Resources(in, amount("resources")+1)
	case "max-above":
		in.Config.Max = amount("max") + 1
	case "init-below":
		in.Config.Init = amount("init") - 1
	case "target-below":
		in.Config.TargetPerInstance = amount("target")
	case "cpu-above", "memory-above":
		scale(a.Params["signal"], a.Params["ratio"], 1.01)
	case "all-below":
		if a.Params["resources"] != "" {
			explain.Resources(in, amount("resources"))
		}
		for _, signal := range []string{"cpu", "memory"} {
			if ratio := a.Params[signal]; ratio != "" {
				scale(signal, ratio, 0.99)
			}
		}
	case "window-ends", "cool-down-ends":
	default:
		return false
	}
	return true
}

// beyond holds each answer that names a threshold to what decide.Decide finds beyond it, in the
// time that the sentence gives, and returns the codes of those answers.
func beyond(t require.TestingT, in decide.Input) (tried []string) {
	d, got := explained(in)
	for _, a := range got.Otherwise {
		then := explain.Copy(in)
		if !become(t, a, &then, &d) {
			continue
		}
		tried = append(tried, a.Code)
		until := then.Now.Add(then.Config.Behavior.ScaleUp.StabilizationWindow.Std() + time.Minute)
		if a.Question == explain.Smaller {
			until = then.Now.Add(then.Config.Behavior.ScaleDown.StabilizationWindow.Std() + time.Minute)
		}
		if text := a.Params["until"]; text != "" {
			end, err := time.Parse(time.RFC3339, text)
			require.NoError(t, err)
			until = end.Add(16 * time.Second)
		}
		size := live(then, until)
		if a.Question == explain.Larger {
			require.Greater(t, size, d.Desired, "%s\n%s", a.Text, d)
		} else {
			require.Less(t, size, d.Desired, "%s\n%s", a.Text, d)
		}
	}
	return tried
}

func TestBeyondEachThresholdThereIsAnotherSize(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { beyond(t, drawnInput(t)) })
}

// Each threshold that can be named is named for an input of its own, so that the draws above need
// not meet them all.
func TestEachThresholdIsNamedWhereItCounts(t *testing.T) {
	for code, change := range map[string]func(in *decide.Input){
		"resources-above": func(*decide.Input) {},
		"cpu-above":       func(*decide.Input) {},
		"target-below":    func(*decide.Input) {},
		"all-below":       func(*decide.Input) {},
		"memory-above": func(in *decide.Input) {
			in.Config.Memory = &config.ResourceTarget{TargetAverageValue: new(resource.MustParse("512Mi"))}
		},
		"max-above": func(in *decide.Input) { in.Config.Max = 10; explain.Resources(in, 4500*12) },
		"init-below": func(in *decide.Input) {
			in.Config.Init, in.Config.CPU = 10, nil
			explain.Resources(in, 100)
		},
		"window-ends": func(in *decide.Input) {
			in.Config.CPU = nil
			explain.Resources(in, 4500*8)
			in.History.Recommendations = []decide.Recommendation{{From: in.Now.Add(-time.Minute), To: in.Now.Add(-time.Minute), Size: 10, Own: 10}}
		},
		"cool-down-ends": func(in *decide.Input) {
			in.Config.Behavior.ScaleUp.CoolDown = config.Duration(2 * time.Minute)
			explain.Scale(in, decide.ByCPU, 1.5)
			in.History.Scales = []hpa.Scale{{At: in.Now.Add(-time.Minute), From: 9, To: 10}}
		},
	} {
		t.Run(code, func(t *testing.T) { require.Contains(t, beyond(t, input(t, 10, change)), code) })
	}
}

// live decides every 15 s until a time, as a scaler whose sizes are never brought about, and
// returns the last size.
func live(in decide.Input, until time.Time) int {
	for {
		d := decide.Decide(in)
		if !in.Now.Before(until) {
			return d.Desired
		}
		in.History = decide.Next(in, d)
		in = explain.Copy(in)
		explain.Later(&in, 15*time.Second)
	}
}

func TestEveryAnswerOfADrawnDecisionReadsWell(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_, got := explained(drawnInput(t))
		for _, a := range append(got.Answers, got.Otherwise...) {
			require.NotEmpty(t, a.Code)
			require.NotContains(t, fmt.Sprint(a.Text, a.Params), "%!")
			require.NotContains(t, a.Text, "0001-01-01")
		}
	})
}
