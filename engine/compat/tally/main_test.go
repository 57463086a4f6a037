package main

import (
	"strings"
	"testing"
)

func TestTally(t *testing.T) {
	for name, test := range map[string]struct {
		events          string
		passed, failed  int
		shown, notShown string
	}{
		"one never ends": {
			events: `{"Action":"output","Package":"p","Test":"A","Output":"quiet words\n"}
{"Action":"pass","Package":"p","Test":"A"}
{"Action":"output","Package":"p","Test":"B","Output":"loud words, test timed out\n"}
{"Action":"output","Package":"q","Test":"C","Output":"quiet words\n"}
{"Action":"fail","Package":"p"}
`, passed: 1, failed: 1, shown: "loud words", notShown: "quiet words"},
		"one passes, one fails": {
			events: `{"Action":"output","Package":"p","Test":"A","Output":"quiet words\n"}
{"Action":"pass","Package":"p","Test":"A"}
{"Action":"output","Package":"p","Test":"B","Output":"loud words\n"}
{"Action":"fail","Package":"p","Test":"B"}
{"Action":"fail","Package":"p"}
`, passed: 1, failed: 2, shown: "loud words", notShown: "quiet words"},
		"a package that does not build": {
			events: `{"Action":"build-output","ImportPath":"p","Output":"x.go:1: undefined\n"}
{"Action":"fail","Package":"p"}
`, failed: 1, shown: "undefined"},
		"words that are no event": {events: "go: no such tool\n", shown: "no such tool"},
	} {
		t.Run(name, func(t *testing.T) {
			var w strings.Builder
			got := tally{output: map[string]*strings.Builder{}, w: &w}
			if err := got.read(strings.NewReader(test.events)); err != nil {
				t.Fatal(err)
			}
			if got.passed != test.passed || got.failed != test.failed {
				t.Errorf("counted %d passed, %d failed; want %d, %d", got.passed, got.failed, test.passed, test.failed)
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
