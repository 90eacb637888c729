package rebalancer

import (
	"fmt"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/rebalancer/loop"
)

// keeps says why nothing may be moved out of n; "" when it may.
func (t *term) keeps(n int) string { return t.releases.Fixed(n) }

// namedFixed is how many fixed instances are named at once.
const namedFixed = 3

// blockKept says why what should leave its instance stays there.
func (t *term) blockKept(now time.Time) {
	var texts []string
	for _, n := range t.releases.FixedOrdinals() {
		if text := t.kept(n, now); text != "" {
			texts = append(texts, text)
		}
	}
	if more := len(texts) - namedFixed; more > 0 {
		texts = append(texts[:namedFixed], fmt.Sprintf("%d more instances keep what they have", more))
	}
	if len(texts) > 0 {
		t.block(strings.Join(texts, "; "))
	}
}

// kept says what should leave n and does not, and why; "" when there is nothing.
func (t *term) kept(n int, now time.Time) string {
	why, in := t.keeps(n), t.st.Instances[n]
	if in == nil {
		return ""
	}
	what, count := "is to leave and keeps %d resources", in.IDs.Len()
	if t.stays(n) {
		what, count = "keeps %d resources that pins forbid there", 0
		if t.pinned() {
			count = t.listed(n, in).misplaced
		}
	}
	if count == 0 {
		return ""
	}
	text := fmt.Sprintf("instance %d "+what+": %s", n, count, why)
	if t.releases.Lapses(n, now) {
		return text + ", and it acknowledged before: waiting for it to come back"
	}
	return text + ": " + loop.WaysOut(t.st.Kind, n)
}
