package history

import (
	"fmt"
	"slices"
	"testing"
)

var (
	zero = Partition{"t", 0}
	one  = Partition{"t", 1}
)

// good is a history in which nothing is wrong: a transaction that ended well, one that was aborted, one that nobody
// knows of and that is there, and one that is not; with offsets, a reader of everything and the final one.
func good() *History {
	operation := func(n int, result Result, commit int64) Operation {
		return Operation{
			Process: "p", Name: fmt.Sprintf("op%d", n), Result: result, Began: int64(10 * n), Ended: int64(10*n + 5),
			Writes:  []Write{{zero, fmt.Sprintf("%da", n), ""}, {one, fmt.Sprintf("%db", n), fmt.Sprint(n)}},
			Commits: []Commit{{"g", zero, commit}},
		}
	}
	return &History{
		Operations: []Operation{operation(1, OK, 3), operation(2, Failed, 5), operation(3, Unknown, 7), operation(4, Unknown, 9), operation(5, OK, 11)},
		Reads: []Read{
			{"dirty", false, zero, 0, "1a"}, {"dirty", false, zero, 2, "2a"},
			{"final", true, zero, 0, "1a"}, {"final", true, one, 0, "1b"},
			{"final", true, zero, 4, "3a"}, {"final", true, one, 4, "3b"},
			{"final", true, zero, 8, "5a"}, {"final", true, one, 8, "5b"},
		},
		Offsets: []Fetched{{"g", zero, -1, 1, 0}, {"g", zero, 3, 16, 0}, {"g", zero, 7, 40, 0}, {"g", zero, 11, 90, 0}},
		Final:   "final",
	}
}

func TestAGoodHistoryIsGood(t *testing.T) {
	if found := Check(good()); len(found) > 0 {
		t.Fatal(Summary(found))
	}
}

// TestFetchesThatOverlap: of two that were under way together, either may have been served first.
func TestFetchesThatOverlap(t *testing.T) {
	h := good()
	h.Offsets = []Fetched{{"g", zero, 11, 80, 90}, {"g", zero, 7, 85, 95}, {"g", zero, 11, 96, 97}}
	h.Operations[4].Result = Unknown
	if found := Check(h); len(found) > 0 {
		t.Fatal(Summary(found))
	}
	h.Offsets[1].At = 90
	if found := Check(h); len(found) != 1 || found[0].Class != OffsetsBack {
		t.Fatal(Summary(found))
	}
}

// TestEveryClassIsFound breaks the good history in one way at a time.
func TestEveryClassIsFound(t *testing.T) {
	seen := map[string]bool{}
	for name, test := range map[string]struct {
		damage func(h *History)
		class  string
	}{
		"both writes are gone":              {func(h *History) { h.Reads = h.Reads[:len(h.Reads)-2] }, Lost},
		"passed over by who had to copy it": {func(h *History) { h.Copied = zero.Topic }, Lost},
		"sent again and taken twice": {func(h *History) {
			h.Reads = append(h.Reads, Read{"final", true, zero, 9, "5a"})
		}, Duplicated},
		"made twice from the same": {func(h *History) { h.Operations[4].Writes[1].Of = "1" }, Duplicated},
		"the later lies before the earlier": {func(h *History) {
			h.Reads[2].Offset, h.Reads[4].Offset = 4, 0
			h.Reads[2], h.Reads[4] = h.Reads[4], h.Reads[2]
			h.Reads = h.Reads[2:]
		}, Reordered},
		"a reader goes back": {func(h *History) { h.Reads = append(h.Reads, Read{"dirty", false, zero, 0, "1a"}) }, Reordered},
		"an aborted value is committed": {func(h *History) {
			h.Reads = append(h.Reads, Read{"other", true, zero, 2, "2a"})
		}, AbortedRead},
		"one of two writes is gone": {func(h *History) { h.Reads = slices.Delete(h.Reads, 5, 6) }, Torn},
		"writes without their offsets": {func(h *History) {
			h.Operations[4].Result = Unknown
			h.Offsets = h.Offsets[:3]
		}, Torn},
		"offsets without their writes": {func(h *History) {
			h.Operations[4].Result = Unknown
			h.Reads = h.Reads[:len(h.Reads)-2]
		}, Torn},
		"a group falls back": {func(h *History) { h.Offsets = append(h.Offsets, Fetched{"g", zero, 3, 99, 0}) }, OffsetsBack},
		"an acknowledged offset is gone": {func(h *History) {
			h.Offsets = []Fetched{{"g", zero, 7, 90, 0}}
		}, OffsetsBack},
		"one offset, two values": {func(h *History) { h.Reads = append(h.Reads, Read{"other", false, zero, 0, "5a"}) }, Inconsistent},
		"from nowhere":           {func(h *History) { h.Reads = append(h.Reads, Read{"other", false, zero, 20, "x"}) }, Unwritten},
	} {
		t.Run(name, func(t *testing.T) {
			h := good()
			test.damage(h)
			found := Check(h)
			if !slices.ContainsFunc(found, func(a Anomaly) bool { return a.Class == test.class }) {
				t.Errorf("%s is not found: %s", test.class, Summary(found))
			}
		})
		seen[test.class] = true
	}
	for _, class := range []string{Lost, Duplicated, Reordered, AbortedRead, Torn, OffsetsBack, Inconsistent, Unwritten} {
		if !seen[class] {
			t.Errorf("nothing is broken so that %s must be found", class)
		}
	}
}
