package client

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"golang.org/x/oauth2"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"github.com/shardscaler/shardscaler/internal/exact"
)

// Kube asks the API server about what is not shardscaler's own.
type Kube struct{ rest *rest.RESTClient }

// NewKube makes no request.
func NewKube(cfg *rest.Config) (*Kube, error) {
	cfg = rest.CopyConfig(cfg)
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"}) // Status, which errors are made of
	cfg.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	cfg.QPS = -1 // a command asks for little, and a person waits for it
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	r, err := rest.UnversionedRESTClientFor(cfg)
	return &Kube{r}, err
}

// Get reads an object of any kind into a value. Its error is the API server's.
func (k *Kube) Get(ctx context.Context, path string, into any) error {
	return read(k.rest.Get().AbsPath(path).SetHeader("Accept", "application/json").Do(ctx), into)
}

// Create posts an object and reads the answer into it.
func (k *Kube) Create(ctx context.Context, path string, object any) error {
	text, err := json.Marshal(object)
	if err != nil {
		return err
	}
	post := k.rest.Post().AbsPath(path).SetHeader("Content-Type", "application/json").SetHeader("Accept", "application/json")
	return read(post.Body(text).Do(ctx), object)
}

// read reads an answer. Only Error, of what a Result has, decodes the Status of a failure.
func read(r rest.Result, into any) error {
	if err := r.Error(); err != nil {
		return err
	}
	text, err := r.Raw()
	if err != nil {
		return err
	}
	return exact.JSON(text, into)
}

// Selector picks what belongs to an installation of shardscaler.
const Selector = "app.kubernetes.io/name=shardscaler"

// Installations are the namespaces in which shardscaler is installed, by the labels of its Services
// or, for a caller who may not list these, its Deployments.
func (k *Kube) Installations(ctx context.Context) ([]string, error) {
	found, err := k.labelled(ctx, "/api/v1/services")
	if apierrors.IsForbidden(err) {
		if other, again := k.labelled(ctx, "/apis/apps/v1/deployments"); again == nil {
			return other, nil
		}
	}
	if err != nil {
		return nil, Advise(fmt.Errorf("find installations: %w", err), "name the namespace: -n NAMESPACE")
	}
	return found, nil
}

func (k *Kube) labelled(ctx context.Context, path string) ([]string, error) {
	var list metav1.PartialObjectMetadataList
	found := k.rest.Get().AbsPath(path).Param("labelSelector", Selector).
		SetHeader("Accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1").Do(ctx)
	if err := read(found, &list); err != nil {
		return nil, err
	}
	var spaces []string
	for _, item := range list.Items {
		spaces = append(spaces, item.Namespace)
	}
	slices.Sort(spaces)
	return slices.Compact(spaces), nil
}

// tokenLife is how long a token of a service account is asked for; a new one is made so long before
// it ends.
const (
	tokenLife   = time.Hour
	tokenMargin = 2 * time.Minute
)

// ServiceAccount gives tokens of a service account for an audience. They say that they end before
// they do, so that what waits for their end is in time.
func (k *Kube) ServiceAccount(ctx context.Context, namespace, name, audience string) oauth2.TokenSource {
	return tokens(func() (*oauth2.Token, error) {
		seconds := int64(tokenLife / time.Second)
		request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{audience}, ExpirationSeconds: &seconds}}
		path := fmt.Sprintf("/api/v1/namespaces/%s/serviceaccounts/%s/token", namespace, name)
		if err := k.Create(ctx, path, request); err != nil {
			return nil, Advise(fmt.Errorf("make a token of service account %s/%s: %w", namespace, name, err),
				"give a token with --token, or ask for the right to create serviceaccounts/token")
		}
		return &oauth2.Token{AccessToken: request.Status.Token, Expiry: request.Status.ExpirationTimestamp.Add(-tokenMargin)}, nil
	})
}

type tokens func() (*oauth2.Token, error)

func (t tokens) Token() (*oauth2.Token, error) { return t() }
