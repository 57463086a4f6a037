package mortal

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestExactly(t *testing.T) {
	want := strings.Fields("a b c")
	for name, test := range map[string]struct{ got, fail string }{
		"all":         {"c a b", ""},
		"one lost":    {"a c", "1 lost b, 0 doubled, 0 strange"},
		"one doubled": {"a b b c", "0 lost, 1 doubled b, 0 strange"},
		"one strange": {"a b c d", "0 lost, 0 doubled, 1 strange d"},
		"one for one": {"a b d", "1 lost c, 0 doubled, 1 strange d"},
	} {
		t.Run(name, func(t *testing.T) { judged(t, exactly(strings.Fields(test.got), want), test.fail) })
	}
}

func TestCounted(t *testing.T) {
	for name, test := range map[string]struct{ got, fail string }{
		"all":            {"a=1 b=1 a=2", ""},
		"a step lost":    {"a=2 b=1", "a is counted 2, want 1"},
		"a step twice":   {"a=1 a=1 b=1 a=2", "a is counted 1, want 2"},
		"the end lost":   {"a=1 b=1", "a is counted up to 1, want 2"},
		"one too many":   {"a=1 a=2 a=3 b=1", "a is counted up to 3, want 2"},
		"a word lost":    {"a=1 a=2", "b is counted up to 0, want 1"},
		"a word strange": {"a=1 a=2 b=1 c=1", "3 words are counted, want 2"},
	} {
		t.Run(name, func(t *testing.T) {
			var records []*kgo.Record
			for step := range strings.FieldsSeq(test.got) {
				word, n, _ := strings.Cut(step, "=")
				records = append(records, &kgo.Record{Key: []byte(word), Value: []byte(n)})
			}
			judged(t, counted(map[int32][]*kgo.Record{0: records}, map[string]int{"a": 2, "b": 1}), test.fail)
		})
	}
}

func TestRewound(t *testing.T) {
	for name, test := range map[string]struct{ got, fail string }{
		"all":                       {"a b c d", ""},
		"back once":                 {"a b c b c d", ""},
		"a line lost":               {"a c d", `"b" is lost`},
		"the end lost":              {"a b c", "3 of 4"},
		"a line lost after a death": {"a b a b d", `"c" is lost`},
		"a strange line":            {"a b x", `"x", which nobody wrote`},
		"back too often":            {"a b a b a b c d", "go back 2 times after 1 kills"},
		"out of order":              {"a b c b d", "go back 2 times"},
	} {
		t.Run(name, func(t *testing.T) {
			judged(t, rewound(strings.Fields(test.got), strings.Fields("a b c d"), 1), test.fail)
		})
	}
}

// judged compares a verdict with the words that it must have.
func judged(t *testing.T, err error, fail string) {
	t.Helper()
	if fail == "" && err != nil || fail != "" && (err == nil || !strings.Contains(err.Error(), fail)) {
		t.Errorf("got %v, want %q", err, fail)
	}
}
