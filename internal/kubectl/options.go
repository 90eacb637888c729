package kubectl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/term"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/transport"

	"github.com/shardscaler/shardscaler/internal/kubectl/client"
)

// tokenVariable holds the caller's token for --server when no flag does.
const tokenVariable = "SHARDSCALER_TOKEN"

// options are what every command has.
type options struct {
	genericiooptions.IOStreams
	kube    *genericclioptions.ConfigFlags
	version string
	now     func() time.Time

	// server, when it is not empty, is asked itself, with one of the tokens.
	server, tokenFile, account, audience string
}

func newOptions(version string, streams genericiooptions.IOStreams) *options {
	o := &options{IOStreams: streams, kube: genericclioptions.NewConfigFlags(true), version: version, now: time.Now}
	o.kube.APIServer = nil // --server is shardscaler's
	return o
}

func (o *options) flags(f *pflag.FlagSet) {
	o.kube.AddFlags(f)
	f.Lookup("token").Usage = "Bearer token for authentication to the API server, or to the server of --server"
	f.StringVar(&o.server, "server", "", "URL of shardscaler's own API, to ask it past the API server of Kubernetes")
	f.StringVar(&o.tokenFile, "token-file", "", "With --server: a file with the bearer token; default: the environment variable "+tokenVariable)
	f.StringVar(&o.account, "service-account", "", "With --server: make a token of this service account ([NAMESPACE/]NAME), as the kubeconfig's user")
	f.StringVar(&o.audience, "token-audience", "shardscaler", "With --service-account: the audience of the token, as the server's --token-audience")
}

// restConfig leads to the API server, as the caller.
func (o *options) restConfig() (*rest.Config, error) {
	cfg, err := o.kube.ToRESTConfig()
	if err != nil {
		next := "see kubectl config view"
		if clientcmd.IsEmptyConfig(err) {
			err, next = errors.New("no kubeconfig says where the cluster is"), "set KUBECONFIG or --kubeconfig, or ask the server with --server URL"
		}
		return nil, client.Advise(err, next)
	}
	cfg.UserAgent = "kubectl-shardscaler/" + o.version
	return cfg, nil
}

// connect returns the way to the installation that the flags name. Its reads wait a moment for a
// server that has just started.
func (o *options) connect(ctx context.Context) (*client.Client, error) {
	c, err := reach(o, ctx)
	if err != nil {
		return nil, err
	}
	return patient(o, c), nil
}

// patient has reads wait a moment, and says on a terminal why a command takes longer.
func patient(o *options, c *client.Client) *client.Client {
	return c.Patient(func(why error) {
		if isTerminal(o.ErrOut) {
			fmt.Fprintf(o.ErrOut, "%v; asking again for a moment\n", why)
		}
	})
}

// reach is connect for what wants an answer at once.
func reach(o *options, ctx context.Context) (*client.Client, error) {
	if o.server != "" {
		return direct(o, ctx)
	}
	cfg, err := o.restConfig()
	if err != nil {
		return nil, err
	}
	namespace, err := o.namespace(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return client.Aggregated(cfg, namespace)
}

// namespace is that of the flag or the kubeconfig's context. Where neither has one it is that of
// the only installation there is.
func (o *options) namespace(ctx context.Context, cfg *rest.Config) (string, error) {
	loader := o.kube.ToRawKubeConfigLoader()
	namespace, given, err := loader.Namespace()
	if err != nil || given || namespace != defaultNamespace {
		return namespace, err
	}
	raw, err := loader.RawConfig()
	if err != nil {
		return namespace, nil // without a kubeconfig, as in a pod
	}
	current := raw.CurrentContext
	if *o.kube.Context != "" {
		current = *o.kube.Context
	}
	if c := raw.Contexts[current]; c == nil || c.Namespace != "" {
		return namespace, nil
	}
	kube, err := client.NewKube(cfg)
	if err != nil {
		return "", err
	}
	found, err := kube.Installations(ctx)
	switch {
	case err == nil && len(found) == 1:
		return found[0], nil
	case err == nil && len(found) > 1:
		return "", client.Advise(fmt.Errorf("shardscaler is installed in the namespaces %s", strings.Join(found, ", ")), "name one with -n, or all with -A where a command has it")
	}
	return namespace, nil
}

const defaultNamespace = "default"

// direct returns the way to the server of --server.
func direct(o *options, ctx context.Context) (*client.Client, error) {
	timeout, err := clientcmd.ParseTimeout(*o.kube.Timeout)
	if err != nil {
		return nil, err
	}
	cfg := &rest.Config{
		Host: o.server, UserAgent: "kubectl-shardscaler/" + o.version, Timeout: timeout,
		TLSClientConfig: rest.TLSClientConfig{
			CAFile: *o.kube.CAFile, Insecure: *o.kube.Insecure, ServerName: *o.kube.TLSServerName,
			CertFile: *o.kube.CertFile, KeyFile: *o.kube.KeyFile,
		},
	}
	switch {
	case *o.kube.BearerToken != "":
		cfg.BearerToken = *o.kube.BearerToken
	case o.tokenFile != "":
		if _, err := os.Stat(o.tokenFile); err != nil {
			return nil, fmt.Errorf("read token: %w", err)
		}
		cfg.BearerTokenFile = o.tokenFile
	case o.account != "":
		if err := asAccount(o, ctx, cfg); err != nil {
			return nil, err
		}
	default:
		cfg.BearerToken = os.Getenv(tokenVariable)
	}
	return client.Direct(cfg)
}

// asAccount has tokens of a service account added to requests, made as the kubeconfig's user.
func asAccount(o *options, ctx context.Context, cfg *rest.Config) error {
	// --token and the flags of TLS are those of --server here.
	flags := genericclioptions.NewConfigFlags(true)
	flags.KubeConfig, flags.Context, flags.ClusterName, flags.AuthInfoName = o.kube.KubeConfig, o.kube.Context, o.kube.ClusterName, o.kube.AuthInfoName
	flags.Namespace, flags.Impersonate, flags.ImpersonateGroup = o.kube.Namespace, o.kube.Impersonate, o.kube.ImpersonateGroup
	asks := &options{kube: flags, version: o.version}
	kubeConfig, err := asks.restConfig()
	if err != nil {
		return err
	}
	namespace, name, found := strings.Cut(o.account, "/")
	if !found {
		name = o.account
		if namespace, err = asks.namespace(ctx, kubeConfig); err != nil {
			return err
		}
	}
	kube, err := client.NewKube(kubeConfig)
	if err != nil {
		return err
	}
	source := transport.NewCachedTokenSource(kube.ServiceAccount(ctx, namespace, name, o.audience))
	if _, err := source.Token(); err != nil { // now, where the error can be explained
		return err
	}
	cfg.Wrap(transport.ResettableTokenSourceWrapTransport(source))
	return nil
}

// installations are the ways to all installations of the cluster.
func (o *options) installations(ctx context.Context) ([]*client.Client, error) {
	if o.server != "" {
		return nil, errors.New("-A finds installations in a cluster, and --server names one of them: leave one out")
	}
	cfg, err := o.restConfig()
	if err != nil {
		return nil, err
	}
	kube, err := client.NewKube(cfg)
	if err != nil {
		return nil, err
	}
	namespaces, err := kube.Installations(ctx)
	if err != nil {
		return nil, err
	}
	if len(namespaces) == 0 {
		return nil, client.Advise(errors.New("there is no installation of shardscaler in this cluster"),
			"its Services have the label "+client.Selector+": kubectl get services -A -l "+client.Selector)
	}
	var all []*client.Client
	for _, n := range namespaces {
		c, err := client.Aggregated(cfg, n)
		if err != nil {
			return nil, err
		}
		all = append(all, patient(o, c))
	}
	return all, nil
}

// chosen are the installations that -A, or its absence, names.
func (o *options) chosen(ctx context.Context, all bool) ([]*client.Client, error) {
	if all {
		return o.installations(ctx)
	}
	c, err := o.connect(ctx)
	return []*client.Client{c}, err
}

// isTerminal says whether a stream is one.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// size is that of a terminal, in characters.
func size(stream io.Writer) (width, height int) {
	if file, ok := stream.(*os.File); ok {
		if w, h, err := term.GetSize(int(file.Fd())); err == nil && w > 0 && h > 0 {
			return w, h
		}
	}
	return 80, 24
}
