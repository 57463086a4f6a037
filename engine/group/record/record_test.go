package record

import (
	"bytes"
	"encoding/hex"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/fuzz"
	"github.com/millrace/millrace/engine/group/assign"
)

func topic(n byte, partitions ...int32) assign.Topic {
	t := assign.Topic{Partitions: partitions}
	t.ID[15] = n
	return t
}

func ptr(s string) *string { return &s }

// value is what every value has.
type value interface {
	Append(dst []byte) []byte
	Read(p []byte) error
}

// kafkas is what Kafka was asked to write into testdata/kafka.hex.
func kafkas() (map[string]Key, map[string]value) {
	since := topic(1, 0, 1)
	since.Epochs = []int32{3, 9}
	return map[string]Key{
			"key-3": {KindGroup, "g", ""}, "key-5": {KindMember, "g", "m"}, "key-6": {KindTarget, "g", ""},
			"key-7": {KindTargetMember, "g", "m"}, "key-8": {KindCurrent, "g", "m"}, "key-16": {KindPattern, "g", "a.*"},
		}, map[string]value{
			"group":       &Group{Epoch: 7, Hash: -2},
			"group-plain": &Group{Epoch: 7},
			"member": &Member{
				Instance: ptr("i"), ClientID: "c", ClientHost: "/h", Topics: []string{"t", "u"}, Pattern: ptr("a.*"),
				RebalanceTimeoutMillis: 5000, Assignor: ptr("range"),
			},
			"member-classic": &Member{
				Rack: ptr("r"), ClientID: "c", ClientHost: "/h", Topics: []string{}, RebalanceTimeoutMillis: -1,
				Classic: &Classic{SessionTimeoutMillis: 45000, Protocols: []Protocol{{"range", []byte{1, 2, 3}}}},
			},
			"target":        &Target{Epoch: 9, At: 1000},
			"target-member": &TargetMember{assign.Assignment{topic(1, 0, 1), topic(2, 5)}},
			"current":       &Current{Epoch: 9, Previous: 8, State: 1, Assigned: assign.Assignment{since}, Revoking: assign.Assignment{topic(2, 4)}},
			"pattern":       &Pattern{Topics: []string{"a1", "a2"}, Version: 12, At: 34},
		}
}

func TestBytesAreKafkas(t *testing.T) {
	text, err := os.ReadFile("testdata/kafka.hex")
	if err != nil {
		t.Fatal(err)
	}
	keys, values := kafkas()
	seen := 0
	for line := range strings.Lines(string(text)) {
		name, digits, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == "#" {
			continue
		}
		seen++
		want, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		if k, ok := keys[name]; ok {
			if got := k.Append(nil); !bytes.Equal(got, want) {
				t.Errorf("%s is written %x, Kafka's is %x", name, got, want)
			}
			if got, known, err := ReadKey(want); err != nil || !known || got != k {
				t.Errorf("%s is read as %+v, %v", name, got, err)
			}
			continue
		}
		v := values[name]
		if got := v.Append(nil); !bytes.Equal(got, want) {
			t.Errorf("%s is written %x, Kafka's is %x", name, got, want)
		}
		read := reflect.New(reflect.TypeOf(v).Elem()).Interface().(value)
		if err := read.Read(want); err != nil || !reflect.DeepEqual(read, v) {
			t.Errorf("%s is read as %+v, %v, want %+v", name, read, err, v)
		}
	}
	if seen != len(keys)+len(values) {
		t.Errorf("%d lines, want %d", seen, len(keys)+len(values))
	}
}

// A tagged field that is not known is passed over, a damaged value is refused.
func TestDamage(t *testing.T) {
	_, values := kafkas()
	for name, v := range values {
		whole := v.Append(nil)
		for cut := range len(whole) {
			if v.Read(whole[:cut]) == nil {
				t.Errorf("%s of %d bytes is read from %d", name, len(whole), cut)
			}
		}
		if v.Read(append(whole, 0)) == nil {
			t.Errorf("%s is read with a byte behind it", name)
		}
		other := bytes.Clone(whole)
		if other[1] = 1; v.Read(other) == nil {
			t.Errorf("%s of version 1 is read", name)
		}
	}
	var g Group
	if err := g.Read([]byte{0, 0, 0, 0, 0, 7, 1, 9, 2, 1, 2}); err != nil || g.Epoch != 7 {
		t.Errorf("with a strange tag: %+v, %v", g, err)
	}
	if _, known, err := ReadKey([]byte{0, 2, 0, 1, 'g'}); known || err != nil {
		t.Error("a classic group's key is taken for one of ours")
	}
}

// What can be read is written again as something that reads the same.
func FuzzRead(f *testing.F) {
	keys, values := kafkas()
	for _, k := range keys {
		f.Add(byte(0), k.Append(nil))
	}
	kinds := []value{&Group{}, &Member{}, &Target{}, &TargetMember{}, &Current{}, &Pattern{}}
	for _, v := range values {
		for i := range kinds {
			if reflect.TypeOf(kinds[i]) == reflect.TypeOf(v) {
				f.Add(byte(i+1), v.Append(nil))
			}
		}
	}
	fuzz.Run(f, func(t *testing.T, kind byte, p []byte) {
		if kind == 0 {
			if k, known, err := ReadKey(p); known && err == nil && !bytes.Equal(k.Append(nil), p) {
				t.Errorf("key %x is written again as %x", p, k.Append(nil))
			}
			return
		}
		v := reflect.New(reflect.TypeOf(kinds[int(kind)%len(kinds)]).Elem()).Interface().(value)
		if v.Read(p) != nil {
			return
		}
		again := reflect.New(reflect.TypeOf(v).Elem()).Interface().(value)
		if err := again.Read(v.Append(nil)); err != nil || !bytes.Equal(again.Append(nil), v.Append(nil)) {
			t.Errorf("%x is read as %+v and then as %+v, %v", p, v, again, err)
		}
	})
}
