// Package local serves the page on this machine, with the credentials of the person who started it.
//
// In: a client that has them; requests of a browser. Out: the page, and the answers to its calls.
// Invariant: only the browser that came in by the key is answered, since each of its calls is the
// person's.
package local

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/shardscaler/shardscaler/internal/kubectl/client"
	"github.com/shardscaler/shardscaler/internal/samesite"
	"github.com/shardscaler/shardscaler/internal/ui"
)

// Server serves the page.
type Server struct {
	listener net.Listener
	door     *door
	http     *http.Server
}

// Listen listens on a port of the loopback address; 0: any that is free. Serve then serves.
func Listen(to *client.Client, port int) (*Server, error) {
	files, err := ui.Handler(ui.Live)
	if err != nil {
		return nil, err
	}
	behind, err := inside(to, files)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("serve the page: %w", err)
	}
	d := newDoor(behind)
	return &Server{listener: listener, door: d, http: &http.Server{
		Handler: samesite.Only(d, true), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: log.New(io.Discard, "", 0), // of browsers that hang up
	}}, nil
}

// Address is where a person opens the page. It has a key in it, and is for nobody else.
func (s *Server) Address() string { return s.address(s.door.key) }

// AddressOnce is Address, but is good for one browser alone: others of this machine can see the
// command line by which one is opened.
func (s *Server) AddressOnce() string { return s.address(s.door.issue()) }

func (s *Server) address(key string) string {
	return "http://" + s.listener.Addr().String() + entrance + key
}

// Serve serves until ctx ends, and then returns nil. It is called once.
func (s *Server) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.http.Close() })
	defer stop()
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the page: %w", err)
	}
	return nil
}

// inside is what the door leads to.
func inside(to *client.Client, files http.Handler) (http.Handler, error) {
	mux := http.NewServeMux()
	if err := registerDocs(mux); err != nil {
		return nil, err
	}
	mux.Handle("/ui/", http.StripPrefix("/ui", files))
	mux.Handle(client.Prefix, to.Proxy())
	return http.MaxBytesHandler(mux, 1<<20), nil
}

const (
	// entrance is the path of an address, before its key.
	entrance = "/enter/"
	cookie   = "shardscaler-ui"
)

// door lets in browsers that come by a key: they get a cookie. Each process of this machine reaches
// the port.
type door struct {
	next http.Handler
	// room is the path below which everything is. Since it is not known to others, no other server on
	// this machine can have a browser send it the cookie.
	room, cookie string
	key          string // lets in any number of times

	mu   sync.Mutex
	once string // lets in once; "": was used
}

func newDoor(next http.Handler) *door {
	room := "/" + rand.Text()
	return &door{next: http.StripPrefix(room, next), room: room, cookie: rand.Text(), key: rand.Text()}
}

// issue returns a key that lets in once. It ends the one before.
func (d *door) issue() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.once = rand.Text()
	return d.once
}

// admits says whether a key lets in, and ends one that does so once.
func (d *door) admits(key string) bool {
	if same(key, d.key) {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	ok := d.once != "" && same(key, d.once)
	if ok {
		d.once = ""
	}
	return ok
}

func same(one, other string) bool {
	return subtle.ConstantTimeCompare([]byte(one), []byte(other)) == 1
}

// ServeHTTP implements http.Handler.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	if key, ok := strings.CutPrefix(r.URL.Path, entrance); ok && r.Method == http.MethodGet && d.admits(key) {
		h.Set("Cache-Control", "no-store")
		http.SetCookie(w, &http.Cookie{Name: cookie, Value: d.cookie, Path: d.room + "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
		http.Redirect(w, r, d.room+"/ui/", http.StatusSeeOther)
		return
	}
	c, err := r.Cookie(cookie)
	if err != nil || !same(c.Value, d.cookie) || !strings.HasPrefix(r.URL.Path, d.room+"/") {
		http.Error(w, "Open the address that was printed in the terminal.", http.StatusForbidden)
		return
	}
	d.next.ServeHTTP(w, r)
}
