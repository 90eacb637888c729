package saved

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// names gives each name a stand-in, the same wherever the name comes.
type names struct {
	counts map[string]int
	stands map[string]string
	own    map[string]string // those that stand in one place alone, by sort and name
}

// stand notes a name of a sort: node-1, node-2, … It keeps what stands for it already.
func (n *names) stand(sort, name string) {
	if name == "" || n.stands[name] != "" {
		return
	}
	n.counts[sort]++
	n.stands[name] = fmt.Sprintf("%s-%d", sort, n.counts[sort])
}

// Redact replaces the names of namespaces, StatefulSets, pods, nodes, groups, HPAs and topics, and
// all uids, each by the same stand-in everywhere; pods keep their ordinals, and kinds their names.
// So are persons, and resources that they have pinned, where these are named as such. Labels, pins
// of the configuration and the catalogue's query are left out, and of texts what is quoted and what looks
// like an address. What is decided stays the same, but for such texts.
func Redact(s decide.Saved) (decide.Saved, error) {
	n := names{counts: map[string]int{}, stands: map[string]string{}, own: map[string]string{}}
	text, err := json.Marshal(s)
	if err != nil {
		return decide.Saved{}, fmt.Errorf("redact: %w", err)
	}
	if s, err = decide.ParseSaved(text); err != nil { // a copy of its own
		return decide.Saved{}, fmt.Errorf("redact: %w", err)
	}
	for i := range s.Inputs {
		n.input(&s.Inputs[i])
	}
	for i := range s.Configured {
		n.configured(&s.Configured[i])
	}
	if text, err = json.Marshal(s); err != nil {
		return decide.Saved{}, fmt.Errorf("redact: %w", err)
	}
	var tree any
	dec := json.NewDecoder(bytes.NewReader(text)) //nolint:forbidigo // it is our own text, and exact numbers stay so
	dec.UseNumber()
	if err := dec.Decode(&tree); err != nil {
		return decide.Saved{}, fmt.Errorf("redact: %w", err)
	}
	if text, err = json.Marshal(n.walk(tree, n.pattern())); err != nil {
		return decide.Saved{}, fmt.Errorf("redact: %w", err)
	}
	return decide.ParseSaved(text)
}

// input notes the names of one kind, and leaves out what has no stand-in.
func (n *names) input(in *decide.Input) {
	c, k := &in.Config, &in.Observed
	n.config(c)
	n.operator(&in.Operator)
	n.stand("namespace", k.Namespace)
	if w := k.Workload; w != nil {
		w.Labels, w.Selector = nil, ""
		n.stand("uid", w.UID)
	}
	for i := range k.Instances {
		inst := &k.Instances[i]
		for _, pod := range []*observed.Pod{inst.Pod, inst.Unadopted} {
			if pod != nil {
				pod.Labels = nil
				n.stand("node", pod.Node)
				n.stand("uid", pod.UID)
			}
		}
		if inst.List != nil && inst.List.Status != nil {
			n.stand("uid", inst.List.Status.PodUID)
		}
	}
	for _, groups := range [][]observed.Group{k.Groups, k.Strangers} {
		for i := range groups {
			groups[i].Labels = nil
			n.stand("group", groups[i].Name)
			n.stand("uid", groups[i].UID)
			n.stand("set", groups[i].StatefulSet)
		}
	}
	for _, h := range k.HPAs {
		n.stand("hpa", h.Name)
		n.stand("set", h.Target)
	}
	for _, r := range in.History.Restarts {
		n.stand("uid", r.UID)
	}
}

func (n *names) config(c *config.Kind) {
	c.Pins, c.Catalogue.Query = nil, "SELECT id FROM resources"
	n.stand("set", c.StatefulSet)
	if c.Heartbeat != nil {
		n.stand("topic", c.Heartbeat.Topic)
	}
}

func (n *names) operator(o *config.Operator) {
	if o.Size != nil {
		n.said(&o.Size.Said)
	}
	for i := range o.Drains {
		n.said(&o.Drains[i].Said)
	}
	for i := range o.Pins {
		p := &o.Pins[i]
		n.said(&p.Said)
		p.Resource = n.here("resource", p.Resource)
	}
	slices.SortFunc(o.Pins, func(a, b config.OperatorPin) int { return strings.Compare(a.Resource, b.Resource) })
}

func (n *names) configured(s *decide.Configured) {
	n.config(&s.Base)
	if o := s.Override.MaxInstances; o != nil {
		n.said(&o.Said)
	}
	if o := s.Override.ResourcePerInstance; o != nil {
		n.said(&o.Said)
	}
	if o := s.Override.Paused; o != nil {
		n.said(&o.Said)
	}
	if strings.Trim(s.Version, "0123456789") != "" { // the name of a file
		s.Version = "(redacted)"
	}
}

func (n *names) said(s *config.Said) { s.By = n.here("person", s.By) }

// here is the stand-in of a name in its own place alone: persons and resources may be named as any
// word is.
func (n *names) here(sort, name string) string {
	if name == "" {
		return ""
	}
	key := sort + " " + name
	if n.own[key] == "" {
		n.counts[sort]++
		n.own[key] = fmt.Sprintf("%s-%d", sort, n.counts[sort])
	}
	return n.own[key]
}

// pattern finds the names as whole words, the longest first; a pod's ordinal may follow.
func (n *names) pattern() *regexp.Regexp {
	all := make([]string, 0, len(n.stands))
	for name := range n.stands {
		all = append(all, regexp.QuoteMeta(name))
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	if len(all) == 0 {
		return regexp.MustCompile(`$^`)
	}
	return regexp.MustCompile(`\b(?:` + strings.Join(all, "|") + `)\b`)
}

// private is what texts may tell of a site beside the names: what is quoted, and addresses.
var private = regexp.MustCompile("\"[^\"]*\"|'[^']*'|`[^`]*`|[a-z]+://\\S+|\\b\\d{1,3}(?:\\.\\d{1,3}){3}(?::\\d+)?\\b|\\b[\\w-]+(?:\\.[\\w-]+)+(?::\\d+)?\\b|\\[[0-9a-fA-F:]+\\](?::\\d+)?|(?:/[\\w.-]+){2,}")

// texts are the members that hold sentences.
var texts = map[string]bool{"error": true, "statusFault": true, "reason": true, "refused": true, "resizing": true, "missingCPU": true, "missingMemory": true}

func (n *names) walk(value any, known *regexp.Regexp) any {
	switch v := value.(type) {
	case map[string]any:
		for key, each := range v {
			if text, ok := each.(string); ok && texts[key] {
				each = private.ReplaceAllString(text, "(redacted)")
			}
			v[key] = n.walk(each, known)
		}
	case []any:
		for i := range v {
			v[i] = n.walk(v[i], known)
		}
	case string:
		return known.ReplaceAllStringFunc(v, func(name string) string { return n.stands[name] })
	}
	return value
}
