package exact

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

type typed struct {
	Capacity *int              `json:"capacity"`
	Small    int32             `json:"small"`
	Unsigned uint8             `json:"unsigned"`
	Share    float64           `json:"share"`
	Name     string            `json:"name"`
	Paused   bool              `json:"paused"`
	Items    []struct{ N int } `json:"items"`
	By       map[int]bool      `json:"by"`
	At       time.Time         `json:"at"`
	Part     struct {
		Text string `json:"text"`
	} `json:"part"`
}

const integers = "want a whole number in digits alone, at most 9223372036854775807"

func TestErrorsSayInWordsWhatIsThereAndWhatIsWanted(t *testing.T) {
	for text, want := range map[string]string{
		`{"capacity":1e3}`:                  `field "capacity": 1e3: ` + integers,
		`{"capacity":1.5}`:                  `field "capacity": 1.5: ` + integers,
		`{"capacity":99999999999999999999}`: `field "capacity": 99999999999999999999: ` + integers,
		`{"capacity":"1\"0" , "name":"x"}`:  `field "capacity": "1\"0": ` + integers,
		`{"capacity":true}`:                 `field "capacity": true: ` + integers,
		`{"capacity":[1]}`:                  `field "capacity": a list: ` + integers,
		`{"small":2147483648}`:              `field "small": 2147483648: want a whole number from -2147483648 to 2147483647 in digits alone`,
		`{"unsigned":-1}`:                   `field "unsigned": -1: want a whole number from 0 to 255 in digits alone`,
		`{"share":1e999}`:                   `field "share": 1e999: want a number that is not larger than 1e308`,
		`{"share":"half"}`:                  `field "share": "half": want a number that is not larger than 1e308`,
		`{"name": -7 }`:                     `field "name": -7: want text in quotes`,
		`{"name":{"a":1}}`:                  `field "name": an object: want text in quotes`,
		`{"paused":"yes"}`:                  `field "paused": "yes": want true or false`,
		`{"paused":0}`:                      `field "paused": 0: want true or false`,
		`{"items":"a"}`:                     `field "items": "a": want a list`,
		`{"part":7}`:                        `field "part": 7: want an object`,
		`{"part":{"text":false}}`:           `field "part.text": false: want text in quotes`,
		`{"by":{"x":true}}`:                 `field "by": x: ` + integers,
		`{"at":"now"}`:                      `now is no time: want one such as 2026-03-01T12:00:00Z`,
		`[]`:                                `a list: want an object`,
		`7`:                                 `7: want an object`,
		``:                                  `is no JSON: it ends too early`,
		`{"name":"a`:                        `is no JSON: it ends too early`,
		"{\"name\":\n  'a'}":                `is no JSON: line 2, byte 3: '\'': want a value: text in double quotes`,
		`{"capacity":+1}`:                   `is no JSON: line 1, byte 13: '+': want a value`,
		`{"capacity":NaN}`:                  `is no JSON: line 1, byte 13: 'N': want a value`,
		`{"capacity":01}`:                   `is no JSON: line 1, byte 14: '1': want numbers without leading zeros`,
		`{"capacity":0x10}`:                 `is no JSON: line 1, byte 14: 'x': want a comma or }`,
		`{"share":1.}`:                      `is no JSON: line 1, byte 12: '}': want a digit`,
		`{"share":-}`:                       `is no JSON: line 1, byte 11: '}': want a digit`,
		`{"paused":True}`:                   `is no JSON: line 1, byte 11: 'T': want a value`,
		`{"paused":tru}`:                    `is no JSON: line 1, byte 14: '}': want true, false or null`,
		`{name:"a"}`:                        `is no JSON: line 1, byte 2: 'n': want the name of a field in double quotes`,
		`{"name" "a"}`:                      `is no JSON: line 1, byte 9: '"': want a colon after the name of a field`,
		`{"name":"a" "b"}`:                  `is no JSON: line 1, byte 13: '"': want a comma or }`,
		`[1 2]`:                             `is no JSON: line 1, byte 4: '2': want a comma or ]`,
		`{"name":"a",}`:                     `is no JSON: line 1, byte 13: '}': want the name of a field in double quotes`,
		"{\"name\":\"a\nb\"}":               `is no JSON: line 1, byte 11: '\n': want control characters in text as \n, \t or \u001f`,
		`{"name":"\x"}`:                     `is no JSON: line 1, byte 11: 'x': want after \ one of " \ / b f n r t u`,
		`{"name":"\u12g4"}`:                 `is no JSON: line 1, byte 14: 'g': want after \u four hexadecimal digits`,
		`{} {}`:                             `is no JSON: line 1, byte 4: '{': want nothing more`,
		`{"name":ä}`:                        `is no JSON: line 1, byte 9: 'ä': want a value`,
	} {
		var into typed
		err := JSON([]byte(text), &into)
		require.Error(t, err, text)
		require.Contains(t, err.Error(), want, text)
		require.NotRegexp(t, `json|Go |unmarshal|struct|int64|invalid character|literal|parsing`, err.Error(), text)
	}
}

// Whatever the text, an error has no words of Go, and nothing panics.
func TestNoTextHasAnErrorInGosWords(t *testing.T) {
	pieces := rapid.SampledFrom([]string{
		"{", "}", "[", "]", ",", ":", `"`, `\`, `"capacity"`, `"items"`, `"part"`, `"text"`, `"by"`, `"N"`, `"a\"b"`, "1e3", "-", "0", "1.5", "true", "null", " ", "\n", "ä", "\\u00",
	})
	rapid.Check(t, func(t *rapid.T) {
		text := ""
		for _, piece := range rapid.SliceOfN(pieces, 0, 12).Draw(t, "pieces") {
			text += piece
		}
		var into typed
		if err := JSON([]byte(text), &into); err != nil {
			require.NotRegexp(t, `json:|Go |unmarshal|struct|int64|invalid character|literal`, err.Error(), text)
		}
	})
}
