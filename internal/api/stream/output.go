package stream

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/shardscaler/shardscaler/internal/api/packed"
)

// output writes a stream to a connection.
type output struct {
	w       http.ResponseWriter
	control *http.ResponseController
	slow    time.Duration
	gzip    *packed.Stream // nil: the client does not take it
}

// newOutput is for the answer of a request. It says in the header how the stream is encoded.
func newOutput(w http.ResponseWriter, r *http.Request, slow time.Duration) *output {
	o := &output{w: w, control: http.NewResponseController(w), slow: slow}
	w.Header().Set("Vary", "Accept-Encoding")
	if packed.Gzip(r.Header.Get("Accept-Encoding")) {
		w.Header().Set("Content-Encoding", "gzip")
		o.gzip = &packed.Stream{}
	}
	return o
}

// begin sends what comes before all other text.
func (o *output) begin(text string) error {
	if o.gzip != nil {
		if err := o.send(o.gzip.Begin()); err != nil {
			return err
		}
	}
	return o.write(packed.Own([]byte(text)))
}

// end sends the last text.
func (o *output) end(parts ...packed.Part) error {
	if err := o.write(parts...); err != nil || o.gzip == nil {
		return err
	}
	return o.send(o.gzip.End())
}

// write sends parts, so that the client can read them now.
func (o *output) write(parts ...packed.Part) error {
	pieces := make([][]byte, len(parts))
	for i, p := range parts {
		if pieces[i] = p.Plain; o.gzip != nil {
			pieces[i] = o.gzip.Add(p)
		}
	}
	return o.send(pieces...)
}

// chunk is what a reader must take within output.slow.
const chunk = 64 << 10

// send gives up when the reader takes nothing. Between writes there is no deadline: one that passes
// ends a stream of HTTP/2, although nothing is being written.
func (o *output) send(pieces ...[]byte) error {
	for _, piece := range pieces {
		for len(piece) > 0 {
			if err := o.control.SetWriteDeadline(time.Now().Add(o.slow)); err != nil {
				return fmt.Errorf("bound the time of a write: %w", err)
			}
			n, err := o.w.Write(piece[:min(len(piece), chunk)])
			if err != nil {
				return err
			}
			piece = piece[n:]
		}
	}
	if err := o.control.Flush(); err != nil {
		return err
	}
	return o.control.SetWriteDeadline(time.Time{})
}

// sendBuffer is what the kernel keeps, twice, for a reader that does not take it. It would grow to
// megabytes for one that has vanished.
const sendBuffer = 64 << 10

type connKey struct{}

// ConnContext is for http.Server: it lets streams bound what the kernel keeps for them.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// bound makes the buffer of a stream's connection small. Streams of HTTP/2 share theirs with
// others, and have windows.
func bound(r *http.Request) {
	c, _ := r.Context().Value(connKey{}).(net.Conn)
	if secure, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = secure.NetConn()
	}
	if tcp, ok := c.(*net.TCPConn); ok && r.ProtoMajor == 1 {
		_ = tcp.SetWriteBuffer(sendBuffer) // without it, the kernel's own bound counts
	}
}
