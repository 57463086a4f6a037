package serde_test

import (
	"encoding/hex"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/fuzz"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/serde"
)

// vector is what Java's serializer of that name makes of a value: compared with a run of the
// classes of Kafka 4.3.1.
type vector struct {
	name  string
	value any
	bytes string
}

var vectors = []vector{
	{"string", "", ""},
	{"string", "grüße, 世界 🙂", "6772c3bcc39f652c20e4b896e7958c20f09f9982"},
	{"bytes", []byte{0, 1, 255}, "0001ff"},
	{"bytes", []byte{}, ""},
	{"boolean", true, "01"},
	{"boolean", false, "00"},
	{"int16", int16(-2), "fffe"},
	{"int16", int16(math.MaxInt16), "7fff"},
	{"int32", int32(1), "00000001"},
	{"int32", int32(math.MinInt32), "80000000"},
	{"int64", int64(-1), "ffffffffffffffff"},
	{"int64", int64(0x0102030405060708), "0102030405060708"},
	{"float32", float32(1.5), "3fc00000"},
	{"float32", float32(math.Inf(-1)), "ff800000"},
	{"float64", 3.14159, "400921f9f01b866e"},
	{"float64", math.Copysign(0, -1), "8000000000000000"},
	{"uuid", serde.UUID{0x12, 0x3e, 0x45, 0x67, 0xe8, 0x9b, 0x12, 0xd3, 0xa4, 0x56, 0x42, 0x66, 0x14, 0x17, 0x40, 0},
		hex.EncodeToString([]byte("123e4567-e89b-12d3-a456-426614174000"))},
}

// run takes v through the serde of that name both ways.
func run[T any](t *testing.T, name string, v T, want string) {
	t.Helper()
	out, err := sdk.Serializers[T]().New(name, sdk.Config{})
	if err != nil {
		t.Fatal(err)
	}
	in, err := sdk.Deserializers[T]().New(name, sdk.Config{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := out.Append(nil, "topic", nil, v)
	if err != nil || got == nil || hex.EncodeToString(got) != want {
		t.Errorf("%s of %v is %x (null: %v), %v; Java says %s", name, v, got, got == nil, err, want)
	}
	if after, err := out.Append([]byte("before"), "topic", nil, v); err != nil || string(after) != "before"+string(got) {
		t.Errorf("%s of %v appended is %q, %v", name, v, after, err)
	}
	back, err := in.Decode("topic", nil, got)
	if err != nil || !reflect.DeepEqual(back, v) {
		t.Errorf("%s reads %x as %v, %v, want %v", name, got, back, err, v)
	}
}

func TestEncodingsAreJavas(t *testing.T) {
	for _, v := range vectors {
		switch value := v.value.(type) {
		case string:
			run(t, v.name, value, v.bytes)
			run(t, v.name, &value, v.bytes)
		case []byte:
			run(t, v.name, value, v.bytes)
		case bool:
			run(t, v.name, value, v.bytes)
		case int16:
			run(t, v.name, value, v.bytes)
		case int32:
			run(t, v.name, value, v.bytes)
			run(t, v.name, &value, v.bytes)
		case int64:
			run(t, v.name, value, v.bytes)
		case float32:
			run(t, v.name, value, v.bytes)
		case float64:
			run(t, v.name, value, v.bytes)
		case serde.UUID:
			run(t, v.name, value, v.bytes)
		default:
			t.Errorf("nobody runs %T", v.value)
		}
	}
}

func TestJavasClassNamesAreKnown(t *testing.T) {
	if !sdk.Serializers[int64]().Has("org.apache.kafka.common.serialization.LongSerializer") ||
		!sdk.Deserializers[string]().Has("org.apache.kafka.common.serialization.StringDeserializer") {
		t.Fatal("the names of Java's classes are not known")
	}
	if name := serde.Natural[int32](); name != "int32" {
		t.Errorf("an int32 is read by %q", name)
	}
	if name := serde.Natural[struct{ A int }](); name != "" {
		t.Errorf("a struct is read by %q, and nobody said so", name)
	}
}

func TestNull(t *testing.T) {
	if b, err := (serde.Nullable[int64]{Of: serde.Int64{}}).Append([]byte("x"), "", nil, nil); b != nil || err != nil {
		t.Errorf("a nil *int64 is %q, %v, want null", b, err)
	}
	if v, err := (serde.Nullable[int64]{Of: serde.Int64{}}).Decode("", nil, nil); v != nil || err != nil {
		t.Errorf("null is %v, %v, want nil", v, err)
	}
	if v, err := (serde.Int64{}).Decode("", nil, nil); v != 0 || err != nil {
		t.Errorf("null is %v, %v, want 0", v, err)
	}
	if b, err := (serde.Bytes{}).Append([]byte("x"), "", nil, nil); b != nil || err != nil {
		t.Errorf("nil bytes are %q, %v, want null", b, err)
	}
	if b, err := (serde.JSON[map[string]int]{}).Append([]byte("x"), "", nil, nil); b != nil || err != nil {
		t.Errorf("a nil map is %q, %v, want null", b, err)
	}
	if b, err := (serde.JSON[any]{}).Append([]byte("x"), "", nil, nil); b != nil || err != nil {
		t.Errorf("nil is %q, %v, want null", b, err)
	}
}

// What a reader gets does not change when the buffer it came from is used again.
func TestNothingIsKept(t *testing.T) {
	data := []byte("abc")
	b, _ := serde.Bytes{}.Decode("", nil, data)
	s, _ := serde.String{}.Decode("", nil, data)
	data[0] = 'x'
	if string(b) != "abc" || s != "abc" {
		t.Errorf("bytes are %q and text is %q after their buffer was used again", b, s)
	}
}

func TestWhatCannotBeRead(t *testing.T) {
	for want, err := range map[string]error{
		"an int64 is 8 bytes, not 4":    second(serde.Int64{}.Decode("", nil, make([]byte, 4))),
		"an int32 is 4 bytes, not 0":    second(serde.Int32{}.Decode("", nil, []byte{})),
		"an int16 is 2 bytes, not 3":    second(serde.Int16{}.Decode("", nil, make([]byte, 3))),
		"a float32 is 4 bytes, not 8":   second(serde.Float32{}.Decode("", nil, make([]byte, 8))),
		"a float64 is 8 bytes, not 9":   second(serde.Float64{}.Decode("", nil, make([]byte, 9))),
		"a boolean is 0 or 1, not 2":    second(serde.Boolean{}.Decode("", nil, []byte{2})),
		"is not a UUID":                 second(serde.UUIDText{}.Decode("", nil, []byte("123e4567+e89b-12d3-a456-426614174000"))),
		"only null may be":              second(serde.Void{}.Decode("", nil, []byte{})),
		"read JSON: unexpected end of":  second(serde.JSON[int]{}.Decode("", nil, []byte{})),
		"write JSON: json: unsupported": second(serde.JSON[chan int]{}.Append(nil, "", nil, make(chan int))),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want %s", err, want)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// FuzzDecode reads anything with every deserializer of this package: what one can read, it
// writes as the same bytes (JSON, which has many ways to say a thing, as the same value).
func FuzzDecode(f *testing.F) {
	for _, v := range vectors {
		b, _ := hex.DecodeString(v.bytes)
		f.Add(b)
	}
	f.Add([]byte(`{"a":[1,2,null]}`))
	fuzz.Run(f, func(t *testing.T, data []byte) {
		both(t, data, serde.Serde[string](serde.String{}))
		both(t, data, serde.Serde[[]byte](serde.Bytes{}))
		both(t, data, serde.Serde[bool](serde.Boolean{}))
		both(t, data, serde.Serde[int16](serde.Int16{}))
		both(t, data, serde.Serde[int32](serde.Int32{}))
		both(t, data, serde.Serde[int64](serde.Int64{}))
		both(t, data, serde.Serde[float32](serde.Float32{}))
		both(t, data, serde.Serde[float64](serde.Float64{}))
		if u, err := (serde.UUIDText{}).Decode("", nil, data); err == nil && !strings.EqualFold(u.String(), string(data)) {
			t.Errorf("%q is read as %s", data, u)
		}
		v, err := serde.JSON[any]{}.Decode("", nil, data)
		if err != nil || v == nil {
			return
		}
		again, err := serde.JSON[any]{}.Append(nil, "", nil, v)
		if err != nil {
			t.Fatalf("%q is read as %v, and cannot be written: %v", data, v, err)
		}
		if back, err := (serde.JSON[any]{}).Decode("", nil, again); err != nil || !reflect.DeepEqual(back, v) {
			t.Errorf("%q is read as %v, written as %q and read as %v, %v", data, v, again, back, err)
		}
	})
}

func both[T any](t *testing.T, data []byte, s serde.Serde[T]) {
	v, err := s.Decode("", nil, data)
	if err != nil {
		return
	}
	if again, err := s.Append(nil, "", nil, v); err != nil || string(again) != string(data) {
		t.Errorf("%T reads %x as %v and writes %x, %v", s, data, v, again, err)
	}
}

func BenchmarkInt64(b *testing.B) {
	var buffer [8]byte
	b.ReportAllocs()
	for b.Loop() {
		out, _ := serde.Int64{}.Append(buffer[:0], "", nil, 7)
		if v, _ := (serde.Int64{}).Decode("", nil, out); v != 7 {
			b.Fatal(v)
		}
	}
}
