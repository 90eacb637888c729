package exact

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestYAMLIsReadAsItIsWritten(t *testing.T) {
	for text, fault := range map[string]string{
		"name: a\n---\nname: b\n":                          "line 2: a second document begins (---): want one",
		"---\n# nothing\n---\nname: b\n":                   "a second document begins",
		"name: a\n---\n":                                   "a second document begins",
		"name: a\n---\n{":                                  "line 3",
		"part:\n  labels: {1: a, \"1\": b}\n":              `line 2: the key "1" comes twice, first in line 2`,
		"part:\n  labels:\n    true: a\n    \"true\": b\n": `line 4: the key "true" comes twice, first in line 3`,
		"parts:\n- labels:\n    2: a\n    '2': b\n":        `line 4: the key "2" comes twice, first in line 3`,
		"parts:\n- labels:\n    1.0: a\n":                  "line 3: the key 1.0 would be read as another text: put it in quotes",
		"part:\n  labels:\n    on: a\n":                    "line 3: the key on would be read as another text: put it in quotes",
		"part:\n  labels:\n    site: no\n":                 `line 3: no would be read as "false": put it in quotes`,
		"part: {id: 007}\n":                                `line 1: 007 would be read as "7": put it in quotes`,
		"part: {id: 0x10}\n":                               `line 1: 0x10 would be read as "16": put it in quotes`,
		"part: {id: 1e3}\n":                                `line 1: 1e3 would be read as "1000": put it in quotes`,
		"part: {id: 12345678901234567890123}\n":            "put it in quotes",
		"part: {id: 1.50}\n":                               `line 1: 1.50 would be read as "1.5": put it in quotes`,
		"part: {id: a}\nnumber: 010":                       "line 2: 010 would be read as 8: write it without the leading 0",
		"part: {id: a}\nnumber: -0_17":                     "line 2: -0_17 would be read as -15: write it without the leading 0",
		"part: {id: !!binary /w==}\n":                      "line 1: !!binary /w==: is not UTF-8",
		"parts: [{id: &it 7, text: a}, {labels: {a: no}}]": `line 1: no would be read as "false"`,
	} {
		w := whole{Name: "kept"}
		require.ErrorContains(t, KnownYAML([]byte(text), &w), fault, text)
		require.Equal(t, whole{Name: "kept"}, w, text)
	}
	for text, want := range map[string]whole{
		"# one\n---\nname: a\n...\n": {Name: "a"},
		"name: a # and\n# more\n":    {Name: "a"},
		"name: one\n  text\n":        {Name: "one text"},
		"name: |\n  007\n":           {Name: "007\n"},
		"name: !!str 007\n":          {Name: "007"},
		"name: !!binary YQ==\n":      {Name: "a"},
		"name: 2026-11-28\n":         {Name: "2026-11-28"},
		"number: 0x10\n":             {Number: 16},
		"number: 1_000\n":            {Number: 1000},
		"number: 0.5\n":              {Number: 0.5},
		"number: 0\n":                {},
		"name: ~\n":                  {},
		"part: &p {id: '007', labels: {\"no\": 'no', yes-no: a}}\nparts: [*p, {<<: *p, text: b}]\n": {
			Part: part{ID: "007", Labels: map[string]string{"no": "no", "yes-no": "a"}},
			Parts: []part{
				{ID: "007", Labels: map[string]string{"no": "no", "yes-no": "a"}},
				{ID: "007", Text: "b", Labels: map[string]string{"no": "no", "yes-no": "a"}},
			},
		},
		`{"name":"a","part":{"id":"1","text":"\n"}}`: {Name: "a", Part: part{ID: "1", Text: "\n"}},
	} {
		var w whole
		require.NoError(t, KnownYAML([]byte(text), &w), text)
		require.Equal(t, want, w, text)
	}
}
