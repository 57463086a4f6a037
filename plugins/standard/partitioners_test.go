package standard

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/sdk"
)

func made(t testing.TB, name string, settings map[string]string) sdk.Partitioner {
	t.Helper()
	p, err := sdk.Partitioners.New(name, sdk.NewConfig(settings))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// six partitions, 4 without a leader; 0 and 5 are led in rack b.
func placement(topic string, key []byte) *sdk.Placement {
	racks := []string{"b", "a", "a", "a", "", "b"}
	return &sdk.Placement{Topic: topic, Key: key, Partitions: 6, Available: []int32{0, 1, 2, 3, 5}, LeaderRack: func(p int32) string { return racks[p] }}
}

var names = []string{"consistent-random", "murmur2", "round-robin", "sticky", "zone-aware"}

func of(t testing.TB, name string) sdk.Partitioner {
	settings := map[string]string{}
	if name == "zone-aware" {
		settings["rack"] = "b"
	}
	return made(t, name, settings)
}

func TestAllAreThere(t *testing.T) {
	if got := sdk.Partitioners.Names(); !slices.Equal(got, names) {
		t.Errorf("%v, want %v", got, names)
	}
}

func TestKeys(t *testing.T) {
	// murmur2("foobar") is -790332482 in Kafka's own tests, which is 1357151166 without the
	// sign; CRC-32("foobar") is 0x9ef61f95.
	for name, want := range map[string]int32{"murmur2": 1357151166 % 6, "zone-aware": 1357151166 % 6, "consistent-random": 0x9ef61f95 % 6} {
		p := of(t, name)
		for range 3 {
			if got := p.Partition(placement("t", []byte("foobar"))); got != want {
				t.Errorf("%s puts foobar into %d, want %d", name, got, want)
			}
		}
	}
}

func TestWithoutAKeyOnlyLeadersAreChosen(t *testing.T) {
	for _, name := range names {
		p := of(t, name)
		seen := map[int32]bool{}
		for range 300 {
			at := p.Partition(placement("t", nil))
			seen[at] = true
			if l, ok := p.(sdk.BatchListener); ok {
				l.OnNewBatch("t", at)
			}
		}
		want := []int32{0, 1, 2, 3, 5}
		if name == "zone-aware" {
			want = []int32{0, 5}
		}
		if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, want) {
			t.Errorf("%s chose %v, want %v", name, got, want)
		}
	}
}

func TestRoundRobinTakesTurns(t *testing.T) {
	p := made(t, "round-robin", nil)
	var got []int32
	for range 6 {
		got = append(got, p.Partition(placement("t", []byte("k"))))
		p.Partition(placement("other", nil))
	}
	if !slices.Equal(got, []int32{0, 1, 2, 3, 5, 0}) {
		t.Errorf("%v", got)
	}
}

func TestStickyStays(t *testing.T) {
	for _, name := range []string{"sticky", "murmur2", "zone-aware"} {
		p := of(t, name)
		first := p.Partition(placement("t", nil))
		for range 50 {
			if at := p.Partition(placement("t", nil)); at != first {
				t.Fatalf("%s went from %d to %d", name, first, at)
			}
		}
		without := placement("t", nil)
		without.Available = slices.DeleteFunc(slices.Clone(without.Available), func(at int32) bool { return at == first })
		if at := p.Partition(without); at == first {
			t.Errorf("%s stays with %d, which has no leader", name, first)
		}
	}
}

func TestZoneAwareNeedsAZoneAndLeavesIt(t *testing.T) {
	if _, err := sdk.Partitioners.New("zone-aware", sdk.NewConfig(nil)); err == nil || !strings.Contains(err.Error(), "client.rack") {
		t.Errorf("%v", err)
	}
	p := made(t, "zone-aware", map[string]string{"rack": "nowhere"})
	if at := p.Partition(placement("t", nil)); at == 4 {
		t.Errorf("chose %d, which has no leader", at)
	}
}

func TestPartitionersAllocateNothing(t *testing.T) {
	for _, name := range names {
		p := of(t, name)
		for _, key := range [][]byte{nil, []byte("foobar")} {
			m := placement("t", key)
			if n := testing.AllocsPerRun(100, func() { p.Partition(m) }); n != 0 {
				t.Errorf("%s allocates %v times for the key %q", name, n, key)
			}
		}
	}
}
