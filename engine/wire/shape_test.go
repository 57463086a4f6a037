package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/fuzz"
)

// decoded are the keys whose requests kmsg decodes for the broker.
var decoded = []int16{2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20, 21, 22, 23, 32, 33, 35, 37, 42, 44, 47, 60, 75, 80, 81}

// fill gives every field of a request something to say: arrays have two elements.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; name == "UnknownTags" {
				v.Field(i).Addr().Interface().(*kmsg.Tags).Set(91, []byte("tag"))
			} else if name != "Version" {
				fill(v.Field(i))
			}
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(3)
	case reflect.Uint16:
		v.SetUint(3)
	case reflect.String:
		v.SetString("text")
	case reflect.Array:
		v.Index(5).SetUint(9)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		if v.Type().Elem().Kind() != reflect.Uint8 {
			fill(v.Index(0))
			fill(v.Index(1))
		}
	}
}

// each calls f for every version of every key with three requests: as kmsg has them by
// default, and full.
func each(f func(name string, key, version int16, body []byte)) {
	for _, key := range decoded {
		for version := int16(0); version <= kmsg.RequestForKey(key).MaxVersion(); version++ {
			name := fmt.Sprintf("%s-%d", kmsg.NameForKey(key), version)
			q := kmsg.RequestForKey(key)
			q.SetVersion(version)
			f(name, key, version, q.AppendTo(nil))
			fill(reflect.ValueOf(q).Elem())
			q.SetVersion(version)
			f(name+"-full", key, version, q.AppendTo(nil))
		}
	}
}

func TestShapesAreWhatKmsgWrites(t *testing.T) {
	each(func(name string, key, version int16, body []byte) {
		s := ShapeOf(kmsg.RequestForKey(key), version)
		if err := s.Check(body); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for cut := range len(body) {
			if s.Check(body[:cut]) == nil {
				t.Errorf("%s: cut from %d to %d bytes it passes", name, len(body), cut)
				break
			}
		}
	})
}

// TestShapesLetNoClaimPass: a body that claims more elements or tags than it has costs
// nothing.
func TestShapesLetNoClaimPass(t *testing.T) {
	each(func(name string, key, version int16, body []byte) {
		s := ShapeOf(kmsg.RequestForKey(key), version)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for at := range body {
			claims := append(append([]byte(nil), body[:at]...), 0xff, 0xff, 0xff, 0xff, 0x0f)
			if err := s.Check(claims); err == nil {
				q := kmsg.RequestForKey(key)
				q.SetVersion(version)
				if err := q.ReadFrom(claims); err != nil {
					t.Errorf("%s: what the shape lets pass cannot be read: %v", name, err)
				}
			}
		}
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > uint64(1<<20+len(body)*len(body)*200) {
			t.Errorf("%s: %d bytes taken for %d", name, took, len(body))
		}
	})
}

func TestTooManyElements(t *testing.T) {
	for n, passes := range map[int]bool{maxElements: true, maxElements + 1: false} {
		q := kmsg.NewPtrDescribeGroupsRequest()
		q.Groups = make([]string, n)
		if err := ShapeOf(kmsg.NewPtrDescribeGroupsRequest(), 0).Check(q.AppendTo(nil)); (err == nil) != passes {
			t.Errorf("%d elements: %v", n, err)
		}
	}
	q := kmsg.NewPtrMetadataRequest()
	q.SetVersion(9)
	body := binary.AppendUvarint(q.AppendTo(nil)[:4], math.MaxUint32)
	if ShapeOf(kmsg.NewPtrMetadataRequest(), 9).Check(body) == nil {
		t.Error("four billion tags pass")
	}
}

// FuzzShape holds Check against kmsg: what passes can be read, and costs no more than a
// small multiple of its size.
func FuzzShape(f *testing.F) {
	each(func(_ string, key, version int16, body []byte) { f.Add(key, version, body) })
	shapes := map[[2]int16]*Shape{}
	fuzz.Run(f, func(t *testing.T, key, version int16, body []byte) {
		at := int(uint16(key)) % len(decoded)
		for i, k := range decoded {
			if k == key {
				at = i
			}
		}
		q := kmsg.RequestForKey(decoded[at])
		version = int16(int(uint16(version)) % (int(q.MaxVersion()) + 1))
		s := shapes[[2]int16{int16(at), version}]
		if s == nil {
			s = ShapeOf(kmsg.RequestForKey(decoded[at]), version)
			shapes[[2]int16{int16(at), version}] = s
		}
		if s.Check(body) != nil {
			return
		}
		q.SetVersion(version)
		if err := q.ReadFrom(body); err != nil {
			t.Fatalf("%s version %d passes and cannot be read: %v", kmsg.NameForKey(decoded[at]), version, err)
		}
	})
}

func BenchmarkShapeCheck(b *testing.B) {
	q := kmsg.NewPtrHeartbeatRequest()
	q.SetVersion(4)
	q.Group, q.MemberID = "a group", "consumer-1-4c0fd3a9-6c9a-4b0a-8bd5-3b0a5e8a1d3c"
	body, s := q.AppendTo(nil), ShapeOf(kmsg.NewPtrHeartbeatRequest(), 4)
	b.ReportAllocs()
	for b.Loop() {
		if s.Check(body) != nil {
			b.Fatal("refused")
		}
	}
}
