package mortal

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// exactly says what is lost, doubled or strange among got, each of which should be there once.
func exactly(got, want []string) error {
	times := map[string]int{}
	for _, v := range want {
		times[v]--
	}
	var lost, doubled, strange []string
	wanted := map[string]bool{}
	for v := range times {
		wanted[v] = true
	}
	for _, v := range got {
		times[v]++
	}
	for v, n := range times {
		switch {
		case !wanted[v]:
			strange = append(strange, v)
		case n < 0:
			lost = append(lost, v)
		case n > 0:
			doubled = append(doubled, v)
		}
	}
	if len(lost)+len(doubled)+len(strange) == 0 {
		return nil
	}
	return fmt.Errorf("of %d: %s, %s, %s", len(want), sum("lost", lost), sum("doubled", doubled), sum("strange", strange))
}

// sum is a number and some examples.
func sum(what string, values []string) string {
	slices.Sort(values)
	return strings.TrimSpace(fmt.Sprintf("%d %s %s", len(values), what, strings.Join(values[:min(3, len(values))], ", ")))
}

// counted looks whether each key's values are 1, 2, 3, … up to what is wanted, in the order of the log.
func counted(partitions map[int32][]*kgo.Record, want map[string]int) error {
	last := map[string]int{}
	for p, records := range partitions {
		for _, r := range records {
			word := string(r.Key)
			if next := fmt.Sprint(last[word] + 1); string(r.Value) != next {
				return fmt.Errorf("partition %d, offset %d: %s is counted %s, want %s", p, r.Offset, word, r.Value, next)
			}
			last[word]++
		}
	}
	for word, n := range want {
		if last[word] != n {
			return fmt.Errorf("%s is counted up to %d, want %d", word, last[word], n)
		}
	}
	if len(last) != len(want) {
		return fmt.Errorf("%d words are counted, want %d", len(last), len(want))
	}
	return nil
}

// rewound looks whether lines are those wanted, in order, but for repeats: a file sink that was killed goes on from
// where its offsets were last committed, so it may go back, at most as often as it was killed.
func rewound(lines, want []string, kills int) error {
	at := map[string]int{}
	for i, line := range want {
		at[line] = i
	}
	next, most, back := 0, 0, 0
	for n, line := range lines {
		i, ok := at[line]
		switch {
		case !ok:
			return fmt.Errorf("line %d is %q, which nobody wrote", n+1, line)
		case i > most:
			return fmt.Errorf("line %d is %q: %q is lost or comes later", n+1, line, want[most])
		case i != next:
			back++
		}
		next = i + 1
		most = max(most, next)
	}
	if most != len(want) {
		return fmt.Errorf("%d of %d lines are there", most, len(want))
	}
	if back > kills {
		return fmt.Errorf("the lines go back %d times after %d kills", back, kills)
	}
	return nil
}

// values are those of all partitions.
func values(partitions map[int32][]*kgo.Record) (all []string) {
	for _, records := range partitions {
		for _, r := range records {
			all = append(all, string(r.Value))
		}
	}
	return all
}
