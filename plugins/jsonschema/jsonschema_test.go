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

// The validator would make a fraction of whole numbers of it, which is gigabytes and minutes: it
// must not come so far.
func TestNumbersWithoutMeasureAreBad(t *testing.T) {
	one, err := sdk.Interceptors.New("json-schema", sdk.NewConfig(map[string]string{"schema": `{"properties":{"amount":{"type":"integer"}}}`}))
	if err != nil {
		t.Fatal(err)
	}
	v := one.(*validator)
	for number, fine := range map[string]bool{
		"1e400": true, "-1E+400": true, "10e-1": true, "0e-400": true, strings.Repeat("9", 400): true,
		"1e401": false, "1e-401": false, "1E+1000000": false, "-1e1000000000": false, "1e99999999999999999999": false, "0e-99999999999999999999": false,
		strings.Repeat("9", 401): false, "0." + strings.Repeat("0", 1<<20): false,
	} {
		for _, value := range []string{number, `{"amount":` + number + `}`, `[1,{"x":[` + number + `]}]`} {
			got := v.check([]byte(value))
			if (got == "") != fine || !fine && !strings.Contains(got, "too long or too large") || len(got) > 200 {
				t.Errorf("%.40s: %.200q", value, got)
			}
		}
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
		"in the folder": {map[string]string{"schema.file": "order.json", "dir": filepath.Dir(file)}, ""},
		"outside of it": {map[string]string{"schema.file": file, "dir": t.TempDir()}, "does not lie in"},
		"a device":      {map[string]string{"schema.file": os.DevNull}, "no regular file"},
		"another part":  {map[string]string{"schema": order, "part": "header"}, "use key or value"},
	} {
		_, err := sdk.Interceptors.New("json-schema", sdk.NewConfig(test.settings))
		if (err == nil) != (test.fail == "") || err != nil && !strings.Contains(err.Error(), test.fail) {
			t.Errorf("%s: %v, want %q", name, err, test.fail)
		}
	}
}
