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

// watchConfig calls changed at start and after every change, until ctx ends.
func watchConfig(ctx context.Context, o Options, client kubernetes.Interface, changed func(offered)) error {
	if o.ConfigFile != "" {
		return watchFile(ctx, o.ConfigFile, changed)
	}
	return watchConfigMap(ctx, client, o.Namespace, o.ConfigMap, changed)
}

func watchConfigMap(ctx context.Context, client kubernetes.Interface, namespace, name string, changed func(offered)) error {
	lw := cache.NewListWatchFromClient(client.CoreV1().RESTClient(), "configmaps", namespace, fields.OneTermEqualSelector(metav1.ObjectNameField, name))
	missing := offered{err: fmt.Errorf("configmap %s/%s does not exist", namespace, name)}
	offer := func(obj any) {
		m := obj.(*corev1.ConfigMap)
		text, ok := m.Data[ConfigKey]
		if !ok {
			changed(offered{err: fmt.Errorf("configmap %s/%s has no key %q", namespace, name, ConfigKey)})
			return
		}
		changed(offered{text: []byte(text), version: m.ResourceVersion})
	}
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

func watchFile(ctx context.Context, file string, changed func(offered)) error {
	var last []byte
	for ; ctx.Err() == nil; wake.Sleep(ctx, filePoll) {
		text, err := os.ReadFile(file)
		switch {
		case err != nil:
			changed(offered{err: fmt.Errorf("read configuration: %w", err)})
			last = nil
		case last == nil || !bytes.Equal(text, last):
			changed(offered{text: text, version: file})
			last = text
		}
	}
	return nil
}
