package client

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/internal/exact"
)

// event is one Server-Sent Event, or a pause that is asked for.
type event struct {
	id, name string
	data     []byte
	retry    time.Duration
}

// maxLine bounds a line: 20,000 instances are 10 MB.
const maxLine = 64 << 20

var errEnded = errors.New("the connection was closed")

// events reads a stream and calls take for each event, until that fails or the stream ends. heard
// is called for whatever comes.
func events(from io.Reader, heard func(), take func(*event) error) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, maxLine)
	var e event
	for lines.Scan() {
		heard()
		if line := lines.Bytes(); len(line) > 0 {
			e.field(line)
			continue
		}
		if err := take(&e); err != nil {
			return err
		}
		e = event{}
	}
	return cmp.Or(lines.Err(), errEnded)
}

// field takes in a line: name, colon, and a blank that does not count. A comment has no name.
func (e *event) field(line []byte) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "id":
		e.id = string(value)
	case "event":
		e.name = string(value)
	case "retry":
		if ms, err := strconv.ParseUint(string(value), 10, 31); err == nil {
			e.retry = time.Duration(ms) * time.Millisecond
		}
	case "data":
		if e.data != nil {
			e.data = append(e.data, '\n')
		}
		e.data = append(e.data, value...)
	}
}

// maxRefusal bounds what is read of an answer that is no stream.
const maxRefusal = 64 << 10

// refusal reads why there is no stream: a problem document, a Status of Kubernetes, or text.
func refusal(resp *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal)) // what has come is shown
	var document struct {
		Detail  string `json:"detail"`
		Message string `json:"message"`
	}
	_ = exact.JSON(text, &document)
	detail := cmp.Or(document.Detail, document.Message, strings.TrimSpace(string(text)))
	return &Refused{Status: resp.StatusCode, Detail: detail, After: retryAfter(resp.Header)}
}
