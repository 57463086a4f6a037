package protobuf_test

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/millrace/millrace/engine/fuzz"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/serde/protobuf"
	"github.com/millrace/millrace/sdk/serde/registry"
	"github.com/millrace/millrace/sdk/serde/registry/registrytest"
)

func init() {
	protobuf.Register[*Order]()
	protobuf.Register[*Order_Line]()
	protobuf.Register[*Customer]()
}

func some() *Order {
	return &Order{Id: "o1", Total: &Money{Currency: &Currency{Code: "EUR"}, Cents: 250}, At: &timestamppb.Timestamp{Seconds: 7},
		Lines: []*Order_Line{{Article: "a", Count: 2}}}
}

const someBytes = "0a026f31120a0a050a0345555210fa011a0208072205" + "0a01611002"

func TestPlainProtobuf(t *testing.T) {
	var s protobuf.Serde[*Order]
	b, err := s.Append([]byte("x"), "", nil, some())
	if err != nil || hex.EncodeToString(b[1:]) != someBytes {
		t.Errorf("written is %x, %v, want %s", b, err, someBytes)
	}
	if v, err := s.Decode("", nil, b[1:]); err != nil || !proto.Equal(v, some()) {
		t.Errorf("read is %v, %v", v, err)
	}
	if b, err := s.Append([]byte("x"), "", nil, nil); b != nil || err != nil {
		t.Errorf("nil is %q, %v, want null", b, err)
	}
	if b, err := s.Append(nil, "", nil, &Order{}); b == nil || len(b) != 0 || err != nil {
		t.Errorf("an empty message is %v, %v: it is not null", b, err)
	}
	if v, err := s.Decode("", nil, nil); v != nil || err != nil {
		t.Errorf("null is %v, %v", v, err)
	}
	if _, err := s.Decode("", nil, []byte{0xff}); err == nil || !strings.Contains(err.Error(), "read Protobuf") {
		t.Errorf("bytes that are none: %v", err)
	}
}

func made[T proto.Message](t *testing.T, url string, v T, want string) {
	t.Helper()
	c := func() sdk.Config { return sdk.NewConfig(map[string]string{"schema.registry.url": url}) }
	out, err := sdk.Serializers[T]().New("protobuf-registry", c())
	if err != nil {
		t.Fatal(err)
	}
	in, err := sdk.Deserializers[T]().New("protobuf-registry", c())
	if err != nil {
		t.Fatal(err)
	}
	b, err := out.Append(nil, "orders", nil, v)
	if err != nil || hex.EncodeToString(b) != want {
		t.Errorf("written is %x, %v, want %s", b, err, want)
	}
	if back, err := in.Decode("orders", nil, b); err != nil || !proto.Equal(back, v) {
		t.Errorf("read is %v, %v", back, err)
	}
}

// The second message of the file, and the second of those in it: its imports are registered
// first, those of Google are not.
func TestProtobufWithARegistry(t *testing.T) {
	s := registrytest.Start(t)
	made(t, s.URL, some(), "0000000002"+"0202"+someBytes)
	made(t, s.URL, &Order_Line{Article: "a", Count: 2}, "0000000002"+"040202"+"0a01611002")
	made(t, s.URL, &Customer{Name: "c"}, "0000000002"+"00"+"0a0163")
	if got := s.Subjects(); !slices.Equal(got, []string{"orders-value", "shop/money.proto"}) {
		t.Errorf("the subjects are %q", got)
	}
	all := s.Schemas()
	want := registry.Reference{Name: "shop/money.proto", Subject: "shop/money.proto", Version: 1}
	if len(all) != 2 || all[1].Type != "PROTOBUF" || !slices.Equal(all[1].References, []registry.Reference{want}) {
		t.Errorf("the schemas are %+v", all)
	}
}

func FuzzDecode(f *testing.F) {
	b, _ := hex.DecodeString(someBytes)
	f.Add(b)
	var s protobuf.Serde[*Order]
	fuzz.Run(f, func(t *testing.T, data []byte) {
		v, err := s.Decode("", nil, data)
		if err != nil || v == nil {
			return
		}
		again, err := s.Append(nil, "", nil, v)
		if err != nil {
			t.Fatalf("%x is read, and cannot be written: %v", data, err)
		}
		if back, err := s.Decode("", nil, again); err != nil || !proto.Equal(back, v) {
			t.Fatalf("%x is read as %v, written as %x and read as %v, %v", data, v, again, back, err)
		}
	})
}
