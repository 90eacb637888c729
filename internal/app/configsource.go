package app

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/shardscaler/shardscaler/internal/wake"
)

// offered is one version of the configuration's text, or why there is none.
type offered struct {
	text    []byte
	version string // for people: the ConfigMap's resourceVersion, or the file's name
	err     error
}

// watchConfig calls changed at start, after every change, and when a reload is asked for, until ctx
// ends.
func watchConfig(ctx context.Context, o Options, client kubernetes.Interface, reload wake.Signal, changed func(offered)) error {
	if o.ConfigFile != "" {
		return watchFile(ctx, o.ConfigFile, reload, changed)
	}
	go reread(ctx, client, o.Namespace, o.ConfigMap, reload, changed)
	return watchConfigMap(ctx, client, o.Namespace, o.ConfigMap, changed)
}

// reread reads the ConfigMap when a reload is asked for, until ctx ends. An API server that does not
// answer is asked again: it is no fault of the configuration.
func reread(ctx context.Context, client kubernetes.Interface, namespace, name string, reload wake.Signal, changed func(offered)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-reload:
		}
		if o, err := readConfigMap(ctx, client, namespace, name); err == nil {
			changed(o)
		} else if wake.Sleep(ctx, rereadPause) {
			reload.Wake()
		}
	}
}

// rereadPause is between two attempts to read the ConfigMap.
const rereadPause = time.Second

// readConfigMap asks for the ConfigMap, whatever the watch has said.
func readConfigMap(ctx context.Context, client kubernetes.Interface, namespace, name string) (offered, error) {
	m, err := client.CoreV1().ConfigMaps(namespace).List(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()})
	switch {
	case err != nil:
		return offered{}, err
	case len(m.Items) == 0:
		return noConfigMap(namespace, name), nil
	}
	return offeredBy(&m.Items[0]), nil
}

func noConfigMap(namespace, name string) offered {
	return offered{err: fmt.Errorf("configmap %s/%s does not exist", namespace, name)}
}

// offeredBy is what a ConfigMap offers.
func offeredBy(m *corev1.ConfigMap) offered {
	text, ok := m.Data[ConfigKey]
	if !ok {
		return offered{err: fmt.Errorf("configmap %s/%s has no key %q", m.Namespace, m.Name, ConfigKey)}
	}
	return offered{text: []byte(text), version: m.ResourceVersion}
}

func watchConfigMap(ctx context.Context, client kubernetes.Interface, namespace, name string, changed func(offered)) error {
	lw := cache.NewListWatchFromClient(client.CoreV1().RESTClient(), "configmaps", namespace, fields.OneTermEqualSelector(metav1.ObjectNameField, name))
	missing := noConfigMap(namespace, name)
	offer := func(obj any) { changed(offeredBy(obj.(*corev1.ConfigMap))) }
	store, informer := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: lw,
		ObjectType:    &corev1.ConfigMap{},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    offer,
			UpdateFunc: func(_, obj any) { offer(obj) },
			DeleteFunc: func(any) { changed(missing) },
		},
	})
	go func() {
		if cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) && len(store.List()) == 0 {
			changed(missing)
		}
	}()
	informer.RunWithContext(ctx)
	return nil
}

// filePoll is how often a file is looked at: notifications miss the symbolic link of a mounted one.
const filePoll = time.Second

func watchFile(ctx context.Context, file string, reload wake.Signal, changed func(offered)) error {
	var last []byte
	look := time.NewTicker(filePoll)
	defer look.Stop()
	for ctx.Err() == nil {
		text, err := os.ReadFile(file)
		switch {
		case err != nil:
			changed(offered{err: fmt.Errorf("read configuration: %w", err)})
			last = nil
		case last == nil || !bytes.Equal(text, last):
			changed(offered{text: text, version: file})
			last = text
		}
		select {
		case <-ctx.Done():
		case <-look.C:
		case <-reload:
			last = nil
		}
	}
	return nil
}
