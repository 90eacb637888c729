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
	Bin          string `json:"bin,omitempty"`          // kube-apiserver, …, kwokctl, kubectl
	Manifests    string `json:"manifests,omitempty"`    // metrics-server's own
	Jars         string `json:"jars,omitempty"`         // ZooKeeper and Kafka
	KafkaData    string `json:"kafkaData,omitempty"`    // freshly formatted storage of a broker
	Java         string `json:"java,omitempty"`         //
	PostgresHome string `json:"postgresHome,omitempty"` // bin/postgres, bin/initdb
}

// java is the command line of a Java program in Jars.
func (t Tools) java(options []string, program ...string) []string {
	return slices.Concat([]string{t.Java}, options, []string{"-cp", filepath.Join(t.Jars, "*")}, program)
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
		dir, err := fetch.Servers(ctx, p, kafkaConfig, func(dir, java string) error {
			return formatKafka(ctx, Tools{Java: java, Jars: filepath.Join(dir, "jars")}, filepath.Join(dir, "kafka"))
		})
		if err != nil {
			return Tools{}, err
		}
		tools.Jars, tools.KafkaData = filepath.Join(dir, "jars"), filepath.Join(dir, "kafka")
		tools.PostgresHome = filepath.Join(dir, "postgres")
	}
	if needs(PartZooKeeper, PartKafka) {
		if tools.Java, err = fetch.Java(ctx, p); err != nil {
			return Tools{}, err
		}
	}
	if needs(PartKubernetes) {
		dir, err := fetch.ControlPlane(ctx, p)
		if err != nil {
			return Tools{}, err
		}
		tools.Bin, tools.Manifests = filepath.Join(dir, "bin"), filepath.Join(dir, "metrics-server")
	}
	return tools, nil
}
