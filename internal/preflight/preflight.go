// Package preflight says what a server would miss where it is to run, before it runs.
//
// In: the server's Options. Out: a doctor.Report: a finding for each thing that a server needs, with
// what cures it. Invariant: nothing is changed anywhere, and a server that runs notices nothing; what
// could not be asked is a finding, never "ok"; no finding holds a password.
//
// cluster.go asks the API server, rights.go what we may do there, servers.go ZooKeeper, Kafka, the
// MQTT broker and the database, certificates.go reads files.
package preflight

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	apiregistration "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset/typed/apiregistration/v1"

	"github.com/shardscaler/shardscaler/internal/app"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/kubectl/doctor"
)

// Config is what Run looks at.
type Config struct {
	app.Options
	// ServiceAccount is whose rights are looked at, in the Options' namespace. Empty: those of who
	// asks.
	ServiceAccount string
	// Patience is how long each check may take.
	Patience time.Duration
	// Now is the time of the checks of certificates.
	Now time.Time
}

// look is what the checks share.
type look struct {
	Config
	rest        *rest.Config
	kube        kubernetes.Interface
	apiServices apiregistration.APIServicesGetter
	// tuning is the configuration in force; nil: there is none that is valid.
	tuning *config.Config
}

// findings are those of one check.
type findings []doctor.Finding

// next is the step that cures; "" where nothing is wrong.
func (f *findings) add(check string, status doctor.Status, next, cause string, args ...any) {
	*f = append(*f, doctor.Finding{Check: check, Status: status, Cause: oneLine(fmt.Sprintf(cause, args...)), Next: next})
}

// oneLine is a text of several lines, such as that of errors that come together, in one.
func oneLine(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}

// Run looks at everything, the checks beside each other, and returns when the last has ended. Each
// ends within the patience, or with ctx.
func Run(ctx context.Context, c Config) *doctor.Report {
	l := &look{Config: c}
	var first findings
	l.cluster(ctx, &first)
	checks := []func(context.Context, *findings){l.zooKeeper, l.kafka, l.mqtt, l.catalogue, l.certificates}
	if l.kube != nil {
		checks = append([]func(context.Context, *findings){l.workloads, l.metrics, l.registrations, l.rights}, checks...)
	}
	all := make([]findings, len(checks))
	var running sync.WaitGroup
	for i, check := range checks {
		running.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, c.Patience)
			defer cancel()
			check(ctx, &all[i])
		})
	}
	running.Wait()
	return &doctor.Report{Items: slices.Concat(first, slices.Concat(all...))}
}

// kinds are the configured ones.
func (l *look) kinds() []config.Kind {
	if l.tuning == nil {
		return nil
	}
	return l.tuning.Kinds
}

// Missing says whether a server could not do all its work here: a warning is no such case.
func Missing(r *doctor.Report) bool {
	return slices.ContainsFunc(r.Items, func(f doctor.Finding) bool { return f.Status == doctor.Critical || f.Status == doctor.Unknown })
}
