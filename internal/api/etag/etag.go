// Package etag makes the tags by which callers ask only for what has changed (RFC 9110).
//
// In: a document. Out: its weak tag, and whether a caller's If-None-Match or If-Match names it.
package etag

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
)

// Weak is the tag of what encodes as doc, followed by the hashes of what is sent with it.
func Weak(doc any, more ...[]byte) (string, error) {
	sum := sha256.New()
	if err := json.NewEncoder(sum).Encode(doc); err != nil {
		return "", fmt.Errorf("make etag: %w", err)
	}
	for _, hash := range more {
		sum.Write(hash)
	}
	return `W/"` + hex.EncodeToString(sum.Sum(nil)[:16]) + `"`, nil
}

// Names says whether a header of tags has this one, or any by `*`. Tags are compared weakly.
func Names(header, tag string) bool {
	for value := range strings.SplitSeq(header, ",") {
		value = strings.TrimSpace(value)
		if value == "*" || strings.TrimPrefix(value, "W/") == strings.TrimPrefix(tag, "W/") {
			return true
		}
	}
	return false
}
