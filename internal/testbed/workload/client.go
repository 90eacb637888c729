package workload

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Control speaks to the control address of a running simulation.
type Control struct {
	// Addr is host:port.
	Addr string
}

// Instances lists what runs, with the ids if asked for.
func (c Control) Instances(ctx context.Context, withIDs bool) ([]Instance, error) {
	path := "/v1/instances"
	if withIDs {
		path += "?ids=1"
	}
	raw, err := c.call(ctx, http.MethodGet, path)
	if err != nil {
		return nil, err
	}
	var list []Instance
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("read instances: %w", err)
	}
	return list, nil
}

// Hooks lists the preStop hooks that ran or run, oldest first.
func (c Control) Hooks(ctx context.Context) ([]Hook, error) {
	raw, err := c.call(ctx, http.MethodGet, "/v1/hooks")
	if err != nil {
		return nil, err
	}
	var list []Hook
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("read hooks: %w", err)
	}
	return list, nil
}

// Fault asks for hang, stall, resume, crash, mute or unmute of one instance. A span of 0 is until
// resume, or the usual restart for a crash.
func (c Control) Fault(ctx context.Context, kind string, ordinal int, fault string, span time.Duration) error {
	path := "/v1/instances/" + url.PathEscape(kind) + "/" + strconv.Itoa(ordinal) + "/" + url.PathEscape(fault)
	if span != 0 {
		path += "?for=" + span.String()
	}
	_, err := c.call(ctx, http.MethodPost, path)
	return err
}

// Load multiplies what each instance of a kind uses; 1 is the load it was configured with.
func (c Control) Load(ctx context.Context, kind string, f Factors) error {
	q := url.Values{
		"cpu":    {strconv.FormatFloat(f.CPU, 'g', -1, 64)},
		"memory": {strconv.FormatFloat(f.Memory, 'g', -1, 64)},
	}
	_, err := c.call(ctx, http.MethodPost, "/v1/kinds/"+url.PathEscape(kind)+"/load?"+q.Encode())
	return err
}

func (c Control) call(ctx context.Context, method, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.Addr+path, nil)
	if err != nil {
		return nil, fmt.Errorf("ask dacsim: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask dacsim: %w", err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("ask dacsim: %w", err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return nil, fmt.Errorf("ask dacsim: %s: %s", resp.Status, strings.TrimSpace(string(raw)))
	}
	return raw, nil
}
