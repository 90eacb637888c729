// Package docs has the document of the API, for programs that show it without a server.
package docs

import _ "embed" // of the document

// OpenAPI is docs/openapi.json: all calls, of the new API and the old one.
//
//go:embed openapi.json
var OpenAPI []byte
