package servers

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/shardscaler/shardscaler/internal/testbed/servers/fetch"
)

// Tools are the programs that servers are started with.
type Tools struct {
	Self         string `json:"self"`                   // the program that called Start: it is the MQTT broker and the reaper, too
	ControlPlane string `json:"controlPlane,omitempty"` // bin/kube-apiserver, …, kwokctl, kubectl; metrics-server/ has its manifests
	Servers      string `json:"servers,omitempty"`      // jars/ of ZooKeeper and Kafka; kafka/, a broker's fresh storage; postgres/bin
	Java         string `json:"java,omitempty"`         //
}

// java is the command line of a Java program among the jars.
func (t Tools) java(options []string, program ...string) []string {
	return slices.Concat([]string{t.Java}, options, []string{"-cp", filepath.Join(t.Servers, "jars", "*")}, program)
}

// ModuleRoot is the top folder of the checkout that the current folder is in.
func ModuleRoot() (string, error) { return fetch.ModuleRoot() }

// Fetch builds and downloads what the parts need and is not yet in the user's cache folder.
func Fetch(ctx context.Context, parts []Part, w io.Writer) (Tools, error) {
	p := fetch.NewProgress(w)
	self, err := os.Executable()
	if err != nil {
		return Tools{}, fmt.Errorf("fetch: %w", err)
	}
	tools := Tools{Self: self}
	needs := func(any ...Part) bool {
		return slices.ContainsFunc(parts, func(part Part) bool { return slices.Contains(any, part) })
	}
	// Java first: what is missing there is found out before minutes are spent on a build.
	if needs(PartZooKeeper, PartKafka, PartPostgres) {
		tools.Servers, err = fetch.Servers(ctx, p, kafkaConfig, func(dir, java string) error {
			return formatKafka(ctx, Tools{Java: java, Servers: dir}, filepath.Join(dir, "kafka"))
		})
	}
	if err == nil && needs(PartZooKeeper, PartKafka) {
		tools.Java, err = fetch.Java(ctx, p)
	}
	if err == nil && needs(PartKubernetes) {
		tools.ControlPlane, err = fetch.ControlPlane(ctx, p)
	}
	return tools, err
}
