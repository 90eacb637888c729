package scaler

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/scaler/outcome"
	"github.com/stretchr/testify/require"
)

// A day in which pods are replaced all the time does not stop the kind: the document stays within
// its bound, and a successor still learns that the pods are gone from which something is in flight.
func TestADayOfReplacementsDoesNotStopTheKind(t *testing.T) {
	w, s := led(t, 20, 2000)
	replace := func(round int) {
		for n := range w.pods {
			w.pods[n] = fmt.Sprintf("%08x-5b1c-4a0e-9f6d-%012x", round, n)
		}
	}
	replace(0)
	taken := w.pods[7]
	w.flights = []orders.Flight{{From: 7, Pod: taken}}
	for round := range 300 {
		w.tick(s, 2*second)
		replace(round + 1)
	}
	w.tick(s, 2*second)
	require.Empty(t, w.orders.Suspended)
	require.LessOrEqual(t, len(w.docs[KeptName]), orders.MaxDocumentBytes)

	w.holder, w.epoch = "two/b", 2
	s = w.scaler(Config{})
	d := w.tick(s, 2*second)
	require.Empty(t, w.orders.Suspended, "the successor leads")
	require.NotEqual(t, outcome.NotWritten, d.Acted().Done)
	require.True(t, w.orders.GonePods[taken], "it knows that the pod is gone from which something is in flight")
}

// At rest a decision is kept now and then, so that followers know that it counts; whatever is new
// is kept with the tick that says it.
func TestADecisionAtRestIsKeptNowAndThen(t *testing.T) {
	w, s := led(t, 2, 200)
	tells := 1
	s.cfg.Told = func() (json.RawMessage, any) { return fmt.Appendf(nil, `{"said":%d,"at":%q}`, tells, w.now), tells }
	kept := func() time.Time {
		t.Helper()
		k, err := parseKept(w.docs[KeptName])
		require.NoError(t, err)
		return k.At
	}
	for range 300 {
		w.tick(s, 2*second) // until it has been watched for long enough, which each tick would tell of
	}
	for kept() != w.now {
		w.tick(s, 2*second)
	}
	for range 3 {
		at := w.now
		for range keptTicks - 1 {
			w.tick(s, 2*second)
			require.Equal(t, at, kept())
		}
		w.tick(s, 2*second)
		require.Equal(t, w.now, kept())
	}

	w.tick(s, 2*second)
	tells = 2
	w.tick(s, 2*second)
	require.Equal(t, w.now, kept(), "what the leader tells is news")
	w.tick(s, 2*second)
	w.pool += 10
	w.tick(s, 2*second)
	require.Equal(t, w.now, kept(), "a count is news though it changes no size")

	// What was recommended counts as recommended for as long as it may have been.
	k, err := parseKept(w.docs[KeptName])
	require.NoError(t, err)
	for _, passed := range []time.Duration{10 * second, time.Hour} {
		successor := w.scaler(Config{})
		successor.restore(k.At.Add(passed))
		all := successor.history.Recommendations
		require.Equal(t, k.At.Add(min(passed, keptTicks*2*second)), all[len(all)-1].To)
	}
}

// Of whatever the parts of the documents are full: what is kept fits, and can be read.
func TestEveryDocumentOfTheScalerFits(t *testing.T) {
	var k kept
	stuff(reflect.ValueOf(&k).Elem(), 0)
	k.V = keptVersion
	data, err := k.encode()
	require.NoError(t, err)
	require.LessOrEqual(t, len(data), orders.MaxDocumentBytes)
	read, err := parseKept(data)
	require.NoError(t, err)
	require.NotZero(t, read.Decision.LeftOut)
	require.NotZero(t, read.LeftOut)
	require.NotEmpty(t, read.History.Recommendations)
	require.Len(t, read.Told, toldBytes)
	k.Told = append(k.Told, ' ')
	data, err = k.encode()
	require.NoError(t, err)
	read, err = parseKept(data)
	require.NoError(t, err)
	require.Nil(t, read.Told, "more is left out")

	var word AssumedDead
	stuff(reflect.ValueOf(&word).Elem(), 0)
	var doc []byte
	for i := range 2 * assumedDeadKept {
		word.UID = fmt.Sprint(i)
		doc, err = AssumeDead(doc, word)
		require.NoError(t, err)
		require.LessOrEqual(t, len(doc), orders.MaxDocumentBytes)
	}
	entries, err := parseAssumedDead(doc)
	require.NoError(t, err)
	require.Equal(t, fmt.Sprint(2*assumedDeadKept-1), entries[len(entries)-1].UID)
}

// stuff fills everything with more than there will ever be.
func stuff(v reflect.Value, depth int) {
	many := []int{2500, 20, 3}[min(depth, 2)]
	if told, ok := v.Addr().Interface().(*json.RawMessage); ok {
		*told = json.RawMessage(`"` + strings.Repeat("x", toldBytes-2) + `"`)
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(strings.Repeat("<\x01ü", []int{40_000, 300, 30}[min(depth, 2)]))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(-1 << 62)
	case reflect.Float64:
		v.SetFloat(-1.2345678901234567e-300)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		stuff(v.Elem(), depth)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), many, many))
		for i := range many {
			stuff(v.Index(i), depth+1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for i := range many {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			stuff(value, depth+1)
			if key.CanInt() {
				key.SetInt(int64(i))
			} else {
				key.SetString(fmt.Sprintf("%036d", i))
			}
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.FixedZone("", -34200))))
			return
		}
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				stuff(v.Field(i), depth)
			}
		}
	default:
		panic(v.Kind())
	}
}

// A document that is too large for all that is refused by itself: the kind goes on, and says it.
func TestADocumentThatIsTooLargeStopsNothingElse(t *testing.T) {
	w, _ := led(t, 4, 400)
	w.tooLarge = KeptName
	w.holder, w.epoch = "two/b", 2
	s := w.scaler(Config{})
	w.pool += 400
	for range 5 {
		w.tick(s, 2*second)
	}
	require.Empty(t, w.orders.Suspended)
	require.Contains(t, w.took(), "replicas 4 -> 8")
	require.Contains(t, w.events, "NotKept")

	w.drainErr = errors.New("zookeeper unavailable")
	w.holder, w.epoch = "three/c", 3
	s = w.scaler(Config{})
	w.tick(s, 2*second)
	require.Contains(t, w.orders.Suspended, "does not lead yet (head)", "that it leads is proven otherwise, or it does nothing")
}

// What an ordinary kind keeps is kept whole, byte for byte as before: the build before reads it.
func TestWhatFitsIsKeptWhole(t *testing.T) {
	w, s := led(t, 4, 400)
	w.tick(s, 2*second)
	k := kept{V: keptVersion, At: w.now, Decision: s.last, History: s.history}
	plain, err := json.Marshal(k)
	require.NoError(t, err)
	data, err := k.encode()
	require.NoError(t, err)
	require.Equal(t, string(plain), string(data))
	require.NotContains(t, string(data), "leftOut")
}
