package api

import (
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/felixge/httpsnoop"
)

// What Heard waits for at most.
const (
	heardBytes = 64 << 10
	heardTime  = 2 * time.Second
)

// Heard has a short body of a request come in whole before the answer begins, whether or not the
// handler reads it. It is for the outermost handler of a door that speaks HTTP/2: there the server
// resets a stream that it has answered before the body's end, and clients may lose the answer
// (curl 7.88 does), a refusal and its reason above all.
func Heard(next http.Handler) http.Handler { return heard(next, heardTime) }

func heard(next http.Handler, most time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor < 2 || r.ContentLength == 0 || r.ContentLength > heardBytes {
			next.ServeHTTP(w, r)
			return
		}
		body, rest := r.Body, http.NewResponseController(w)
		hear := sync.OnceFunc(func() {
			// without a deadline, or with a body that fails, the answer goes out as it would have
			_ = rest.SetReadDeadline(time.Now().Add(most))
			_, _ = io.CopyN(io.Discard, body, heardBytes)
		})
		defer hear() // before the server writes the status of a handler that writes nothing
		next.ServeHTTP(httpsnoop.Wrap(w, httpsnoop.Hooks{
			WriteHeader: func(write httpsnoop.WriteHeaderFunc) httpsnoop.WriteHeaderFunc {
				return func(status int) {
					hear()
					write(status)
				}
			},
			Write: func(write httpsnoop.WriteFunc) httpsnoop.WriteFunc {
				return func(p []byte) (int, error) {
					hear()
					return write(p)
				}
			},
		}), r)
	})
}
