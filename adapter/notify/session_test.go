package notify

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
)

// garbage is a message that nothing can be made of.
type garbage struct{ mqtt.Message }

func (garbage) Payload() []byte { return []byte("garbage") }
func (garbage) Ack()            {}

// A producer of garbage must not keep it from the log that nothing can be committed.
func TestGarbageDoesNotHideFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := newStore()
		s.setFault(func(string) error { return errors.New("no quorum") })
		source := New(Config{}, s, slog.New(slog.NewTextHandler(&log, nil)), prometheus.NewRegistry())
		c := source.newSession([]string{"Thing"}, func(observed.Signal) {})
		for range 1000 {
			c.unreadable(garbage{}, errors.New("not JSON"))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c.queues["Thing"].commit(ctx, []change{{Message: Message{Create: []string{"a"}}}})
		require.Contains(t, log.String(), "cannot be read")
		require.Contains(t, log.String(), "no quorum")
	})
}

func TestAPanicAtAMessageMakesItMalformed(t *testing.T) {
	s := newStore()
	source := New(Config{}, s, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	c := source.newSession([]string{"Thing"}, func(observed.Signal) {})
	c.frames = newFrames(nil)
	c.decoder = func([]byte, func(string) bool) (Message, error) { panic("index out of range") }
	c.receive(garbage{})
	require.Equal(t, 1, s.reconciled("Thing"))
	require.EqualValues(t, 1, testutil.ToFloat64(source.metrics.panics))
	require.EqualValues(t, 1, testutil.ToFloat64(source.metrics.messages.WithLabelValues("malformed")))
}
