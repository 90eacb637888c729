package worldfile_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/plan/worldfile"
)

// lines are n resources on 100 instances as JSON Lines, with weights.
func lines(n int) []byte {
	var out bytes.Buffer
	random := rand.New(rand.NewPCG(1, 2))
	for range n {
		fmt.Fprintf(&out, "{\"id\":\"%08x-1d5b-4f3a-9c11-%012x\",\"instance\":%d,\"weight\":%.3f}\n",
			random.Uint32(), random.Uint64()>>16, min(99, int(random.ExpFloat64()*35)), random.ExpFloat64())
	}
	return out.Bytes()
}

func read(text string, from []byte) (*plan.World, plan.Options, error) {
	return worldfile.Read(strings.NewReader(text), func(string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(from)), nil
	})
}

// BenchmarkOffline is all of `shardscaler plan` but the process: read, plan, describe.
func BenchmarkOffline(b *testing.B) {
	for _, balance := range []plan.Balance{plan.ByCount, plan.ByWeight} {
		b.Run(fmt.Sprintf("resources=500k/balance=%s", balance), func(b *testing.B) {
			from := lines(500_000)
			for b.Loop() {
				w, o, err := read("instances: [{ordinals: 0-99}]\nresourcesFrom: r.jsonl\nbalance: "+string(balance), from)
				if err != nil {
					b.Fatal(err)
				}
				p, err := plan.Make(w, o)
				if err != nil {
					b.Fatal(err)
				}
				if err := worldfile.Write(io.Discard, p, o, "text", false); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestDocumented: every field that is read or written is in the documentation.
func TestDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../../docs/plan-world.md")
	if err != nil {
		t.Fatal(err)
	}
	var fields func(t reflect.Type, top bool) []string
	fields = func(rt reflect.Type, deep bool) (names []string) {
		for rt.Kind() == reflect.Pointer || rt.Kind() == reflect.Slice {
			rt = rt.Elem()
		}
		if rt.Kind() != reflect.Struct {
			return nil
		}
		for i := range rt.NumField() {
			name, _, _ := strings.Cut(rt.Field(i).Tag.Get("json"), ",")
			if name != "" {
				names = append(names, name)
			}
			if deep || name == "" {
				names = append(names, fields(rt.Field(i).Type, deep)...)
			}
		}
		return names
	}
	read := append(fields(reflect.TypeFor[worldfile.File](), true), fields(reflect.TypeFor[worldfile.Resource](), true)...)
	written := fields(reflect.TypeFor[worldfile.Output](), false)
	if len(read) < 15 || len(written) < 15 {
		t.Fatalf("found only %d and %d fields", len(read), len(written))
	}
	for _, name := range append(read, written...) {
		if !regexp.MustCompile("\\b" + name + "\\b").Match(doc) {
			t.Errorf("docs/plan-world.md does not mention %q", name)
		}
	}
	for why := plan.NoOpen; why <= plan.OverCapacity; why++ {
		if !bytes.Contains(doc, []byte("`"+why.String()+"`")) {
			t.Errorf("docs/plan-world.md does not mention the reason %q", why)
		}
	}
}

// TestLines: what lines say ends where they say, in their order; what is wrong is named with its
// line.
func TestLines(t *testing.T) {
	const world = "instances: [{ordinals: 0-1}]\nresourcesFrom: r.jsonl\npins: [{name: lyon, selector: {matchLabels: {site: lyon}}, ordinals: [1]}]"
	good := `{"id":"a","instance":1,"weight":2.5}

{"id":"b"}
 {"instance":1,"id":"c","labels":{"site":"lyon"}}
{"id":"\u0064","instance":null}
`
	w, _, err := read(world, []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(w.Instances[0].IDs.Strings(), w.Instances[1].IDs.Strings(), w.Instances[1].Weights, w.Instances[1].List.Pins, w.Pool.IDs.Strings(), w.Pins); got != "[] [a c] [2500 1000] [0 1] [b d] [{lyon [1]}]" {
		t.Errorf("read %s", got)
	}
	for line, want := range map[string]string{
		`{"id":"a","instance":7}`:              "line 2: instance of \"a\": 7, want one of the instances",
		`{"id":"x"}`:                           "id \"x\" is there twice",
		`{"id":""}`:                            "line 2: id: missing",
		`{"id":"a","weight":-1}`:               "line 2: weight of \"a\": -1, want 0 (counted as 1) or more",
		`{"id":"a","owner":1}`:                 "line 2: unknown field \"owner\"",
		`{"id":"a"} {"id":"b"}`:                "line 2: is no JSON: line 1, byte 12: '{': want nothing more",
		`{"id":"a"`:                            "line 2: is no JSON: it ends too early",
		`["a"]`:                                "line 2: a list: want an object",
		`{"id":"a","Instance":1}`:              "line 2: unknown field \"Instance\"",
		`{"id":"\ud800"}`:                      "line 2: \\ud800 is half a surrogate pair",
		"{\"id\":\"\xff\"}":                    "line 2: is not UTF-8",
		`{"id":"a","id":"b"}`:                  "line 2: duplicate field \"id\"",
		`{"id":"a","instance":0,"instance":1}`: "line 2: duplicate field \"instance\"",
		`{"id":"a","labels":{"site":"lyon","site":"oslo"}}`: "line 2: duplicate field \"labels.site\"",
		`"` + strings.Repeat("x", 2<<20) + ``:               "line 2: bufio.Scanner: token too long",
	} {
		_, _, err := read(world, []byte("{\"id\":\"x\"}\n"+line))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("line %.40s: %v, want %s", line, err, want)
		}
	}
}

// TestOrdinalsAreSpeltInOneWay: "+1" and "01" name no instance, so a span may not be written with
// them.
func TestOrdinalsAreSpeltInOneWay(t *testing.T) {
	for spelt, fault := range map[string]string{
		"+0-1": "+0", "0-+1": "+1", "00-1": "00", "0-01": "01", " 0-1": " 0", "0 - 1": "0 ", "-0": "", "x": "x",
	} {
		_, _, err := read(fmt.Sprintf("instances: [{ordinals: %q}]", spelt), nil)
		want := fmt.Sprintf("ordinals: %q, want for example \"0-99\": ordinal %q: want a whole number", spelt, fault)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ordinals %q: %v, want %s", spelt, err, want)
		}
	}
}

// FuzzRead: whatever a file says, it is refused or gives a world for which plans are right.
func FuzzRead(f *testing.F) {
	f.Add("instances: [{ordinals: 0-2, resources: 3, capacity: 4}]\npool: [a, {id: b, pin: [1]}]", []byte(`{"id":"x","instance":1,"weight":2}`))
	f.Add("instances: [{ordinal: 1, state: leaving, resources: 3}]\nbalance: weight\nresourcesFrom: r", []byte(`{"id":"x","labels":{"a":"b"}}`))
	f.Fuzz(func(t *testing.T, text string, from []byte) {
		w, o, err := read(text, from)
		if err != nil || len(w.Instances) > 200 {
			return
		}
		resources := w.Pool.IDs.Len()
		for _, in := range w.Instances {
			resources += in.IDs.Len() + in.Arriving.Count
		}
		if resources > 10_000 {
			return
		}
		p, err := plan.Make(w, o)
		if err != nil {
			return
		}
		if err := plan.Check(w, p, o); err != nil {
			t.Fatal(err)
		}
	})
}
