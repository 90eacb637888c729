package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
)

// bothShow: of a kind at rest leader and follower show the same documents under the same tags, with
// what the leader alone reads among it; their streams give the same ids, and a client that goes from
// one to the other gets what changed and no more.
func (w *world) bothShow(resources int) {
	w.t.Helper()
	w.leader()
	token, err := w.OperatorToken(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	as := operator{w.Servers, token}
	// by default; at a fourth of it a follower, who reads ZooKeeper less often, finds decisions too old
	period := func(d time.Duration) {
		if err := w.Configure(w.t.Context(), func(c *config.Config) { c.SyncPeriod = config.Duration(d) }); err != nil {
			w.t.Fatal(err)
		}
	}
	defer period(w.Config.SyncPeriod.Std())
	period(2 * time.Second)
	shown := func(ctx context.Context) error {
		for _, kind := range []string{thing, rule} {
			if err := errors.Join(sameOf[ops.Kind](ctx, as, "kinds/"+kind), sameOf[ops.InstanceList](ctx, as, "kinds/"+kind+"/instances")); err != nil {
				return err
			}
		}
		return nil
	}
	w.until("both show the same", shown)
	w.until("the follower shows what the leader alone reads", func(ctx context.Context) error {
		for _, v := range w.Servers {
			k, _, err := get[ops.Kind](ctx, as, v, "kinds/"+thing)
			switch {
			case err != nil:
				return err
			case k.Resources == nil || k.Resources.Catalogue == nil || *k.Resources.Catalogue != resources || k.Progress.Moved < int64(resources):
				return fmt.Errorf("%s: resources %+v, progress %+v", v.Name, k.Resources, k.Progress)
			}
		}
		return nil
	})
	for _, method := range []string{http.MethodPost, http.MethodDelete} { // a change, and its end
		if err := w.Servers[0].REST(w.t.Context(), method, "/v1/api/kinds/"+rule+"/pause", token, nil, nil); err != nil {
			w.t.Fatal(err)
		}
		w.until("both show the same after "+method+" pause", shown)
	}
	w.until("the streams agree for a while, and each goes on with the other's id", func(ctx context.Context) error {
		for began := time.Now(); time.Since(began) < time.Second; time.Sleep(200 * time.Millisecond) {
			for i, v := range w.Servers {
				_, id, err := as.firstEvent(ctx, v, "")
				if err != nil {
					return err
				}
				other := w.Servers[1-i]
				event, same, err := as.firstEvent(ctx, other, id)
				if err == nil && (event != "change" || same != id) {
					err = fmt.Errorf("%s was at %s, %s answers with %s at %s", v.Name, id, other.Name, event, same)
				}
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// sameOf requires that a document is the same of all servers, but for what time alone changes.
func sameOf[T interface{ Undated() T }](ctx context.Context, as operator, path string) error {
	of := as.servers
	first, tag, err := get[T](ctx, as, of[0], path)
	if err != nil {
		return err
	}
	for _, v := range of[1:] {
		other, its, err := get[T](ctx, as, v, path)
		if err != nil {
			return err
		}
		if a, b := first.Undated(), other.Undated(); its != tag || !reflect.DeepEqual(a, b) {
			one, _ := json.Marshal(a)
			two, _ := json.Marshal(b)
			return fmt.Errorf("%s: %s has %s\n%s\n%s has %s\n%s", path, of[0].Name, tag, one, v.Name, its, two)
		}
	}
	return nil
}

// get is a document as one server has it, and its tag.
func get[T any](ctx context.Context, as operator, v *product.Server, path string) (document T, tag string, err error) {
	resp, err := as.ask(ctx, v, path, "")
	if err != nil {
		return document, "", err
	}
	defer resp.Body.Close()
	err = json.NewDecoder(resp.Body).Decode(&document)
	return document, resp.Header.Get("ETag"), err
}

// operator asks servers over TLS.
type operator struct {
	servers []*product.Server
	token   string
}

func (o operator) ask(ctx context.Context, v *product.Server, path, last string) (*http.Response, error) {
	client, err := v.TLSClient(ctx, "")
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+v.Secure+"/v1/api/"+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+o.token)
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return nil, fmt.Errorf("GET %s: %s: %.300s", path, resp.Status, text)
	}
	return resp, nil
}

// firstEvent begins a stream of the Rules, whose instances send no heartbeats, after the event of an
// id; "": anew.
func (o operator) firstEvent(ctx context.Context, v *product.Server, last string) (event, id string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	resp, err := o.ask(ctx, v, "kinds?watch=true&kind="+rule, last)
	if err != nil {
		return "", "", err
	}
	defer resp.Body.Close()
	for in := bufio.NewReader(resp.Body); event == "" || id == ""; {
		line, err := in.ReadString('\n')
		if err != nil {
			return event, id, err
		}
		if text, ok := strings.CutPrefix(line, "event: "); ok {
			event = strings.TrimSpace(text)
		}
		if text, ok := strings.CutPrefix(line, "id: "); ok {
			id = strings.TrimSpace(text)
		}
	}
	return event, id, nil
}
