package metricsapi

import (
	"strings"
	"testing"

	"github.com/shardscaler/shardscaler/internal/testbed/docstest"
)

// The documentation has the table that the code has.
func TestDocumentation(t *testing.T) {
	docstest.Table(t, "../../docs/metrics.md", "go test ./adapter/metricsapi -run TestDocumentation", tableAsMarkdown())
}

func tableAsMarkdown() string {
	var b strings.Builder
	b.WriteString("| metric | on | unit | external | meaning |\n| --- | --- | --- | --- | --- |\n")
	for _, m := range table {
		external := "no"
		if m.external {
			external = "yes"
		}
		var on []string
		for _, object := range m.objects() {
			on = append(on, "`"+object.String()+"`")
		}
		b.WriteString("| `" + m.name + "` | " + strings.Join(on, ", ") + " | " + m.unit + " | " + external + " | " + m.meaning + " |\n")
	}
	return b.String()
}
