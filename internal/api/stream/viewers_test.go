package stream

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"
)

// viewersEnv has this binary be viewers and no tests, so that what they cost is not the server's:
// the server's address, how many they are, and the encoding that they take.
const viewersEnv = "SHARDSCALER_TEST_VIEWERS"

func TestMain(m *testing.M) {
	if text := os.Getenv(viewersEnv); text != "" {
		words := strings.Fields(text)
		if err := view(words[0], words[1], words[2]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// view opens streams from addresses of the loopback network, 500 each, reports how many answers
// were 200, and reads them until the standard input ends.
func view(address, count, encoding string) error {
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	var streams errgroup.Group
	streams.SetLimit(50)
	for i := range n {
		streams.Go(func() error {
			local := &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i/500))}
			conn, err := (&net.Dialer{LocalAddr: local}).Dial("tcp", address)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(conn, "GET %s?watch=true HTTP/1.1\r\nHost: test\r\nAccept-Encoding: %s\r\n\r\n", path, encoding); err != nil {
				return err
			}
			status, err := bufio.NewReaderSize(io.LimitReader(conn, 15), 16).ReadString('\n')
			if !strings.HasPrefix(status, "HTTP/1.1 200") {
				return fmt.Errorf("%q: %w", status, err)
			}
			go func() { _, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, conn, make([]byte, 4096)) }()
			return nil
		})
	}
	if err := streams.Wait(); err != nil {
		return err
	}
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// withViewers runs f while another process has n streams open, which take that encoding.
func withViewers(t testing.TB, url string, n int, encoding string, f func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %s", viewersEnv, strings.TrimPrefix(url, "http://"), n, encoding))
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer func() {
		in.Close()
		require.NoError(t, cmd.Wait())
	}()
	said, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", said)
	f()
}

// cpu is what this process has used.
func cpu(t testing.TB) time.Duration {
	var used syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// memory is what this process has of heap and stacks in use.
func memory() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// changing changes 50 of 500 instances, again and again, until stopped.
func changing(w *world) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; ; i++ {
			w.change(func(w *world) {
				instances := slices.Clone(w.kinds[0].Instances)
				for n := range 50 {
					in := &instances[(50*i+n)%len(instances)]
					in.List.Count, in.Beat = 4000+i, time.Now()
				}
				w.kinds[0].Instances = instances
			})
			select {
			case <-done:
				return
			case <-time.After(interval / 2):
			}
		}
	}()
	return func() { close(done); <-ended }
}

// A viewer costs less than 1 % of a core: 100 of them, 500 instances of which more than 50 change
// each second. The process's CPU is measured, all of it: reading, comparing, encoding and sending.
func TestAViewerCostsLessThanOnePercentOfACore(t *testing.T) {
	const n = 100
	w := things(500)
	defer changing(w)()
	hub := New(w.config())
	url := listen(t, server(handler(hub)))
	for _, encoding := range []string{"identity", "gzip"} {
		withViewers(t, url, n, encoding, func() {
			begun, before := time.Now(), cpu(t)
			time.Sleep(4 * interval)
			share := float64(cpu(t)-before) / float64(time.Since(begun)) * 100
			t.Logf("%d viewers of 500 instances at 1 Hz by %s: %.2f %% of a core, %.3f %% a viewer", n, encoding, share, share/n)
			require.Less(t, share/n, 1.0)
			require.Equal(t, n, viewers(hub))
		})
		require.Eventually(t, func() bool { return viewers(hub) == 0 }, 10*time.Second, 10*time.Millisecond)
	}
}

// 1,000 streams leave the server answering; the next gets 429, and what they held is given back.
func TestAThousandStreams(t *testing.T) {
	w := things(500)
	hub := New(w.config())
	url := listen(t, server(handler(hub)))
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	before := memory()
	withViewers(t, url, defaultStreams, "gzip", func() {
		require.Equal(t, defaultStreams, viewers(hub))
		each := (memory() - before) / defaultStreams
		t.Logf("%d streams: %d kB of memory each", defaultStreams, each>>10)
		require.Less(t, each, uint64(128<<10))
		one := open(t, client, url, "", "")
		require.Equal(t, http.StatusTooManyRequests, one.resp.StatusCode)
		require.Equal(t, "5", one.resp.Header.Get("Retry-After"))
		one.close()
		defer changing(w)()
		for range 20 {
			begun := time.Now()
			resp, err := client.Get(url + path)
			require.NoError(t, err)
			text, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			resp.Body.Close()
			require.Equal(t, "\"listed\"\n", string(text))
			require.Less(t, time.Since(begun), 5*time.Second)
			time.Sleep(interval / 10)
		}
	})
	require.Eventually(t, func() bool { return viewers(hub) == 0 }, 30*time.Second, 10*time.Millisecond)
	one := open(t, client, url, "", "")
	require.Equal(t, http.StatusOK, one.resp.StatusCode)
}

// One address may have half of the streams.
func TestOneAddressLeavesStreamsToOthers(t *testing.T) {
	w := things(1)
	cfg := w.config()
	cfg.Streams = 4
	url := listen(t, server(handler(New(cfg))))
	from := func(ip byte) *http.Client {
		transport := &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, ip)}}).DialContext}
		t.Cleanup(transport.CloseIdleConnections)
		return &http.Client{Transport: transport}
	}
	greedy := from(2)
	for range 2 {
		require.Equal(t, http.StatusOK, open(t, greedy, url, "", "").resp.StatusCode)
	}
	require.Equal(t, http.StatusTooManyRequests, open(t, greedy, url, "", "").resp.StatusCode)
	require.Equal(t, http.StatusOK, open(t, from(3), url, "", "").resp.StatusCode)
}

// Sends to 100 viewers over HTTP, of 500 instances of which 50 change: an operation is a tick of
// one second in which all of them are brought up to date. Run it with -benchtime 10x.
func BenchmarkTicksOf100ViewersOf500InstancesOf50Changed(b *testing.B) {
	w := things(500)
	url := listen(b, server(handler(New(w.config()))))
	withViewers(b, url, 100, "gzip", func() {
		defer changing(w)()
		before := cpu(b)
		for b.Loop() {
			time.Sleep(interval)
		}
		b.ReportMetric(float64(cpu(b)-before)/float64(b.N)/1e6, "cpu-ms/op")
	})
}
