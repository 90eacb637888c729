package client

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"
)

// answers are the statuses of the API server, one a request; the last one stays.
type answers struct {
	statuses []int
	asked    []string
}

// RoundTrip implements http.RoundTripper.
func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	status := a.statuses[min(len(a.asked), len(a.statuses)-1)]
	a.asked = append(a.asked, r.Method)
	text := "service unavailable"
	if status == http.StatusOK {
		text = `{"items":[]}`
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text)), Request: r}, nil
}

func TestAReadWaitsAMomentForAServer(t *testing.T) {
	for name, tc := range map[string]struct {
		statuses  []int
		impatient bool
		write     bool
		asked     int
		took      time.Duration
		told      int
		fails     bool
	}{
		"it is there":               {statuses: []int{200}, asked: 1},
		"it comes":                  {statuses: []int{503, 503, 200}, asked: 3, took: 600 * time.Millisecond, told: 1},
		"it does not come":          {statuses: []int{503}, asked: 5, took: 3 * time.Second, told: 1, fails: true},
		"it says something else":    {statuses: []int{403, 200}, asked: 1, fails: true},
		"and then something else":   {statuses: []int{503, 403}, asked: 2, took: 200 * time.Millisecond, told: 1, fails: true},
		"a change is made once":     {statuses: []int{503, 200}, write: true, asked: 1, fails: true},
		"doctor and the completion": {statuses: []int{503, 200}, impatient: true, asked: 1, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, told := &answers{statuses: tc.statuses}, 0
				c, err := Aggregated(&rest.Config{Host: "https://cluster", Transport: a}, "iota")
				require.NoError(t, err)
				if !tc.impatient {
					c.Patient(func(why error) {
						require.ErrorContains(t, why, "not available: service unavailable")
						told++
					})
				}
				began := time.Now()
				if tc.write {
					_, err = c.Of("Thing").EndSize(t.Context())
				} else {
					_, err = c.Kinds(t.Context())
				}
				require.Equal(t, tc.fails, err != nil, "%v", err)
				require.Len(t, a.asked, tc.asked)
				require.Equal(t, tc.took, time.Since(began))
				require.Equal(t, tc.told, told)
			})
		})
	}
}
