// Package client follows the kinds of a server by its stream, for programs.
//
// In: a server's address, and what authenticates the caller. Out: the documents, after each change.
// Invariant: a lost connection is made again, after pauses that grow, and is never silent: the age
// of what is shown can be asked for at any time.
package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/shardscaler/shardscaler/internal/api/stream/delta"
	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/wake"
)

// Config configures Watch. URL and HTTP are required.
type Config struct {
	// URL is that of the list of kinds; kind=Thing or a fieldSelector in its query picks one.
	URL string
	// HTTP authenticates the caller. It must have no Timeout: a stream has no end.
	HTTP *http.Client
	// Least and Most bound the pauses before a connection is made again. Default 1s and 30s.
	Least, Most time.Duration
}

// silence is how long a server that is there is silent at most: it sends something every 15 s.
const silence = 40 * time.Second

// State is what a client knows. It is valid while the function that got it runs.
type State struct {
	// Trouble is why there is no connection; nil: there is one.
	Trouble error
	// News are the history entries that came with the latest event.
	News *delta.History

	mirror delta.Mirror
	heard  time.Time // when the latest update came, by this machine's clock
}

// Known says whether there is anything to show.
func (s *State) Known() bool { return !s.heard.IsZero() }

// Age is how long ago what is shown was true, by this machine's clock. It grows to 15 s where
// nothing changes, and beyond that where the connection is lost.
func (s *State) Age(now time.Time) time.Duration { return max(0, now.Sub(s.heard)) }

// Kinds are the documents as GET would show them at now, a time of this machine's clock. Ages are
// by the server's clock.
func (s *State) Kinds(now time.Time) ([]delta.Seen, error) {
	return s.mirror.Seen(s.mirror.At().Add(s.Age(now)))
}

// Refused is an answer that is no stream.
type Refused struct {
	Status int
	Detail string
	// After is the pause that the server asks for; 0: it asks for none.
	After time.Duration
}

// Error implements error.
func (r *Refused) Error() string {
	return fmt.Sprintf("the server answers %d %s: %s", r.Status, http.StatusText(r.Status), r.Detail)
}

// final says that asking again is of no use.
func (r *Refused) final() bool {
	return r.Status < 500 && r.Status != http.StatusTooManyRequests && r.Status != http.StatusRequestTimeout
}

// Watch calls changed after each event, and when a connection is lost, from one goroutine. It
// returns nil when ctx ends, and a *Refused when the server will not have the caller.
func Watch(ctx context.Context, cfg Config, changed func(*State)) error {
	cfg.Least, cfg.Most = cmp.Or(cfg.Least, time.Second), cmp.Or(cfg.Most, 30*time.Second)
	address, err := url.Parse(cfg.URL)
	if err != nil {
		return fmt.Errorf("read the server's address: %w", err)
	}
	query := address.Query()
	query.Set("watch", "true")
	address.RawQuery = query.Encode()
	w := watcher{cfg: cfg, url: address.String(), changed: changed}
	for {
		err := w.connect(ctx)
		if ctx.Err() != nil {
			return nil
		}
		refused := (*Refused)(nil)
		if errors.As(err, &refused) && refused.final() {
			return err
		}
		w.state.Trouble, w.state.News = err, nil
		changed(&w.state)
		if !wake.Sleep(ctx, w.pause(refused)) {
			return nil
		}
	}
}

type watcher struct {
	cfg     Config
	url     string
	changed func(*State)
	state   State
	lastID  string
	failed  int           // connections in a row that brought no update
	asked   time.Duration // the pause that the server has asked for
}

// pause is the time before the next connection: it doubles, and no two clients have the same. What
// the server asks for is the least.
func (w *watcher) pause(refused *Refused) time.Duration {
	p := min(w.cfg.Most, max(w.cfg.Least, w.asked)<<min(w.failed, 10))
	w.failed++
	p = p/2 + rand.N(p/2+1)
	if refused != nil {
		p = max(p, refused.After+rand.N(w.cfg.Least))
	}
	return p
}

var errSilent = fmt.Errorf("nothing has come for %s", silence)

// connect follows one connection until it ends.
func (w *watcher) connect(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer watchdog.Stop()
	err := w.follow(ctx, func() { watchdog.Reset(silence) })
	if errors.Is(context.Cause(ctx), errSilent) {
		return errSilent
	}
	return err
}

func (w *watcher) follow(ctx context.Context, heard func()) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url, http.NoBody)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "text/event-stream")
	if w.lastID != "" {
		r.Header.Set("Last-Event-ID", w.lastID)
	}
	resp, err := w.cfg.HTTP.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return refusal(resp)
	}
	return events(resp.Body, heard, w.take)
}

// take takes in one event. After an error what is held is half-done, and is asked for anew.
func (w *watcher) take(e *event) error {
	if e.retry > 0 {
		w.asked = min(e.retry, w.cfg.Most)
	}
	if e.name == "" {
		return nil
	}
	s := &w.state
	s.News = nil
	var err error
	switch e.name {
	case delta.EventState, delta.EventChange:
		if err = s.mirror.Apply(e.data); err == nil {
			s.heard, w.failed = time.Now(), 0
		}
	case delta.EventHistory:
		s.News = &delta.History{}
		err = exact.JSON(e.data, s.News)
	case delta.EventBye:
		return farewell(e.data)
	}
	if err != nil {
		w.lastID = ""
		return err
	}
	w.lastID = cmp.Or(e.id, w.lastID)
	s.Trouble = nil
	w.changed(s)
	return nil
}

func farewell(data []byte) error {
	var bye delta.Bye
	if err := exact.JSON(data, &bye); err != nil {
		return fmt.Errorf("read why the server ended the stream: %w", err)
	}
	return fmt.Errorf("the server ended the stream (%s): %s", bye.Reason, bye.Text)
}

// retryAfter reads the header of that name, in seconds.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 || seconds > 3600 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}
