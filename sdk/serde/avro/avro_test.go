package avro_test

import (
	"encoding/hex"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/fuzz"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/serde/avro"
	"github.com/millrace/millrace/sdk/serde/registry"
	"github.com/millrace/millrace/sdk/serde/registry/registrytest"
)

type order struct {
	ID    string   `avro:"id"`
	Cents int64    `avro:"cents"`
	Note  *string  `avro:"note"`
	Tags  []string `avro:"tags"`
}

const orderSchema = `{"type":"record","name":"Order","namespace":"shop","fields":[
	{"name":"id","type":"string"},{"name":"cents","type":"long"},
	{"name":"note","type":["null","string"],"default":null},
	{"name":"tags","type":{"type":"array","items":"string"},"default":[]}]}`

func init() { avro.Register[order](orderSchema) }

type older struct {
	ID    string `avro:"id"`
	Cents int32  `avro:"cents"`
}

const olderSchema = `{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"id","type":"string"},{"name":"cents","type":"int"}]}`

var note = "n"

var some = order{ID: "o1", Cents: -3, Note: &note, Tags: []string{"a", "b"}}

// someBytes is what Apache's own library and fastavro write: length 2 "o1", zigzag of −3,
// branch 1, length 1 "n", a block of 2 with "a" and "b", and the end of blocks.
const someBytes = "046f310502026e04026102620" + "0"

func TestPlainAvro(t *testing.T) {
	s, err := avro.New[order](orderSchema)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Append([]byte("x"), "", nil, some)
	if err != nil || hex.EncodeToString(b[1:]) != someBytes {
		t.Errorf("written is %x, %v, want %s", b, err, someBytes)
	}
	v, err := s.Decode("", nil, b[1:])
	if err != nil || !reflect.DeepEqual(v, some) {
		t.Errorf("read is %+v, %v", v, err)
	}
	if _, err := s.Decode("", nil, append(b[1:], 0)); err == nil || !strings.Contains(err.Error(), "1 bytes follow") {
		t.Errorf("a byte too many: %v", err)
	}
	p, err := avro.New[*order](orderSchema)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := p.Append([]byte("x"), "", nil, nil); b != nil || err != nil {
		t.Errorf("a nil pointer is %q, %v, want null", b, err)
	}
	if v, err := p.Decode("", nil, nil); v != nil || err != nil {
		t.Errorf("null is %v, %v", v, err)
	}
	if s, err := avro.New[order](""); err != nil || !strings.Contains(s.Schema().Text, `"cents"`) {
		t.Errorf("the schema of the type: %v", err)
	}
	if _, err := avro.New[order]("{"); err == nil || !strings.Contains(err.Error(), "the Avro schema of a avro_test.order") {
		t.Errorf("a schema that is none: %v", err)
	}
}

// What an older program wrote, a newer one reads, and the other way round.
func TestSchemasEvolve(t *testing.T) {
	s := registrytest.Start(t)
	settings := registry.Settings{Options: registry.Options{URLs: []string{s.URL}}, AutoRegister: true}
	o, err := avro.New[older](olderSchema)
	if err != nil {
		t.Fatal(err)
	}
	n, err := avro.New[order](orderSchema)
	if err != nil {
		t.Fatal(err)
	}
	old, err := registry.NewSerde(o, settings)
	if err != nil {
		t.Fatal(err)
	}
	host := map[string]string{"schema.registry.url": s.URL}
	out, err := sdk.Serializers[order]().New("avro-registry", sdk.NewConfig(nil).Over(host))
	if err != nil {
		t.Fatal(err)
	}
	in, err := registry.NewSerde(n, settings)
	if err != nil {
		t.Fatal(err)
	}
	b, err := old.Append(nil, "orders", nil, older{"o7", 12})
	if err != nil || hex.EncodeToString(b) != "0000000001046f3718" {
		t.Fatalf("written by the older schema is %x, %v", b, err)
	}
	if v, err := in.Decode("orders", nil, b); err != nil || v.ID != "o7" || v.Cents != 12 || v.Note != nil || len(v.Tags) != 0 {
		t.Errorf("read by the newer schema is %+v, %v", v, err)
	}
	if b, err = out.Append(nil, "orders", nil, some); err != nil || hex.EncodeToString(b) != "0000000002"+someBytes {
		t.Fatalf("written by the newer schema is %x, %v", b, err)
	}
	if _, err := old.Decode("orders", nil, b); err == nil || !strings.Contains(err.Error(), "cannot be read as shop.Order") {
		t.Errorf("a long read as an int: %v", err)
	}
	if v, err := in.Decode("orders", nil, b); err != nil || !reflect.DeepEqual(v, some) {
		t.Errorf("read is %+v, %v", v, err)
	}
	if n.Record() != "shop.Order" {
		t.Errorf("its name is %q", n.Record())
	}
	if _, err := in.Decode("orders", nil, []byte("\x00\x00\x00\x00\x63abc")); err == nil || !strings.Contains(err.Error(), "look up schema 99: the registry says 40403") {
		t.Errorf("an id that there is not: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	s, err := avro.New[order](orderSchema)
	if err != nil {
		f.Fatal(err)
	}
	b, _ := hex.DecodeString(someBytes)
	f.Add(b)
	fuzz.Run(f, func(t *testing.T, data []byte) {
		v, err := s.Decode("", nil, data)
		if err != nil || data == nil {
			return
		}
		again, err := s.Append(nil, "", nil, v)
		if err != nil {
			t.Fatalf("%x is read as %+v, which cannot be written: %v", data, v, err)
		}
		if back, err := s.Decode("", nil, again); err != nil || !reflect.DeepEqual(normal(back), normal(v)) {
			t.Fatalf("%x is read as %+v, written as %x and read as %+v, %v", data, v, again, back, err)
		}
	})
}

// normal has nil for a list without items: Avro does not know the difference.
func normal(o order) order {
	if len(o.Tags) == 0 {
		o.Tags = nil
	}
	return o
}
