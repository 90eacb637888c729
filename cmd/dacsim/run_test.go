package main

import (
	"log/slog"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheControlAddressIsALoopbackOne(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for _, addr := range []string{"127.0.0.1:0", "localhost:0", "LocalHost:0"} {
		stop, err := serveControl(addr, http.NotFoundHandler(), log)
		require.NoError(t, err, addr)
		stop()
	}
	for _, addr := range []string{":9310", "0.0.0.0:9310", "10.1.2.3:9310", "localhost", "localhost.example:9310"} {
		_, err := serveControl(addr, http.NotFoundHandler(), log)
		require.ErrorContains(t, err, "must be a loopback host:port", addr)
	}
}
