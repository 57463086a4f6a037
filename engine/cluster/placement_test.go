package cluster

import (
	"maps"
	"testing"
)

// TestAvoidedDirectories: what is to be avoided gets nothing, however empty it is, unless there is no other.
func TestAvoidedDirectories(t *testing.T) {
	a, b := ID{1}, ID{2}
	for name, test := range map[string]struct {
		avoid func(ID) bool
		want  map[ID]int
	}{
		"none": {nil, map[ID]int{a: 2, b: 2}},
		"one":  {func(directory ID) bool { return directory == a }, map[ID]int{b: 4}},
		"all":  {func(ID) bool { return true }, map[ID]int{a: 2, b: 2}},
	} {
		p := newPlacement(Empty(), test.avoid)
		for range 4 {
			p.emptiest(&Broker{Directories: []ID{a, b}})
		}
		if !maps.Equal(p.added, test.want) {
			t.Errorf("%s: placed %v, want %v", name, p.added, test.want)
		}
	}
}
