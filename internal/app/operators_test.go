package app

import (
	"context"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/api/access"
	"github.com/shardscaler/shardscaler/internal/ops"
)

// one lets callers have one right.
type one struct {
	access.Reviews
	right access.Right
}

func (o *one) Allowed(_ context.Context, _, _ string, _ access.User, r access.Right) (bool, error) {
	return r == o.right, nil
}

func (*one) AllowedFormerly(context.Context, string, string, access.User, string) (bool, error) {
	return false, nil
}

// To apply a plan is no way around the right of the call that makes the same change.
func TestAPlanNeedsTheRightOfItsChange(t *testing.T) {
	n, yes, no := 3, true, false
	changes := map[string]ops.Change{
		"update size": {Size: &n}, "delete size": {EndSize: true}, "update limits": {Capacity: &n}, "create drains": {Drain: &n}, "delete drains": {Undrain: &n},
		"create pins": {Pin: &ops.PinRequest{}}, "create moves": {Move: &ops.PinRequest{}}, "delete pins": {Unpin: "x"},
		"create pause": {Paused: &yes}, "delete pause": {Paused: &no},
	}
	reviews := &one{}
	guard := access.New(access.Config{Namespace: "iota"}, reviews, nil, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	o := operators{&App{serving: serving{guard: guard}}}
	for right, c := range changes {
		for other := range changes {
			verb, subresource, _ := strings.Cut(other, " ")
			reviews.right = access.Right{Verb: verb, Resource: "kinds", Subresource: subresource, Name: "Thing", Namespace: "iota"}
			err := o.mayApply(t.Context(), "Thing", &c)
			if other == right {
				require.NoError(t, err, right)
				continue
			}
			var answer huma.StatusError
			require.ErrorAs(t, err, &answer)
			require.Equal(t, http.StatusForbidden, answer.GetStatus())
			require.ErrorContains(t, err, "may not "+strings.Replace(right, " ", " kinds/", 1))
		}
	}
	require.NoError(t, o.mayApply(t.Context(), "Thing", &ops.Change{}), "a spread")
	reviews.right = access.Right{}
	for i := range reflect.TypeFor[ops.Change]().NumField() { // none is forgotten
		field := reflect.TypeFor[ops.Change]().Field(i).Name
		if slices.Contains([]string{"For", "IfMatch"}, field) {
			continue
		}
		var c ops.Change
		v := reflect.ValueOf(&c).Elem().Field(i)
		switch v.Kind() {
		case reflect.Pointer:
			v.Set(reflect.New(v.Type().Elem()))
		case reflect.Bool:
			v.SetBool(true)
		default:
			v.SetString("x")
		}
		require.Error(t, o.mayApply(t.Context(), "Thing", &c), field)
	}
}
