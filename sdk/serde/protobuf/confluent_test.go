package protobuf_test

import (
	"encoding/hex"
	"os"
	"os/exec"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/serde"
	"github.com/millrace/millrace/sdk/serde/avro"
	"github.com/millrace/millrace/sdk/serde/protobuf"
	"github.com/millrace/millrace/sdk/serde/registry"
	"github.com/millrace/millrace/sdk/serde/registry/registrytest"
)

// pythonVariable names a Python that has what testdata/confluent.py needs.
const pythonVariable = "MILLRACE_CONFLUENT_PYTHON"

type sale struct {
	ID    string `avro:"id" json:"id"`
	Cents int64  `avro:"cents" json:"cents"`
}

// vectors are what Confluent's serializers 2.16.1 write, id aside: by a run of this test.
var vectors = map[string]string{
	"avro":     "046f3105",
	"json":     hex.EncodeToString([]byte(`{"id":"o1","cents":-3}`)),
	"protobuf": "0402020a01611002",
}

// both are the three formats, each as a function that writes the one value that all agree on
// and one that reads it.
func both(t *testing.T, url string) (write map[string]func() ([]byte, error), read map[string]func([]byte) error) {
	settings := registry.Settings{Options: registry.Options{URLs: []string{url}}, AutoRegister: true}
	a, err := avro.New[sale](`{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"id","type":"string"},{"name":"cents","type":"long"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	write, read = map[string]func() ([]byte, error){}, map[string]func([]byte) error{}
	format(t, "avro", registry.Format[sale](a), settings, sale{"o1", -3}, write, read)
	format(t, "json", registry.Format[sale](registry.JSON[sale]{Text: `{"title":"Order"}`}), settings, sale{"o1", -3}, write, read)
	format(t, "protobuf", registry.Format[*Order_Line](protobuf.Serde[*Order_Line]{}), settings, &Order_Line{Article: "a", Count: 2}, write, read)
	return write, read
}

func format[T any](t *testing.T, name string, f registry.Format[T], settings registry.Settings, v T, write map[string]func() ([]byte, error), read map[string]func([]byte) error) {
	s, err := registry.NewSerde(f, settings)
	if err != nil {
		t.Fatal(err)
	}
	text := func(v T) string { return string(must(serde.JSON[T]{}.Append(nil, "", nil, v))) }
	write[name] = func() ([]byte, error) { return s.Append(nil, "go-"+name, nil, v) }
	read[name] = func(data []byte) error {
		got, err := s.Decode("py-"+name, []sdk.Header{}, data)
		if message, ok := any(got).(proto.Message); ok && err == nil {
			if !proto.Equal(message, any(v).(proto.Message)) {
				t.Errorf("%s: read %v, want %v", name, got, v)
			}
		} else if err == nil && text(got) != text(v) {
			t.Errorf("%s: read %v, want %v", name, got, v)
		}
		return err
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func TestPayloadsAreConfluents(t *testing.T) {
	s := registrytest.Start(t)
	write, read := both(t, s.URL)
	for name, want := range vectors {
		b, err := write[name]()
		if err != nil || hex.EncodeToString(b[5:]) != want {
			t.Errorf("%s: written is %x, %v, want %s behind the id", name, b, err, want)
		}
		if err := read[name](b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Confluent's own serializers write what ours read, and read what ours write.
func TestConfluentsSerializers(t *testing.T) {
	python := os.Getenv(pythonVariable)
	if python == "" {
		t.Skip(pythonVariable + " names no Python with confluent-kafka")
	}
	s := registrytest.Start(t)
	write, read := both(t, s.URL)
	arguments := []string{"testdata/confluent.py", s.URL}
	for name := range vectors {
		b, err := write[name]()
		if err != nil {
			t.Fatal(err)
		}
		arguments = append(arguments, name+"="+hex.EncodeToString(b))
	}
	out, err := exec.CommandContext(t.Context(), python, arguments...).Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, err.(*exec.ExitError).Stderr)
	}
	t.Logf("%s", out)
	wrote, said := 0, 0
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if name, text, ok := strings.Cut(line, "="); ok {
			b, err := hex.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			if err := read[name](b); err != nil {
				t.Errorf("%s of Confluent's: %v", name, err)
			}
			if text[10:] != vectors[name] {
				t.Errorf("%s of Confluent's is %s, want %s", name, text, vectors[name])
			}
			wrote++
			continue
		}
		if !strings.HasSuffix(line, "{'id': 'o1', 'cents': -3}") && !strings.HasSuffix(line, "{'article': 'a', 'count': 2}") {
			t.Errorf("Confluent's read %s", line)
		}
		said++
	}
	if wrote != len(vectors) || said != len(vectors) {
		t.Errorf("Confluent's wrote %d and read %d, want %d", wrote, said, len(vectors))
	}
}
