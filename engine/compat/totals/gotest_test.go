package totals

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestGoTest(t *testing.T) {
	for name, test := range map[string]struct {
		events          string
		want            Totals
		shown, notShown string
	}{
		"one never ends": {
			events: `{"Action":"output","Package":"p","Test":"A","Output":"quiet words\n"}
{"Action":"pass","Package":"p","Test":"A"}
{"Action":"output","Package":"p","Test":"B","Output":"loud words, test timed out\n"}
{"Action":"output","Package":"q","Test":"C","Output":"quiet words\n"}
{"Action":"fail","Package":"p"}
`, want: Totals{Passed: 1, Failed: 1}, shown: "loud words", notShown: "quiet words"},
		"one passes, one fails": {
			events: `{"Action":"output","Package":"p","Test":"A","Output":"quiet words\n"}
{"Action":"pass","Package":"p","Test":"A"}
{"Action":"output","Package":"p","Test":"B","Output":"loud words\n"}
{"Action":"fail","Package":"p","Test":"B"}
{"Action":"fail","Package":"p"}
`, want: Totals{Passed: 1, Failed: 2}, shown: "loud words", notShown: "quiet words"},
		"a package that does not build": {
			events: `{"Action":"build-output","ImportPath":"p","Output":"x.go:1: undefined\n"}
{"Action":"fail","Package":"p"}
`, want: Totals{Failed: 1}, shown: "undefined"},
		"tests below others, one skipped": {
			events: `{"Action":"pass","Package":"p","Test":"A/one"}
{"Action":"output","Package":"p","Test":"A/two","Output":"why words\n"}
{"Action":"skip","Package":"p","Test":"A/two"}
{"Action":"pass","Package":"p","Test":"A"}
{"Action":"pass","Package":"p"}
`, want: Totals{Passed: 2, Skipped: 1}, shown: "why words"},
		"words that are no event": {events: "go: no such tool\n", shown: "no such tool"},
	} {
		t.Run(name, func(t *testing.T) {
			var w strings.Builder
			got, err := GoTest(strings.NewReader(test.events), &w)
			if err != nil {
				t.Fatal(err)
			}
			if got != test.want {
				t.Errorf("counted %v; want %v", got, test.want)
			}
			if !strings.Contains(w.String(), test.shown) {
				t.Errorf("did not show %q in:\n%s", test.shown, w.String())
			}
			if test.notShown != "" && strings.Contains(w.String(), test.notShown) {
				t.Errorf("showed %q in:\n%s", test.notShown, w.String())
			}
		})
	}
}

func TestAppend(t *testing.T) {
	path := filepath.Join(t.TempDir(), "counts")
	for n := range 2 {
		if err := errors.Join(Append(path, n, 7), Append("", 1, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "0 7\n1 7\n" {
		t.Errorf("%q, %v", text, err)
	}
	if err := Append(t.TempDir(), 1, 1); err == nil {
		t.Error("a folder takes a line")
	}
	var sum Totals
	sum.Add(Totals{1, 2, 3})
	sum.Add(Totals{1, 0, 0})
	if got := sum.String(); got != "2 passed, 2 failed, 3 skipped" {
		t.Error(got)
	}
}
