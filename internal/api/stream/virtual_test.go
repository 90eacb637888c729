package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/api/stream/delta"
	"github.com/shardscaler/shardscaler/internal/ops"
)

// pipes is a network without buffers, in virtual time.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error { return nil }

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	p.conns <- server
	return client, nil
}

// inVirtualTime runs a test of a hub in a bubble of synctest.
func inVirtualTime(t *testing.T, cfg Config, test func(t *testing.T, hub *Hub, c *http.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		hub := New(cfg)
		network := &pipes{make(chan net.Conn), make(chan struct{})}
		s := server(handler(hub))
		go func() { _ = s.Serve(network) }()
		transport := &http.Transport{DialContext: network.dial}
		t.Cleanup(func() {
			transport.CloseIdleConnections()
			close(network.done)
			_ = s.Close()
		})
		test(t, hub, &http.Client{Transport: transport})
	})
}

const here = "http://server"

func TestAStreamIsAStateAndThenChanges(t *testing.T) {
	w := things(500)
	inVirtualTime(t, w.config(), func(t *testing.T, _ *Hub, c *http.Client) {
		s := open(t, c, here, "", "")
		require.Equal(t, http.StatusOK, s.resp.StatusCode)
		require.Equal(t, "text/event-stream", s.resp.Header.Get("Content-Type"))
		require.Equal(t, "no-store, no-transform", s.resp.Header.Get("Cache-Control"))
		first, name, data := s.next()
		require.Equal(t, delta.EventState, name)
		require.True(t, strings.HasPrefix(data, `{"full":true,`))
		var client delta.Mirror
		require.NoError(t, client.Apply([]byte(data)))
		begun := time.Now()
		for i := range 10 {
			w.count(0, 7, i)
			time.Sleep(100 * time.Millisecond)
		}
		id, name, data := s.next()
		require.Equal(t, delta.EventChange, name)
		require.NotEqual(t, first, id)
		require.Less(t, len(data), 250, data)
		require.NoError(t, client.Apply([]byte(data)))
		seen, err := client.Seen(time.Now())
		require.NoError(t, err)
		require.Equal(t, 9, seen[0].Instances[7].List.Count)
		require.Equal(t, 4500, seen[0].Instances[8].List.Count)
		require.Equal(t, time.Second, time.Since(begun), "ten changes are one")
		w.change(func(w *world) { w.kinds[0].Instances = w.kinds[0].Instances[:499] })
		_, _, data = s.next()
		require.Contains(t, data, `"removed":[499]`)
	})
}

// A silence is broken each 15 s, by a comment and by what changes by time alone. None of the
// server's limits on requests ends a stream.
func TestSilenceIsBrokenEach15Seconds(t *testing.T) {
	w := things(3)
	inVirtualTime(t, w.config(), func(t *testing.T, _ *Hub, c *http.Client) {
		s := open(t, c, here, "", "")
		id, _, _ := s.next()
		last := time.Now()
		for range 40 {
			text, err := s.block()
			require.NoError(t, err)
			require.Equal(t, ": nothing has changed\n\n", text)
			require.Equal(t, 15*time.Second, time.Since(last))
			last = time.Now()
			same, name, data := s.next()
			require.Equal(t, []string{id, delta.EventChange}, []string{same, name})
			var u delta.Update
			require.NoError(t, json.Unmarshal([]byte(data), &u))
			require.Empty(t, u.Kinds)
			require.WithinDuration(t, last, u.At, time.Second)
			require.Equal(t, u.At, u.Dated["Thing"].Sources["store"])
		}
		w.count(0, 1, 7)
		_, name, data := s.next()
		require.Equal(t, delta.EventChange, name)
		require.Contains(t, data, `"list":{"count":7}`)
	})
}

func TestOnlyWhileThereAreViewersSomethingIsRead(t *testing.T) {
	w := things(3)
	inVirtualTime(t, w.config(), func(t *testing.T, hub *Hub, c *http.Client) {
		time.Sleep(time.Minute)
		require.Zero(t, w.reads)
		a, b := open(t, c, here, "", ""), open(t, c, here, "", "")
		a.next()
		b.next()
		a.drain()
		b.drain()
		time.Sleep(time.Minute)
		synctest.Wait()
		require.InDelta(t, 60, w.reads, 2, "once a second for all")
		a.close()
		b.close()
		synctest.Wait()
		before := w.reads
		time.Sleep(time.Minute)
		require.Equal(t, before, w.reads)
		require.Zero(t, hub.viewers)
		w.count(0, 2, 9)
		s := open(t, c, here, "", "")
		_, _, data := s.next()
		require.Contains(t, data, `"count":9`, "what is shown first is new")
	})
}

// A reader that takes nothing is cut off after 5 s, and catches up where it was.
func TestASlowReaderIsCutOffAndCatchesUp(t *testing.T) {
	w := things(500)
	inVirtualTime(t, w.config(), func(t *testing.T, hub *Hub, c *http.Client) {
		slow, other := open(t, c, here, "", ""), open(t, c, here, "", "")
		id, _, _ := slow.next()
		other.next()
		w.change(func(w *world) { // more than the reader's own buffers hold
			w.kinds[0].Instances = kindOf("Thing", 500).Instances
			for i := range w.kinds[0].Instances {
				w.kinds[0].Instances[i].List.Count = i
			}
		})
		_, _, data := other.next()
		require.Greater(t, len(data), 15_000)
		time.Sleep(4900 * time.Millisecond)
		require.Equal(t, 2, viewers(hub))
		time.Sleep(200 * time.Millisecond)
		require.Equal(t, 1, viewers(hub))
		require.ErrorIs(t, slow.ended(), io.ErrUnexpectedEOF)
		again := open(t, c, here, "", id)
		_, name, caught := again.next()
		require.Equal(t, delta.EventChange, name)
		require.Len(t, caught, len(data), "the same as the other got")
	})
}

func viewers(h *Hub) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.viewers
}

func TestAReaderThatComesBackGetsWhatItMissed(t *testing.T) {
	w := things(70)
	inVirtualTime(t, w.config(), func(t *testing.T, _ *Hub, c *http.Client) {
		s := open(t, c, here, "", "")
		id, _, _ := s.next()
		s.close()
		same := open(t, c, here, "", id)
		again, name, data := same.next()
		require.Equal(t, []string{id, delta.EventChange}, []string{again, name}, "it learns at once that nothing has changed")
		require.Contains(t, data, `"kinds":[]`)
		for i := range 60 {
			w.count(0, i, i)
			same.next()
		}
		missed := open(t, c, here, "", id)
		_, name, data = missed.next()
		require.Equal(t, delta.EventChange, name)
		require.Less(t, len(data), 3000, "60 counts")
		for i := range 130 {
			w.count(0, 0, 10_000+i)
			same.next()
		}
		for _, unknown := range []string{id, "x", "x.y~z", strings.Repeat("x", 20_000)} {
			_, name, data = open(t, c, here, "", unknown).next()
			require.Equal(t, delta.EventState, name)
			require.True(t, strings.HasPrefix(data, `{"full":true,`))
		}
	})
}

func TestRightsAreLookedAtAgainEachMinute(t *testing.T) {
	w := &world{kinds: []delta.Seen{kindOf("Thing", 2), kindOf("Rule", 2)}}
	cfg := w.config()
	var asked atomic.Int64
	var refused, hidden atomic.Value
	cfg.May = func(_ context.Context, kind string) bool { return kind != hidden.Load() }
	cfg.Recheck = func(ctx context.Context) error {
		asked.Add(1)
		_, bounded := ctx.Deadline()
		require.True(t, bounded)
		time.Sleep(2 * time.Second) // meanwhile the stream goes on
		err, _ := refused.Load().(error)
		return err
	}
	inVirtualTime(t, cfg, func(t *testing.T, _ *Hub, c *http.Client) {
		s := open(t, c, here, "", "")
		_, _, data := s.next()
		require.Contains(t, data, `"names":["Thing","Rule"]`)
		begun := time.Now()
		for asked.Load() < 3 {
			_, name, _ := s.next()
			require.Equal(t, delta.EventChange, name)
		}
		require.Greater(t, time.Since(begun), 150*time.Second)
		require.Less(t, time.Since(begun), 210*time.Second)
		hidden.Store("Rule")
		for !strings.Contains(data, `"names":["Thing"]`) {
			_, _, data = s.next()
			require.Less(t, time.Since(begun), 290*time.Second, "what may not be seen any more is gone at the next look")
		}
		refused.Store(errors.New("the token has expired"))
		name := ""
		for name != delta.EventBye {
			_, name, data = s.next()
			require.Less(t, time.Since(begun), 6*time.Minute)
		}
		require.JSONEq(t, `{"reason":"refused","text":"the token has expired"}`, data)
		require.ErrorIs(t, s.ended(), io.EOF)
	})
}

// Kubernetes that cannot be asked for a moment refuses nothing: the client connects again, and is let
// in when it can.
func TestWhoCannotBeCheckedConnectsAgain(t *testing.T) {
	w := &world{kinds: []delta.Seen{kindOf("Thing", 2)}}
	cfg := w.config()
	cfg.Recheck = func(context.Context) error { return fmt.Errorf("%w: it is away", ErrUnsure) }
	inVirtualTime(t, cfg, func(t *testing.T, _ *Hub, c *http.Client) {
		s := open(t, c, here, "", "")
		name, data := "", ""
		for name != delta.EventBye {
			_, name, data = s.next()
		}
		require.Contains(t, data, `"reason":"shutdown"`)
		require.Contains(t, data, "it is away")
		require.ErrorIs(t, s.ended(), io.EOF, "it is not watched on without a right")
	})
}

func TestACallerSeesItsKindsOnly(t *testing.T) {
	w := &world{kinds: []delta.Seen{kindOf("Thing", 2), kindOf("Rule", 2), kindOf("Task", 2)}}
	cfg := w.config()
	cfg.May = func(_ context.Context, kind string) bool { return kind != "Thing" }
	inVirtualTime(t, cfg, func(t *testing.T, _ *Hub, c *http.Client) {
		for query, names := range map[string]string{
			"": `"names":["Rule","Task"]`, "&kind=Task": `"names":["Task"]`, "&fieldSelector=metadata.name%3DRule": `"names":["Rule"]`,
			"&kind=Rule&fieldSelector=metadata.name%3D%3DRule": `"names":["Rule"]`,
		} {
			s := open(t, c, here, query, "")
			_, _, data := s.next()
			require.Contains(t, data, names)
			require.NotContains(t, data, "Thing", query)
			s.close()
		}
		s := open(t, c, here, "&kind=Task", "")
		s.next()
		w.count(0, 1, 1)
		w.count(1, 1, 2)
		w.count(2, 1, 3)
		_, _, data := s.next()
		require.Contains(t, data, `"count":3`)
		require.NotContains(t, data, `"count":2`)
		s.close()
		for query, status := range map[string]int{
			"&kind=Thing": http.StatusForbidden, "&kind=Nothing": http.StatusNotFound, "&fieldSelector=spec.x%3Dy": http.StatusBadRequest,
			"&fieldSelector=%21%21": http.StatusBadRequest, "&kind=Rule&fieldSelector=metadata.name%3DTask": http.StatusBadRequest,
		} {
			s := open(t, c, here, query, "")
			require.Equal(t, status, s.resp.StatusCode, query)
			require.Equal(t, "application/problem+json", s.resp.Header.Get("Content-Type"))
			s.close()
		}
	})
}

func TestKindsThatComeAndGo(t *testing.T) {
	w := things(2)
	inVirtualTime(t, w.config(), func(t *testing.T, _ *Hub, c *http.Client) {
		s := open(t, c, here, "", "")
		var client delta.Mirror
		names := func() (names []string) {
			_, _, data := s.next()
			require.NoError(t, client.Apply([]byte(data)))
			seen, err := client.Seen(time.Now())
			require.NoError(t, err)
			for _, k := range seen {
				names = append(names, k.Kind.Name)
			}
			return names
		}
		require.Equal(t, []string{"Thing"}, names())
		w.change(func(w *world) { w.kinds = []delta.Seen{kindOf("Rule", 1), w.kinds[0]} })
		require.Equal(t, []string{"Rule", "Thing"}, names())
		w.change(func(w *world) { w.kinds = []delta.Seen{w.kinds[1], w.kinds[0]} })
		require.Equal(t, []string{"Thing", "Rule"}, names())
		w.change(func(w *world) { w.kinds = nil })
		require.Empty(t, names())
		w.change(func(w *world) { w.kinds = []delta.Seen{kindOf("Rule", 1)} })
		require.Equal(t, []string{"Rule"}, names())
	})
}

func TestHistoryIsSentOnceEach(t *testing.T) {
	w := things(2)
	w.entries = []ops.Entry{{ID: "001", Type: "sample"}}
	inVirtualTime(t, w.config(), func(t *testing.T, _ *Hub, c *http.Client) {
		s := open(t, c, here, "", "")
		old, name, _ := s.next()
		require.Equal(t, delta.EventState, name)
		add := func(id string) {
			w.change(func(w *world) { w.entries = append(w.entries, ops.Entry{ID: id, Type: "decision"}) })
		}
		add("002")
		add("003")
		id, name, data := s.next()
		require.Equal(t, delta.EventHistory, name)
		require.NotEqual(t, old, id)
		require.JSONEq(t, `{"kind":"Thing","items":[{"id":"002","at":"0001-01-01T00:00:00Z","type":"decision"},{"id":"003","at":"0001-01-01T00:00:00Z","type":"decision"}]}`, data)
		add("004")
		_, _, data = s.next()
		require.Contains(t, data, `"items":[{"id":"004"`)
		s = open(t, c, here, "", id)
		_, name, _ = s.next()
		require.Equal(t, delta.EventChange, name)
		_, name, data = s.next()
		require.Equal(t, delta.EventHistory, name)
		require.Contains(t, data, `"items":[{"id":"004"`, "what came since that id")
		for range MaxMissed {
			add("005")
		}
		time.Sleep(interval * 3 / 2) // a whole one would end as the hub looks
		_, name, _ = open(t, c, here, "", id).next()
		require.Equal(t, delta.EventState, name, "too much has come since")
	})
}

func TestTheServerEndsAllStreams(t *testing.T) {
	w := things(2)
	inVirtualTime(t, w.config(), func(t *testing.T, hub *Hub, c *http.Client) {
		a, b := open(t, c, here, "", ""), open(t, c, here, "&kind=Thing", "")
		a.next()
		b.next()
		begun := time.Now()
		hub.Close()
		hub.Close()
		for _, s := range []*stream{a, b} {
			_, name, data := s.next()
			require.Equal(t, delta.EventBye, name)
			require.JSONEq(t, `{"reason":"shutdown","text":"this replica ends"}`, data)
			require.ErrorIs(t, s.ended(), io.EOF)
		}
		require.Zero(t, time.Since(begun))
		late := open(t, c, here, "", "")
		require.Equal(t, http.StatusServiceUnavailable, late.resp.StatusCode)
		require.Equal(t, "1", late.resp.Header.Get("Retry-After"))
	})
}

// What cannot be read is tried again, and ends no stream.
func TestAPanicWhileReadingEndsNoStream(t *testing.T) {
	w := things(2)
	inVirtualTime(t, w.config(), func(t *testing.T, _ *Hub, c *http.Client) {
		s := open(t, c, here, "", "")
		s.next()
		w.change(func(w *world) { w.broken = true })
		text, err := s.block()
		require.NoError(t, err)
		require.Equal(t, ": nothing has changed\n\n", text)
		begun := time.Now()
		w.change(func(w *world) { w.broken = false })
		w.count(0, 0, 3)
		_, _, data := s.next()
		require.Contains(t, data, `"count":3`)
		require.LessOrEqual(t, time.Since(begun), time.Second)
	})
}

func TestWhatIsNoStream(t *testing.T) {
	w := things(2)
	inVirtualTime(t, w.config(), func(t *testing.T, hub *Hub, c *http.Client) {
		for _, query := range []string{"", "?watch=false", "?watch=0", "?watch=FALSE", "?kind=Thing"} {
			resp, err := c.Get(here + path + query)
			require.NoError(t, err)
			text, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			resp.Body.Close()
			require.Equal(t, "\"listed\"\n", string(text), query)
		}
		for _, query := range []string{"?watch", "?watch=", "?watch=1", "?watch=yes"} {
			resp, err := c.Get(here + path + query)
			require.NoError(t, err)
			require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"), query)
			resp.Body.Close()
		}
		resp, err := c.Head(here + path + "?watch=true")
		require.NoError(t, err)
		require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
		resp.Body.Close()
		synctest.Wait()
		require.Zero(t, viewers(hub), "a HEAD holds no place")
	})
}
