package story

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/kubectl/client"
	"github.com/shardscaler/shardscaler/internal/kubectl/local"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// servePage serves the page on this machine, as `kubectl shardscaler ui` does for an operator, and
// prints its address. end ends it.
func (d *demo) servePage(ctx context.Context, env *servers.Env) (end func(), err error) {
	if _, err := d.OperatorToken(ctx); err != nil { // it also makes the account and its rights
		return nil, err
	}
	file := filepath.Join(d.Dir, "operator.kubeconfig")
	if err := env.Kubernetes.ServiceAccountKubeconfig(ctx, namespace, product.Operator, file); err != nil {
		return nil, err
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", file)
	if err != nil {
		return nil, err
	}
	to, err := client.Aggregated(cfg, namespace)
	if err != nil {
		return nil, err
	}
	server, err := local.Listen(to, 0)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx) }()
	d.page = server.Address()
	d.title("The page, for your browser on this machine: " + d.page)
	return func() {
		cancel()
		if err := <-ended; err != nil {
			d.say("   %v", err)
		}
	}, nil
}

// showsPage says how the page is not what a browser should find at its address.
func (d *demo) showsPage(ctx context.Context) error {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	browser := &http.Client{Jar: jar}
	get := func(url string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return nil, err
		}
		resp, err := browser.Do(req)
		if err == nil && resp.StatusCode != http.StatusOK {
			resp.Body.Close()
			err = fmt.Errorf("GET %s: %s", url, resp.Status)
		}
		return resp, err
	}
	index, err := get(d.page)
	if err != nil {
		return err
	}
	index.Body.Close()
	answer, err := get(index.Request.URL.JoinPath("../v1/api/kinds").String())
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var list ops.KindList
	text, err := io.ReadAll(answer.Body)
	if err == nil {
		err = exact.JSON(text, &list)
	}
	if err != nil {
		return fmt.Errorf("read kinds: %w", err)
	}
	if len(list.Items) != len(d.Kinds) {
		return fmt.Errorf("the page's server has %d kinds", len(list.Items))
	}
	return nil
}
