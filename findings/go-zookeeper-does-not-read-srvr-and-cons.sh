#!/usr/bin/env bash
# go-zookeeper/zk v1.0.4 with ZooKeeper 3.9.4: of its three helpers for four-letter words one cannot read a healthy server, and one calls it
# faulty without an error, and gives times in the far future.
#
# FLWSrvr wants the date of the build as 08/19/2025; the server writes "built on 2025-08-19 19:53 UTC". All fields of the result are empty.
# FLWCons fails for each server: the connection by which it asks is in the answer too, as " /127.0.0.1:35978[0](queued=0,recved=1,sent=0)",
# without a session, which its expression does not match. Its documentation says to look at Error then, but the next statement replaces the
# value that holds it. And "est", milliseconds since 1970, is taken for seconds.
#
#	FLWRuok: true
#	FLWSrvr: false, mode unknown, error unable to parse fields from zookeeper response (no regex matches)
#	FLWCons: false, 1 client, error <nil>, established after the year 50000: true
#
# Needs Go, Java and Maven, and their registries. Exits 1 if the behaviour is another one.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
cat >pom.xml <<'POM'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>finding</groupId>
  <artifactId>finding</artifactId>
  <version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.zookeeper</groupId><artifactId>zookeeper</artifactId><version>3.9.4</version></dependency>
    <dependency><groupId>io.dropwizard.metrics</groupId><artifactId>metrics-core</artifactId><version>4.2.33</version></dependency>
    <dependency><groupId>org.xerial.snappy</groupId><artifactId>snappy-java</artifactId><version>1.1.10.7</version></dependency>
  </dependencies>
</project>
POM
mvn -q -B -Dmaven.repo.local="$dir/m2" dependency:copy-dependencies -DoutputDirectory="$dir/jars" >log 2>&1 || { cat log; exit 1; }
cat >go.mod <<'MOD'
module finding

go 1.25

require github.com/go-zookeeper/zk v1.0.4
MOD
cat >main.go <<'GO'
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err) // and not log.Fatal, so that the server is stopped
	}
	return value
}

// answer is what the server sends for a word.
func answer(address, word string) string {
	conn := must(net.Dial("tcp", address))
	defer conn.Close()
	must(io.WriteString(conn, word))
	return string(must(io.ReadAll(conn)))
}

func main() {
	free := must(net.Listen("tcp", "127.0.0.1:0"))
	address := free.Addr().String()
	free.Close()
	server := exec.Command("java", "-Dzookeeper.4lw.commands.whitelist=*", "-Dzookeeper.admin.enableServer=false", "-cp", "jars/*",
		"org.apache.zookeeper.server.ZooKeeperServerMain", address[strings.LastIndex(address, ":")+1:], "data")
	server.Stderr = os.Stderr
	if err := server.Start(); err != nil {
		panic(err)
	}
	defer server.Wait()
	defer server.Process.Kill()
	for range 300 {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			if strings.Contains(answer(address, "srvr"), "Mode: standalone") {
				break
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	client, _, err := zk.Connect([]string{address}, 10*time.Second, zk.WithLogger(log.New(io.Discard, "", 0)))
	if err != nil {
		panic(err)
	}
	defer client.Close()
	if _, _, err := client.Children("/"); err != nil {
		panic(err)
	}
	servers := []string{address}
	fmt.Printf("FLWRuok: %t\n", zk.FLWRuok(servers, 5*time.Second)[0])
	stats, ok := zk.FLWSrvr(servers, 5*time.Second)
	fmt.Printf("FLWSrvr: %t, mode %s, error %v\n", ok, stats[0].Mode, stats[0].Error)
	clients, ok := zk.FLWCons(servers, 5*time.Second)
	fmt.Printf("FLWCons: %t, %d client, error %v, established after the year 50000: %t\n",
		ok, len(clients[0].Clients), clients[0].Error, clients[0].Clients[0].Established.Year() > 50000)
}
GO
GOFLAGS=-mod=mod go run . 2>log | tee out || { cat log; exit 1; }
diff - out <<'WANT' || { cat log; exit 1; }
FLWRuok: true
FLWSrvr: false, mode unknown, error unable to parse fields from zookeeper response (no regex matches)
FLWCons: false, 1 client, error <nil>, established after the year 50000: true
WANT
