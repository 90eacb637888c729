package app

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

// scrapedServer serves far more of series than a connection's buffers take.
func scrapedServer(t *testing.T) *httptest.Server {
	t.Helper()
	reg := prometheus.NewRegistry()
	series := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "many", Help: "Many."}, []string{"number"})
	reg.MustRegister(series)
	for i := range 100_000 {
		series.WithLabelValues(fmt.Sprintf("%0200d", i)).Set(1)
	}
	s := httptest.NewServer(serveMetrics(reg, time.Hour))
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// scrape asks from an address of this machine, and returns the status.
func scrape(t *testing.T, s *httptest.Server, from string) int {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c := http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true, DisableCompression: true}}
	resp, err := c.Get(s.URL)
	require.NoError(t, err)
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	return resp.StatusCode
}

// ignoreAnswer asks once more from 127.0.0.1, and reads nothing of the answer.
func ignoreAnswer(t *testing.T, s *httptest.Server) {
	t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(4<<10))
	_, err = fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
}

func TestSlowReadersOfMetricsDoNotShutPrometheusOut(t *testing.T) {
	s := scrapedServer(t)
	// A slow reader is refused while a scrape of this test holds the place it would take: only
	// asking again fills every place of the address in the end.
	asked := 0
	full := func() bool {
		asked++
		ignoreAnswer(t, s)
		return scrape(t, s, "127.0.0.1") == http.StatusTooManyRequests
	}
	require.Eventually(t, full, time.Minute, 10*time.Millisecond)
	require.LessOrEqual(t, asked, 4*maxScrapes)
	require.Equal(t, http.StatusOK, scrape(t, s, "127.0.0.2"), "another address")
}

// timed notes the deadline of an answer.
type timed struct {
	*httptest.ResponseRecorder
	until time.Time
}

func (w *timed) SetWriteDeadline(until time.Time) error {
	w.until = until
	return nil
}

func TestAReaderOfMetricsMustTakeTheAnswerInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &timed{ResponseRecorder: httptest.NewRecorder()}
		serveMetrics(prometheus.NewRegistry(), scrapeTimeout).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		require.Equal(t, http.StatusOK, w.Code)
		require.Equal(t, time.Now().Add(scrapeTimeout), w.until)
	})
}
