package aggregated

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/shardscaler/shardscaler/internal/api/access"
	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/ops"
)

const groupVersion = access.Group + "/" + access.Version

// object is a kind, or a node, as kubectl wants it: the document is its status.
type object struct {
	metav1.TypeMeta
	Metadata metadata        `json:"metadata"`
	Status   json.RawMessage `json:"status"`
}

type metadata struct {
	Name              string  `json:"name"`
	Namespace         string  `json:"namespace"`
	CreationTimestamp *string `json:"creationTimestamp"` // null: it has none
}

type objectList struct {
	metav1.TypeMeta
	Metadata metav1.ListMeta `json:"metadata"`
	Items    []object        `json:"items"`
}

// convert makes an object of a node's document, and objects, or a table, of a kind's document or of
// those of a list that are selected.
func convert(body []byte, namespace string, selected selection, table bool) ([]byte, error) {
	list := struct {
		Node     *string            `json:"node"`
		Items    *[]json.RawMessage `json:"items"`
		Continue string             `json:"continue"`
	}{}
	if err := exact.JSON(body, &list); err != nil {
		return nil, fmt.Errorf("read own answer: %w", err)
	}
	if list.Node != nil {
		return json.Marshal(object{
			TypeMeta: metav1.TypeMeta{APIVersion: groupVersion, Kind: "NodeInstances"},
			Metadata: metadata{Name: *list.Node, Namespace: namespace}, Status: body,
		})
	}
	documents := []json.RawMessage{body}
	if list.Items != nil {
		documents = *list.Items
	}
	objects, version := make([]object, 0, len(documents)), newVersion()
	for _, document := range documents {
		var kind ops.Kind
		if err := exact.JSON(document, &kind); err != nil {
			return nil, fmt.Errorf("read own answer: %w", err)
		}
		if list.Items != nil && !selected.has(kind.Name, namespace) {
			continue
		}
		if _, err := version.add(kind); err != nil {
			return nil, err
		}
		objects = append(objects, object{
			TypeMeta: metav1.TypeMeta{APIVersion: groupVersion, Kind: "Kind"},
			Metadata: metadata{Name: kind.Name, Namespace: namespace}, Status: document,
		})
	}
	of := metav1.ListMeta{Continue: list.Continue}
	if list.Items != nil {
		of.ResourceVersion = version.String()
	}
	switch {
	case table:
		return asTable(objects, of)
	case list.Items == nil:
		return json.Marshal(objects[0])
	}
	return json.Marshal(objectList{TypeMeta: metav1.TypeMeta{APIVersion: groupVersion, Kind: "KindList"}, Metadata: of, Items: objects})
}

// version is what a list has as its resourceVersion: a hash of its documents, without what changes
// by time alone. A watch that begins with that of a list sends only what has changed since.
type version struct{ hash.Hash }

func newVersion() version { return version{sha256.New()} }

// add adds a kind, and returns what of it counts.
func (v version) add(k ops.Kind) ([]byte, error) {
	k = k.Undated()
	k.WorstLag = nil
	text, err := exact.Marshal(k)
	_, _ = v.Write(append(text, '\n')) // a hash takes all
	return text, err
}

// String is the version as text.
func (v version) String() string { return hex.EncodeToString(v.Sum(nil)[:8]) }

// shown is what a table shows of a kind's document.
type shown struct {
	Name      string            `json:"name"`
	Groups    []ops.Group       `json:"groups"`
	Resources ops.Resources     `json:"resources"`
	WorstLag  *ops.WorstLag     `json:"worstLag"`
	Alarms    []json.RawMessage `json:"alarms"`
	Paused    struct {
		Value bool `json:"value"`
	} `json:"paused"`
	Why string `json:"why"`
}

// columns are those of kubectl get kinds; the ones of priority 1 need -o wide.
var columns = []struct {
	metav1.TableColumnDefinition
	cell func(k *shown, g *ops.Group) any
}{
	{column("Name", "string", 0, "The kind as configured"), func(k *shown, _ *ops.Group) any { return k.Name }},
	{column("Replicas", "string", 0, "Replicas of the StatefulSet"), func(_ *shown, g *ops.Group) any { return number(g.Replicas) }},
	{column("Ready", "string", 0, "Ready pods"), func(_ *shown, g *ops.Group) any { return number(g.Ready) }},
	{column("Desired", "string", 0, "The size decided on"), func(_ *shown, g *ops.Group) any { return number(g.Desired) }},
	{column("Resources", "integer", 0, "Assigned, in flight and unassigned"), func(k *shown, _ *ops.Group) any { return k.Resources.Total }},
	{column("In-Flight", "integer", 0, "Resources that are being moved"), func(k *shown, _ *ops.Group) any { return k.Resources.InFlight }},
	{column("Unassigned", "integer", 0, "Resources that no instance owns"), func(k *shown, _ *ops.Group) any { return k.Resources.Unassigned }},
	{column("Lag", "string", 0, "Longest heartbeat lag"), lag},
	{column("Alarms", "integer", 0, "What a person should look at"), func(k *shown, _ *ops.Group) any { return len(k.Alarms) }},
	{column("StatefulSet", "string", 1, "What runs the instances"), func(_ *shown, g *ops.Group) any { return g.StatefulSet }},
	{column("Max", "integer", 1, "Greatest size"), func(_ *shown, g *ops.Group) any { return g.Max }},
	{column("Owner", "string", 1, "Which writer of replicas the size is left to"), func(_ *shown, g *ops.Group) any { return g.Owner }},
	{column("Paused", "boolean", 1, "Voluntary moves are stopped"), func(k *shown, _ *ops.Group) any { return k.Paused.Value }},
	{column("Why", "string", 1, "The latest decision in one sentence"), func(k *shown, _ *ops.Group) any { return k.Why }},
}

func column(name, kind string, priority int32, description string) metav1.TableColumnDefinition {
	format := ""
	if name == "Name" {
		format = "name"
	}
	return metav1.TableColumnDefinition{Name: name, Type: kind, Format: format, Priority: priority, Description: description}
}

func number(n *int) string {
	if n == nil {
		return "<unknown>"
	}
	return strconv.Itoa(*n)
}

func lag(k *shown, _ *ops.Group) any {
	if k.WorstLag == nil {
		return "<none>"
	}
	return k.WorstLag.Lag
}

// asTable has one row a StatefulSet of a kind.
func asTable(objects []object, of metav1.ListMeta) ([]byte, error) {
	t := metav1.Table{
		TypeMeta: metav1.TypeMeta{APIVersion: metav1.GroupName + "/v1", Kind: "Table"}, ListMeta: of, Rows: []metav1.TableRow{},
	}
	for _, c := range columns {
		t.ColumnDefinitions = append(t.ColumnDefinitions, c.TableColumnDefinition)
	}
	for _, o := range objects {
		var kind shown
		if err := exact.JSON(o.Status, &kind); err != nil {
			return nil, fmt.Errorf("read own answer: %w", err)
		}
		meta, err := json.Marshal(struct {
			metav1.TypeMeta
			Metadata metadata `json:"metadata"`
		}{metav1.TypeMeta{APIVersion: metav1.GroupName + "/v1", Kind: "PartialObjectMetadata"}, o.Metadata})
		if err != nil {
			return nil, err
		}
		groups := kind.Groups
		if len(groups) == 0 {
			groups = []ops.Group{{}}
		}
		for i := range groups {
			row := metav1.TableRow{Object: runtime.RawExtension{Raw: meta}}
			for _, c := range columns {
				row.Cells = append(row.Cells, c.cell(&kind, &groups[i]))
			}
			t.Rows = append(t.Rows, row)
		}
	}
	return json.Marshal(t)
}
