package main

import (
	"context"
	"os"
	"strings"
	"time"
)

// endWithGoRun is done also when `go run`, if that started this program, is gone. To whoever typed it that
// is the sandbox, and a kill -9 of it does not reach us.
func endWithGoRun(ctx context.Context) context.Context {
	self, err := os.Executable()
	if err != nil || !strings.Contains(self, "/go-build") {
		return ctx
	}
	ctx, cancel := context.WithCancel(ctx)
	parent := os.Getppid()
	go func() {
		defer cancel()
		for os.Getppid() == parent && ctx.Err() == nil {
			time.Sleep(500 * time.Millisecond)
		}
	}()
	return ctx
}
