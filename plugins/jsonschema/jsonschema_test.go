package jsonschema

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/sdk"
)

const order = `{"type":"object","required":["id","amount"],"properties":{"id":{"type":"string"},"amount":{"type":"number","minimum":0}}}`

func TestValuesAreChecked(t *testing.T) {
	one, err := sdk.Interceptors.New("json-schema", sdk.NewConfig(map[string]string{"config.schema": order}))
	if err != nil {
		t.Fatal(err)
	}
	v := one.(*validator)
	for value, want := range map[string]string{
		`{"id":"a","amount":1}`:   "",
		`{"id":"a","amount":-1}`:  "amount",
		`{"id":7,"amount":1}`:     "id",
		`{"id":"a"}`:              "missing propert",
		`{"id":"a","amount":1} x`: "is not JSON",
		`[]`:                      "got array, want object",
		``:                        "is not JSON",
	} {
		if got := v.check([]byte(value)); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", value, got, want)
		}
	}
	if got := v.check(nil); got != "" {
		t.Errorf("null: %s", got)
	}
}

func TestSchemasThatCannotBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "order.json")
	if err := os.WriteFile(file, []byte(order), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		settings map[string]string
		fail     string
	}{
		"from a file":   {map[string]string{"schema.file": file, "part": "key", "null": "false"}, ""},
		"no schema":     {nil, "give either schema or schema.file"},
		"two":           {map[string]string{"schema": order, "schema.file": file}, "give either"},
		"no JSON":       {map[string]string{"schema": "{"}, "is not JSON"},
		"no schema yet": {map[string]string{"schema": `{"type":"thing"}`}, "the schema"},
		"elsewhere":     {map[string]string{"schema": `{"$ref":"file:///etc/passwd"}`}, "must not refer to"},
		"no such file":  {map[string]string{"schema.file": file + "x"}, "read the schema"},
		"another part":  {map[string]string{"schema": order, "part": "header"}, "use key or value"},
	} {
		_, err := sdk.Interceptors.New("json-schema", sdk.NewConfig(test.settings))
		if (err == nil) != (test.fail == "") || err != nil && !strings.Contains(err.Error(), test.fail) {
			t.Errorf("%s: %v, want %q", name, err, test.fail)
		}
	}
}
