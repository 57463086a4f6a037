package main

import (
	"io"
	"strings"
	"testing"
)

func TestTally(t *testing.T) {
	for name, test := range map[string]struct {
		lines string
		want  totals
	}{
		"tests below others": {`{"Action":"run","Test":"A"}
{"Action":"pass","Test":"A/one"}
{"Action":"skip","Test":"A/two"}
{"Action":"pass","Test":"A"}
{"Action":"pass","Test":"AB"}
{"Action":"pass"}`, totals{passed: 2, skipped: 1}},
		"a failure, and what it fails": {`{"Action":"fail","Test":"A/one"}
{"Action":"fail","Test":"A"}
{"Action":"fail"}`, totals{failed: 2}},
		"a test without an end": {`{"Action":"run","Test":"A"}
{"Action":"output","Test":"A","Output":"panic: no"}
{"Action":"fail"}`, totals{}},
		"what is no event": {"# a package that is not built\n{\"Action\":\"pass\",\"Test\":\"A\"}", totals{passed: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			if sum, err := tally(strings.NewReader(test.lines), io.Discard); err != nil || sum != test.want {
				t.Errorf("%v, %v; want %v", sum, err, test.want)
			}
		})
	}
}
