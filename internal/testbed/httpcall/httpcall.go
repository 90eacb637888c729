// Package httpcall asks HTTP servers as a test or a command does: one call, no connection left
// behind.
//
// In: an address and perhaps a body and a token. Out: the answer, or a StatusError.
package httpcall

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// StatusError is an answer that is an error.
type StatusError struct {
	Code int
	Body string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%d %s: %s", e.Code, http.StatusText(e.Code), e.Body)
}

// Once is a client that leaves no connection behind.
var Once = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// JSON sends in and decodes the answer into out; nil: there is none, or it is not wanted. The token
// may be empty.
func JSON(ctx context.Context, method, url, token string, in, out any) error {
	raw, err := Do(ctx, Once, method, url, token, in)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("%s %s: %w", method, url, err)
	}
	return nil
}

// Do is JSON by another client, and returns the answer as it came.
func Do(ctx context.Context, client *http.Client, method, url, token string, in any) ([]byte, error) {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= http.StatusBadRequest {
		err = &StatusError{resp.StatusCode, strings.TrimSpace(string(raw))}
	}
	return raw, err
}
