package servers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Client is that of an administrator.
func (k *Kubernetes) Client(t testing.TB) *kubernetes.Clientset {
	t.Helper()
	client, err := k.client()
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// Namespace creates a namespace of this test's own that takes pods, and deletes it afterwards.
func (k *Kubernetes) Namespace(t testing.TB) string {
	t.Helper()
	client, ctx, name := k.Client(t), t.Context(), uniqueName(t)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
		t.Fatalf("create namespace: %v", err)
	}
	t.Cleanup(func() {
		if err := client.CoreV1().Namespaces().Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil {
			t.Errorf("delete namespace: %v", err)
		}
	})
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := awaitAccount(ctx, client, name); err != nil {
		t.Fatalf("create namespace %s: no default service account: %v", name, err)
	}
	return name
}

// awaitAccount returns when the controller manager has made a namespace's service account: pods are
// refused until then.
func awaitAccount(ctx context.Context, client kubernetes.Interface, namespace string) error {
	return until(ctx, 20*time.Millisecond, func(ctx context.Context) error {
		_, err := client.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

// Apply is kubectl apply of a manifest in a namespace.
func (k *Kubernetes) Apply(t testing.TB, namespace, manifest string) {
	t.Helper()
	if _, err := k.feed(t.Context(), manifest, "apply", "-n", namespace, "-f", "-"); err != nil {
		t.Fatal(err)
	}
}

// ServiceAccountKubeconfig writes a kubeconfig to file with which a process is that service account
// alone, for a day. The account is created if it does not exist.
func (k *Kubernetes) ServiceAccountKubeconfig(ctx context.Context, namespace, name, file string) error {
	token, err := k.Token(ctx, namespace, name)
	if err != nil {
		return fmt.Errorf("make token of %s/%s: %w", namespace, name, err)
	}
	config, err := clientcmd.LoadFromFile(k.Kubeconfig)
	if err != nil {
		return fmt.Errorf("write kubeconfig of %s/%s: %w", namespace, name, err)
	}
	current := config.Contexts[config.CurrentContext]
	current.AuthInfo, current.Namespace = name, namespace
	config.AuthInfos = map[string]*clientcmdapi.AuthInfo{name: {Token: token}}
	return clientcmd.WriteToFile(*config, file)
}

// Token returns the token of a service account, for a day, and creates an account that is missing.
// It is for the audiences, or else for the API server.
func (k *Kubernetes) Token(ctx context.Context, namespace, name string, audiences ...string) (string, error) {
	client, err := k.client()
	if err != nil {
		return "", err
	}
	accounts := client.CoreV1().ServiceAccounts(namespace)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := accounts.Create(ctx, account, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return "", err
	}
	day := int64(24 * time.Hour / time.Second)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &day, Audiences: audiences}}
	request, err = accounts.CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return request.Status.Token, nil
}

// Audit reads the records of what changed a StatefulSet or its /scale, or created or deleted a pod,
// in a namespace; in the order in which the API server finished them (StageTimestamp).
func (k *Kubernetes) Audit(namespace string) (events []auditv1.Event, err error) {
	file, err := os.Open(k.AuditLog)
	if err != nil {
		return nil, fmt.Errorf("read audit log: %w", err)
	}
	defer file.Close()
	for in := json.NewDecoder(file); ; {
		var event auditv1.Event
		switch err := in.Decode(&event); {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			// the last one is still being written
			return events, nil
		case err != nil:
			return nil, fmt.Errorf("read audit log: %w", err)
		case event.ObjectRef != nil && event.ObjectRef.Namespace == namespace:
			events = append(events, event)
		}
	}
}

// InstallDefinitions installs the shipped CustomResourceDefinition. It stays, for other tests.
func (k *Kubernetes) InstallDefinitions(t testing.TB) {
	t.Helper()
	root, err := ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, "manifests", "cluster", "base", "shardscaler.io_instancegroups.yaml")
	for _, args := range [][]string{
		{"apply", "--server-side", "--force-conflicts", "-f", file},
		{"wait", "--for=condition=Established", "--timeout=60s", "-f", file},
	} {
		if _, err := k.Run(t.Context(), args...); err != nil {
			t.Fatalf("install definitions: %v", err)
		}
	}
}
