package heartbeat

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDecode(t *testing.T) {
	want := Message{Kind: "Thing", Ordinal: 3, At: time.Unix(1_760_000_000, 0)}
	for name, message := range map[string]string{
		"as documented":         `{"resource":"Thing","instanceId":"3","timestamp":"1760000000"}`,
		"numbers":               `{"resource":"Thing","instanceId":3,"timestamp":1760000000}`,
		"other case":            `{"Resource":"Thing","InstanceID":"3","TimeStamp":"1760000000"}`,
		"lower case":            `{"resource":"Thing","instanceid":"3","timestamp":"1760000000"}`,
		"more fields":           `{"resource":"Thing","instanceId":"3","timestamp":"1760000000","host":{"a":[1]}}`,
		"exponent and fraction": `{"resource":"Thing","instanceId":"3","timestamp":1.76e9}`,
	} {
		got, err := Decode([]byte(message))
		require.NoError(t, err, name)
		require.Equal(t, want, got, name)
	}
	got, err := Decode([]byte(`{"resource":"Thing","instanceId":"3","timestamp":"1760000000.5"}`))
	require.NoError(t, err)
	require.Equal(t, want.At.Add(time.Second/2), got.At)
}

func TestDecodeNamesTheFault(t *testing.T) {
	for message, fault := range map[string]string{
		``:                          "unexpected end",
		`garbage`:                   "invalid character",
		`null`:                      "resource is missing",
		`[]`:                        "array",
		`{"resource":7}`:            "resource: 7: want text in quotes",
		`{"resource":"Th\udfff"}`:   "half a surrogate pair",
		"{\"resource\":\"Th\xff\"}": "is not UTF-8",
		`{"resource":"Thing"}`:      "instanceId",
		`{"instanceId":"3"}`:        "resource is missing",
		`{"resource":"Thing","instanceId":"iota-dac-3","timestamp":"1"}`:         `instanceId: ordinal "iota-dac-3"`,
		`{"resource":"Thing","instanceId":-1,"timestamp":"1"}`:                   "instanceId",
		`{"resource":"Thing","instanceId":"+1","timestamp":"1"}`:                 `instanceId: ordinal "+1": want a whole number`,
		`{"resource":"Thing","instanceId":"01","timestamp":"1"}`:                 `instanceId: ordinal "01": want a whole number`,
		`{"resource":"Thing","instanceId":-0,"timestamp":"1"}`:                   `instanceId: ordinal "-0": want a whole number`,
		`{"resource":"Thing","instanceId":1.5,"timestamp":"1"}`:                  "instanceId",
		`{"resource":"Thing","instanceId":99999999,"timestamp":"1"}`:             "from 0 to 1000000",
		`{"resource":"Thing","instanceId":"3"}`:                                  "timestamp",
		`{"resource":"Thing","instanceId":"3","timestamp":"yesterday"}`:          "timestamp",
		`{"resource":"Thing","instanceId":"3","timestamp":"NaN"}`:                "timestamp",
		`{"resource":"Thing","instanceId":"3","timestamp":-1}`:                   "timestamp",
		`{"resource":"Thing","instanceId":"3","timestamp":1760000000000}`:        "253402300799",
		`{"resource":"Thing","instanceId":"3","timestamp":{"at":1760000000}}`:    "timestamp",
		`{"resource":"Thing","instanceId":"3","InstanceID":"4","timestamp":"1"}`: "instanceId comes twice",
		`{"resource":"Thing","resource":"Rule","instanceId":3,"timestamp":1}`:    "resource comes twice",
		`{"resource":"Thing","instanceId":3,"TIMESTAMP":1,"timestamp":null}`:     "timestamp comes twice",
	} {
		_, err := Decode([]byte(message))
		require.ErrorContains(t, err, fault, message)
	}
	_, err := Decode(bytes.Repeat([]byte("x"), maxBytes+1))
	require.ErrorIs(t, err, errOversized)
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"resource":"Thing","instanceId":"3","timestamp":"1760000000"}`,
		`{"RESOURCE":"Thing","instanceid":3,"Timestamp":1760000000.25}`,
		`{"resource":"Thing","instanceId":"03","timestamp":"1e400"}`,
		`{"resource":"","instanceId":null,"timestamp":null}`,
		`{"resource":"Thing","instanceId":"3","instanceID":"4","timestamp":"1"}`,
		"\x00\xff", `{}`, `[{}]`, strings.Repeat("[", 20000),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		m, err := Decode(value)
		if err != nil {
			if m != (Message{}) {
				t.Fatalf("an error with a message: %+v", m)
			}
			return
		}
		if m.Kind == "" || m.Ordinal < 0 || m.Ordinal > maxOrdinal || m.At.Unix() < 0 || m.At.Unix() > maxTimestamp {
			t.Fatalf("out of bounds: %+v", m)
		}
		// What was read can be written and read again as the same.
		again, err := json.Marshal(map[string]any{"resource": m.Kind, "instanceId": m.Ordinal, "timestamp": m.At.Unix()})
		if err != nil {
			t.Fatal(err)
		}
		m.At = time.Unix(m.At.Unix(), 0)
		if back, err := Decode(again); err != nil && !errors.Is(err, errOversized) || err == nil && back != m {
			t.Fatalf("%s: read back %+v, %v", again, back, err)
		}
	})
}
