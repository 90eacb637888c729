// Package telemetry is the process's log, and the Prometheus series of the snapshot.
//
// In: log records, also of the Kubernetes libraries; Snapshots. Out: lines; series of what exists.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"

	"k8s.io/klog/v2"
)

// NewLogger returns a logger that writes lines of the given format (text or json) from the given
// level (debug, info, warn, error) up, and routes klog into it.
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level %q: want debug, info, warn or error", level)
	}
	opts := &slog.HandlerOptions{Level: l}
	var h slog.Handler
	switch format {
	case "text":
		h = slog.NewTextHandler(w, opts)
	case "json":
		h = slog.NewJSONHandler(w, opts)
	default:
		return nil, fmt.Errorf("log format %q: want text or json", format)
	}
	log := slog.New(h)
	klog.SetSlogLogger(log.With("component", "kubernetes"))
	return log, nil
}
