// Package prestop is the hook that holds a pod which ends until it owns nothing.
//
// In: what a server says of the pod, asked again and again. Out: nil when the pod may end, what is
// left when it has to. Invariant: it holds the pod only while that can help, and never longer than
// its grace less its margin; it imports the standard library alone, for containers of others.
package prestop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Config says whom to ask about which pod, and for how long.
type Config struct {
	// Server is the URL of any replica of shardscaler, or of their Service.
	Server    string
	Namespace string
	Pod       string
	// Grace is the pod's terminationGracePeriodSeconds, of which the process needs Margin to stop.
	Grace, Margin time.Duration
	// Patience is the time without any answer after which the hook gives up: without a server
	// nothing drains the pod.
	Patience time.Duration
}

// Default is a Config without server and pod.
func Default() Config {
	return Config{Grace: 600 * time.Second, Margin: 10 * time.Second, Patience: time.Minute}
}

// Validate reports all faults at once.
func (c *Config) Validate() error {
	var faults []error
	if u, err := url.Parse(c.Server); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		faults = append(faults, fmt.Errorf("server %q: must be http://host:port or https://host:port", c.Server))
	}
	if c.Namespace == "" {
		faults = append(faults, errors.New(`namespace "": must not be empty`))
	}
	if c.Pod == "" {
		faults = append(faults, errors.New(`pod "": must not be empty`))
	}
	if c.Margin < 0 || c.Grace <= c.Margin {
		faults = append(faults, fmt.Errorf("grace %s: must be greater than the margin of %s, which must not be negative", c.Grace, c.Margin))
	}
	if c.Patience <= 0 {
		faults = append(faults, fmt.Errorf("patience %s: must be greater than 0s", c.Patience))
	}
	return errors.Join(faults...)
}

// What Hold fails with.
var (
	// ErrLeft: the grace is nearly over and the pod still owns something.
	ErrLeft = errors.New("the grace is nearly over")
	// ErrUnanswered: no server said whether the pod may end.
	ErrUnanswered = errors.New("no answer")
)

// answer is what of the server's answer is read (internal/api.PodDrain).
type answer struct {
	State   string `json:"state"`
	Left    int    `json:"left"`
	Blocked string `json:"blocked"`
}

const (
	// poll is how long the server is asked to wait for news, retry the least time between asking.
	poll  = 20 * time.Second
	retry = time.Second
)

// Hold returns when the pod may end (nil), or has to. Each change is a line of out.
func Hold(ctx context.Context, c Config, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, c.Grace-c.Margin)
	defer cancel()
	// the first answer is wanted at once: the grace may be short
	last, wait := answer{}, time.Duration(0)
	for heard := time.Now(); ; {
		asked := time.Now()
		now, err := ask(ctx, c, wait)
		switch {
		case ctx.Err() != nil:
			return leftOver(last)
		case errors.Is(err, errUnknown):
			return fmt.Errorf("%w: %w", ErrUnanswered, err)
		case err != nil && time.Since(heard) >= c.Patience:
			return fmt.Errorf("%w for %s: %w", ErrUnanswered, c.Patience, err)
		case err == nil && now.State != "leaving":
			fmt.Fprintf(out, "%s: %s\n", c.Pod, now.State)
			return nil
		case err == nil:
			if now.Blocked == "" && now.Left >= last.Left {
				// a replica that does not lead may not know it, and nothing has moved since
				now.Blocked = last.Blocked
			}
			if heard = time.Now(); now != last {
				fmt.Fprintf(out, "%s: resources left: %d%s\n", c.Pod, now.Left, because(now.Blocked))
			}
			last, wait = now, pollBefore(ctx)
		}
		select {
		case <-ctx.Done():
			return leftOver(last)
		case <-time.After(retry - min(retry, time.Since(asked))):
		}
	}
}

// pollBefore is how long the server may wait so that its answer still comes in time.
func pollBefore(ctx context.Context) time.Duration {
	end, _ := ctx.Deadline() // Hold has set one
	return max(0, min(poll, time.Until(end)-retry)).Truncate(time.Second)
}

func leftOver(last answer) error {
	if last.State == "" {
		return fmt.Errorf("%w within the grace", ErrUnanswered)
	}
	return fmt.Errorf("%w: resources left: %d%s", ErrLeft, last.Left, because(last.Blocked))
}

func because(blocked string) string {
	if blocked == "" {
		return ""
	}
	return " (" + blocked + ")"
}

// errUnknown: the server knows no such pod, and will not.
var errUnknown = errors.New("the server refuses the question")

// answerTimeout is how long an answer may take beyond the time for which it is asked to wait.
const answerTimeout = 10 * time.Second

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 10

func ask(ctx context.Context, c Config, wait time.Duration) (a answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, wait+answerTimeout)
	defer cancel()
	where := strings.TrimSuffix(c.Server, "/") + "/v1/api/drains/" + url.PathEscape(c.Namespace) + "/" + url.PathEscape(c.Pod) + "?wait=" + wait.String()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return answer{}, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case err != nil:
		return answer{}, fmt.Errorf("read answer: %w", err)
	case resp.StatusCode >= 400 && resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests:
		return answer{}, fmt.Errorf("%w: HTTP %d: %s", errUnknown, resp.StatusCode, body)
	case resp.StatusCode != http.StatusOK:
		return answer{}, fmt.Errorf("HTTP %d: %s", resp.StatusCode, body)
	}
	if err := json.Unmarshal(body, &a); err != nil { //nolint:forbidigo // our own server wrote it, and the hook needs nothing but the standard library
		return answer{}, fmt.Errorf("read answer: %w", err)
	}
	if a.State != "stays" && a.State != "leaving" && a.State != "empty" {
		return answer{}, fmt.Errorf("read answer: state %q is not one of stays, leaving, empty", a.State)
	}
	return a, nil
}
