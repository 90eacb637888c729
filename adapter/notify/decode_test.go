package notify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/exact"
)

func unpadded(string) bool { return false }

func TestDecode(t *testing.T) {
	long := strings.Repeat("x", maxID)
	for _, c := range []struct {
		name, payload string
		want          Message
	}{
		{"create by key", `{"o":"c","t":"Thing","k":{"id":"a"},"instance":{"id":"a","name":"n"}}`, Message{Kind: "Thing", Create: []string{"a"}}},
		{"create by instance", `{"o":"c","t":"Thing","instance":{"id":"a"}}`, Message{Kind: "Thing", Create: []string{"a"}}},
		{"create by number", `{"o":"c","t":"Thing","k":{"id":42}}`, Message{Kind: "Thing", Create: []string{"42"}}},
		{"create, the two disagree", `{"o":"c","t":"Thing","k":{"id":"a"},"instance":{"id":"b"}}`, Message{Kind: "Thing", Reconcile: true}},
		{"create without id", `{"o":"c","t":"Thing","k":{}}`, Message{Kind: "Thing", Reconcile: true}},
		{"create, empty id", `{"o":"c","t":"Thing","k":{"id":""}}`, Message{Kind: "Thing", Reconcile: true}},
		{"create, longest id", `{"o":"c","t":"Thing","k":{"id":"` + long + `"}}`, Message{Kind: "Thing", Create: []string{long}}},
		{"create, id too long", `{"o":"c","t":"Thing","k":{"id":"` + long + `x"}}`, Message{Kind: "Thing", Reconcile: true}},
		{"update", `{"o":"u","t":"Thing","k":{"id":"a"},"instance":{"id":"a"}}`, Message{Kind: "Thing", Shown: []string{"a"}}},
		{"update by instance", `{"o":"u","t":"Thing","instance":{"id":7}}`, Message{Kind: "Thing", Shown: []string{"7"}}},
		{"update of nothing named", `{"o":"u","t":"Thing"}`, Message{Kind: "Thing", Reconcile: true}},
		{"delete by key", `{"o":"d","t":"Thing","k":{"id":"a"}}`, Message{Kind: "Thing", Delete: []string{"a"}}},
		{"delete by instance", `{"o":"d","t":"Thing","instance":{"id":"a"}}`, Message{Kind: "Thing", Delete: []string{"a"}}},
		{"delete of nothing named", `{"o":"d","t":"Thing"}`, Message{Kind: "Thing", Reconcile: true}},
		{"delete, an object as id", `{"o":"d","t":"Thing","k":{"id":{"a":1}}}`, Message{Kind: "Thing", Reconcile: true}},
		{"bulk create", `{"o":"bc","t":"Thing","keys":["a",{"id":"b"},7,{"id":8}]}`, Message{Kind: "Thing", Create: []string{"a", "b", "7", "8"}}},
		{"bulk create without keys", `{"o":"bc","t":"Thing"}`, Message{Kind: "Thing", Reconcile: true}},
		{"bulk create, null", `{"o":"bc","t":"Thing","keys":null}`, Message{Kind: "Thing", Reconcile: true}},
		{"bulk create, keys no list", `{"o":"bc","t":"Thing","keys":"a"}`, Message{Kind: "Thing", Reconcile: true}},
		{"bulk create, partly readable", `{"o":"bc","t":"Thing","keys":["a",null,{"name":"b"},1.5,["c"]]}`, Message{Kind: "Thing", Create: []string{"a"}, Reconcile: true}},
		{"bulk delete, one", `{"o":"bd","t":"Thing","where":{"id":"a"}}`, Message{Kind: "Thing", Claim: []string{"a"}}},
		{"bulk delete, list", `{"o":"bd","t":"Thing","where":{"id":["a","b",3]}}`, Message{Kind: "Thing", Claim: []string{"a", "b", "3"}}},
		{"bulk delete, empty where", `{"o":"bd","t":"Thing","where":{}}`, Message{Kind: "Thing", Reconcile: true}},
		{"bulk delete without where", `{"o":"bd","t":"Thing"}`, Message{Kind: "Thing", Reconcile: true}},
		{"bulk delete, null", `{"o":"bd","t":"Thing","where":null}`, Message{Kind: "Thing", Reconcile: true}},
		{"bulk delete, operator", `{"o":"bd","t":"Thing","where":{"id":{"like":"a%"}}}`, Message{Kind: "Thing", Reconcile: true}},
		{"bulk delete, vanished operator", `{"o":"bd","t":"Thing","where":{"id":{}}}`, Message{Kind: "Thing", Reconcile: true}},
		{"bulk delete, another condition", `{"o":"bd","t":"Thing","where":{"name":"a"}}`, Message{Kind: "Thing", Reconcile: true}},
		{"bulk delete, narrowed", `{"o":"bd","t":"Thing","where":{"id":["a","b"],"name":"n"}}`, Message{Kind: "Thing", Reconcile: true}},
		{"bulk delete, partly readable", `{"o":"bd","t":"Thing","where":{"id":["a",{}]}}`, Message{Kind: "Thing", Reconcile: true}},
		{"bulk delete, empty list", `{"o":"bd","t":"Thing","where":{"id":[]}}`, Message{Kind: "Thing", Reconcile: true}},
		{"bulk update, named", `{"o":"bu","t":"Thing","where":{"id":["a"]}}`, Message{Kind: "Thing", Reconcile: true}},
		{"bulk update of other columns", `{"o":"bu","t":"Thing","where":{},"fields":["name","updatedAt"]}`, Message{Kind: "Thing"}},
		{"bulk update of other columns, named", `{"o":"bu","t":"Thing","where":{"id":["a","b"]},"fields":["name"]}`, Message{Kind: "Thing", Shown: []string{"a", "b"}}},
		{"bulk update of the key", `{"o":"bu","t":"Thing","where":{"id":"a"},"fields":["id","updatedAt"]}`, Message{Kind: "Thing", Reconcile: true}},
		{"bulk update, soft delete", `{"o":"bu","t":"Thing","where":{"id":"a"},"fields":["deletedAt"]}`, Message{Kind: "Thing", Reconcile: true}},
		{"bulk update, no columns", `{"o":"bu","t":"Thing","where":{"id":"a"},"fields":[]}`, Message{Kind: "Thing", Reconcile: true}},
		{"bulk update, columns no list", `{"o":"bu","t":"Thing","where":{"id":"a"},"fields":"name"}`, Message{Kind: "Thing", Reconcile: true}},
		{"update of the key", `{"o":"u","t":"Thing","k":{"id":"a"},"instance":{"id":"b"}}`, Message{Kind: "Thing", Reconcile: true}},
		{"update, soft delete", `{"o":"u","t":"Thing","k":{"id":"a"},"instance":{"id":"a","deletedAt":"2026-11-28T10:00:00.000Z"}}`, Message{Kind: "Thing", Reconcile: true}},
		{"update of a row that is not deleted softly", `{"o":"u","t":"Thing","k":{"id":"a"},"instance":{"id":"a","deletedAt":null}}`, Message{Kind: "Thing", Shown: []string{"a"}}},
		{"bulk update, not named", `{"o":"bu","t":"Thing","where":{}}`, Message{Kind: "Thing", Reconcile: true}},
		{"anything else", `{"o":"truncate","t":"Thing"}`, Message{Kind: "Thing", Reconcile: true}},
		{"no operation", `{"t":"Thing"}`, Message{Kind: "Thing", Reconcile: true}},
		{"an operation that is no text", `{"o":1,"t":"Thing"}`, Message{Kind: "Thing", Reconcile: true}},
		{"names in another case are other fields", `{"o":"d","t":"Thing","instance":{"id":"case-b","Id":"case-a"}}`, Message{Kind: "Thing", Delete: []string{"case-b"}}},
		{"names in another case alone", `{"o":"d","t":"Thing","K":{"id":"a"},"instance":{"Id":"a"}}`, Message{Kind: "Thing", Reconcile: true}},
		{"the operation in another case", `{"O":"d","t":"Thing","k":{"id":"a"}}`, Message{Kind: "Thing", Reconcile: true}},
		{"the operation twice", `{"o":"u","t":"Thing","k":{"id":"a"},"o":"d"}`, Message{Kind: "Thing", Reconcile: true}},
		{"the key twice", `{"o":"d","t":"Thing","k":{"id":"a"},"k":{"id":"a"}}`, Message{Kind: "Thing", Reconcile: true}},
		{"the id in the key twice", `{"o":"d","t":"Thing","k":{"id":"a","id":"b"}}`, Message{Kind: "Thing", Reconcile: true}},
		{"the id in the instance twice", `{"o":"c","t":"Thing","k":{"id":"a"},"instance":{"id":"b","id":"a"}}`, Message{Kind: "Thing", Reconcile: true}},
		{"a key that is none beside an instance", `{"o":"d","t":"Thing","k":{"id":{}},"instance":{"id":"a"}}`, Message{Kind: "Thing", Reconcile: true}},
		{"a key that is no object beside an instance", `{"o":"d","t":"Thing","k":"b","instance":{"id":"a"}}`, Message{Kind: "Thing", Reconcile: true}},
		{"a key beside an instance whose id is none", `{"o":"d","t":"Thing","k":{"id":"a"},"instance":{"id":1.5}}`, Message{Kind: "Thing", Reconcile: true}},
		{"a key that is null", `{"o":"c","t":"Thing","k":null,"instance":{"id":"a"}}`, Message{Kind: "Thing", Create: []string{"a"}}},
		{"a key without id beside an instance", `{"o":"c","t":"Thing","k":{},"instance":{"id":"a"}}`, Message{Kind: "Thing", Create: []string{"a"}}},
		{"bulk create, an id twice in a key", `{"o":"bc","t":"Thing","keys":[{"id":"a","id":"b"},{"id":"c"}]}`, Message{Kind: "Thing", Create: []string{"c"}, Reconcile: true}},
		{"bulk delete, the id twice", `{"o":"bd","t":"Thing","where":{"id":"a","id":["b"]}}`, Message{Kind: "Thing", Reconcile: true}},
		{"bulk delete, the id in another case", `{"o":"bd","t":"Thing","where":{"Id":"a"}}`, Message{Kind: "Thing", Reconcile: true}},
		{"bulk delete, where twice", `{"o":"bd","t":"Thing","where":{"id":"a"},"where":{"id":"b"}}`, Message{Kind: "Thing", Reconcile: true}},
		{"half a surrogate pair", `{"o":"c","t":"Thing","k":{"id":"a\ud800"}}`, Message{Kind: "Thing", Reconcile: true}},
		{"delete, half a surrogate pair", `{"o":"d","t":"Thing","instance":{"id":"\udc00"}}`, Message{Kind: "Thing", Reconcile: true}},
		{"bulk create, halves of surrogate pairs", `{"o":"bc","t":"Thing","keys":["\ud800","a",{"id":"\ud801"}]}`, Message{Kind: "Thing", Create: []string{"a"}, Reconcile: true}},
		{"bulk delete, half a surrogate pair", `{"o":"bd","t":"Thing","where":{"id":["a","\ud800"]}}`, Message{Kind: "Thing", Reconcile: true}},
		{"a whole surrogate pair", `{"o":"c","t":"Thing","k":{"id":"\ud83d\ude00"}}`, Message{Kind: "Thing", Create: []string{"\U0001F600"}}},
		{"half a surrogate pair in another column", `{"o":"c","t":"Thing","k":{"id":"a"},"instance":{"id":"a","name":"\ud83d"},"by":"\ud800"}`, Message{Kind: "Thing", Create: []string{"a"}}},
		{"padded by char(n)", `{"o":"c","t":"Char","k":{"id":"a   "},"instance":{"id":"a"}}`, Message{Kind: "Char", Create: []string{"a"}}},
		{"delete, padded", `{"o":"d","t":"Char","instance":{"id":" a "}}`, Message{Kind: "Char", Delete: []string{" a"}}},
		{"bulk create, padded", `{"o":"bc","t":"Char","keys":["a ","b",{"id":"c  "}]}`, Message{Kind: "Char", Create: []string{"a", "b", "c"}}},
		{"bulk delete, padded", `{"o":"bd","t":"Char","where":{"id":["a","b "]}}`, Message{Kind: "Char", Claim: []string{"a", "b"}}},
		{"bulk delete, one, padded", `{"o":"bd","t":"Char","where":{"id":"b "}}`, Message{Kind: "Char", Claim: []string{"b"}}},
		{"update, padded", `{"o":"u","t":"Char","k":{"id":"a "}}`, Message{Kind: "Char", Shown: []string{"a"}}},
		{"nothing but padding", `{"o":"c","t":"Char","k":{"id":"  "}}`, Message{Kind: "Char", Reconcile: true}},
		{"blanks at the end of text", `{"o":"c","t":"Thing","k":{"id":"a "}}`, Message{Kind: "Thing", Reconcile: true}},
		{"bulk delete, blanks at the end of text", `{"o":"bd","t":"Thing","where":{"id":["a","b "]}}`, Message{Kind: "Thing", Reconcile: true}},
		{"bulk create, blanks at the end of text", `{"o":"bc","t":"Thing","keys":["a"," b","c "]}`, Message{Kind: "Thing", Create: []string{"a", " b"}, Reconcile: true}},
		{"create of a row that is deleted softly", `{"o":"c","t":"Thing","k":{"id":"a"},"instance":{"id":"a","deletedAt":"2026-11-28T10:00:00.000Z"}}`, Message{Kind: "Thing", Reconcile: true}},
		{"create of a row that is not", `{"o":"c","t":"Thing","k":{"id":"a"},"instance":{"id":"a","deletedAt":null}}`, Message{Kind: "Thing", Create: []string{"a"}}},
		{"create, deletedAt twice", `{"o":"c","t":"Thing","instance":{"id":"a","deletedAt":null,"deletedAt":1}}`, Message{Kind: "Thing", Reconcile: true}},
		{"delete of a row that is deleted softly", `{"o":"d","t":"Thing","instance":{"id":"a","deletedAt":"2026-11-28T10:00:00.000Z"}}`, Message{Kind: "Thing", Delete: []string{"a"}}},
		{"another table", `{"o":"d","t":"ProtocolMeta","k":{"id":"a"}}`, Message{Kind: "ProtocolMeta", Delete: []string{"a"}}},
	} {
		got, err := Decode([]byte(c.payload), func(kind string) bool { return kind == "Char" })
		require.NoError(t, err, c.name)
		require.Equal(t, c.want, got, c.name)
	}
}

func TestDecodeFailsWhereNotEvenTheKindCanBeTold(t *testing.T) {
	for payload, fault := range map[string]string{
		``:                               "ends too early",
		`null`:                           "t is missing",
		`{"o":"c","k":{"id":"a"}}`:       "t is missing",
		`{"o":"c","t":7}`:                "7: want text",
		`{"o":"u","t":"a","t":"Thing"}`:  `duplicate field "t"`,
		`{"o":"u","T":"Thing"}`:          "t is missing",
		`{"o":"c","t":"Thing"`:           "ends too early",
		`{"o":"c","t":"Th\ud800"}`:       "half a surrogate pair",
		`[{"o":"c","t":"Thing"}]`:        "a list",
		"{\"o\":\"c\",\"t\":\"Th\xff\"}": "UTF-8",
	} {
		_, err := Decode([]byte(payload), unpadded)
		require.ErrorContains(t, err, fault, payload)
	}
	_, err := Decode(bytes.Repeat([]byte(" "), maxBytes+1), unpadded)
	require.ErrorIs(t, err, errOversized)
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"o":"c","t":"Thing","k":{"id":"a"},"instance":{"id":"a"}}`,
		`{"o":"d","t":"Rule","instance":{"id":"3f0e0b5a-9f39-4c53-8d5e-0c1f2f6f7a10"}}`,
		`{"o":"bc","t":"Thing","keys":["a",{"id":"b"},7,null]}`,
		`{"o":"bd","t":"Thing","where":{"id":["a","b"]}}`,
		`{"o":"bd","t":"Thing","where":{"id":{"$in":["a"]}}}`,
		`{"o":"bd","t":"Thing","where":{"id":"a","id":["b"]}}`,
		`{"o":"bu","t":"DeviceMeta","where":{}}`,
		`{"o":"d","t":"Thing","k":{"id":"a","id":"b"},"instance":{"id":"a","Id":"b"}}`, `{"o":"u","o":"d","t":"Thing","k":{"id":"a"}}`,
		`{"o":"x","t":"Thing"}`, `{"T":"Thing","O":"c","K":{"ID":"a"}}`,
		"{\"t\":\"\xff\"}", `{"t":"Thing","o":"c","k":{"id":"\ud800"}}`, "", "[[[[",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		m, err := Decode(payload, unpadded)
		if err != nil {
			return
		}
		var raw struct {
			Op json.RawMessage `json:"o"`
		}
		var op string
		_ = exact.Parts(payload, &raw)
		_ = exact.JSON(raw.Op, &op)
		named := slices.Concat(m.Create, m.Delete, m.Claim, m.Shown)
		if m.Kind == "" || len(named) != max(len(m.Create), len(m.Delete), len(m.Claim), len(m.Shown)) {
			t.Fatalf("%+v", m)
		}
		if len(m.Delete)+len(m.Claim) > 0 && m.Reconcile || len(m.Delete) > 0 && op != "d" {
			t.Fatalf("deletes by guess: %+v", m)
		}
		for _, id := range named {
			if id == "" || len(id) > maxID || !utf8.ValidString(id) {
				t.Fatalf("id %q", id)
			}
		}
		if op != "bu" && len(named) == 0 && !m.Reconcile {
			t.Fatalf("says nothing: %+v", m)
		}
	})
}

// The short way reads what the long way reads, or leaves it to that.
func FuzzPlainTexts(f *testing.F) {
	for _, seed := range []string{`["a","b"]`, `[ "a" , "b" ]`, `[]`, `["a",7]`, `["a\"b"]`, `["\u0061"]`, `[["a"]]`, `[""]`, `["ÿ"]`, `["a,b","]"]`, `null`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var wrapped struct{ Keys json.RawMessage }
		if json.Unmarshal(fmt.Appendf(nil, `{"keys":%s}`, raw), &wrapped) != nil {
			return
		}
		ids, ok := plainTexts(wrapped.Keys)
		if !ok {
			return
		}
		var want []string
		require.NoError(t, json.Unmarshal(wrapped.Keys, &want))
		require.Equal(t, want, ids)
	})
}
