// Package openapitest holds answers to the OpenAPI document that describes them.
//
// In: the document, and answers of a server. Out: how an answer differs from what is described.
package openapitest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/shardscaler/shardscaler/internal/exact"
)

// Document is an OpenAPI 3.1 document, whose schemas are JSON Schema 2020-12.
type Document struct {
	paths map[string]map[string]operation

	mu       sync.Mutex
	compiler *jsonschema.Compiler
	seen     map[string]bool
}

type operation struct {
	ID        string `json:"operationId"`
	Responses map[string]struct {
		Content map[string]struct {
			Schema json.RawMessage `json:"schema"`
		} `json:"content"`
	} `json:"responses"`
}

// name is under which the compiler knows the document.
const name = "openapi.json"

// Load reads a document.
func Load(text []byte) (*Document, error) {
	var head struct {
		OpenAPI string                                `json:"openapi"`
		Paths   map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := exact.JSON(text, &head); err != nil {
		return nil, fmt.Errorf("read openapi: %w", err)
	}
	if !strings.HasPrefix(head.OpenAPI, "3.1.") {
		return nil, fmt.Errorf("read openapi: version %q, want 3.1", head.OpenAPI)
	}
	d := &Document{paths: map[string]map[string]operation{}, compiler: jsonschema.NewCompiler(), seen: map[string]bool{}}
	for path, methods := range head.Paths {
		d.paths[path] = map[string]operation{}
		for method, raw := range methods {
			var op operation
			if err := exact.JSON(raw, &op); err != nil {
				return nil, fmt.Errorf("read openapi: %s %s: %w", method, path, err)
			}
			d.paths[path][strings.ToUpper(method)] = op
		}
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read openapi: %w", err)
	}
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	d.compiler.AssertFormat()
	return d, d.compiler.AddResource(name, doc)
}

// Operations are the ids of all operations, sorted.
func (d *Document) Operations() (ids []string) {
	for _, methods := range d.paths {
		for _, op := range methods {
			ids = append(ids, op.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// Seen are the ids of the operations of which an answer was held to the document, with the status:
// "get-kind 200". They are sorted.
func (d *Document) Seen() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.seen))
}

// ErrNotDescribed says that the document has no such operation.
var ErrNotDescribed = errors.New("not described")

// find is the path of the document that a request's path, as it was sent, is of; of several, that
// with the most literal segments.
func (d *Document) find(method, sent string) (path string, op operation, err error) {
	segments, most := strings.Split(sent, "/"), -1
	for template, methods := range d.paths {
		found, described := methods[method]
		if literal := fit(strings.Split(template, "/"), segments); described && literal > most {
			path, op, most = template, found, literal
		}
	}
	if most < 0 {
		return "", op, fmt.Errorf("%s %s: %w", method, sent, ErrNotDescribed)
	}
	return path, op, nil
}

// fit counts the literal segments of a template that a path fits; -1: it does not.
func fit(template, path []string) (literal int) {
	if len(template) != len(path) {
		return -1
	}
	for i, segment := range template {
		switch {
		case segment == path[i]:
			literal++
		case !strings.HasPrefix(segment, "{") || path[i] == "":
			return -1
		}
	}
	return literal
}

// Check says how an answer differs from what the document describes; nil: it does not. path is as
// it was sent, without the query.
func (d *Document) Check(method, path string, status int, contentType string, body []byte) error {
	template, op, err := d.find(method, path)
	if err != nil {
		return err
	}
	code := strconv.Itoa(status)
	answer, ok := op.Responses[code]
	if !ok {
		if answer, ok = op.Responses["default"]; !ok {
			return fmt.Errorf("%s %s: status %d is not described", method, path, status)
		}
		code = "default"
	}
	if len(answer.Content) == 0 {
		if len(body) > 0 {
			return fmt.Errorf("%s %s: status %d has a body, and none is described: %.200s", method, path, status, body)
		}
		return d.note(op.ID, status)
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return fmt.Errorf("%s %s: Content-Type %q: %w", method, path, contentType, err)
	}
	described, ok := answer.Content[media]
	switch {
	case !ok:
		return fmt.Errorf("%s %s: status %d is of type %s, described are %v", method, path, status, media, slices.Sorted(maps.Keys(answer.Content)))
	case described.Schema == nil || !strings.HasSuffix(media, "json"):
		return d.note(op.ID, status)
	}
	at := []string{"paths", template, strings.ToLower(method), "responses", code, "content", media, "schema"}
	if err := d.validate(at, body); err != nil {
		return fmt.Errorf("%s %s: status %d: %w\nanswer: %.2000s", method, path, status, err, body)
	}
	return d.note(op.ID, status)
}

func (d *Document) note(id string, status int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen[fmt.Sprint(id, " ", status)] = true
	return nil
}

// validate holds a text to the schema at a place of the document.
func (d *Document) validate(at []string, text []byte) error {
	for i := range at {
		at[i] = strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(at[i])
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	schema, err := d.compile(name + "#/" + strings.Join(at, "/"))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

func (d *Document) compile(at string) (*jsonschema.Schema, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.compiler.Compile(at)
}

// Transport passes requests on and reports each answer that differs from what is described. What
// the document does not describe passes. Streams (text/event-stream) are not read.
func (d *Document) Transport(next http.RoundTripper, report func(error)) http.RoundTripper {
	return transport{d, next, report}
}

type transport struct {
	doc    *Document
	next   http.RoundTripper
	report func(error)
}

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	if err != nil || strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	err = t.doc.Check(r.Method, r.URL.EscapedPath(), resp.StatusCode, resp.Header.Get("Content-Type"), body)
	if err != nil && !errors.Is(err, ErrNotDescribed) {
		t.report(err)
	}
	return resp, nil
}
