package group

import (
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/fuzz"
)

// golden reads a file of FORMAT.md: lines of a name, a key and a value in hex, - for null.
func golden(t testing.TB) map[string]Record {
	text, err := os.ReadFile("testdata/records.hex")
	if err != nil {
		t.Fatal(err)
	}
	records := map[string]Record{}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := hex.DecodeString(f[1])
		must(err)
		r := Record{Key: key}
		if f[2] != "-" {
			r.Value, err = hex.DecodeString(f[2])
			must(err)
		}
		records[f[0]] = r
	}
	return records
}

// written makes the records that the golden file has.
func written() map[string]Record {
	c := New(Options{}, nil)
	g := newGroup(c, "g", 1700000000000)
	one := "one"
	name := "range"
	g.generation, g.protocol = 3, &name
	g.add(&member{id: "c-1", client: Client{"c", "/127.0.0.1"}, sessionTimeout: 45000, rebalanceTimeout: 300000, protocols: []protocol{{"range", []byte{0, 1, 2}}}, assignment: []byte{9}}, consumerType)
	g.add(&member{id: "one-2", instance: &one, client: Client{"d", "/127.0.0.2"}, sessionTimeout: 45000, rebalanceTimeout: 300000, protocols: []protocol{{"range", nil}}}, consumerType)
	offset := func(v *committed) Record {
		r, _ := offsetRecord(nil, "g", "topic", 7, v)
		return r
	}
	return map[string]Record{
		"group":       g.metadata(nil),
		"group-empty": newGroup(c, "g", -1).metadata(nil),
		"group-gone":  {Key: g.metadataKey()},
		"offset":      offset(&committed{offset: 42, epoch: 5, metadata: "note", at: 1700000000000, expire: -1}),
		"offset-v1":   offset(&committed{offset: 42, epoch: 5, at: 1700000000000, expire: 1700000060000}),
		"offset-v4":   offset(&committed{offset: 42, epoch: -1, at: 1700000000000, expire: -1, topicID: [16]byte{15: 1}}),
		"offset-gone": offset(nil),
	}
}

// TestGoldenRecords keeps the bytes that we write: logs of earlier versions, and Kafka's own
// tools, depend on them.
func TestGoldenRecords(t *testing.T) {
	want := golden(t)
	got := written()
	for name, r := range got {
		value := "-"
		if r.Value != nil {
			value = hex.EncodeToString(r.Value)
		}
		if w := want[name]; hex.EncodeToString(w.Key) != hex.EncodeToString(r.Key) || string(w.Value) != string(r.Value) || (w.Value == nil) != (r.Value == nil) {
			t.Errorf("golden file differs; now it is\n%s %x %s", name, r.Key, value)
		}
	}
	if len(want) != len(got) {
		t.Errorf("golden file has %d records, want %d", len(want), len(got))
	}
}

func TestGoldenRecordsReplay(t *testing.T) {
	records := golden(t)
	now := time.UnixMilli(1700000100000)
	j := &journal{committed: []Record{records["offset"], records["group"]}}
	c := j.replayed(t, Options{}, now)
	g := c.groups["g"]
	if g.state != stable || g.generation != 3 || len(g.members) != 2 || g.leader != "c-1" || *g.members[1].instance != "one" || g.committed("topic", 7).offset != 42 {
		t.Fatalf("replayed %+v", g)
	}
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	j.committed = append(j.committed, records["offset-v1"], records["offset-v4"], records["group-empty"])
	if g = j.replayed(t, Options{}, now).groups["g"]; g.state != empty || g.committed("topic", 7).topicID[15] != 1 {
		t.Fatalf("replayed %+v", g)
	}
	j.committed = append(j.committed, records["offset-gone"], records["group-gone"])
	if c = j.replayed(t, Options{}, now); len(c.groups) > 0 {
		t.Fatal("a deleted group is still there")
	}
}

func TestReplayRefusesDamage(t *testing.T) {
	good := written()
	members := func(change func(v *kmsg.GroupMetadataValue)) Record {
		var v kmsg.GroupMetadataValue
		must(v.ReadFrom(good["group"].Value))
		change(&v)
		return Record{Key: good["group"].Key, Value: v.AppendTo(nil)}
	}
	for name, r := range map[string]Record{
		"no key":                 {},
		"half an offset key":     {Key: good["offset"].Key[:6]},
		"half a group key":       {Key: good["group"].Key[:3]},
		"half an offset":         {Key: good["offset"].Key, Value: good["offset"].Value[:5]},
		"half a group":           {Key: good["group"].Key, Value: good["group"].Value[:9]},
		"an offset of version 9": {Key: good["offset"].Key, Value: append([]byte{0, 9}, good["offset"].Value[2:]...)},
		"a group of version 9":   {Key: good["group"].Key, Value: members(func(v *kmsg.GroupMetadataValue) { v.Version = 9 }).Value},
		"members, no protocol":   members(func(v *kmsg.GroupMetadataValue) { v.Protocol = nil }),
		"one member twice":       members(func(v *kmsg.GroupMetadataValue) { v.Members[1].MemberID = v.Members[0].MemberID }),
	} {
		t.Run(name, func(t *testing.T) {
			c := New(Options{}, &journal{})
			if err := c.Replay(r, 0); err == nil {
				t.Error("replayed")
			}
			if c.Loaded(time.UnixMilli(0)); len(c.groups) > 0 {
				t.Error("a refused record left a group")
			}
		})
	}
	c := New(Options{}, nil)
	if err := c.Replay(Record{Key: []byte{0, 99}}, 0); err != nil {
		t.Errorf("a record of a kind that is not known: %v", err)
	}
}

func FuzzReplay(f *testing.F) {
	for _, r := range written() {
		f.Add(r.Key, r.Value)
	}
	fuzz.Run(f, func(t *testing.T, key, value []byte) {
		j := &journal{}
		c := New(Options{}, j)
		for _, r := range []Record{written()["group"], {key, value}, written()["offset"]} {
			_ = c.Replay(r, 5) // damage is reported, never fatal
		}
		c.Loaded(time.UnixMilli(1000))
		if err := c.Check(); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			c.Tick(c.NextTick())
			for len(j.waiting) > 0 {
				j.settle(nil)
			}
			if err := c.Check(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzSubscription(f *testing.F) {
	f.Add(subscription())
	f.Add(subscription("a", "topic"))
	f.Add([]byte{0, 1, 0x7f, 0xff, 0xff, 0xff, 0, 1, 'a'})
	fuzz.Run(f, func(t *testing.T, p []byte) {
		var ours []string
		err := subscriptionTopics(p, func(topic []byte) { ours = append(ours, string(topic)) })
		said, migrating := readSubscription(p) // as a group that becomes one of KIP-848 reads it
		if migrating == nil && (err != nil || !slices.Equal(said.Topics, ours)) {
			t.Fatalf("a migration reads %q, a rebalance %q, %v", said.Topics, ours, err)
		}
		var theirs kmsg.ConsumerMemberMetadata
		theirs.Default()
		// kmsg takes a negative count for none; Kafka refuses it, and so do we.
		if theirs.ReadFrom(p) == nil && theirs.Version >= 0 && theirs.Version <= 3 && p[2] < 0x80 {
			if err != nil {
				t.Fatalf("kmsg reads %+v, we say %v", theirs, err)
			}
			if strings.Join(ours, "\x00") != strings.Join(theirs.Topics, "\x00") {
				t.Fatalf("topics %q, kmsg reads %q", ours, theirs.Topics)
			}
		}
	})
}
