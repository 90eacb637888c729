package access

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
)

const (
	// minSessionKey is the least length of a session's key in bytes.
	minSessionKey = 32
	// maxKeyFile bounds the file in bytes: each of its keys may be tried on each cookie.
	maxKeyFile = 1024
)

// KeyFile is a file of keys for sessions, each on a line of its own, as base64 of at least 32 bytes.
// The first seals, each opens: a new one joins at the end, and moves to the front when all replicas
// have read it.
type KeyFile struct {
	path string
	log  *slog.Logger

	mu   sync.Mutex
	seen os.FileInfo // the file that keys were read from, or that could not be
	keys [][]byte
}

// OpenKeyFile reads the file, which must be good; later ones that are not leave the keys as they are.
func OpenKeyFile(path string, log *slog.Logger) (*KeyFile, error) {
	f := &KeyFile{path: path, log: log}
	if err := f.read(); err != nil {
		return nil, fmt.Errorf("read --session-key-file: %w", err)
	}
	return f, nil
}

// Keys are those of the file, which is read again when it has changed.
func (f *KeyFile) Keys() [][]byte {
	keys, err := f.current()
	if err != nil {
		f.log.Error("the keys of --session-key-file cannot be read, the former ones stay", "error", err)
	}
	return keys
}

// current has an error once for each fault.
func (f *KeyFile) current() ([][]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.read()
	return f.keys, err
}

func (f *KeyFile) read() error {
	now, err := os.Stat(f.path) // nil with an error
	was := f.seen
	f.seen = now
	switch {
	case err != nil && was == nil && f.keys != nil:
		return nil // said before
	case err != nil:
		return err
	case was != nil && os.SameFile(was, now) && was.ModTime().Equal(now.ModTime()) && was.Size() == now.Size():
		return nil
	case now.Size() > maxKeyFile:
		return fmt.Errorf("%s has %d bytes, at most %d are taken", f.path, now.Size(), maxKeyFile)
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		return err
	}
	keys, err := keysOf(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	f.keys = keys
	return nil
}

func keysOf(text string) (keys [][]byte, err error) {
	n := 0
	for line := range strings.Lines(text) {
		n++
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		key, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(key) < minSessionKey { // the error of the library would show a part of it
			return nil, fmt.Errorf("line %d: want a key of %d bytes or more as base64; make one with: openssl rand -base64 32", n, minSessionKey)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("want a key of %d bytes or more as base64; make one with: openssl rand -base64 32", minSessionKey)
	}
	return keys, nil
}
