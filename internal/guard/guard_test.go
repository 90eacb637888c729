package guard

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func fails() error {
	var none []int
	return fmt.Errorf("element %d", none[0])
}

func TestAPanicIsAnErrorThatSaysWhere(t *testing.T) {
	err := fmt.Errorf("run: %w", Run(fails))
	require.ErrorContains(t, err, "run: panic: runtime error: index out of range")
	require.Contains(t, string(Caught(err).Stack), "guard.fails")
	require.PanicsWithValue(t, Caught(err), func() { Raise(err) })
	require.Same(t, Caught(err), Run(func() error { Raise(err); return nil }), "it stays the first one")
}

func TestAnErrorStaysWhatItIs(t *testing.T) {
	wrong := errors.New("wrong")
	require.Same(t, wrong, Run(func() error { return wrong }))
	require.NoError(t, Run(func() error { return nil }))
	require.Nil(t, Caught(wrong))
	require.NotPanics(t, func() { Raise(wrong); Raise(nil) })
}

func TestAPanicOfAGroupIsThatOfWhoWaits(t *testing.T) {
	g, ctx := NewGroup(t.Context())
	g.Go(fails)
	g.Go(func() error { <-ctx.Done(); return ctx.Err() })
	require.Contains(t, string(Caught(Run(g.Wait)).Stack), "guard.fails")
}
