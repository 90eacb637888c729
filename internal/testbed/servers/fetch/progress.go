package fetch

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Progress tells a person, or a CI log, what is being done and for how long.
type Progress struct {
	mu       sync.Mutex
	w        io.Writer
	terminal bool // rewrite the last line each second instead of adding one every 15 s
}

// NewProgress writes to w; nil: nothing is written.
func NewProgress(w io.Writer) *Progress {
	if w == nil {
		w = io.Discard
	}
	return &Progress{w: w, terminal: IsTerminal(w)}
}

// IsTerminal says whether w can be drawn on in place.
func IsTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Printf writes one line.
func (p *Progress) Printf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.w, "sandbox: "+format+"\n", args...)
}

// During runs work and says when it begins, goes on and has ended. now may add how far it is.
func (p *Progress) During(what string, now func() string, work func() error) error {
	began := time.Now()
	p.Printf("%s …", what)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		p.tick(what, now, began, stop)
	}()
	err := work()
	close(stop)
	<-stopped
	if err == nil {
		p.Printf("%s: done in %s", what, time.Since(began).Round(time.Second))
	}
	return err
}

func (p *Progress) tick(what string, now func() string, began time.Time, stop <-chan struct{}) {
	interval, format := 15*time.Second, "sandbox: %s: %s %s\n"
	if p.terminal {
		interval, format = time.Second, "\r\033[Ksandbox: %s: %s %s"
		defer fmt.Fprint(p.w, "\r\033[K")
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
			p.mu.Lock()
			fmt.Fprintf(p.w, format, what, time.Since(began).Round(time.Second), now())
			p.mu.Unlock()
		}
	}
}

// nothing is for work that cannot say how far it has come.
func nothing() string { return "" }
