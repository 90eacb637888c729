package exact

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

type part struct {
	ID     string            `json:"id"`
	Text   string            `json:"text"`
	Labels map[string]string `json:"labels"`
}

type whole struct {
	Name  string          `json:"name"`
	Part  part            `json:"part"`
	Parts []part          `json:"parts"`
	Raw   json.RawMessage `json:"raw"`

	Number float64 `json:"number"`
}

func TestANameCountsOnlyAsItIsDocumented(t *testing.T) {
	var w whole
	require.NoError(t, JSON([]byte(`{"name":"a","Name":"b","NAME":"c","part":{"id":"d","ID":"e"},"more":{"x":1,"x":2}}`), &w))
	require.Equal(t, whole{Name: "a", Part: part{ID: "d"}}, w)
	w = whole{}
	require.NoError(t, JSON([]byte(`{"Name":"b"}`), &w))
	require.Empty(t, w.Name)

	require.ErrorContains(t, KnownJSON([]byte(`{"name":"a","Name":"b"}`), &w), `unknown field "Name"`)
	require.ErrorContains(t, KnownJSON([]byte(`{"parts":[{},{"Id":"b"}]}`), &w), `unknown field "parts[1].Id"`)
	require.ErrorContains(t, KnownYAML([]byte("name: a\nName: b\n"), &w), `unknown field "Name"`)
	require.ErrorContains(t, KnownYAML([]byte("part: {id: a, Id: b}\n"), &w), `unknown field "part.Id"`)
}

func TestANameThatComesTwiceIsAnError(t *testing.T) {
	for text, fault := range map[string]string{
		`{"name":"a","name":"a"}`:                         `duplicate field "name"`,
		`{"name":"a","n\u0061me":"b"}`:                    `duplicate field "name"`,
		`{"part":{"id":"a","id":"b"}}`:                    `duplicate field "part.id"`,
		`{"parts":[{"labels":{"x":"a","y":"","x":"b"}}]}`: `duplicate field "parts[0].labels.x"`,
		`{"name":"a","name":"b","part":{},"part":null}`:   `duplicate field "name", duplicate field "part"`,
	} {
		var w whole
		require.ErrorContains(t, JSON([]byte(text), &w), fault, text)
		require.ErrorContains(t, KnownJSON([]byte(text), &w), fault, text)
		var anything any
		require.Error(t, JSON([]byte(text), &anything), text)
		require.Error(t, KnownYAML([]byte(text), &w), text)
	}
	var w whole
	require.NoError(t, JSON([]byte(`{"raw":{"id":"a","id":"b"}}`), &w))
	require.Error(t, JSON(w.Raw, &w.Part))
}

func TestYAMLSuitsTheTypes(t *testing.T) {
	w := whole{Name: "kept"}
	require.NoError(t, KnownYAML([]byte("part: {id: 7, text: 1.5, labels: {5: a, true: true}}\n"), &w))
	require.Equal(t, whole{Name: "kept", Part: part{ID: "7", Text: "1.5", Labels: map[string]string{"5": "a", "true": "true"}}}, w)
	require.NoError(t, KnownYAML(nil, &w))
	require.Equal(t, "kept", w.Name)
	require.ErrorContains(t, KnownYAML([]byte("part: [a]\n"), &w), "part")
	require.ErrorContains(t, KnownYAML([]byte("part: [a\n"), &w), "line 1")
}

func TestFaultsOfForm(t *testing.T) {
	var w whole
	require.ErrorContains(t, JSON([]byte(`{"name":7}`), &w), "name")
	require.ErrorContains(t, JSON([]byte(`{"name":"a"} {}`), &w), "want nothing more")
	require.ErrorContains(t, JSON(nil, &w), "ends too early")
}

// Two texts that differ stay two: what would be replaced by U+FFFD is refused.
func TestWhatWouldBeReplacedIsRefused(t *testing.T) {
	for text, fault := range map[string]string{
		`{"name":"\ud800"}`:                  `\ud800 is half a surrogate pair`,
		`{"name":"\uDFFF"}`:                  `\uDFFF is half a surrogate pair`,
		`{"name":"a\ud83dx"}`:                `\ud83d is half a surrogate pair`,
		`{"name":"\ud83d\n\ude00"}`:          `\ud83d is half a surrogate pair`,
		`{"name":"\ude00\ud83d"}`:            `\ude00 is half a surrogate pair`,
		`{"name":"\ud83d\ud83d\ude00"}`:      `\ud83d is half a surrogate pair`,
		`{"part":{"labels":{"\ud800":"a"}}}`: `\ud800 is half a surrogate pair`,
		"{\"name\":\"\xff\"}":                "not UTF-8",
		"{\"name\":\"\xed\xa0\x80\"}":        "not UTF-8",
	} {
		var w whole
		require.ErrorContains(t, JSON([]byte(text), &w), fault, text)
		require.ErrorContains(t, KnownJSON([]byte(text), &w), fault, text)
		require.Empty(t, w)
	}
	for text, name := range map[string]string{
		`{"name":"\ud83d\ude00"}`:    "\U0001F600",
		`{"name":"\uD83D\uDE00x"}`:   "\U0001F600x",
		`{"name":"\\ud800"}`:         `\ud800`,
		`{"name":"\\\\ud800\u00e9"}`: `\\ud800é`,
		`{"name":"\ufffd"}`:          "\uFFFD",
	} {
		var w whole
		require.NoError(t, JSON([]byte(text), &w), text)
		require.Equal(t, name, w.Name)
	}
	var parts struct {
		Name json.RawMessage `json:"name"`
	}
	require.NoError(t, Parts([]byte(`{"name":"\ud800","text":"\ud801"}`), &parts))
	var name string
	require.Error(t, JSON(parts.Name, &name), "it is read now")
	require.Error(t, JSON([]byte(`{"name":"\u12`), &name))
	require.Error(t, JSON([]byte(`{"name":"\uzzzz"}`), &name))
}
