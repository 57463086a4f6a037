package main

import (
	"errors"
	"testing"

	"github.com/millrace/millrace/engine/compat/totals"
)

func TestJudge(t *testing.T) {
	read, ended := errors.New("read"), errors.New("ended")
	for name, test := range map[string]struct {
		only        string
		sum         totals.Totals
		read, ended error
		want        error
	}{
		"all pass":                          {sum: totals.Totals{Passed: 3, Skipped: 1}},
		"one fails, which is counted":       {sum: totals.Totals{Passed: 3, Failed: 1}, ended: ended},
		"it was ended":                      {sum: totals.Totals{Passed: 3}, ended: ended, want: ended},
		"it cannot be read":                 {sum: totals.Totals{Passed: 3}, read: read, ended: ended, want: read},
		"all are skipped":                   {sum: totals.Totals{Skipped: 4}, want: errNothing},
		"none of this suite was asked for":  {only: "TestX"},
		"it does not build, as read counts": {sum: totals.Totals{Failed: 1}, ended: ended},
	} {
		t.Run(name, func(t *testing.T) {
			o := options{only: test.only}
			if err := o.judge(test.sum, test.read, test.ended); !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
		})
	}
}
