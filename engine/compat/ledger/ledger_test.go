package ledger

import (
	"testing"
	"time"
)

func TestJudge(t *testing.T) {
	for name, test := range map[string]struct {
		acked, read                             []place
		start                                   int64
		repeats                                 bool
		lost, misplaced, duplicated, outOfOrder int
	}{
		"all well":                        {acked: at(0, 1, 2), read: at(0, 1, 2)},
		"an unacked record may be there":  {acked: at(0), read: at(0, 1)},
		"an unacked record may be absent": {acked: []place{{0, 0}, {2, 1}}, read: []place{{0, 0}, {2, 1}}},
		"an acked record is gone":         {acked: at(0, 1, 2), read: []place{{0, 0}, {2, 2}}, lost: 1},
		"a retry was appended again":      {acked: at(0, 1), read: []place{{0, 0}, {1, 1}, {1, 2}}, duplicated: 1},
		"a retry may be appended again":   {acked: at(0, 1), read: []place{{0, 0}, {1, 1}, {0, 2}}, repeats: true},
		"two batches changed places": {acked: at(0, 1, 2, 3), read: []place{{2, 0}, {3, 1}, {0, 2}, {1, 3}},
			misplaced: 4, outOfOrder: 2},
		"an offset other than acked":    {acked: at(0, 1), read: []place{{0, 0}, {1, 2}}, misplaced: 1},
		"removed on purpose":            {acked: at(0, 1, 2), read: []place{{2, 2}}, start: 2},
		"gone, though not on purpose":   {acked: at(0, 1, 2), read: []place{{2, 2}}, start: 1, lost: 1},
		"nothing came back":             {acked: at(0, 1), lost: 2},
		"a repeater's acked record too": {acked: at(0, 1), read: at(0), repeats: true, lost: 1},
	} {
		t.Run(name, func(t *testing.T) {
			l := New()
			s := Stream{Producer: "p", Topic: "t", Partition: 3}
			for _, r := range test.acked {
				l.Acked(s, r.number, r.offset)
			}
			for range 2 { // read twice, the second time counts
				l.Reread()
				for _, r := range test.read {
					l.Read(s, r.number, r.offset)
				}
			}
			l.Start("t", 3, test.start)
			if test.repeats {
				l.Repeats("p")
			}
			v := l.Judge()
			if v.Lost != test.lost || v.Misplaced != test.misplaced || v.Duplicated != test.duplicated || v.OutOfOrder != test.outOfOrder {
				t.Errorf("judged %+v, want %d lost, %d misplaced, %d duplicated, %d out of order", v, test.lost, test.misplaced, test.duplicated, test.outOfOrder)
			}
			if wrong := test.lost+test.misplaced+test.duplicated+test.outOfOrder > 0; (v.Err() != nil) != wrong {
				t.Errorf("Err() = %v", v.Err())
			}
		})
	}
}

// at places each record at the offset that is its number.
func at(numbers ...int64) (places []place) {
	for _, n := range numbers {
		places = append(places, place{n, n})
	}
	return places
}

// What was acknowledged just before a cut may be lost; what is older may not, nor may anything
// be read twice or elsewhere.
func TestExcuse(t *testing.T) {
	l := New()
	s := Stream{Producer: "p", Topic: "t"}
	for number := range int64(4) {
		l.Acked(s, number, number)
	}
	l.Excuse(time.Now().Add(time.Second), time.Minute)
	l.Acked(s, 4, 4)
	l.Read(s, 0, 0)
	l.Read(s, 1, 7)
	v := l.Judge()
	if v.Excused != 2 || v.Lost != 1 || v.Misplaced != 1 || v.Age < time.Second || v.Age > time.Minute {
		t.Errorf("%+v", v)
	}
	old := New()
	old.Acked(s, 0, 0)
	old.Excuse(time.Now().Add(time.Hour), time.Minute)
	if v := old.Judge(); v.Lost != 1 || v.Excused != 0 {
		t.Errorf("an hour is excused by a minute: %+v", v)
	}
}
