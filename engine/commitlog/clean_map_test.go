package commitlog

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

func TestAnOffsetMapKnowsTheLastOffsetOfEveryKey(t *testing.T) {
	const most, base = 5000, 77
	random := rand.New(rand.NewPCG(5, 6))
	m := newOffsetMap(most, base)
	defer m.close()
	want := map[uint64]int64{}
	key := func(k uint64) []byte { return binary.AppendUvarint(nil, k) }
	offset := int64(base)
	for ; len(want) < most; offset++ {
		k := random.Uint64N(2 * most)
		want[k] = offset
		if p := m.probe(key(k), offset); !m.put(&p) {
			t.Fatalf("there is no room for key %d of %d", len(want), most)
		}
		if offset%997 == 0 {
			sorted(t, m)
		}
	}
	sorted(t, m)
	if m.use() != 1 {
		t.Errorf("a map with all the keys that it may have is %v full", m.use())
	}
	for k := range uint64(4 * most) {
		p := m.probe(key(k), 0)
		last, ok := want[k]
		if !ok {
			last = -1
		}
		if got := m.get(&p); got != last {
			t.Fatalf("key %d was last at %d, want %d", k, got, last)
		}
		if again := m.probe(key(k), offset); m.put(&again) != ok {
			t.Fatalf("a full map took key %d: %v, want %v", k, !ok, ok)
		}
		want[k] = offset
		if !ok {
			delete(want, k)
		}
	}
	if far := m.probe(key(1), base+offsetMask); m.put(&far) {
		t.Error("an offset that has no room in a slot was taken")
	}
}

// sorted checks the order by which searches end.
func sorted(t *testing.T, m *offsetMap) {
	t.Helper()
	count, last := int64(0), uint64(0)
	for i, s := range m.slots {
		if s.rest == 0 {
			continue
		}
		if count++; s.hash < last {
			t.Fatalf("slot %d has a hash below the one before", i)
		}
		last = s.hash
	}
	if count != m.count {
		t.Fatalf("%d slots are taken by %d keys", count, m.count)
	}
}
