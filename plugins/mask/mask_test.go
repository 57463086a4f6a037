package mask

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/fuzz"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
	"github.com/millrace/millrace/sdk/chain"
)

func made(t testing.TB, settings map[string]string) sdk.Interceptor {
	t.Helper()
	one, err := sdk.Interceptors.New("mask", sdk.NewConfig(settings))
	if err != nil {
		t.Fatal(err)
	}
	return one
}

// through is what becomes of values that are sent through an interceptor.
func through(t testing.TB, one sdk.Interceptor, values ...string) ([]string, error) {
	t.Helper()
	var builder batch.Builder
	for _, v := range values {
		builder.Append(1, nil, []byte(v), nil)
	}
	b, err := builder.Finish(batch.NoProducer())
	if err != nil {
		t.Fatal(err)
	}
	out, err := chain.New(time.Now).Run([]chain.Plugin{{Name: "mask", Interceptor: one}}, &chain.Input{Topic: "t", Batch: b})
	if err != nil {
		return nil, err
	}
	var got []string
	records, err := out.Batch.Records(nil, 1<<20)
	for err == nil && records.Next() {
		got = append(got, string(records.Record().Value))
	}
	return got, errors.Join(err, records.Err())
}

func TestFieldsAreMaskedAndTheRestStays(t *testing.T) {
	for name, test := range map[string]struct{ fields, value, want string }{
		"at the top":            {"card", `{"a": 1.50, "card": "4111", "z": [1]}`, `{"a": 1.50, "card": "***", "z": [1]}`},
		"deeper":                {"pay.card", `{"pay":{"card":4111,"cvc":1},"card":2}`, `{"pay":{"card":"***","cvc":1},"card":2}`},
		"through arrays":        {"items.card", `{"items":[{"card":"1"},{"card":"2"},[{"card":"3"}]]}`, `{"items":[{"card":"***"},{"card":"***"},[{"card":"***"}]]}`},
		"any field":             {"*.card", `{"a":{"card":1},"b":{"card":{"x":[1]}}}`, `{"a":{"card":"***"},"b":{"card":"***"}}`},
		"a name and any":        {"user.name,*.ssn", `{"user":{"ssn":"1","name":"a","x":1},"other":{"ssn":2,"name":"b"}}`, `{"user":{"ssn":"***","name":"***","x":1},"other":{"ssn":"***","name":"b"}}`},
		"any, then a name":      {"*.ssn,user.name", `{"user":{"ssn":"1","name":"a"}}`, `{"user":{"ssn":"***","name":"***"}}`},
		"any within a name":     {"a.*.x,*.b.y,a.b.z", `{"a":{"b":{"x":1,"y":2,"z":3,"w":4}}}`, `{"a":{"b":{"x":"***","y":"***","z":"***","w":4}}}`},
		"any hides the whole":   {"a.b,*", `{"a":{"c":1},"d":[2]}`, `{"a":"***","d":"***"}`},
		"a set in each element": {"a.b,*.c", `{"a":[{"b":1},{"c":2},[{"b":3,"c":4}]],"d":{"b":5,"c":6}}`, `{"a":[{"b":"***"},{"c":"***"},[{"b":"***","c":"***"}]],"d":{"b":5,"c":"***"}}`},
		"several":               {"a,b.c", `{"a":1,"b":{"c":"x"}}`, `{"a":"***","b":{"c":"***"}}`},
		"an escaped name":       {"card", `{"c\u0061rd":"4111"}`, `{"c\u0061rd":"***"}`},
		"a name given twice":    {"a", `{"a":1,"a":2}`, `{"a":"***","a":"***"}`},
		"quotes in a secret":    {"a", `{"a":"x\"y\\","b":1}`, `{"a":"***","b":1}`},
		"null hides nothing":    {"a", `{"a":null}`, `{"a":null}`},
		"not there":             {"a", `{"b":"a"}`, `{"b":"a"}`},
		"an array at the top":   {"a", ` [ {"a" : 1 } , 2 ] `, ` [ {"a" : "***" } , 2 ] `},
		"a word at the top":     {"a", `12`, `12`},
		"a field within a mask": {"a", `{"a":{"a":1}}`, `{"a":"***"}`},
		"empty":                 {"a", `{"a":{},"b":[]}`, `{"a":"***","b":[]}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := through(t, made(t, map[string]string{"fields": test.fields}), test.value)
			if err != nil || got[0] != test.want {
				t.Errorf("%s became %s, %v, want %s", test.value, got, err, test.want)
			}
		})
	}
}

func TestWhatIsNoJSONIsBad(t *testing.T) {
	_, err := through(t, made(t, map[string]string{"config.fields": "a"}), `{"a":1}`, `{"a":`)
	if err == nil || !strings.Contains(err.Error(), "record 1: the value is not JSON") {
		t.Errorf("got %v", err)
	}
}

func TestAnExpressionIsMaskedAnywhere(t *testing.T) {
	got, err := through(t, made(t, map[string]string{"regex": `\b\d{16}\b`, "replacement": "<card>"}), "pay 4111111111111111 now", "nothing", "")
	if err != nil || got[0] != "pay <card> now" || got[1] != "nothing" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestEqualSecretsHaveEqualHashes(t *testing.T) {
	settings := map[string]string{"fields": "card", "action": "hash", "secret": "s"}
	got, err := through(t, made(t, settings), `{"card":"1"}`, `{"card":"2"}`, `{"card":"1"}`)
	if err != nil || got[0] != got[2] || got[0] == got[1] || strings.Contains(got[0], `"1"`) {
		t.Errorf("got %q, %v", got, err)
	}
	settings["secret"] = "other"
	other, err := through(t, made(t, settings), `{"card":"1"}`)
	if err != nil || other[0] == got[0] {
		t.Errorf("another secret gives the same hash: %q, %v", other, err)
	}
}

func TestSettingsThatCannotBe(t *testing.T) {
	for want, settings := range map[string]map[string]string{
		"what is to be masked":    {},
		"missing closing":         {"regex": "("},
		"action=hash needs one":   {"fields": "a", "action": "hash"},
		"use redact or hash":      {"fields": "a", "action": "forget"},
		`unknown setting "field"`: {"fields": "a", "field": "b"},
	} {
		if _, err := sdk.Interceptors.New("mask", sdk.NewConfig(settings)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", settings, err, want)
		}
	}
}

// Nothing of a batch is held when the call is over, nor the room that a large value took.
func TestNothingOfABatchIsKept(t *testing.T) {
	m := made(t, map[string]string{"fields": "a"}).(*masker)
	for _, size := range []int{10, 2 * keep} {
		if _, err := through(t, m, `{"a":"secret","b":"`+strings.Repeat("x", size)+`"}`); err != nil {
			t.Fatal(err)
		}
		if m.scan.in != nil || cap(m.scan.out) > keep {
			t.Errorf("after a value of %d bytes, %d of it and %d more are held", size, len(m.scan.in), cap(m.scan.out))
		}
	}
}

func TestAMaskCannotBeSkipped(t *testing.T) {
	p := chain.Plugin{Name: "mask", Interceptor: made(t, map[string]string{"fields": "a"}), OnError: chain.Skip}
	if p.Check() == nil {
		t.Error("records may get past a mask that fails")
	}
}

// left is what a path leads to that is not hidden, nil when there is nothing: a slow and clear
// copy of what the scanner decides.
func left(v any, path []string) any {
	if len(path) == 0 {
		if v == "***" {
			return nil
		}
		return v
	}
	switch v := v.(type) {
	case []any:
		for _, one := range v {
			if found := left(one, path); found != nil {
				return found
			}
		}
	case map[string]any:
		for name, one := range v {
			if name == path[0] || path[0] == "*" {
				if found := left(one, path[1:]); found != nil {
					return found
				}
			}
		}
	}
	return nil
}

// FuzzFields masks any JSON: it stays JSON, and nothing that is to be hidden is left.
func FuzzFields(f *testing.F) {
	f.Add(`{"a":"secret","b":[{"a":1}],"c":{"a":{"a":"x"}}}`)
	f.Add(` [ {"\u0061":"secret\\" } ] `)
	f.Add(`{"b":{"a":1,"c":2,"d":{"e":3,"a":4}},"c":{"d":{"e":5}}}`)
	paths := []string{"a", "b.a", "*.c", "b.*.e", "*.d.a"}
	m := made(f, map[string]string{"fields": strings.Join(paths, ",")}).(*masker)
	fuzz.Run(f, func(t *testing.T, text string) {
		if !json.Valid([]byte(text)) {
			return
		}
		out, _ := m.scan.rewrite(m, []byte(text))
		var after any
		d := json.NewDecoder(bytes.NewReader(out))
		d.UseNumber()
		if err := d.Decode(&after); err != nil || d.More() {
			t.Fatalf("%s became %s: %v", text, out, err)
		}
		for _, path := range paths {
			if found := left(after, strings.Split(path, ".")); found != nil {
				t.Fatalf("%s became %s: %s still shows %v", text, out, path, found)
			}
		}
	})
}

func BenchmarkFields(b *testing.B) {
	m := made(b, map[string]string{"fields": "card.number"}).(*masker)
	value := []byte(`{"id":"0192-4711","amount":12.50,"currency":"EUR","card":{"number":"4111111111111111","holder":"A. Person"}}`)
	b.SetBytes(int64(len(value)))
	b.ReportAllocs()
	for b.Loop() {
		if !json.Valid(value) {
			b.Fatal("no JSON")
		}
		m.scan.rewrite(m, value)
	}
}
