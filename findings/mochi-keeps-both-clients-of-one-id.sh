#!/usr/bin/env bash
# mochi-mqtt/server v2.7.9: of two clients with one id that connect in the same moment it may keep both, although MQTT 3.1.1 has a server
# disconnect the client that is there when another one connects with its id (MQTT-3.1.4-2).
#
# 1,500 pairs of connections, each pair with an id of its own, send CONNECT. Both were accepted and still open two seconds later:
#
#	one after the other: 0 of 1500
#	at once: more than 0 of 1500        (97 and 268 in two runs)
#
# So a program cannot learn from its broker that it is there twice if both began together; a restart of one of them tells.
#
# Needs Go 1.26 and its module proxy. Exits 1 if the behaviour is another one.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
mkdir "$dir/pairs"
cd "$dir/pairs"
cat >go.mod <<'MOD'
module pairs

go 1.26

require github.com/mochi-mqtt/server/v2 v2.7.9
MOD
cat >main.go <<'GO'
package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
)

const pairs = 1500

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// connect opens a connection, and sends CONNECT (MQTT 3.1.1, session kept) when start is closed.
func connect(address, id string, start <-chan struct{}) net.Conn {
	conn, err := net.Dial("tcp", address)
	must(err)
	<-start
	_, err = conn.Write(append([]byte{0x10, byte(12 + len(id)), 0, 4, 'M', 'Q', 'T', 'T', 4, 0, 0, 60, 0, byte(len(id))}, id...))
	must(err)
	return conn
}

// kept says whether the broker accepts the connection and does not end it.
func kept(conn net.Conn) bool {
	must(conn.SetReadDeadline(time.Now().Add(2 * time.Second)))
	got, err := io.ReadAll(conn)
	return len(got) == 4 && got[3] == 0 && errors.Is(err, os.ErrDeadlineExceeded)
}

// both says whether the broker keeps two connections of one id; the second begins later by after.
func both(address, id string, after time.Duration) bool {
	var conns [2]net.Conn
	var wait sync.WaitGroup
	start := make(chan struct{})
	for i := range conns {
		wait.Go(func() { conns[i] = connect(address, id, start) })
		if i == 0 && after > 0 {
			start <- struct{}{}
			time.Sleep(after)
		}
	}
	time.Sleep(50 * time.Millisecond)
	close(start)
	wait.Wait()
	defer conns[0].Close()
	defer conns[1].Close()
	first := make(chan bool)
	go func() { first <- kept(conns[0]) }()
	second := kept(conns[1])
	return <-first && second
}

func main() {
	broker := mqtt.New(&mqtt.Options{Logger: slog.New(slog.DiscardHandler)})
	must(broker.AddHook(new(auth.AllowHook), nil))
	listener := listeners.NewTCP(listeners.Config{ID: "tcp", Address: "127.0.0.1:0"})
	must(broker.AddListener(listener))
	must(broker.Serve())
	count := func(after time.Duration) int64 {
		var n atomic.Int64
		var wait sync.WaitGroup
		for i := range pairs {
			wait.Go(func() {
				if both(listener.Address(), fmt.Sprintf("client-%d-%s", i, after), after) {
					n.Add(1)
				}
			})
		}
		wait.Wait()
		return n.Load()
	}
	ordered, together := count(time.Second), count(0)
	fmt.Printf("one after the other: %d of %d\nat once: %d of %d\n", ordered, pairs, together, pairs)
	must(broker.Close())
	if ordered != 0 || together == 0 {
		os.Exit(1)
	}
}
GO
GOMODCACHE="$dir/cache" GOFLAGS=-mod=mod go mod tidy 2>tidy.log || { cat tidy.log; exit 1; }
GOMODCACHE="$dir/cache" go run .
