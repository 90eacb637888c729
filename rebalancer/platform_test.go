package rebalancer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/notify"
	"github.com/shardscaler/shardscaler/internal/testbed/docstest"
)

// way is a line of what tools/sequelize recorded: how an application changed rows, what was
// published, and the ids of the catalogue before and after.
type way struct {
	Way      string   `json:"way"`
	Kind     string   `json:"kind"`
	Before   []string `json:"before"`
	Messages []string `json:"messages"`
	After    []string `json:"after"`
	Error    string   `json:"error"`
}

// announcedWrongly: what its messages said was not so, or was no longer: hooks that run before a
// COMMIT which never comes, and a row that is destroyed and then made again without a message.
func (w *way) announcedWrongly() bool {
	return strings.HasPrefix(w.Way, "hooks without afterCommit") || strings.HasSuffix(w.Way, "then restore")
}

func recordedWays(t *testing.T) (ways []way) {
	t.Helper()
	text, err := os.ReadFile("../adapter/notify/testdata/sequelize.jsonl")
	require.NoError(t, err)
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		var w way
		require.NoError(t, json.Unmarshal(lines.Bytes(), &w))
		ways = append(ways, w)
	}
	require.Len(t, ways, 101)
	return ways
}

// The ways of the platform's ORM, one by one: no row that exists loses its instance by a message,
// unless that was announced before its COMMIT; and two reads of the catalogue, whatever was
// published, leave what the catalogue has. The table is in the documentation.
func TestWhatThePlatformPublishes(t *testing.T) {
	var table strings.Builder
	table.WriteString("| way | published | what is done | right |\n| --- | --- | --- | --- |\n")
	for _, w := range recordedWays(t) {
		t.Run(w.Way, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				done, right := follow(t, &w)
				fmt.Fprintf(&table, "| %s | %s | %s | %s |\n", w.Way, messagesOf(w.Messages), strings.Join(done, ", "), right)
			})
		})
	}
	docstest.Table(t, "../docs/platform.md", "go test ./rebalancer -run TestWhatThePlatformPublishes", table.String())
}

// follow plays one way to an engine, and says what each message had it do and when the assignment
// was right.
func follow(t *testing.T, w *way) (done []string, right string) {
	others := names("other", 100) // so that no share of the kind is large
	catalogue := append(slices.Clone(others), w.After...)
	r := newRig(t, newDouble()).lead(0, 1)
	r.create(append(slices.Clone(others), w.Before...)...)
	r.wait(3 * time.Second)
	asked := r.resyncs.Load()
	for _, text := range w.Messages {
		done = append(done, r.obey(text))
	}
	asksARead := slices.ContainsFunc(done, func(d string) bool { return strings.Contains(d, "read") }) || r.resyncs.Load() > asked
	r.wait(3 * time.Second)
	have := r.assigned()
	if !w.announcedWrongly() {
		for _, id := range w.Before {
			if slices.Contains(w.After, id) {
				require.Contains(t, have, id, "a row that exists lost its instance")
			}
		}
	}
	is := func() bool { return slices.Equal(r.assigned(), sorted(catalogue)) }
	when := "with the next read"
	if asksARead {
		when = "with the read that is asked for"
	}
	done = append(done, nothing(w)...)
	if is() {
		return done, "at once"
	}
	for _, right := range []string{when, "with the second read"} {
		r.read(known(catalogue)...)
		r.wait(3 * time.Second) // its deletes are done
		if is() {
			return done, right
		}
	}
	require.Equal(t, sorted(catalogue), r.assigned(), "two reads do not leave what the catalogue has")
	return nil, ""
}

// obey does what a message asks of the engine, and says what that was.
func (r *rig) obey(text string) string {
	r.t.Helper()
	m, err := notify.Decode([]byte(text), func(string) bool { return false })
	require.NoError(r.t, err)
	var did []string
	if len(m.Create) > 0 {
		r.create(m.Create...)
		did = append(did, "create")
	}
	if len(m.Delete) > 0 {
		require.NoError(r.t, r.e.Delete(r.t.Context(), m.Delete))
		did = append(did, "delete")
	}
	if len(m.Claim) > 0 {
		r.claim(m.Claim...)
		did = append(did, "claim, to be decided by a read")
	}
	asked := r.resyncs.Load()
	require.NoError(r.t, r.e.Shown(m.Shown))
	if m.Reconcile || len(m.Shown) > 0 && r.resyncs.Load() > asked {
		did = append(did, "ask for a read")
	}
	if len(did) == 0 {
		return "nothing"
	}
	return strings.Join(did, " and ")
}

// assigned are the ids that an instance has, in order.
func (r *rig) assigned() (ids []string) {
	for _, in := range r.d.snapshot().Instances {
		ids = append(ids, in.IDs.Strings()...)
	}
	require.Empty(r.t, r.d.snapshot().Pool)
	return sorted(ids)
}

func sorted(ids []string) []string { return slices.Sorted(slices.Values(ids)) }

func nothing(w *way) []string {
	if len(w.Messages) == 0 {
		return []string{"nothing"}
	}
	return nil
}

// messagesOf shows messages in a cell of a table.
func messagesOf(messages []string) string {
	const longest = 110
	if len(messages) == 0 {
		return "nothing"
	}
	var cells []string
	for _, m := range messages[:min(len(messages), 2)] {
		if i := strings.Index(m, `"instance":{`); i >= 0 {
			m = m[:i] + `"instance":{…}}`
		}
		if len(m) > longest {
			m = strings.ToValidUTF8(m[:longest], "") + "…"
		}
		cells = append(cells, "`"+strings.ReplaceAll(m, "|", `\|`)+"`")
	}
	if more := len(messages) - len(cells); more > 0 {
		cells = append(cells, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(cells, " ")
}
