package aggregated

import (
	"fmt"
	"net/url"
	"slices"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

// selection is which kinds of a list are shown. They have a name, a namespace, and no labels.
type selection struct {
	fields fields.Selector
	labels labels.Selector
}

const nameField, namespaceField = "metadata.name", "metadata.namespace"

// selectionOf reads the selectors of a query; without one all kinds are selected.
func selectionOf(query url.Values) (s selection, err error) {
	if s.fields, err = fields.ParseSelector(query.Get("fieldSelector")); err != nil {
		return s, fmt.Errorf("fieldSelector: %w", err)
	}
	if s.labels, err = labels.Parse(query.Get("labelSelector")); err != nil {
		return s, fmt.Errorf("labelSelector: %w", err)
	}
	for _, r := range s.fields.Requirements() {
		if !slices.Contains([]string{nameField, namespaceField}, r.Field) {
			return s, fmt.Errorf("fieldSelector: %q: only %s and %s are taken", r.Field, nameField, namespaceField)
		}
	}
	return s, nil
}

func (s selection) has(name, namespace string) bool {
	return s.fields.Matches(fields.Set{nameField: name, namespaceField: namespace}) && s.labels.Matches(labels.Set{})
}
