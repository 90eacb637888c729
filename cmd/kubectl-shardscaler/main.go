// Command kubectl-shardscaler is the plugin of kubectl by which people see and steer shardscaler:
// `kubectl shardscaler`.
package main

import (
	"os"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/shardscaler/shardscaler/internal/ending"
	"github.com/shardscaler/shardscaler/internal/kubectl"
)

// version is set by the release build: -ldflags "-X main.version=v1.2.3".
var version = "dev"

func main() {
	ctx, stop := ending.OnSignal()
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	code := kubectl.Run(ctx, version, streams, os.Args[1:])
	stop()
	os.Exit(code)
}
