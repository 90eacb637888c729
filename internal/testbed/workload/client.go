package workload

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/shardscaler/shardscaler/internal/testbed/httpcall"
)

// Control speaks to the control address of a running simulation.
type Control struct {
	// Addr is host:port.
	Addr string
}

// Instances lists what runs, with the ids if asked for.
func (c Control) Instances(ctx context.Context, withIDs bool) (list []Instance, err error) {
	path := "/v1/instances"
	if withIDs {
		path += "?ids=1"
	}
	return list, c.call(ctx, http.MethodGet, path, &list)
}

// Hooks lists the preStop hooks that ran or run, oldest first.
func (c Control) Hooks(ctx context.Context) (list []Hook, err error) {
	return list, c.call(ctx, http.MethodGet, "/v1/hooks", &list)
}

// Fault asks for hang, stall, resume, crash, mute or unmute of one instance. A span of 0 is until
// resume, or the usual restart for a crash.
func (c Control) Fault(ctx context.Context, kind string, ordinal int, fault string, span time.Duration) error {
	path := "/v1/instances/" + url.PathEscape(kind) + "/" + strconv.Itoa(ordinal) + "/" + url.PathEscape(fault)
	if span != 0 {
		path += "?for=" + span.String()
	}
	return c.call(ctx, http.MethodPost, path, nil)
}

// Load multiplies what each instance of a kind uses; 1 is the load it was configured with.
func (c Control) Load(ctx context.Context, kind string, f Factors) error {
	q := url.Values{
		"cpu":    {strconv.FormatFloat(f.CPU, 'g', -1, 64)},
		"memory": {strconv.FormatFloat(f.Memory, 'g', -1, 64)},
	}
	return c.call(ctx, http.MethodPost, "/v1/kinds/"+url.PathEscape(kind)+"/load?"+q.Encode(), nil)
}

// call decodes the answer into out; nil: there is none.
func (c Control) call(ctx context.Context, method, path string, out any) error {
	if err := httpcall.JSON(ctx, method, "http://"+c.Addr+path, "", nil, out); err != nil {
		return fmt.Errorf("ask dacsim: %w", err)
	}
	return nil
}
