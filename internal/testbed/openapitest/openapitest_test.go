package openapitest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

const document = `{"openapi":"3.1.0","paths":{
"/a/{x}":{"get":{"operationId":"one","responses":{
  "200":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/Thing"}}}},
  "304":{"description":"same"},
  "default":{"content":{"application/problem+json":{"schema":{"type":"object","required":["title"]}}}}}}},
"/a/b":{"get":{"operationId":"literal","responses":{"204":{"description":"none"}}}}},
"components":{"schemas":{"Thing":{"type":"object","required":["at"],"additionalProperties":false,
  "properties":{"at":{"type":"string","format":"date-time"},"items":{"type":["array","null"],"items":{"type":"integer"}}}}}}}`

func TestAnswersAreHeldToTheDocument(t *testing.T) {
	d, err := Load([]byte(document))
	require.NoError(t, err)
	for name, c := range map[string]struct {
		path        string
		status      int
		contentType string
		body        string
		fault       string
	}{
		"right":               {"/a/x%2Fy", 200, "application/json; charset=utf-8", `{"at":"2026-01-01T00:00:00Z","items":[1]}`, ""},
		"a member more":       {"/a/x", 200, "application/json", `{"at":"2026-01-01T00:00:00Z","b":1}`, "additional"},
		"a member less":       {"/a/x", 200, "application/json", `{}`, "missing"},
		"another type":        {"/a/x", 200, "application/json", `{"at":"2026-01-01T00:00:00Z","items":["1"]}`, "integer"},
		"no time":             {"/a/x", 200, "application/json", `{"at":"yesterday"}`, "date-time"},
		"no JSON":             {"/a/x", 200, "application/json", `{`, "EOF"},
		"another media type":  {"/a/x", 200, "text/plain", `x`, "described are [application/json]"},
		"a body of nothing":   {"/a/x", 304, "application/json", `{}`, "none is described"},
		"nothing":             {"/a/x", 304, "", ``, ""},
		"a problem":           {"/a/x", 404, "application/problem+json", `{"title":"x"}`, ""},
		"no problem document": {"/a/x", 404, "application/problem+json", `{}`, "title"},
		"the literal path":    {"/a/b", 200, "application/json", `{"at":"2026-01-01T00:00:00Z"}`, "status 200 is not described"},
		"another path":        {"/b", 200, "", ``, "not described"},
	} {
		t.Run(name, func(t *testing.T) {
			err := d.Check("GET", c.path, c.status, c.contentType, []byte(c.body))
			if c.fault == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.fault)
			}
		})
	}
	require.Equal(t, []string{"literal", "one"}, d.Operations())
	require.Equal(t, []string{"one 200", "one 304", "one 404"}, d.Seen())
}

func TestAnotherVersionIsRefused(t *testing.T) {
	_, err := Load([]byte(`{"openapi":"3.0.3"}`))
	require.ErrorContains(t, err, "want 3.1")
}
