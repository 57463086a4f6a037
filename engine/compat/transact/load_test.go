package transact

import (
	"errors"
	"testing"

	"github.com/millrace/millrace/engine/sim/history"
)

// What a client was told counts only as far as it may be believed.
func TestResult(t *testing.T) {
	failure := errors.New("no answer")
	for name, test := range map[string]struct {
		asked, committed bool
		err              error
		deaf             bool
		want             history.Result
	}{
		"committed":                    {true, true, nil, false, history.OK},
		"not answered":                 {true, false, failure, false, history.Unknown},
		"committed, says a liar":       {true, true, nil, true, history.Unknown},
		"aborted":                      {false, false, nil, false, history.Failed},
		"aborted, says a liar":         {false, false, nil, true, history.Failed},
		"abort not answered":           {false, false, failure, false, history.Failed},
		"the client aborted by itself": {true, false, nil, false, history.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			if got := result(test.asked, test.committed, test.err, test.deaf); got != test.want {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}

// An anomaly is told once in a run, and what was read back stays where it can be compared.
func TestUntoldAndSettle(t *testing.T) {
	l := New(Options{Name: "t"})
	a, b := history.Anomaly{Class: history.Lost, Detail: "a"}, history.Anomaly{Class: history.Lost, Detail: "b"}
	if got := l.untold([]history.Anomaly{a}); len(got) != 1 {
		t.Errorf("first: %v", got)
	}
	if got := l.untold([]history.Anomaly{a, b}); len(got) != 1 || got[0] != b {
		t.Errorf("then: %v", got)
	}
	at := history.Partition{Topic: "t-in"}
	l.history.Reads = []history.Read{
		{Reader: final, Partition: at}, {Reader: observer, Partition: at}, {Reader: "follower-1", Partition: at},
	}
	l.history.Offsets = []history.Fetched{{Partition: at, Offset: 3}, {Partition: at, Offset: 9}}
	l.settle()
	if len(l.history.Reads) != 2 || l.counts.Records != 1 || len(l.history.Offsets) != 1 || l.history.Offsets[0].Offset != 9 {
		t.Errorf("%+v", l.history)
	}
	l.rewind()
	l.settle()
	if len(l.history.Reads) != 0 {
		t.Errorf("what was read before stays: %+v", l.history.Reads)
	}
}
