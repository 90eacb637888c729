package worldfile

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"

	"github.com/shardscaler/shardscaler/internal/exact"
)

// maxLine is the longest line of a JSON Lines file, in bytes.
const maxLine = 1 << 20

func (b *builder) from(name string, open func(string) (io.ReadCloser, error)) error {
	in, err := open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 1<<16), maxLine)
	n := 0
	for lines.Scan() {
		n++
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		if err := b.line(line); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("line %d: %w", n+1, err)
	}
	return nil
}

func (b *builder) line(line []byte) error {
	r, ok := plainLine(line)
	if !ok {
		r = Resource{}
		if err := exact.KnownJSON(line, &r); err != nil {
			return err
		}
	}
	l := &b.w.Pool
	if r.Instance != nil {
		in := b.at[*r.Instance]
		if in == nil {
			return fmt.Errorf("instance of %q: %d, want one of the instances", r.ID, *r.Instance)
		}
		l = &in.List
	}
	return b.add(l, &r)
}

// plainLine reads the usual line, {"id":"…","instance":3,"weight":1.5} in any order, several times
// faster than encoding/json. It refuses (ok false) whatever is out of the ordinary: escapes,
// labels, null, a field twice, errors. FuzzPlainLine compares the two.
func plainLine(line []byte) (r Resource, ok bool) {
	p := plain{rest: line}
	if !p.next('{') {
		return r, false
	}
	var id, weight bool
	for {
		name, ok := p.text()
		if !ok || !p.next(':') {
			return r, false
		}
		switch {
		case string(name) == "id" && !id:
			var text []byte
			if text, id = p.text(); !id {
				return r, false
			}
			r.ID = string(text)
		case string(name) == "instance" && r.Instance == nil:
			n, err := strconv.Atoi(string(p.number()))
			if err != nil {
				return r, false
			}
			r.Instance = &n
		case string(name) == "weight" && !weight:
			var err error
			if r.Weight, err = strconv.ParseFloat(string(p.number()), 64); err != nil {
				return r, false
			}
			weight = true
		default:
			return r, false
		}
		if p.next('}') {
			return r, len(p.rest) == 0
		}
		if !p.next(',') {
			return r, false
		}
	}
}

// plain is the rest of a line.
type plain struct{ rest []byte }

// next takes c if it comes next, spaces aside.
func (p *plain) next(c byte) bool {
	p.spaces()
	if len(p.rest) == 0 || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

func (p *plain) spaces() {
	for len(p.rest) > 0 && (p.rest[0] == ' ' || p.rest[0] == '\t') {
		p.rest = p.rest[1:]
	}
}

// text takes a string of plain ASCII without escapes.
func (p *plain) text() ([]byte, bool) {
	if !p.next('"') {
		return nil, false
	}
	for i, c := range p.rest {
		switch {
		case c == '"':
			text := p.rest[:i]
			p.rest = p.rest[i+1:]
			return text, true
		case c == '\\' || c < ' ' || c >= 0x7f:
			return nil, false
		}
	}
	return nil, false
}

// number takes digits with points between them, as in JSON; of two points strconv says the rest.
func (p *plain) number() []byte {
	p.spaces()
	n := 0
	for n < len(p.rest) && (p.rest[n] >= '0' && p.rest[n] <= '9' || p.rest[n] == '.') {
		n++
	}
	number := p.rest[:n]
	p.rest = p.rest[n:]
	if n == 0 || number[0] == '.' || number[n-1] == '.' || n > 1 && number[0] == '0' && number[1] != '.' {
		return nil
	}
	return number
}
