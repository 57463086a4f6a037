package message

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/fuzz"
	"github.com/millrace/millrace/plugins/wasm/abi"
	"github.com/millrace/millrace/sdk"
)

func place() *sdk.Placement {
	return &sdk.Placement{Topic: "orders", Key: []byte("k"), Value: []byte{}, Partitions: 3, Available: []int32{0, 2},
		LeaderRack: func(p int32) string { return []string{"a", "", "c"}[p] }}
}

func TestAPlacementComesThrough(t *testing.T) {
	var got Placement
	if err := got.Read(AppendPlacement(nil, place(), true)); err != nil {
		t.Fatal(err)
	}
	if got.Topic != "orders" || string(got.Key) != "k" || got.Value == nil || len(got.Value) != 0 || got.Partitions != 3 ||
		!reflect.DeepEqual(got.Available, []int32{0, 2}) || got.LeaderRack(0) != "a" || got.LeaderRack(2) != "c" || got.LeaderRack(7) != "" {
		t.Errorf("it became %+v", got.Placement)
	}
	none := &sdk.Placement{Topic: "t", Partitions: 1}
	if err := got.Read(AppendPlacement(nil, none, true)); err != nil || got.Key != nil || got.Value != nil || len(got.Available) != 0 || got.LeaderRack(0) != "" {
		t.Errorf("nulls became %+v, %v", got.Placement, err)
	}
	topic, partition, err := ReadFull(AppendFull(nil, "orders", 7))
	if err != nil || topic != "orders" || partition != 7 {
		t.Errorf("a full batch became %s %d, %v", topic, partition, err)
	}
}

type point struct {
	X, Y int
	Name string
}

type secret struct{ x int }

type sealed struct{ x int }

func (s sealed) MarshalJSON() ([]byte, error)  { return json.Marshal(s.x) }
func (s *sealed) UnmarshalJSON(p []byte) error { return json.Unmarshal(p, &s.x) }

// tree holds itself.
type tree struct {
	Name string
	List []*tree
	Map  map[string]tree
}

// outer has what is embedded, exported and not.
type outer struct {
	Point point
	inner
}

type inner struct{ Exported int }

type number int

func TestValuesComeThrough(t *testing.T) {
	for _, v := range []any{
		[]byte("bytes"), []byte{}, []byte(nil), "text", "", int8(-128), int64(math.MinInt64), uint64(math.MaxUint64), uint16(7), float32(0.1), math.Inf(-1), true, false,
		time.Second, point{1, -2, "three"}, &point{4, 5, ""}, (*point)(nil), []string{"a"}, map[string]int{"a": 1}, [16]byte{1, 2}, sealed{9}, json.Number("1.50"),
		tree{"a", []*tree{{"b", nil, nil}}, map[string]tree{"c": {}}}, []sealed{{1}}, map[string]*sealed{"a": {2}}, outer{point{1, 2, "c"}, inner{3}}, time.Unix(7, 0).UTC(),
		[]netip.Addr{netip.AddrFrom4([4]byte{1, 2, 3, 4})}, (*tree)(nil),
	} {
		s, err := ShapeOf(reflect.TypeOf(v))
		if err != nil {
			t.Errorf("%T: %v", v, err)
			continue
		}
		form, p, err := s.Append(nil, v)
		if err != nil {
			t.Errorf("%T: %v", v, err)
			continue
		}
		got, err := s.Value(form, p)
		if err != nil || !reflect.DeepEqual(got, v) {
			t.Errorf("%T %v became %T %v: %v", v, v, got, got, err)
		}
	}
}

func TestValuesThatDoNot(t *testing.T) {
	for _, v := range []any{secret{x: 1}, &secret{}, make(chan int), func() {}, 1i, struct {
		A int `json:"-"`
	}{}, []secret{}, [2]secret{}, map[string]secret{}, &[]*secret{}, struct{ A struct{ B []secret } }{}, struct{ secret }{}, struct{ *inner }{}, struct{ number }{}} {
		if _, err := ShapeOf(reflect.TypeOf(v)); err == nil {
			t.Errorf("%T is said to come through", v)
		}
	}
	for name, test := range map[string]struct {
		of   any
		form abi.Form
		p    string
		want string
	}{
		"too large":      {int8(0), abi.FormInteger, "\x80\x00\x00\x00\x00\x00\x00\x00", "128 does not fit into int8"},
		"too short":      {int64(0), abi.FormInteger, "\x80", "ABI"},
		"another form":   {int64(0), abi.FormText, "1", "form 2 is no int64"},
		"null":           {"", abi.FormNull, "", "null is no value"},
		"half a boolean": {true, abi.FormBoolean, "\x02", "ABI"},
		"no JSON":        {point{}, abi.FormJSON, "{", "from JSON"},
		"unsigned":       {uint8(0), abi.FormUnsigned, "\xff\xff\xff\xff\xff\xff\xff\xff", "does not fit"},
	} {
		s, err := ShapeOf(reflect.TypeOf(test.of))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Value(test.form, []byte(test.p)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, %v, want %q", name, got, err, test.want)
		}
	}
}

func TestADatumComesThrough(t *testing.T) {
	in := Datum{Topic: "orders", Form: abi.FormText, Bytes: []byte("v"), Headers: []sdk.Header{{Key: "a", Value: []byte("1")}, {Key: "", Value: nil}, {Key: "e", Value: []byte{}}}}
	var out Datum
	if err := out.Read(AppendDatum(nil, &in)); err != nil || !reflect.DeepEqual(in, out) {
		t.Errorf("it became %+v, %v", out, err)
	}
	if err := out.Read(AppendFault(nil, strings.Repeat("x", 2000))); err != nil || !out.Same || out.Form != abi.FormFault || len(out.Bytes) != abi.MaxReason {
		t.Errorf("a fault became %+v, %v", out, err)
	}
}

func group() ([]sdk.GroupMember, map[string]int32) {
	return []sdk.GroupMember{
		{ID: "a", InstanceID: "i", Rack: "r", Topics: []string{"s", "t"}, Owned: []sdk.TopicPartition{{Topic: "t", Partition: 1}}, Generation: 4, UserData: []byte("u")},
		{ID: "b", Topics: []string{"t"}, Generation: -1},
	}, map[string]int32{"s": 1, "t": 3}
}

func TestAGroupComesThrough(t *testing.T) {
	members, partitions := group()
	gotMembers, gotPartitions, err := ReadGroup(AppendGroup(nil, members, partitions))
	if err != nil || !reflect.DeepEqual(gotMembers, members) || !reflect.DeepEqual(gotPartitions, partitions) {
		t.Errorf("it became %+v %v, %v", gotMembers, gotPartitions, err)
	}
	dealt := map[string][]sdk.TopicPartition{"a": {{Topic: "s"}, {Topic: "t", Partition: 2}}, "b": nil}
	if got, err := ReadDealt(AppendDealt(nil, dealt)); err != nil || !reflect.DeepEqual(got, dealt) {
		t.Errorf("the assignment became %v, %v", got, err)
	}
	twice := abi.AppendU32(abi.AppendU32(nil, abi.DealtMagic), 2)
	for range 2 {
		twice = abi.AppendU32(abi.AppendText(twice, "a"), 0)
	}
	if got, err := ReadDealt(twice); !errors.Is(err, ErrMalformed) {
		t.Errorf("a member that is there twice: %v, %v", got, err)
	}
	topics, owned, err := ReadMember(AppendMember(nil, members[0].Topics, members[0].Owned))
	if err != nil || len(topics) != 2 || len(owned) != 1 {
		t.Errorf("a member became %v %v, %v", topics, owned, err)
	}
}

func TestARecordComesThrough(t *testing.T) {
	for _, in := range []Record{
		{Topic: "orders", Partition: -1, Offset: -1, Timestamp: abi.NoTime},
		{Topic: "orders", Partition: 7, Offset: 1 << 40, Timestamp: 1_700_000_000_123, Key: Part{abi.FormInteger, []byte("12345678")}, Value: Part{abi.FormText, []byte("v")},
			Headers: []sdk.Header{{Key: "a", Value: []byte("1")}, {Key: "", Value: nil}, {Key: "e", Value: []byte{}}}},
		{Topic: "t", Key: Part{Form: abi.FormBytes, Bytes: []byte{0}}, Value: Part{abi.FormJSON, []byte("{}")}, Same: true},
	} {
		var out Record
		text := AppendRecord(nil, &in)
		if err := out.Read(text); err != nil || !bytes.Equal(AppendRecord(nil, &out), text) || out.Topic != in.Topic || out.Offset != in.Offset || out.Timestamp != in.Timestamp || len(out.Headers) != len(in.Headers) {
			t.Errorf("%+v became %+v, %v", in, out, err)
		}
		for cut := range text {
			if err := out.Read(text[:cut]); err == nil {
				t.Errorf("%d of %d bytes are a record", cut, len(text))
			}
		}
	}
}

func TestWhatBecameComesThrough(t *testing.T) {
	at := sdk.RecordMetadata{TopicPartition: sdk.TopicPartition{Topic: "orders", Partition: 3}, Offset: 9, Timestamp: time.UnixMilli(70)}
	for _, why := range []error{nil, errors.New(""), errors.New("it was " + strings.Repeat("ü", 2000))} {
		got, failed, reason, err := ReadAck(AppendAck(nil, at, why))
		if err != nil || got != at || failed != (why != nil) || why != nil && !strings.HasPrefix(why.Error(), reason) || len(reason) > abi.MaxReason {
			t.Errorf("it became %+v %v %.40q, %v", got, failed, reason, err)
		}
	}
	offsets := map[sdk.TopicPartition]sdk.OffsetAndMetadata{{Topic: "orders", Partition: 3}: {Offset: 9, LeaderEpoch: -1, Metadata: "m"}, {Topic: "s"}: {}}
	text := AppendCommit(nil, offsets)
	if got, err := ReadCommit(text); err != nil || !reflect.DeepEqual(got, offsets) || !bytes.Equal(AppendCommit(nil, got), text) {
		t.Errorf("commits became %v, %v", got, err)
	}
}

func FuzzRead(f *testing.F) {
	members, partitions := group()
	f.Add(AppendPlacement(nil, place(), true))
	f.Add(AppendDatum(nil, &Datum{Topic: "t", Form: abi.FormJSON, Bytes: []byte("{}"), Headers: []sdk.Header{{Key: "a"}}}))
	f.Add(AppendGroup(nil, members, partitions))
	f.Add(AppendDealt(nil, map[string][]sdk.TopicPartition{"a": {{Topic: "s"}}}))
	f.Add(AppendMember(nil, members[0].Topics, members[0].Owned))
	f.Add(AppendFull(nil, "t", 1))
	f.Add(AppendRecord(nil, &Record{Topic: "t", Key: Part{abi.FormText, []byte("k")}, Headers: []sdk.Header{{Key: "a"}}}))
	f.Add(AppendAck(nil, sdk.RecordMetadata{Offset: -1}, errors.New("lost")))
	f.Add(AppendCommit(nil, map[sdk.TopicPartition]sdk.OffsetAndMetadata{{Topic: "t"}: {Offset: 1}}))
	fuzz.Run(f, func(t *testing.T, p []byte) {
		var at Placement
		if err := at.Read(p); err == nil {
			var again Placement
			if err := again.Read(AppendPlacement(nil, &at.Placement, len(at.racks) > 0)); err != nil || again.Partitions != at.Partitions || string(again.Key) != string(at.Key) {
				t.Errorf("a placement that was read is written as what cannot be: %v", err)
			}
		}
		var d, e Datum
		if err := d.Read(p); err == nil {
			if err := e.Read(AppendDatum(nil, &d)); err != nil || e.Form != d.Form || string(e.Bytes) != string(d.Bytes) || len(e.Headers) != len(d.Headers) {
				t.Errorf("a datum that was read is written as what cannot be: %v", err)
			}
			for _, of := range []any{"", 1, uint8(1), 1.5, true, []byte{}, point{}} {
				if s, err := ShapeOf(reflect.TypeOf(of)); err == nil {
					_, _ = s.Value(d.Form, d.Bytes)
				}
			}
		}
		if m, n, err := ReadGroup(p); err == nil {
			if _, _, err := ReadGroup(AppendGroup(nil, m, n)); err != nil {
				t.Errorf("a group that was read is written as what cannot be: %v", err)
			}
		}
		if dealt, err := ReadDealt(p); err == nil {
			if again, err := ReadDealt(AppendDealt(nil, dealt)); err != nil || len(again) != len(dealt) {
				t.Errorf("an assignment that was read is written as what cannot be: %v", err)
			}
		}
		var r, s Record
		if err := r.Read(p); err == nil {
			if err := s.Read(AppendRecord(nil, &r)); err != nil || s.Topic != r.Topic || s.Offset != r.Offset || string(s.Value.Bytes) != string(r.Value.Bytes) || len(s.Headers) != len(r.Headers) {
				t.Errorf("a record that was read is written as what cannot be: %v", err)
			}
		}
		if offsets, err := ReadCommit(p); err == nil {
			if again, err := ReadCommit(AppendCommit(nil, offsets)); err != nil || len(again) != len(offsets) {
				t.Errorf("commits that were read are written as what cannot be: %v", err)
			}
		}
		_, _, _, _ = ReadAck(p)
		_, _, _ = ReadMember(p)
		_, _, _ = ReadFull(p)
	})
}

// The keys of a record's headers are one text, and its headers one list, of which there may be thousands.
func TestHeadersTakeNoMemoryEach(t *testing.T) {
	headers := make([]sdk.Header, 1000)
	for n := range headers {
		headers[n] = sdk.Header{Key: strconv.Itoa(n), Value: []byte("value")}
	}
	headers[7].Value, headers[8].Value, headers[9].Key = nil, []byte{}, ""
	record := AppendRecord(nil, &Record{Topic: "t", Headers: headers})
	datum := AppendDatum(nil, &Datum{Topic: "t", Headers: headers})
	var r Record
	var d Datum
	if n := testing.AllocsPerRun(10, func() {
		if err := errors.Join(r.Read(record), d.Read(datum)); err != nil {
			t.Fatal(err)
		}
	}); n > 10 {
		t.Errorf("a record and a datum of %d headers allocate %v times", len(headers), n)
	}
	if !reflect.DeepEqual(r.Headers, headers) || !reflect.DeepEqual(d.Headers, headers) {
		t.Error("the headers are others")
	}
	for cut := len(record) - 100; cut < len(record); cut++ {
		if r.Read(record[:cut]) == nil {
			t.Errorf("%d of %d bytes are a record", cut, len(record))
		}
	}
}
